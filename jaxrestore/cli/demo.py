"""`jaxrestore demo`."""

import pathlib

import click
import jax
import numpy as np

from jaxrestore import evaluation, images
from jaxrestore.cli import _shared
from jaxrestore.priors import load_prior
from jaxrestore.tasks import task

PHOTOGRAPH = pathlib.Path(__file__).parent.parent / "photographs" / "coffee.png"  # Rachel Michetti, CC0
TASKS = ("super_resolution", "gaussian_deblur", "inpainting_random")
METHODS = ("spgd", "dpps", "dps")


@click.command("demo")
@click.option("-o", "--out", default="demo.png", type=click.Path(path_type=pathlib.Path), help="Comparison picture.")
@click.option(
    "--photo",
    default=PHOTOGRAPH,
    show_default="a bundled one",
    type=click.Path(path_type=pathlib.Path),
    help="Clean picture to degrade and restore.",
)
@click.option(
    "--size", default=256, type=click.IntRange(64), help="The picture's centre is reduced to this many pixels."
)
@click.option(
    "--steps", type=click.IntRange(2), help="Steps of every sampler; fewer are faster.  [default: the tasks']"
)
@click.option("--seed", default=0, help="Of all randomness.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("--quiet", is_flag=True, help="No progress bars.")
def command(out, photo, size, steps, seed, force, quiet) -> None:
    """Degrade a photograph in three ways and restore it with SPGD, DPPS and DPS.

    Writes one picture that compares the results, and prints PSNR, SSIM and LPIPS.
    """
    if out.suffix.lower() not in images.SUFFIXES:
        raise images.ImageError(f"{out} has suffix {out.suffix!r}, expected {', '.join(images.SUFFIXES)}")
    _shared.refuse_existing([out], force)
    if size % 4:
        raise click.UsageError(f"--size is {size}, expected a multiple of 4, the super-resolution factor")
    truth = _centre(images.load(photo), size)
    prior = load_prior("photo")
    columns = ["degraded", *(m.upper() for m in METHODS), "original"]
    rows, table = [], []
    for name in TASKS:
        chosen = task(name, image_shape=truth.shape, key=jax.random.fold_in(jax.random.key(seed), 1))
        results = {}
        for method in METHODS:
            click.echo(f"{name} with {method}", err=True)
            sampler = chosen.sampler(method, **({"num_steps": steps} if steps else {}))
            results[method] = evaluation.evaluate(
                sampler, prior, chosen.degradation, truth[None], key=jax.random.key(seed), progress=not quiet
            )
        y = results["spgd"].measurements[0]  # one key, so every method was given the same
        simple = evaluation.simple_answer(chosen.degradation, y)
        assert simple is not None  # the three tasks have one
        table.append((name, "simple answer", *evaluation.score(simple, truth), ""))
        table += [(name, method, *r.scores[0], f"{r.seconds:.0f}") for method, r in results.items()]
        pictures = [_enlarge(y, size), *(r.restored[0] for r in results.values()), truth]
        labels = [name.replace("_", " "), *(f"{r.scores[0].psnr:.1f} dB" for r in results.values()), ""]
        rows.append((pictures, labels))
    images.save(out, _sheet(columns, rows, size), overwrite=force)
    _shared.print_table("Results", ("task", "method", "PSNR", "SSIM", "LPIPS", "seconds"), table)
    click.echo(str(out))


def _centre(image: np.ndarray, size: int) -> np.ndarray:
    """The central square, reduced or enlarged to `size`."""
    side = min(image.shape[:2])
    top, left = ((n - side) // 2 for n in image.shape[:2])
    return images.resize(image[top : top + side, left : left + side], (size, size))


def _enlarge(y: np.ndarray, size: int) -> np.ndarray:
    """A small measurement with its pixels repeated, so that they show."""
    return y.repeat(size // y.shape[0], 0).repeat(size // y.shape[1], 1)


def _sheet(columns, rows, size) -> np.ndarray:
    """All pictures with labels, as uint8 (height, width, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    gap, head, text = size // 32, max(size // 10, 14), max(size // 16, 10)
    width = gap + len(columns) * (size + gap)
    height = head + len(rows) * (size + head + gap)
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(text)
    for i, column in enumerate(columns):
        draw.text((gap + i * (size + gap), gap // 2), column, fill="black", font=font)
    for j, (pictures, labels) in enumerate(rows):
        top = head + j * (size + head + gap)
        for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            left = gap + i * (size + gap)
            sheet.paste(Image.fromarray(images.to_uint8(picture)), (left, top))
            draw.text((left, top + size), label, fill="black", font=font)
    return np.asarray(sheet)
