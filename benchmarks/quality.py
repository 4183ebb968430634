"""How good are the restored photographs? Every method on every task over a folder of clean pictures.

`python -m benchmarks.quality FOLDER [--tasks ...] [--methods ...]`. Resumable: finished cells are read back from the
result file, unless settings, prior or pictures have changed since. Prints a Markdown table and writes it beside the
result.
"""

import argparse
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax

import jaxrestore as jr
from benchmarks import _run
from jaxrestore import evaluation, images
from jaxrestore.cli._shared import is_picture
from jaxrestore.priors.checkpoint import BUNDLED
from jaxrestore.tasks import METHODS

TASKS = tuple(name for name, definition in jr.TASKS.items() if "weights" not in definition.options)


def main() -> None:
    """Measure what is missing, write after each cell, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="clean pictures of one size")
    parser.add_argument("--size", type=int, help="use the pictures' centres of so many pixels")
    parser.add_argument("--pictures", type=int, help="take only the first so many")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop before a new cell after this time")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=list(jr.TASKS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--save", type=pathlib.Path, help="folder for the restored pictures")
    parser.add_argument("--again", action="store_true", help="measure finished cells again")
    arguments = parser.parse_args()

    paths, truths = _run.load_centres(arguments.folder, arguments.size, arguments.pictures)
    benchmark = f"quality-{arguments.size}" if arguments.size else "quality"
    file = _run.result_file(benchmark)
    started = time.monotonic()
    cells = {} if arguments.again else _run.read_cells(benchmark)
    prior = jr.load_prior("photo")
    checksum = json.loads((BUNDLED / "photo" / "prior.json").read_text())["sha256"]
    for name in arguments.tasks:
        task = jr.task(name, image_shape=truths.shape[1:], key=jax.random.key(1))
        for method in arguments.methods:
            if method not in task.settings["photo"]:
                continue
            settings = dict(task.settings["photo"][method])
            label = f"{name}/{method}"
            made_of = {"settings": settings, "prior": checksum, "shape": list(truths.shape)}
            if made_of.items() <= cells.get(label, {}).items() or time.monotonic() - started > 60 * arguments.minutes:
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
                **made_of,
                "network_evaluations": _run.network_evaluations(method, settings),
                "seconds_per_image": result.seconds / len(paths),
                "mean": evaluation.mean_scores(result.scores)._asdict(),
                "simple": evaluation.mean_scores(simple)._asdict() if simple else None,
                "pictures": {p.name: s._asdict() for p, s in zip(paths, result.scores, strict=True)},
            }
            if arguments.save:
                for path, restored, y in zip(paths, result.restored, result.measurements, strict=True):
                    images.save(arguments.save / name / method / path.name, restored, overwrite=True)
                    if is_picture(name):
                        images.save(arguments.save / name / "measured" / path.name, y, overwrite=True)
            _run.write(benchmark, {"dtype": prior.config.dtype, "cells": cells})
    written = table(cells)
    file.with_suffix(".md").write_text(written + "\n")
    print(f"{written}\n{file}")


def table(cells: Mapping[str, Any]) -> str:
    """Mean scores by task and method, those of the simple answer in brackets."""
    head = ("task", "method", "PSNR (simple)", "SSIM (simple)", "LPIPS (simple)", "evaluations", "s / picture")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for label, cell in sorted(cells.items(), key=lambda c: list(jr.TASKS).index(c[0].split("/")[0])):
        columns = []
        for metric in ("psnr", "ssim", "lpips"):
            simple = f" ({cell['simple'][metric]:.3f})" if cell["simple"] else ""
            columns.append(f"{cell['mean'][metric]:.3f}{simple}")
        evaluations, seconds = str(cell.get("network_evaluations", "")), f"{cell['seconds_per_image']:.0f}"
        lines.append(f"| {' | '.join([*label.split('/'), *columns, evaluations, seconds])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
