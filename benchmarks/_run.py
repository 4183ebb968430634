"""What the benchmarks share: fair timing and result files."""

import datetime
import inspect
import json
import math
import pathlib
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxrestore import images
from jaxrestore.cli._shared import centre
from jaxrestore.evaluation import environment
from jaxrestore.storage.files import replacing
from jaxrestore.tasks import METHODS, SHARED_SETTINGS

RESULTS = pathlib.Path(__file__).parent / "results"


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


def load_centres(
    folder: pathlib.Path, size: int | None = None, pictures: int | None = None
) -> tuple[list[pathlib.Path], np.ndarray]:
    """Paths and centres, (N, size, size, C) in [-1, 1], of a folder's first pictures; too small ones are left out.

    Without a size the pictures are taken whole, and must be of one shape.
    """
    kept: list[tuple[pathlib.Path, np.ndarray]] = []
    for path in images.find(folder):
        picture = images.load(path)
        if size is not None:
            if min(picture.shape[:2]) < size:
                continue
            picture = centre(picture, size, path)
        kept.append((path, picture))
    if not kept:
        raise SystemExit(f"no picture of {folder} has {size} pixels each way; lower --size")
    kept = kept[:pictures]
    return [path for path, _ in kept], np.stack([picture for _, picture in kept])


def network_evaluations(method: str, settings: Mapping[str, Any]) -> int:
    """Evaluations of the prior for one picture; where gradients pass it, each costs about twice as much."""
    defaults = {n: p.default for n, p in inspect.signature(METHODS[method]).parameters.items()}
    counts = ("num_steps", "warmup_steps", "ode_steps", *SHARED_SETTINGS)
    return math.prod({**defaults, **settings}.get(name, 1) for name in counts)


def result_file(name: str) -> pathlib.Path:
    """`benchmarks/results/NAME-DEVICE.json`."""
    return RESULTS / f"{name}-{jax.devices()[0].platform}.json"


def read_cells(name: str) -> dict[str, Any]:
    """What an earlier run has measured, by label; empty if there was none."""
    file = result_file(name)
    return json.loads(file.read_text())["cells"] if file.exists() else {}


def revision() -> str | None:
    """Of the code; None outside a git checkout."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=RESULTS.parent)
    return git.stdout.strip() or None


def write(name: str, report: Mapping[str, Any]) -> pathlib.Path:
    """Write a result with its environment, as `benchmarks/results/NAME-DEVICE.json`."""
    stamp = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "environment": environment(),
    }
    path = result_file(name)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({**stamp, **report}, indent=2) + "\n")
    return path
