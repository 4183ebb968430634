"""How good are the restored photographs? Every method on every task over a folder of clean pictures.

`python -m benchmarks.quality FOLDER [--tasks ...] [--methods ...]`. Resumable: finished cells are read back from the
result file. Prints a Markdown table.
"""

import argparse
import json
import pathlib

import jax
import numpy as np

import jaxrestore as jr
from benchmarks import _run
from jaxrestore import evaluation, images
from jaxrestore.tasks import METHODS

TASKS = ("super_resolution", "gaussian_deblur", "inpainting_random")


def main() -> None:
    """Measure what is missing, write after each cell, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="clean pictures of one size")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=list(jr.TASKS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--save", type=pathlib.Path, help="folder for the restored pictures")
    parser.add_argument("--again", action="store_true", help="measure finished cells again")
    arguments = parser.parse_args()

    paths = images.find(arguments.folder)
    truths = np.stack([images.load(path) for path in paths])
    file = _run.RESULTS / f"quality-{jax.devices()[0].platform}.json"
    cells = {} if arguments.again or not file.exists() else json.loads(file.read_text())["cells"]
    prior = jr.load_prior("photo")
    for name in arguments.tasks:
        task = jr.task(name, image_shape=truths.shape[1:], key=jax.random.key(1))
        for method in arguments.methods:
            settings = dict(task.settings["photo"][method])
            label = f"{name}/{method}"
            if cells.get(label, {}).get("settings") == settings:
                continue
            result = evaluation.evaluate(
                task.sampler(method),
                prior,
                task.degradation,
                truths,
                key=jax.random.key(0),
                batch_size=arguments.batch_size,
                progress=True,
            )
            simple = [evaluation.simple_answer(task.degradation, y) for y in result.measurements]
            simple = [evaluation.score(s, t) for s, t in zip(simple, truths, strict=True) if s is not None]
            cells[label] = {
                "settings": settings,
                "seconds_per_image": result.seconds / len(paths),
                "mean": evaluation.mean_scores(result.scores)._asdict(),
                "simple": evaluation.mean_scores(simple)._asdict() if simple else None,
                "pictures": {p.name: s._asdict() for p, s in zip(paths, result.scores, strict=True)},
            }
            if arguments.save:
                for path, restored, y in zip(paths, result.restored, result.measurements, strict=True):
                    folder = arguments.save / name / method
                    images.save(folder / path.name, restored, overwrite=True)
                    images.save(arguments.save / name / "measured" / path.name, y, overwrite=True)
            _run.write(
                "quality", {"prior": "photo", "shape": list(truths.shape), "dtype": prior.config.dtype, "cells": cells}
            )
    print("| task | method | PSNR (simple) | SSIM (simple) | LPIPS (simple) | s / image |\n|---|---|---|---|---|---|")
    for label, cell in cells.items():
        columns = [f"{cell['mean'][m]:.3f} ({cell['simple'][m]:.3f})" for m in ("psnr", "ssim", "lpips")]
        print(f"| {' | '.join([*label.split('/'), *columns])} | {cell['seconds_per_image']:.0f} |")
    print(file)


if __name__ == "__main__":
    main()
