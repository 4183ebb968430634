"""Time and memory of converting a checkpoint of published size, made of random weights.

    python -m benchmarks.conversion ffhq256 imagenet256

Memory is the largest resident set of the converting process, in which the pages of the mapped checkpoint count, less
that of a process that only imports PyTorch, JAX and Orbax.
"""

import argparse
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

from benchmarks._run import write
from benchmarks.networks import published_config, random_state
from convert_weights import guided_diffusion
from jaxrestore import load_prior
from jaxrestore.priors.network import abstract_params


def run(arguments: list[str]) -> tuple[float, float]:
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
    import torch

    config, checkpoint = published_config(preset), folder / f"{preset}.pt"
    torch.save({name: torch.from_numpy(a) for name, a in random_state(config).items()}, checkpoint)
    size = checkpoint.stat().st_size / 1e6
    _, imports = run(["-c", "import torch, orbax.checkpoint, flax.nnx, convert_weights.cli"])
    command = ["-m", "convert_weights", "guided-diffusion", str(checkpoint), "--preset", preset]
    seconds, peak = run([*command, "--out", str(folder / preset)])
    return {
        "case": preset,
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=["ffhq256"], choices=guided_diffusion.PRESETS)
    arguments = parser.parse_args()
    results = []
    for preset in arguments.presets:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(preset, pathlib.Path(folder)))
        print(results[-1])
    print(write("conversion", {"cases": results}))


if __name__ == "__main__":
    main()
