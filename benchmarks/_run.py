"""What all benchmarks share: command lines and fair timing."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line whose help begins with a module's docstring."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def alternate(cases: Mapping[str, Callable[[], Any]], *, repeats: int) -> dict[str, dict[str, Any]]:
    """Time several cases in turns, so that a slow moment of the machine hits all of them.

    A turn calls a case twice and times the second call: the first compiles, and fetches from the operating system the
    memory that the case before has given back. For gigabytes that takes seconds, which a loop of many steps pays once.

    Args:
      cases: Functions that return arrays.
      repeats: Timed calls of each.

    Returns:
      For each case the median and all times in seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, call in cases.items():
            jax.block_until_ready(call())
            started = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - started)
    return {name: {"median_s": statistics.median(t), "times_s": t} for name, t in times.items()}
