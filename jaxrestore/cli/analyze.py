"""`jaxrestore analyze`."""

import importlib.util
import pathlib

import click
import jax.numpy as jnp
import numpy as np

from jaxrestore import analysis, evaluation
from jaxrestore.cli import _files, _prior, _targets
from jaxrestore.cli._method_choice import default_set
from jaxrestore.cli._options import PATH, force_option, label_option, prior_option
from jaxrestore.cli._reports import print_table
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options
from jaxrestore.methods import METHODS


@click.command("analyze")
@click.argument("image", type=PATH)
@click.option("-o", "--out", default="angles.png", type=PATH, help="File for the plot; the CSV goes beside it.")
@click.option(
    "--method",
    "method_names",
    multiple=True,
    type=click.Choice(list(analysis.VARIANTS)),
    help="Method whose variants are compared. May be given several times.  [default: all that the prior has settings "
    "for]",
)
@click.option("--steps", default=50, type=click.IntRange(2), help="Noise levels of every variant.")
@click.option("--warmup-steps", default=5, type=click.IntRange(2), help="Likelihood steps at each level with warm-up.")
@click.option("--size", default=128, type=click.IntRange(16), help="Use the picture's centre of this many pixels.")
@prior_option
@label_option
@task_options
@force_option
def command(
    image: pathlib.Path,
    out: pathlib.Path,
    method_names: tuple[str, ...],
    steps: int,
    warmup_steps: int,
    size: int,
    prior: str,
    label: int | None,
    task_choice: TaskChoice,
    force: bool,
) -> None:
    """Draw the angles of SPGD's paper over the steps, with and without warm-up and momentum.

    The clean picture IMAGE is degraded and restored by every variant. Likelihood gradients that turn against the
    denoising direction, or jump from step to step, are what warm-up and momentum are made against.

    \b
    jaxrestore analyze photo.png --task gaussian_deblur -o angles.png
    """  # noqa: D301
    if importlib.util.find_spec("matplotlib") is None:
        raise click.UsageError("analyze draws with matplotlib, which is not installed; pip install 'jaxrestore[plot]'")
    _targets.check_suffixes([out], (".png", ".pdf", ".svg"))
    table = out.with_suffix(".csv")
    _targets.check([out, table], force)
    options = task_choice.read_options()
    loaded = _prior.load(prior, label)
    truth = _files.read_clean(image, task_choice.definition.multiple(options), size).on_white()
    truth = _prior.known_clean(truth, loaded.config.in_channels, image)
    task = task_choice.build(truth.shape, options)
    y = task.degradation.measure(key_for("measurement", task_choice.seed), jnp.asarray(truth))

    curves, rows, settings_set = {}, [], default_set(prior)
    for name in dict.fromkeys(method_names) or [
        name for name in analysis.VARIANTS if name in task.settings[settings_set]
    ]:
        method = METHODS[name]
        settings = method.complete(task.for_method(name, settings_set))
        step_size = settings[str(method.weight)]  # all methods that have variants have one
        for variant, sampler in analysis.variants(name, steps, warmup_steps, step_size).items():
            click.echo(variant, err=True)
            key = key_for("sampler", task_choice.seed)
            restored, curves[variant] = analysis.curves(sampler, key, loaded, task.degradation, y)
            scores = evaluation.score(restored, truth)
            means = [float(np.nanmean(getattr(curves[variant], angle))) for angle in analysis.CURVES]
            rows.append((variant, *(f"{mean:.0f}" for mean in means), scores.psnr, scores.lpips))
    print_table("Mean angles in degrees", ("variant", *analysis.CURVES.values(), "PSNR", "LPIPS (alex)"), rows)
    analysis.draw(out, curves, title=f"{task_choice.task_name}, {steps} steps, {truth.shape[0]}x{truth.shape[1]}")
    analysis.write_csv(table, curves)
    click.echo(f"{out}\n{table}")
