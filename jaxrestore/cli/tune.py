"""`jaxrestore tune`."""

import functools
import math
import pathlib
from collections.abc import Iterable
from typing import Any

import click
import numpy as np

from jaxrestore import evaluation, images, tuning
from jaxrestore.cli import _files, _prior, _targets
from jaxrestore.cli._method_choice import MethodChoice, method_options
from jaxrestore.cli._options import PATH, force_option
from jaxrestore.cli._reports import json_scores, print_table
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options
from jaxrestore.cli._values import annotations, parse_value
from jaxrestore.methods import SHARED_SETTINGS
from jaxrestore.samplers import Sampler


@click.command("tune")
@click.option("--data", required=True, type=PATH, help="Folder of clean pictures.")
@click.option("-o", "--out", required=True, type=PATH, help="File for the best settings (.json).")
@click.option(
    "--grid",
    "grids",
    required=True,
    multiple=True,
    metavar="NAME=V1,V2,...",
    help="Values of a setting to try, or LOW..HIGH:COUNT in equal ratios, e.g. learning_rate=0.1..3:6. May be given "
    "for several settings: all combinations are tried.",
)
@click.option("--size", default=128, type=click.IntRange(16), help="Use the pictures' centres of this many pixels.")
@click.option("--pictures", default=4, type=click.IntRange(1), help="Use at most so many pictures of the folder.")
@click.option(
    "--metric", default="lpips", type=click.Choice(tuning.METRICS), help="What the settings shall be best at."
)
@task_options
@method_options
@force_option
def command(
    data: pathlib.Path,
    out: pathlib.Path,
    grids: tuple[str, ...],
    size: int,
    pictures: int,
    metric: str,
    task_choice: TaskChoice,
    method_choice: MethodChoice,
    force: bool,
) -> None:
    """Search settings of a method on clean pictures: degrade, restore with all combinations, compare.

    All settings that are numbers run as one batch of one program. The best go into a file for --settings.

    \b
    jaxrestore tune --data photos --task super_resolution --method dps --grid scale=10..80:4 -o best.json
    jaxrestore restore small.png -o large.png --task super_resolution --method dps --settings best.json
    """  # noqa: D301
    _targets.check_suffixes([out], (".json",))
    _targets.check([out], force)
    if method_choice.samples != 1:
        raise click.UsageError("--samples does not go with tune: every setting is judged by one sample a picture")
    method = method_choice.method
    grid = _grid(grids, method.factory)
    if fixed_too := {pair.partition("=")[0] for pair in method_choice.overrides} & set(grid):
        raise click.UsageError(f"--set and --grid both say what {min(fixed_too)} is; give one of them")
    options = task_choice.read_options()
    multiple = task_choice.definition.multiple(options)
    paths = images.find(data)[:pictures]
    prior, channels = method_choice.load_prior()
    clean = [_files.read_clean(path, multiple, size).on_white() for path in paths]
    truths = np.stack([_prior.known_clean(a, channels, path) for a, path in zip(clean, paths, strict=True)])
    task = task_choice.build(truths.shape[1:], options)
    fixed = method_choice.settings_for(task, searched=grid)
    tuning.check_storable(fixed)
    evaluation.check_scorable(truths.shape[1:])
    shared = {name: fixed.pop(name) for name in SHARED_SETTINGS if name in fixed}

    @functools.wraps(method.factory)  # its arguments are searched; what all methods share stays
    def build(**settings: Any) -> Sampler:
        return method.build(**settings, **shared)

    method_choice.warn_of_idle_grid(grid, fixed, task)
    trials = tuning.tune(
        build,
        prior,
        task.degradation,
        truths,
        grid,
        key=key_for("evaluation", task_choice.seed),
        fixed={name: value for name, value in fixed.items() if name not in grid},
        metric=metric,
        batch_size=method_choice.batch_size,
        report=None if method_choice.quiet else lambda done, total: click.echo(f"{done} of {total}", err=True),
    )
    rows = [(*(trial.settings[name] for name in grid), *trial.scores) for trial in trials]
    print_table(f"{task_choice.task_name}, {method_choice.method_name}", (*grid, "PSNR", "SSIM", "LPIPS (alex)"), rows)
    best = trials[0]
    if not np.isfinite(getattr(best.scores, metric)):
        raise FloatingPointError(f"every combination diverged: {method_choice.advice}")
    choices = {**task_choice.for_report(options), **method_choice.for_report()}
    tuning.save_settings(
        out,
        choices.pop("task"),
        choices.pop("method"),
        {**task.adapted(method_choice.method_name, best.settings, inverse=True), **shared},
        note=tuning.STATED_FOR,
        tuned_at=truths.shape[1:],
        metric=metric,
        lpips_variant="alex",
        scores=json_scores(best.scores),
        pictures=[path.name for path in paths],
        environment=evaluation.environment(),
        trials=[{"settings": {n: t.settings[n] for n in grid}, "scores": json_scores(t.scores)} for t in trials],
        **choices,
    )
    click.echo(str(out))


def _grid(pairs: Iterable[str], factory: Any) -> dict[str, list[Any]]:
    """Values by setting of NAME=V1,V2,... and NAME=LOW..HIGH:COUNT, each setting once."""
    grid: dict[str, list[Any]] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        values = _values(name, text, factory)
        if not values:
            raise click.UsageError(f"--grid {pair} has no values, e.g. learning_rate=0.1,1,3")
        if name in grid:
            raise click.UsageError(f"--grid {name} is given twice; give all its values at once")
        grid[name] = values
    return grid


def _values(name: str, text: str, factory: Any) -> list[Any]:
    """[0.1, 0.9] of "0.1,0.9", or equal ratios of "0.1..1:4"."""
    span, colon, count = text.partition(":")
    low, dots, high = span.partition("..")
    if dots:
        try:
            ends, number = (float(low), float(high)), int(count) if colon else 5
            if not all(0 < end < math.inf for end in ends):
                raise ValueError("the ends of equal ratios are finite numbers above 0")
            return [float(v) for v in np.geomspace(*ends, number)]
        except ValueError as error:
            raise click.UsageError(f"{text!r} is no range, e.g. 0.1..3:6 ({error})") from error
    annotation = annotations(factory).get(name, str)  # unknown names are refused by the library
    return [parse_value(name, value, annotation) for value in text.split(",") if value]
