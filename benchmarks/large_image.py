"""Large images by tiles: do the seams show, and how much memory does it take?

`python -m benchmarks.large_image FOLDER [--size 1024] [--method ddnm] [--save DIR]`. The pictures' centres are degraded
and restored with the bundled prior, once whole and once by tiles. At the tiles' borders two things are compared with
the rest of the picture: the error, and the jump of the error from one pixel to the next across the border. Memory is
what XLA reserves for a likelihood gradient, known before running.
"""

import argparse
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _run
from jaxrestore import evaluation, images
from jaxrestore.priors import Prior, TiledPrior
from jaxrestore.priors.tiled import tile_starts

_NEAR = 4  # pixels on either side of a border that count as near it


def borders(size: int, tile: int, overlap: int) -> np.ndarray:
    """First pixels after each border that lies inside the image."""
    starts = tile_starts(size, tile, overlap)
    return np.unique(np.concatenate([starts[1:], starts[:-1] + tile]))


def seams(error: np.ndarray, places: np.ndarray) -> dict[str, float]:
    """Ratios, borders over elsewhere, of root mean squared error and of its jumps; `error` (H, W, C), H = W."""
    near = np.zeros(len(error), bool)
    for place in places:
        near[max(place - _NEAR, 0) : place + _NEAR] = True
    there = near[:, None] | near[None, :]
    squares = np.square(error).mean(-1)
    jumps = [np.square(np.diff(error, axis=axis)).mean((1 - axis, 2)) for axis in (0, 1)]  # by line
    at = np.isin(np.arange(1, len(error)), places)
    return {
        "error": float(np.sqrt(squares[there].mean() / squares[~there].mean())),
        "jump": float(np.sqrt(np.mean([j[at].mean() for j in jumps]) / np.mean([j[~at].mean() for j in jumps]))),
    }


def gradient_mb(prior: Prior, degradation: jr.Degradation) -> float:
    """Temporary memory of a likelihood gradient, in MB."""

    def loss(x, prior):
        return jnp.sum(jnp.square(degradation.operator(prior.denoise(x, jnp.float32(0.5)))))

    shape = jax.ShapeDtypeStruct(degradation.image_shape, jnp.float32)
    memory: Any = jax.jit(jax.grad(loss)).lower(shape, prior).compile().memory_analysis()
    return memory.temp_size_in_bytes / 1e6


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="pictures of at least --size pixels each way")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--overlap", type=int, default=64)
    parser.add_argument("--task", default="super_resolution")
    parser.add_argument("--method", default="ddnm")
    parser.add_argument("--pictures", type=int, help="take only the first so many")
    parser.add_argument("--save", type=pathlib.Path, help="folder for the restored pictures")
    arguments = parser.parse_args()
    size = arguments.size
    paths, stack = _run.load_centres(arguments.folder, size, arguments.pictures)

    whole = jr.load_prior("photo")
    tiled = TiledPrior(whole, tile=arguments.tile, overlap=arguments.overlap)
    task = jr.task(arguments.task, image_shape=stack.shape[1:])
    places = borders(size, arguments.tile, arguments.overlap)
    cells: dict[str, Any] = {}
    for name, prior in (("whole", whole), ("tiled", tiled)):
        started = time.perf_counter()
        result = evaluation.evaluate(
            task.sampler(arguments.method),
            prior,
            task.degradation,
            stack,
            key=jax.random.key(0),
            batch_size=1,
            progress=True,
        )
        ratios = [seams(restored - truth, places) for restored, truth in zip(result.restored, stack, strict=True)]
        cells[name] = {
            "mean": evaluation.mean_scores(result.scores)._asdict(),
            "borders_over_elsewhere": {k: float(np.mean([r[k] for r in ratios])) for k in ("error", "jump")},
            "seconds_per_image": (time.perf_counter() - started) / len(stack),
            "gradient_mb": gradient_mb(prior, task.degradation),
        }
        print(name, cells[name], flush=True)
        if arguments.save:
            for path, restored in zip(paths, result.restored, strict=True):
                images.save(arguments.save / f"{path.stem}-{name}.png", restored, overwrite=True)
    report = {
        "shape": list(stack.shape),
        "dtype": whole.config.dtype,
        "task": arguments.task,
        "method": arguments.method,
        "tile": arguments.tile,
        "overlap": arguments.overlap,
        "cells": cells,
    }
    print(_run.write("large_image", report))


if __name__ == "__main__":
    main()
