"""`jaxrestore evaluate`."""

import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import click
import jax
import numpy as np

from jaxrestore import evaluation, images, parallel
from jaxrestore.cli import _comparison, _failures, _files, _prior
from jaxrestore.cli._method_choice import MethodChoice, method_options
from jaxrestore.cli._metric_choice import MetricChoice, metric_options
from jaxrestore.cli._options import PATH, force_option
from jaxrestore.cli._reports import json_scores, print_table, score_titles
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options
from jaxrestore.evaluation import Scores
from jaxrestore.storage.files import write_whole


class Row(NamedTuple):
    """What is told of one picture."""

    path: pathlib.Path
    shape: tuple[int, ...]
    restored: Scores  # NaN where the run diverged
    simple: Scores | None  # of the task's simple answer; None where it has none
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether it has no result."""
        return math.isnan(self.restored.psnr)


@click.command("evaluate")
@click.argument("folder", type=PATH)
@click.option("-o", "--out", type=PATH, help="JSON file for all scores, settings and costs.")
@click.option("--save", type=PATH, help="Folder for the restored pictures.")
@click.option("--report", type=PATH, help="HTML file that shows all pictures, before and after, with their scores.")
@task_options
@method_options
@metric_options
@force_option
def command(
    folder: pathlib.Path,
    out: pathlib.Path | None,
    save: pathlib.Path | None,
    report: pathlib.Path | None,
    task_choice: TaskChoice,
    method_choice: MethodChoice,
    metric_choice: MetricChoice,
    force: bool,
) -> None:
    """Degrade and restore the clean pictures of FOLDER; print PSNR, SSIM and LPIPS beside those of a simple answer.

    Pictures that diverge are shown as failed and named at the end; the means are those of the others.
    """
    paths = images.find(folder)
    targets = [] if save is None else _files.outputs(paths, folder, save, ".png")
    _files.refuse_existing([*targets, *([out] if out else [])], force)
    if report is not None:
        _comparison.check_target(report, force)
    options = task_choice.read_options()
    lpips = metric_choice.load()
    prior, channels = method_choice.load_prior()
    multiple = task_choice.definition.multiple(options)
    truths = [_prior.known_clean(_files.read_clean(path, multiple), channels, path) for path in paths]

    rows_by_index: dict[int, Row] = {}
    scenes: dict[int, _comparison.Scene] = {}  # of the page, if there is one
    shapes: list[dict[str, Any]] = []
    failed: list[_failures.FailedSample] = []
    for shape, members in _files.indices_by_shape(truths).items():
        task = task_choice.build(shape, options)
        settings = method_choice.settings_for(task)
        result = evaluation.evaluate(
            method_choice.method.build(**settings),
            prior,
            task.degradation,
            np.stack([truths[i] for i in members]),
            # The library counts from 0 in every stack: pictures of another shape need keys of their own.
            key=jax.random.fold_in(key_for("evaluation", task_choice.seed), members[0]),
            lpips=lpips,
            batch_size=method_choice.batch_size,
            num_samples=method_choice.samples,
            mesh=parallel.local_mesh(),
            progress=not method_choice.quiet,
        )
        for j, i in enumerate(members):
            answer = task.simple_answer(result.measurements[j])
            simple = None if answer is None else evaluation.score(answer, truths[i], lpips=lpips)
            rows_by_index[i] = Row(paths[i], shape, result.scores[j], simple, result.seconds / len(members))
            if targets and not rows_by_index[i].failed:
                images.save(targets[i], result.restored[j], overwrite=force)
            if report is not None:
                made = _comparison.restoration(
                    method_choice.method_name,
                    result.restored[j],
                    result.scores[j],
                    {"seconds": f"{rows_by_index[i].seconds:.1f}"},
                    method_choice.settings_for_report(settings)["settings"],
                    lpips,
                )
                scenes[i] = _comparison.scene(paths[i].name, task, truths[i], result.measurements[j], [made], lpips)
        failed += _failures.failed_samples(result.divergences, [paths[i] for i in members])
        shapes.append({"shape": shape, **method_choice.settings_for_report(settings)})

    rows = [rows_by_index[i] for i in range(len(paths))]
    means = _means(rows)
    _print(f"{task_choice.task_name}, {method_choice.method_name}", rows, means, lpips)
    choices = {**task_choice.for_report(options), **method_choice.for_report(), "lpips_variant": lpips.variant}
    if report is not None:
        title = f"{folder.name}: {task_choice.task_name}, {method_choice.method_name}"
        _comparison.write_page(report, title, choices, [scenes[i] for i in range(len(paths))])
        click.echo(str(report))
    if out is not None:
        _write(out, {**choices, "environment": evaluation.environment(), "shapes": shapes}, rows, means)
        click.echo(str(out))
    restored = {row.path for row in rows if not row.failed}
    _failures.raise_failed(failed, restored, len(paths), method_choice.advice)


def _means(rows: Sequence[Row]) -> dict[str, Scores]:
    """Means over the pictures that were restored, of the results and of the simple answers to the same pictures."""
    counted = [row for row in rows if not row.failed] or rows
    means = {"restored": evaluation.mean_scores([row.restored for row in counted])}
    simple = [row.simple for row in counted if row.simple is not None]
    return {**means, "simple": evaluation.mean_scores(simple)} if simple else means


def _print(title: str, rows: Sequence[Row], means: dict[str, Scores], lpips: evaluation.Perceptual) -> None:
    titles = score_titles(lpips)
    columns = [f"{metric} {kind}" for metric in titles.values() for kind in means]

    def cells(scores: dict[str, Scores]) -> list[float]:
        return [getattr(scores[kind], field) for field in titles for kind in means]

    table = [(row.path.name, *cells(row._asdict()), f"{row.seconds:.1f}") for row in rows]
    table.append(("mean", *cells(means), f"{np.mean([row.seconds for row in rows]):.1f}"))
    print_table(title, ["picture", *columns, "seconds"], table)


def _write(out: pathlib.Path, choices: dict[str, Any], rows: Sequence[Row], means: dict[str, Scores]) -> None:
    """Scores as JSON, after what led to them."""
    pictures = [
        {
            "picture": row.path.name,
            "shape": row.shape,
            "restored": json_scores(row.restored),
            "simple": None if row.simple is None else json_scores(row.simple),
            "seconds": row.seconds,
        }
        for row in rows
    ]
    report = {**choices, "pictures": pictures, "mean": {kind: json_scores(scores) for kind, scores in means.items()}}
    write_whole(out, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
