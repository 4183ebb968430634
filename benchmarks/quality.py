"""How good are restored photographs? Every method on every task over a folder of clean pictures.

    python -m benchmarks.quality FOLDER [--size 128] [--tasks super_resolution denoising] [--methods spgd dpps]

Cells are finished as long as settings, prior and pictures stay the same. Tasks that need weights which this library
does not bring are passed over, methods that cannot treat a task's operator too. The table is printed at the end, as
`python -m benchmarks.render` does.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, Unpack

import jax
import numpy as np

import jaxrestore as jr
from benchmarks import _cells, _metrics, _photographs, _run, networks, render
from jaxrestore import evaluation, images, methods
from jaxrestore.evaluation import Evaluation
from jaxrestore.methods import METHODS
from jaxrestore.priors import NetworkPrior
from jaxrestore.restore import StreamOptions


def suits(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a task can do pictures of a shape (N, H, W, C); says so if not."""
    definition = jr.TASKS[name]
    multiple = definition.multiple(definition.complete({}))
    if shape[1] % multiple or shape[2] % multiple:
        print(f"{name} is passed over: the pictures' sides must be multiples of {multiple}; give --size")
        return False
    return True


def facts_of(task: jr.Task, method: str, **changed: Any) -> dict[str, Any]:
    """What a cell is made of beside its pictures; some settings may be changed from the task's."""
    settings = methods.get(method).complete({**task.for_method(method), **changed})
    return {"settings": settings, **networks.photo_facts()}


def scores_of(
    task: jr.Task,
    method: str,
    photographs: _photographs.Photographs,
    result: Evaluation,
    lpips: evaluation.Perceptual,
    **changed: Any,
) -> dict[str, Any]:
    """What came out, beside what the simple answer scores and what the method costs."""
    answers = [task.simple_answer(y) for y in result.measurements]
    pairs = [(a, t) for a, t in zip(answers, photographs.stack, strict=True) if a is not None]
    simple = [evaluation.score(*pair, lpips=lpips) for pair in pairs]
    diverged = {divergence.image for divergence in result.divergences}
    names = [path.name for path in photographs.paths]
    pictures = {name: scores._asdict() for name, scores in zip(names, result.scores, strict=True)}
    return {
        "evaluations": methods.get(method).evaluations({**task.for_method(method), **changed})._asdict(),
        "seconds_per_image": result.seconds / len(names),
        "mean": evaluation.mean_scores(result.scores)._asdict(),
        "simple": evaluation.mean_scores(simple)._asdict() if simple else None,
        "pictures": {name: pictures[name] for i, name in enumerate(names) if i not in diverged},
        "diverged": [names[i] for i in sorted(diverged)],
    }


def measure(
    cells: _cells.Cells,
    label: str,
    task: jr.Task,
    method: str,
    prior: NetworkPrior,
    photographs: _photographs.Photographs,
    lpips: evaluation.Perceptual,
    changed: Mapping[str, Any] | None = None,
    **options: Unpack[StreamOptions],
) -> Evaluation | None:
    """Restore all pictures and write the cell, if it is due; some settings may be changed from the task's.

    Returns:
      What came out, or None if the cell is finished.
    """
    changed = changed or {}
    facts = {
        **facts_of(task, method, **changed),
        **photographs.facts,
        **_metrics.facts(lpips),
        "dtype": prior.config.dtype,
    }
    if not cells.due(label, facts):
        return None
    result = evaluation.evaluate(
        task.sampler(method, **changed),
        prior,
        task.degradation,
        photographs.stack,
        key=jax.random.key(0),
        lpips=lpips,
        **options,
    )
    cells.write({label: {**facts, **scores_of(task, method, photographs, result, lpips, **changed)}})
    return result


def save(folder: pathlib.Path, name: str, method: str, paths: list[pathlib.Path], result: Evaluation) -> None:
    """The restored pictures, and what was measured where that is a picture too."""
    for path, restored, y in zip(paths, result.restored, result.measurements, strict=True):
        if np.isfinite(restored).all():
            images.save(folder / name / method / path.name, restored, overwrite=True)
        if jr.TASKS[name].stored != "array":
            images.save(folder / name / "measured" / path.name, y, overwrite=True)


def main() -> None:
    """Measure the cells that are due, then print the table."""
    parser = _run.parser(__doc__)
    _photographs.add_options(parser, size=None)
    parser.add_argument("--tasks", nargs="+", default=_photographs.TASKS, choices=_photographs.TASKS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--save", type=pathlib.Path, help="folder for the restored pictures")
    _metrics.add_options(parser)
    _cells.add_options(parser)
    arguments = parser.parse_args()

    lpips = _metrics.load(arguments)
    photographs = _photographs.load(arguments)
    name = f"quality-{arguments.size}" if arguments.size else "quality"
    cells = _cells.Cells(_metrics.file_name(name, lpips), arguments)
    prior = jr.load_prior("photo")
    for name in arguments.tasks:
        if not suits(name, photographs.stack.shape):
            continue
        task = jr.task(name, image_shape=photographs.stack.shape[1:], key=jax.random.key(1))
        able = methods.able(task.degradation.operator)
        for method in [method for method in arguments.methods if method in able]:
            result = measure(
                cells,
                f"{name}/{method}",
                task,
                method,
                prior,
                photographs,
                lpips,
                batch_size=arguments.batch_size,
                progress=True,
            )
            if result is not None and arguments.save:
                save(arguments.save, name, method, photographs.paths, result)
    if cells.path.exists():
        render.render(cells.path)


if __name__ == "__main__":
    main()
