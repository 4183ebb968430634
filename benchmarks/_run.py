"""What the benchmarks share: fair timing and result files."""

import datetime
import json
import pathlib
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxrestore._files import replacing
from jaxrestore.evaluation import environment

RESULTS = pathlib.Path(__file__).parent / "results"


def alternate(cases: Mapping[str, Callable[[], Any]], *, repeats: int) -> dict[str, dict[str, Any]]:
    """Time several cases in turns, so that a slow moment of the machine hits all of them.

    Each case is called once beforehand, to compile.

    Returns:
      For each case the median and all times in seconds.
    """
    for call in cases.values():
        jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, call in cases.items():
            started = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - started)
    return {name: {"median_s": statistics.median(t), "times_s": t} for name, t in times.items()}


def write(name: str, report: Mapping[str, Any]) -> pathlib.Path:
    """Write a result with its environment, as `benchmarks/results/NAME-DEVICE.json`."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=RESULTS.parent)
    stamp = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "revision": git.stdout.strip() or None,
        "environment": environment(),
    }
    path = RESULTS / f"{name}-{jax.devices()[0].platform}.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({**stamp, **report}, indent=2) + "\n")
    return path
