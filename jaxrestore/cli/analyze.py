"""`jaxrestore analyze`."""

import importlib.util
import pathlib

import click
import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import analysis, evaluation, images
from jaxrestore.cli import _shared
from jaxrestore.priors import load_prior

_STEP_SIZE = {"spgd": "learning_rate", "dps": "scale"}


@click.command("analyze")
@click.argument("image", type=click.Path(path_type=pathlib.Path))
@click.option(
    "-o",
    "--out",
    default="angles.png",
    type=click.Path(path_type=pathlib.Path),
    help="Picture; the CSV goes beside it.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    default=("spgd", "dps"),
    type=click.Choice(list(_STEP_SIZE)),
    help="Whose variants to compare; may be given twice.",
)
@click.option("--steps", default=50, type=click.IntRange(2), help="Noise levels.")
@click.option("--warmup-steps", default=5, type=click.IntRange(2), help="Of the variants with warm-up.")
@click.option("--size", default=128, type=click.IntRange(16), help="The picture's centre of this many pixels is used.")
@click.option("--prior", default="photo", help="Bundled prior, or the folder of one.")
@_shared.task_options
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(image, out, methods, steps, warmup_steps, size, prior, wanted, force) -> None:
    """Draw the angles of SPGD's paper over the steps, with and without warm-up and momentum.

    The clean picture IMAGE is degraded and restored by every variant. Likelihood gradients that turn against the
    denoising direction, or jump from step to step, are what warm-up and momentum are made against.

    \b
    jaxrestore analyze photo.png --task gaussian_deblur -o angles.png
    """  # noqa: D301
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("analyze draws with matplotlib, which is not installed; pip install 'jaxrestore[plot]'")
    if out.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise images.ImageError(f"{out} has suffix {out.suffix!r}, expected .png, .pdf or .svg")
    table = out.with_suffix(".csv")
    _shared.refuse_existing([out, table], force)
    values = wanted.values()
    truth = _shared.crop_to_factor(_shared.centre(images.load(image), size, image), wanted.task_name, values)
    chosen = wanted.build(truth.shape, values)
    loaded = load_prior(prior)
    key_noise, key_run = jax.random.split(wanted.key)
    y = chosen.degradation.measure(key_noise, jnp.asarray(truth))
    found, rows = {}, []
    for method in dict.fromkeys(methods):
        settings = chosen.for_method(method, _shared.recommended_set(prior))
        samplers = analysis.variants(method, steps, warmup_steps, settings[_STEP_SIZE[method]])
        for label, sampler in samplers.items():
            click.echo(label, err=True)
            restored, found[label] = analysis.curves(sampler, key_run, loaded, chosen.degradation, y)
            score = evaluation.score(np.nan_to_num(restored), truth)
            means = [float(np.nanmean(getattr(found[label], name))) for name in analysis.CURVES]
            rows.append((label, *(f"{m:.0f}" for m in means), score.psnr, score.lpips))
    analysis.draw(out, found, title=f"{wanted.task_name}, {steps} steps, {truth.shape[0]}x{truth.shape[1]}")
    analysis.write_csv(table, found)
    _shared.print_table("Mean angles in degrees", ("variant", *analysis.CURVES.values(), "PSNR", "LPIPS"), rows)
    click.echo(f"{out}\n{table}")
