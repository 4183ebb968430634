"""`jaxrestore tune`."""

import pathlib

import click
import numpy as np

from jaxrestore import evaluation, images, tasks, tuning
from jaxrestore.cli import _shared
from jaxrestore.priors import load_prior


@click.command("tune")
@click.option("--data", required=True, type=click.Path(path_type=pathlib.Path), help="Folder of clean pictures.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=pathlib.Path), help="Settings file (.json).")
@click.option(
    "--grid",
    "grids",
    required=True,
    multiple=True,
    metavar="NAME=V1,V2,...",
    help="Values of a setting, or LOW..HIGH:COUNT in equal ratios, e.g. learning_rate=0.1..3:6.",
)
@click.option("--size", default=128, type=click.IntRange(16), help="Centres of this many pixels are used.")
@click.option("--pictures", default=4, type=click.IntRange(1), help="At most so many of the folder.")
@click.option("--metric", default="lpips", type=click.Choice(tuning.METRICS), help="What to be best at.")
@_shared.task_options
@_shared.method_options
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(data, out, grids, size, pictures, metric, wanted, by, force) -> None:
    """Search settings of a sampler on clean pictures: degrade, restore with all combinations, compare.

    All settings that are numbers run as one batch of one program. The best go into a file for --settings.

    \b
    jaxrestore tune --data photos --task super_resolution --grid learning_rate=1..10:4 -o best.json
    jaxrestore restore small.png -o large.png --task super_resolution --settings best.json
    """  # noqa: D301
    _shared.refuse_existing([out], force)
    if by.samples != 1:
        raise click.UsageError("--samples does not go with tune: every setting is judged by one sample a picture")
    grid = {name: _values(text) for name, _, text in (g.partition("=") for g in grids)}
    values = wanted.values()
    paths = images.find(data)[:pictures]
    truths = [_shared.crop_to_factor(_shared.centre(images.load(p), size, p), wanted.task_name, values) for p in paths]
    chosen = wanted.build(truths[0].shape, values)
    base = by.settings_for(chosen)
    shared = {name: base.pop(name, 1) for name in tasks.SHARED_SETTINGS}
    trials = tuning.tune(
        tasks.METHODS[by.method],
        load_prior(by.prior),
        chosen.degradation,
        np.stack(truths),
        grid,
        key=wanted.key,
        fixed={name: v for name, v in base.items() if name not in grid},
        wrap=lambda s: s.with_self_ensemble(shared["self_ensemble"]).mean_of(shared["mean_of"]),
        metric=metric,
        batch_size=by.batch_size,
        report=None if by.quiet else lambda done, total: click.echo(f"{done} of {total}", err=True),
    )
    rows = [(*(t.settings[name] for name in grid), *t.scores) for t in trials]
    _shared.print_table(f"{wanted.task_name}, {by.method}", (*grid, "PSNR", "SSIM", "LPIPS"), rows)
    best = trials[0]
    if not np.isfinite(best.scores.lpips):
        raise FloatingPointError("every combination diverged; try smaller values")
    tuning.save_settings(
        out,
        wanted.task_name,
        by.method,
        {
            **tasks.for_size(by.method, best.settings, truths[0].shape, back=True),
            **{name: n for name, n in shared.items() if n > 1},
        },
        note=f"values of `scale` are those of 256x256 pixels; tuned at {truths[0].shape[0]}x{truths[0].shape[1]}",
        metric=metric,
        scores=best.scores._asdict(),
        pictures=[p.name for p in paths],
        prior=by.prior,
        seed=wanted.seed,
        environment=evaluation.environment(),
        trials=[{"settings": {n: t.settings[n] for n in grid}, "scores": t.scores._asdict()} for t in trials],
    )
    click.echo(str(out))


def _values(text: str) -> list:
    """["0.1", "0.9"] of "0.1,0.9", or equal ratios of "0.1..1:4"."""
    span, colon, count = text.partition(":")
    low, dots, high = span.partition("..")
    try:
        if dots:
            return [float(v) for v in np.geomspace(float(low), float(high), int(count) if colon else 5)]
    except ValueError as error:
        raise click.UsageError(f"{text!r} is no range, e.g. 0.1..3:6 ({error})") from error
    return [_shared.parse_values([f"value={v}"])["value"] for v in text.split(",") if v]
