"""Time and memory of converting a checkpoint of published size, made of random weights.

    python -m benchmarks.conversion ffhq256 imagenet256

Peak memory is the largest resident set of the converting process, with the pages of the mapped checkpoint, PyTorch and
JAX in it; the same for a process that only starts the command is given beside it.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks._run import write
from convert_weights import guided_diffusion
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import abstract_params


def published_config(preset: str) -> UNetConfig:
    """The network of a preset, without class labels."""
    chosen = guided_diffusion.PRESETS[preset]
    return UNetConfig(**chosen.determined, **chosen.heads, middle_attention=True)


def write_random_checkpoint(path: pathlib.Path, config: UNetConfig) -> None:
    """A state dict of the network's shapes under OpenAI's names."""
    import torch

    rng, state = np.random.default_rng(0), {}
    for name, shape in abstract_params(config).items():
        (key,) = guided_diffusion.origin(config)[name].keys
        value = rng.standard_normal(shape.shape, np.float32) * np.float32(0.02)
        if value.ndim == 4 and (".qkv." in name or ".projection." in name):
            value = value[0].transpose(2, 1, 0)  # 1-D convolutions (out, in, 1)
        elif value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        state[key] = torch.from_numpy(np.ascontiguousarray(value.T if value.ndim == 2 else value))
    torch.save(state, path)


def run(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak resident MB of a command."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1e3


def measure(preset: str, folder: pathlib.Path) -> dict[str, float | str]:
    config, checkpoint = published_config(preset), folder / f"{preset}.pt"
    write_random_checkpoint(checkpoint, config)
    size = checkpoint.stat().st_size / 1e6
    command = ["-m", "convert_weights", "guided-diffusion"]
    _, idle = run(["-c", "import torch, orbax.checkpoint, convert_weights.cli"])
    seconds, peak = run([*command, str(checkpoint), "--preset", preset, "--out", str(folder / preset)])
    checkpoint.unlink()
    return {
        "case": preset,
        "parameters": sum(int(np.prod(a.shape)) for a in abstract_params(config).values()),
        "file_mb": size,
        "seconds": seconds,
        "peak_mb": peak,
        "peak_of_imports_mb": idle,
        "peak_over_file": peak / size,
        "own_over_file": (peak - idle) / size,
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
