"""`jaxrestore demo`."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from jaxrestore import evaluation, images
from jaxrestore.cli import _files
from jaxrestore.cli._options import PATH, force_option, quiet_option, seed_option
from jaxrestore.cli._reports import print_table
from jaxrestore.cli._seeds import key_for
from jaxrestore.priors import load_prior
from jaxrestore.tasks import TASKS, task

PHOTOGRAPH = pathlib.Path(__file__).parent.parent / "photographs" / "coffee.png"  # Rachel Michetti, CC0
TASK_NAMES = ("super_resolution", "gaussian_deblur", "inpainting_random")
METHOD_NAMES = ("spgd", "dpps", "dps")


@click.command("demo")
@click.option("-o", "--out", default="demo.png", type=PATH, help="File for the picture that compares the results.")
@click.option(
    "--photo",
    default=PHOTOGRAPH,
    show_default="a bundled one",
    type=PATH,
    help="Clean picture to degrade and restore.",
)
@click.option(
    "--size", default=256, type=click.IntRange(64), help="Reduce the picture's centre to this many pixels a side."
)
@click.option("--steps", type=click.IntRange(2), help="Steps of every method; fewer are faster.  [default: the tasks']")
@seed_option
@force_option
@quiet_option
def command(
    out: pathlib.Path, photo: pathlib.Path, size: int, steps: int | None, seed: int, force: bool, quiet: bool
) -> None:
    """Degrade a photograph in three ways and restore it with SPGD, DPPS and DPS.

    Writes one picture that compares the results, and prints PSNR, SSIM and LPIPS.
    """
    _files.check_suffix(out)
    _files.refuse_existing([out], force)
    multiple = math.lcm(*(TASKS[name].multiple(TASKS[name].options) for name in TASK_NAMES))
    if size % multiple:
        raise click.UsageError(f"--size is {size}, expected a multiple of {multiple}, as the tasks need it")
    truth = images.resize(images.centre(images.load(photo)), (size, size))
    prior = load_prior("photo")
    settings: dict[str, Any] = {"num_steps": steps} if steps else {}
    columns = ["degraded", *(name.upper() for name in METHOD_NAMES), "original"]
    rows, table = [], []
    for task_name in TASK_NAMES:
        degraded = task(task_name, image_shape=(size, size, 3), key=key_for("operator", seed))
        results = {}
        for method_name in METHOD_NAMES:
            click.echo(f"{task_name} with {method_name}", err=True)
            sampler = degraded.sampler(method_name, **settings)
            key = key_for("evaluation", seed)  # one for all, so every method is given the same measurement
            results[method_name] = evaluation.evaluate(
                sampler, prior, degraded.degradation, truth[None], key=key, progress=not quiet
            )
        y = results[METHOD_NAMES[0]].measurements[0]
        simple = degraded.simple_answer(y)
        if simple is not None:
            table.append((task_name, "simple answer", *evaluation.score(simple, truth), ""))
        table += [(task_name, name, *r.scores[0], f"{r.seconds:.0f}") for name, r in results.items()]
        pictures = [_enlarge(y, size), *(np.nan_to_num(r.restored[0]) for r in results.values()), truth]
        labels = [task_name.replace("_", " "), *(f"{r.scores[0].psnr:.1f} dB" for r in results.values()), ""]
        rows.append((pictures, labels))
    images.save(out, _sheet(columns, rows, size), overwrite=force)
    print_table("Results", ("task", "method", "PSNR", "SSIM", "LPIPS", "seconds"), table)
    click.echo(str(out))


def _enlarge(y: np.ndarray, size: int) -> np.ndarray:
    """A small measurement with its pixels repeated, so that they show."""
    return y.repeat(size // y.shape[0], 0).repeat(size // y.shape[1], 1)


def _sheet(columns: Sequence[str], rows: Sequence[tuple[Sequence[np.ndarray], Sequence[str]]], size: int) -> np.ndarray:
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
