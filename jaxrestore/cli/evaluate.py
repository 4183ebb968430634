"""`jaxrestore evaluate`."""

import contextlib
import dataclasses
import json
import math
import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click
import jax
import numpy as np
from jax.sharding import Mesh

from jaxrestore import evaluation, images, memory, parallel
from jaxrestore.cli import _comparison, _files, _prior, _targets
from jaxrestore.cli._failures import Failures
from jaxrestore.cli._method_choice import MethodChoice, method_options
from jaxrestore.cli._metric_choice import MetricChoice, metric_options
from jaxrestore.cli._options import PATH, force_option, strict_option
from jaxrestore.cli._reports import json_scores, print_table, score_titles
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options
from jaxrestore.evaluation import Scores
from jaxrestore.samplers import Sampler
from jaxrestore.storage.files import NoRoomError, write_whole
from jaxrestore.tasks import Task

_PICTURES = 32  # of one shape in memory at a time, or a batch if that is more


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


class _Plan(NamedTuple):
    """Pictures of one shape, and how they are restored."""

    members: list[int]
    task: Task
    settings: dict[str, Any]
    sampler: Sampler


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
    if report is not None:
        _comparison.check_suffix(report)
    _targets.check([*targets, *filter(None, (out, report))], force)
    options = task_choice.read_options()
    lpips = metric_choice.load()
    prior, channels = method_choice.load_prior()
    failures = Failures(len(paths), strict=strict, advice=method_choice.advice)

    def read(path: pathlib.Path) -> tuple[np.ndarray, images.Picture]:
        """What is seen of a picture, on white, and what its result is to be kept like."""
        picture = _files.read_clean(path, task_choice.definition.multiple(options))
        like = dataclasses.replace(picture, pixels=picture.pixels[:0, :0], alpha=None)
        return _prior.known_clean(picture.on_white(), channels, path), like

    # Read once for their shapes and again when it is their turn: no folder is too large for memory.
    seen: dict[int, tuple[tuple[int, int, int], int]] = {}  # shape and depth
    for i, path in enumerate(paths):
        with failures.of(path):
            truth, like = read(path)
            height, width, depth = truth.shape
            seen[i] = (height, width, depth), like.depth
    plans = []
    for shape, members in _groups(seen).items():
        with failures.of(*(paths[i] for i in members)):
            evaluation.check_scorable(shape)
            task = task_choice.build(shape, options)
            settings = method_choice.settings_for(task)
            plans.append(_Plan(members, task, settings, method_choice.method.build(**settings)))
    failures.check_some_left(len(plans))
    if save is not None:
        _targets.check_room(save, ((targets[i], shape, depth) for i, (shape, depth) in seen.items()))

    rows_by_index: dict[int, Row] = {}
    scenes: dict[int, _comparison.Scene] = {}  # of the page, if there is one
    mesh = parallel.local_mesh()
    for plan, places in _turns(plans, _at_once(method_choice.batch_size, mesh)):
        found: dict[int, tuple[np.ndarray, images.Picture]] = {}  # by their places among those of one shape
        for place in places:
            # What there is to warn of was said when they were read first.
            with failures.of(paths[plan.members[place]]), warnings.catch_warnings(action="ignore"):
                found[place] = read(paths[plan.members[place]])
        if not found:
            continue
        members = [plan.members[place] for place in found]
        truths, likes = zip(*found.values(), strict=True)
        task, settings = plan.task, method_choice.settings_for_report(plan.settings)["settings"]
        result = evaluation.evaluate(
            plan.sampler,
            prior,
            task.degradation,
            np.stack(truths),
            # The library counts from 0 in every stack: pictures of another shape need keys of their own.
            key=jax.random.fold_in(key_for("evaluation", task_choice.seed), plan.members[0]),
            lpips=lpips,
            batch_size=method_choice.batch_size,
            num_samples=method_choice.samples,
            indices=list(found),
            collection=len(plan.members),
            mesh=mesh,
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
                    _ = images.write(targets[i], result.restored[j], like=likes[j], overwrite=force)
            if report is not None:
                made = _comparison.restoration(
                    method_choice.method_name,
                    result.restored[j],
                    result.scores[j],
                    {"seconds": f"{rows_by_index[i].seconds:.1f}"},
                    settings,
                    lpips,
                )
                scenes[i] = _comparison.scene(paths[i].name, task, truths[j], result.measurements[j], [made], lpips)
        restored = [paths[i] for i in members if not rows_by_index[i].failed]
        failures.note_divergences(result.divergences, [paths[i] for i in members], restored)

    if not rows_by_index:  # all have gone since they were read first
        failures.raise_any()
    rows = [row for _, row in sorted(rows_by_index.items())]
    means = _means(rows)
    _print(f"{task_choice.task_name}, {method_choice.method_name}", rows, means, lpips)
    choices = {**task_choice.for_report(options), **method_choice.for_report(), "lpips_variant": lpips.variant}
    if out is not None:
        shapes = [
            {"shape": p.task.degradation.image_shape, **method_choice.settings_for_report(p.settings)} for p in plans
        ]
        content = {**choices, "environment": evaluation.environment(), "shapes": shapes, "failures": failures.by_name}
        _write(out, content, rows, means)
        click.echo(str(out))
    if report is not None:
        title = f"{folder.name}: {task_choice.task_name}, {method_choice.method_name}"
        _comparison.write_page(report, title, choices, [scene for _, scene in sorted(scenes.items())])
        click.echo(str(report))
    failures.raise_any()


def _groups(seen: Mapping[int, tuple[tuple[int, int, int], int]]) -> dict[tuple[int, int, int], list[int]]:
    """Pictures by the shape of their colours: those are restored together."""
    groups: dict[tuple[int, int, int], list[int]] = {}
    for i, (shape, _) in seen.items():
        groups.setdefault(shape, []).append(i)
    return groups


def _at_once(batch_size: int | None, mesh: Mesh | None) -> int:
    """How many pictures of one shape are in memory together: some full batches, so that none is filled up for it."""
    batch = batch_size or memory.usual_batch(jax.local_devices()[0]) * (1 if mesh is None else mesh.size)
    return batch * max(1, _PICTURES // batch)


def _turns(plans: Sequence[_Plan], count: int) -> Iterator[tuple[_Plan, range]]:
    """The plans, each with the places of so many of its pictures at a time."""
    for plan in plans:
        for start in range(0, len(plan.members), count):
            yield plan, range(start, min(start + count, len(plan.members)))


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
