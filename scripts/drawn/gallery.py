"""A sheet for each task: photographs as measured, restored by the task's own method, and as they were."""

import pathlib
from typing import Any

import jax
import numpy as np

import jaxrestore as jr
from benchmarks import _metrics, quality
from benchmarks._photographs import Photographs
from jaxrestore import evaluation
from jaxrestore.priors import NetworkPrior
from scripts.drawn import records, sheets

SIDE = 96  # pixels of a picture on a sheet: those of twelve photographs, three times, make about 110 kB
COLUMNS = 6
# Tasks whose damage is an area or a colour: their pictures are shown whole, the others' centres pixel by pixel.
WHOLE = ("inpainting_box", "high_dynamic_range", "dehazing")
_BEYOND = "beyond the bundled prior, see [limits](../decisions/limits.md)"
# Task -> why it is not shown, for the page.
LEFT_OUT = {
    "nonlinear_deblur": "its blur is a network whose weights are not part of this library",
    "phase_retrieval": _BEYOND,
    "colorization": _BEYOND,
}
TASKS = tuple(name for name in jr.TASKS if name not in LEFT_OUT)


def facts_of(task: jr.Task, photographs: Photographs, prior: NetworkPrior) -> dict[str, Any]:
    """What a sheet is made of."""
    return {
        "task": task.name,
        "method": task.definition.method,
        "noise_std": task.definition.noise_std,
        **quality.facts_of(task, task.definition.method),
        **photographs.facts,
        **_metrics.facts(evaluation.perceptual()),
        "dtype": prior.config.dtype,
        "shown": {"whole": task.name in WHOLE, "side": min(SIDE, *photographs.stack.shape[1:3]), "columns": COLUMNS},
    }


def make(
    name: str, photographs: Photographs, prior: NetworkPrior, folder: pathlib.Path, *, again: bool = False
) -> bool:
    """Restore all photographs in one task, and write its sheet and its record.

    Args:
      name: Of the task.
      photographs: At least one.
      prior: The bundled one.
      folder: Where `NAME.jpg` and `NAME.json` go.
      again: Whether what is finished is made again.

    Returns:
      Whether there was something to do.
    """
    task = jr.task(name, image_shape=photographs.stack.shape[1:], key=jax.random.key(1))  # the one of the benchmarks
    facts = facts_of(task, photographs, prior)
    picture, record = folder / f"{name}.jpg", folder / f"{name}.json"
    if not again and not records.due(record, picture, facts):
        return False
    lpips = evaluation.perceptual()
    method = task.definition.method
    result = evaluation.evaluate(
        task.sampler(method), prior, task.degradation, photographs.stack, key=jax.random.key(0), progress=True
    )
    records.write_picture(picture, _sheet(task, photographs.stack, result, facts["shown"]))
    scores = quality.scores_of(task, method, photographs, result, lpips)
    records.write_record(record, {**facts, **scores})
    return True


def _sheet(task: jr.Task, truths: np.ndarray, result: evaluation.Evaluation, shown: dict[str, Any]) -> np.ndarray:
    reduce = sheets.reduced if shown["whole"] else sheets.centre
    above = []
    for y in result.measurements:
        picture = sheets.measured(task, y)
        # What is no picture is shown as what one would try first with it.
        above.append(task.simple_answer(y) if picture is None else picture)
    rows = [above, [*result.restored], [*truths]]
    return sheets.blocks([[reduce(picture, shown["side"]) for picture in row] for row in rows], shown["columns"])
