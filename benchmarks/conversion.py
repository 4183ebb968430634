"""How long does converting a checkpoint of published size take, and how much memory?

    python -m benchmarks.conversion [ffhq256 imagenet256 ...]

Checkpoints are made of random weights. Memory is the largest resident set of the converting process, in which the pages
of the mapped checkpoint count, less that of a process that only imports PyTorch, JAX and Orbax.
"""

import contextlib
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _cells, _run, networks
from convert_weights import guided_diffusion
from jaxrestore import load_prior
from jaxrestore.priors.network import abstract_params


def run_and_watch(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak resident MB of a Python command.

    The peak is read from /proc while it runs: what `getrusage` says of a child includes the parent that started it.
    """
    start, peak = time.perf_counter(), 0.0
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    status = pathlib.Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
            peak = max(peak, int(line.split()[1]) / 1e3)
        time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return time.perf_counter() - start, peak


def forward(folder: pathlib.Path, side: int) -> dict[str, Any]:
    """Seconds of the first pass (with compilation) and of the second of the converted prior at its own size."""
    prior, x = load_prior(folder), jnp.ones((side, side, 3))
    denoise = jax.jit(lambda prior, x: prior.denoise(x, jnp.float32(1.0)))
    times = []
    for _ in range(2):
        start = time.perf_counter()
        if not jnp.isfinite(denoise(prior, x)).all():
            raise SystemExit(f"{folder} gives values that are not finite")
        times.append(time.perf_counter() - start)
    return {"forward_shape": list(x.shape), "first_forward_s": times[0], "forward_s": times[1]}


def measure(preset: str, folder: pathlib.Path) -> dict[str, Any]:
    """Write a checkpoint into `folder`, convert it there, and use the prior that comes out."""
    import torch

    config, checkpoint = networks.published_config(preset), folder / f"{preset}.pt"
    torch.save({name: torch.from_numpy(a) for name, a in networks.random_state(config).items()}, checkpoint)
    size = checkpoint.stat().st_size / 1e6
    _, imports = run_and_watch(["-c", "import torch, orbax.checkpoint, flax.nnx, convert_weights.cli"])
    command = ["-m", "convert_weights", "guided-diffusion", str(checkpoint), "--preset", preset]
    seconds, peak = run_and_watch([*command, "--out", str(folder / preset)])
    return {
        "parameters": sum(int(np.prod(a.shape)) for a in abstract_params(config).values()),
        "dtype": "float32",
        "file_mb": size,
        "seconds": seconds,
        "peak_mb": peak,
        "imports_mb": imports,
        "memory_over_file": (peak - imports) / size,
        **forward(folder / preset, guided_diffusion.PRESETS[preset].image_size),
    }


def main() -> None:
    """Measure the cells that are due, one for each checkpoint, and print them."""
    parser = _run.parser(__doc__)
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=f"of {', '.join(guided_diffusion.PRESETS)}")
    _cells.add_options(parser)
    arguments = parser.parse_args()
    if unknown := set(arguments.presets) - set(guided_diffusion.PRESETS):
        parser.error(f"no preset {', '.join(sorted(unknown))}; expected some of {', '.join(guided_diffusion.PRESETS)}")
    cells = _cells.Cells("conversion", arguments)
    for preset in arguments.presets or ["ffhq256"]:
        if cells.due(preset, {}):
            with tempfile.TemporaryDirectory() as folder:
                cell = measure(preset, pathlib.Path(folder))
            cells.write({preset: cell})
            print(preset, cell, flush=True)
    print(cells.path)


if __name__ == "__main__":
    main()
