"""Does bfloat16 change the pictures? Restorations with the bundled prior in float32 and in bfloat16.

    python -m benchmarks.precision FOLDER [--size 128] [--methods spgd dpps]

The same measurements and keys; reported are the PSNR between the two results, and the score of each against the truth.
Samples part from each other where a rounding has changed a choice, so equal scores count as much as equal pixels.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import jaxrestore as jr
from benchmarks import _cells, _metrics, _photographs, _run, networks
from jaxrestore import evaluation, methods
from jaxrestore.methods import METHODS
from jaxrestore.priors import Prior

TASKS = ("super_resolution", "gaussian_deblur", "inpainting_random")


def measure(
    task: jr.Task,
    method: str,
    priors: Mapping[str, Prior],
    truths: np.ndarray,
    *,
    lpips: evaluation.Perceptual,
    batch_size: int,
) -> dict[str, Any]:
    """Restore pictures with the priors "float32" and "bfloat16", and compare."""
    results = {
        dtype: evaluation.evaluate(
            task.sampler(method),
            prior,
            task.degradation,
            truths,
            key=jax.random.key(0),
            lpips=lpips,
            batch_size=batch_size,
        )
        for dtype, prior in priors.items()
    }
    pairs = zip(results["float32"].restored, results["bfloat16"].restored, strict=True)
    scores = {dtype: evaluation.mean_scores(r.scores)._asdict() for dtype, r in results.items()}
    return {
        "psnr_between": float(np.mean([jr.metrics.psnr(a, b) for a, b in pairs])),
        "scores": scores,
        "psnr_difference": scores["bfloat16"]["psnr"] - scores["float32"]["psnr"],
        "seconds": {dtype: r.seconds for dtype, r in results.items()},
    }


def main() -> None:
    """Measure the cells that are due, and print each."""
    parser = _run.parser(__doc__)
    _photographs.add_options(parser, size=128)
    parser.add_argument("--methods", nargs="+", default=["spgd", "dpps"], choices=list(METHODS))
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--batch-size", type=int, default=4)
    _metrics.add_options(parser)
    _cells.add_options(parser)
    arguments = parser.parse_args()
    lpips = _metrics.load(arguments)
    photographs = _photographs.load(arguments)
    cells = _cells.Cells(_metrics.file_name("precision", lpips), arguments)
    exact = jr.load_prior("photo")
    half = dataclasses.replace(exact, config=dataclasses.replace(exact.config, dtype="bfloat16"))
    for name in arguments.tasks:
        task = jr.task(name, image_shape=photographs.stack.shape[1:], key=jax.random.key(1))
        for method in arguments.methods:
            settings = methods.get(method).complete(task.for_method(method))
            label = f"{name}/{method}"
            facts = {"settings": settings, **networks.photo_facts(), **photographs.facts, **_metrics.facts(lpips)}
            if cells.due(label, facts):
                priors = {"float32": exact, "bfloat16": half}
                cell = measure(task, method, priors, photographs.stack, lpips=lpips, batch_size=arguments.batch_size)
                cells.write({label: {**facts, **cell}})
                print(label, {**_metrics.facts(lpips), **cell}, flush=True)
    print(cells.path)


if __name__ == "__main__":
    main()
