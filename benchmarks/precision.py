"""Does bfloat16 change the pictures? Restorations with the bundled prior in float32 and in bfloat16.

`python -m benchmarks.precision FOLDER [--size 128] [--methods spgd dpps]`. The same measurements and keys; reported are
the PSNR between the two results, and the score of each against the truth. Samples part from each other where a rounding
has changed a choice, so equal scores count as much as equal pixels.
"""

import argparse
import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

import jaxrestore as jr
from benchmarks import _run
from jaxrestore import evaluation
from jaxrestore.tasks import METHODS

TASKS = ("super_resolution", "gaussian_deblur", "inpainting_random")


def main() -> None:
    """Measure, write after each cell, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="clean pictures of one size")
    parser.add_argument("--size", type=int, default=128, help="use the pictures' centres of so many pixels")
    parser.add_argument("--pictures", type=int, help="take only the first so many")
    parser.add_argument("--methods", nargs="+", default=["spgd", "dpps"], choices=list(METHODS))
    parser.add_argument("--batch-size", type=int, default=4)
    arguments = parser.parse_args()
    _, stack = _run.load_centres(arguments.folder, arguments.size, arguments.pictures)
    exact = jr.load_prior("photo")
    half = dataclasses.replace(exact, config=dataclasses.replace(exact.config, dtype="bfloat16"))
    cells: dict[str, Any] = {}
    for name in TASKS:
        task = jr.task(name, image_shape=stack.shape[1:], key=jax.random.key(1))
        for method in arguments.methods:
            results = {
                dtype: evaluation.evaluate(
                    task.sampler(method),
                    prior,
                    task.degradation,
                    stack,
                    key=jax.random.key(0),
                    batch_size=arguments.batch_size,
                )
                for dtype, prior in (("float32", exact), ("bfloat16", half))
            }
            pairs = zip(results["float32"].restored, results["bfloat16"].restored, strict=True)
            scores = {dtype: evaluation.mean_scores(r.scores)._asdict() for dtype, r in results.items()}
            cells[f"{name}/{method}"] = {
                "psnr_between": float(np.mean([jr.metrics.psnr(a, b) for a, b in pairs])),
                "scores": scores,
                "psnr_difference": scores["bfloat16"]["psnr"] - scores["float32"]["psnr"],
                "seconds": {dtype: r.seconds for dtype, r in results.items()},
            }
            print(f"{name}/{method}", cells[f"{name}/{method}"], flush=True)
            _run.write("precision", {"shape": list(stack.shape), "cells": cells})


if __name__ == "__main__":
    main()
