"""Result files: where they lie, and what they say of the machine and the code that made them."""

import datetime
import json
import pathlib
import subprocess
from collections.abc import Mapping
from typing import Any

import jax

from jaxrestore.evaluation import environment
from jaxrestore.storage.files import replacing

RESULTS = pathlib.Path(__file__).parent / "results"


def _revision() -> str | None:
    """Revision that is checked out; None outside a git checkout."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=RESULTS.parent)
    return git.stdout.strip() or None


REVISION = _revision()  # of the code that was loaded: by the end of a long run another may be checked out


def path(benchmark: str) -> pathlib.Path:
    """`benchmarks/results/BENCHMARK-DEVICE.json`."""
    return RESULTS / f"{benchmark}-{jax.devices()[0].platform}.json"


def stamp() -> dict[str, Any]:
    """When, by which code and on what machine something was measured."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"date": now, "revision": REVISION, "environment": environment()}


def read(benchmark: str) -> dict[str, Any]:
    """What an earlier run has written; empty if there was none."""
    file = path(benchmark)
    return json.loads(file.read_text()) if file.exists() else {}


def write(benchmark: str, report: Mapping[str, Any]) -> pathlib.Path:
    """Write a stamped report in place of the earlier one, which stays until the new one is complete."""
    file = path(benchmark)
    with replacing(file) as temporary:
        temporary.write_text(json.dumps({"benchmark": benchmark, **stamp(), **report}, indent=2) + "\n")
    return file
