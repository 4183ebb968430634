"""`jaxrestore evaluate`."""

import contextlib
import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click
import jax
import numpy as np

from jaxrestore import evaluation, images, parallel
from jaxrestore.cli import _comparison, _files, _prior, _targets
from jaxrestore.cli._failures import Failures
from jaxrestore.cli._method_choice import MethodChoice, method_options
from jaxrestore.cli._metric_choice import MetricChoice, metric_options
from jaxrestore.cli._options import PATH, force_option, strict_option
from jaxrestore.cli._reports import json_scores, print_table, score_titles
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options
from jaxrestore.evaluation import Scores
from jaxrestore.storage.files import NoRoomError, write_whole


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
@strict_option
def command(
    folder: pathlib.Path,
    out: pathlib.Path | None,
    save: pathlib.Path | None,
    report: pathlib.Path | None,
    task_choice: TaskChoice,
    method_choice: MethodChoice,
    metric_choice: MetricChoice,
    force: bool,
    strict: bool,
) -> None:
    """Degrade and restore the clean pictures of FOLDER; print PSNR, SSIM and LPIPS beside those of a simple answer.

    Pictures that diverge are shown as failed; they, and those that cannot be read or saved, are named at the end, and
    the exit code is 1. The means are those of the others.
    """
    paths = images.find(folder)
    targets = [] if save is None else _targets.outputs(paths, folder, save, ".png")
    _targets.check([*targets, *([out] if out else [])], force)
    if report is not None:
        _comparison.check_target(report, force)
    options = task_choice.read_options()
    lpips = metric_choice.load()
    prior, channels = method_choice.load_prior()
    failures = Failures(len(paths), strict=strict, advice=method_choice.advice)
    pictures: dict[int, images.Picture] = {}
    for i, path in enumerate(paths):
        with failures.of(path):
            picture = _files.read_clean(path, task_choice.definition.multiple(options))
            truth = _prior.known_clean(picture.on_white(), channels, path)
            pictures[i] = dataclasses.replace(picture, pixels=truth, alpha=None)  # what is seen, on white
    plans = []
    for shape, members in _groups(pictures).items():
        with failures.of(*(paths[i] for i in members)):
            evaluation.check_scorable(shape)
            task = task_choice.build(shape, options)
            settings = method_choice.settings_for(task)
            plans.append((members, task, settings, method_choice.method.build(**settings)))
    failures.check_some_left(len(plans))
    if save is not None:
        _targets.check_room(save, ((targets[i], p.pixels.shape, p.depth) for i, p in pictures.items()))

    rows_by_index: dict[int, Row] = {}
    scenes: dict[int, _comparison.Scene] = {}  # of the page, if there is one
    shapes: list[dict[str, Any]] = []
    for members, task, settings, sampler in plans:
        truths = [pictures[i].pixels for i in members]
        result = evaluation.evaluate(
            sampler,
            prior,
            task.degradation,
            np.stack(truths),
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
            simple = None if answer is None else evaluation.score(answer, truths[j], lpips=lpips)
            seconds = result.seconds / len(members)
            rows_by_index[i] = Row(paths[i], truths[j].shape, result.scores[j], simple, seconds)
            if targets and not rows_by_index[i].failed:
                # Scores are what was computed for: a disk that is full does not keep the others from being made.
                with contextlib.suppress(NoRoomError), failures.of(paths[i]):
                    _ = images.write(targets[i], result.restored[j], like=pictures[i], overwrite=force)
            if report is not None:
                made = _comparison.restoration(
                    method_choice.method_name,
                    result.restored[j],
                    result.scores[j],
                    {"seconds": f"{rows_by_index[i].seconds:.1f}"},
                    method_choice.settings_for_report(settings)["settings"],
                    lpips,
                )
                scenes[i] = _comparison.scene(paths[i].name, task, truths[j], result.measurements[j], [made], lpips)
        restored = [paths[i] for i in members if not rows_by_index[i].failed]
        shapes.append({"shape": truths[0].shape, **method_choice.settings_for_report(settings)})
        failures.note_divergences(result.divergences, [paths[i] for i in members], restored)

    rows = [row for _, row in sorted(rows_by_index.items())]
    means = _means(rows)
    _print(f"{task_choice.task_name}, {method_choice.method_name}", rows, means, lpips)
    choices = {**task_choice.for_report(options), **method_choice.for_report(), "lpips_variant": lpips.variant}
    if report is not None:
        title = f"{folder.name}: {task_choice.task_name}, {method_choice.method_name}"
        _comparison.write_page(report, title, choices, [scene for _, scene in sorted(scenes.items())])
        click.echo(str(report))
    if out is not None:
        content = {**choices, "environment": evaluation.environment(), "shapes": shapes, "failures": failures.by_name}
        _write(out, content, rows, means)
        click.echo(str(out))
    failures.raise_any()


def _groups(pictures: Mapping[int, images.Picture]) -> dict[tuple[int, int, int], list[int]]:
    """Pictures by the shape of their colours: those are restored together."""
    groups: dict[tuple[int, int, int], list[int]] = {}
    for i, picture in pictures.items():
        height, width, channels = picture.pixels.shape
        groups.setdefault((height, width, channels), []).append(i)
    return groups


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
