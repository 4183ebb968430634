"""`jaxrestore calibrate`."""

import pathlib

import click
import jax
import numpy as np

from jaxrestore import credible, evaluation, images, tuning
from jaxrestore.calibration import LEVELS, Reached, calibrate
from jaxrestore.calibration import held_out as reach
from jaxrestore.cli import _files, _prior, _targets
from jaxrestore.cli._method_choice import MethodChoice, method_options
from jaxrestore.cli._options import PATH, force_option
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options
from jaxrestore.credible import Calibration


@click.command("calibrate")
@click.option("--data", required=True, type=PATH, help="Folder of clean pictures to learn from.")
@click.option("--held-out", type=PATH, help="Folder of other clean pictures, to see what is reached.")
@click.option("-o", "--out", required=True, type=PATH, help="File for the settings with their calibration (.json).")
@click.option("--size", default=128, type=click.IntRange(16), help="Use the pictures' centres of this many pixels.")
@click.option("--pictures", default=50, type=click.IntRange(1), help="Use at most so many pictures of each folder.")
@task_options
@method_options
@force_option
def command(
    data: pathlib.Path,
    held_out: pathlib.Path | None,
    out: pathlib.Path,
    size: int,
    pictures: int,
    task_choice: TaskChoice,
    method_choice: MethodChoice,
    force: bool,
) -> None:
    """Learn from clean pictures how far the deviations of --save-std may be believed.

    Pictures are degraded and restored --samples times each; the file holds the settings, and what standard deviations
    are to be multiplied by. Restore with it for the same task, noise, prior and number of samples, pictures of the same
    kind.

    \b
    jaxrestore calibrate --data photos --held-out others --task denoising --samples 8 -o sure.json
    jaxrestore restore y.png -o x.png --task denoising --samples 8 --save-std --settings sure.json
    """  # noqa: D301
    _targets.check_suffixes([out], (".json",))
    _targets.check([out], force)
    if method_choice.samples < 2:
        raise click.UsageError("calibrate needs --samples of at least 2")
    if held_out is not None and held_out.resolve() == data.resolve():
        raise click.UsageError(f"--held-out is {data} too; give it other pictures than --data")
    options = task_choice.read_options()
    multiple = task_choice.definition.multiple(options)
    folders = {folder: images.find(folder)[:pictures] for folder in (data, held_out) if folder is not None}
    prior, channels = method_choice.load_prior()

    def read(path: pathlib.Path) -> np.ndarray:
        return _prior.known_clean(_files.read_clean(path, multiple, size).on_white(), channels, path)

    stacks = [np.stack([read(path) for path in paths]) for paths in folders.values()]
    task = task_choice.build(stacks[0].shape[1:], options)
    settings = method_choice.settings_for(task)
    tuning.check_storable(settings)
    sampler = method_choice.method.build(**settings)
    key = key_for("evaluation", task_choice.seed)
    shared = {"batch_size": method_choice.batch_size, "progress": not method_choice.quiet}
    calibration = calibrate(
        sampler, prior, task.degradation, stacks[0], key=key, num_samples=method_choice.samples, **shared
    )
    choices = {**task_choice.for_report(options), **method_choice.for_report()}
    names = (choices.pop("task"), choices.pop("method"))

    def save(reached: Reached | None) -> None:
        tuning.save_settings(
            out,
            *names,
            task.adapted(names[1], settings, inverse=True),
            note=tuning.STATED_FOR,
            calibrated_at=stacks[0].shape[1:],
            calibration=credible.to_json(calibration),
            held_out=None if reached is None else reached._asdict(),
            pictures=[path.name for path in folders[data]],
            environment=evaluation.environment(),
            **{**choices, **method_choice.conditions(task_choice, options)},
        )

    save(None)  # what has been learnt is not lost with what comes now
    reached = None
    if held_out is not None:
        other = jax.random.fold_in(key, 1)
        reached = reach(calibration, sampler, prior, task.degradation, stacks[1], key=other, **shared)
        save(reached)
    for line in _told(calibration, reached):
        click.echo(line)
    click.echo(str(out))


def _told(calibration: Calibration, reached: Reached | None) -> list[str]:
    lines = [f"{calibration.num_pictures} pictures: deviations are to be multiplied by {calibration.scale:.3f}"]
    for level in LEVELS:
        kinds = {"on average": calibration.factor(level, guaranteed=False)}
        if calibration.can_guarantee(level):
            kinds["guaranteed"] = calibration.factor(level)
        for kind, factor in kinds.items():
            line = f"{level:.0%} of the pixels, {kind}: mean +- {factor:.2f} calibrated deviations"
            if reached is not None:
                found = reached.intervals if kind == "on average" else reached.guaranteed
                line += f"; held out {found[level]:.1%}"
            lines.append(line)
    if reached is not None:
        shares = ", ".join(f"{share:.1%}" for share in reached.within)
        lines.append(f"held out, within 1, 2 and 3 calibrated deviations: {shares}")
    return lines
