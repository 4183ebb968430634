"""`jaxrestore demo`."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import click
import numpy as np

from jaxrestore import evaluation, images
from jaxrestore.cli import _targets
from jaxrestore.cli._options import PATH, force_option, quiet_option, seed_option
from jaxrestore.cli._reports import print_table
from jaxrestore.cli._seeds import key_for
from jaxrestore.methods import METHODS
from jaxrestore.priors import load_prior
from jaxrestore.tasks import TASKS, task

PHOTOGRAPH = pathlib.Path(__file__).parent.parent / "photographs" / "coffee.png"  # Rachel Michetti, CC0
TASK_NAMES = ("super_resolution", "gaussian_deblur", "inpainting_random")
METHOD_NAMES = ("pspgd", "pdpps")  # SPGD and DPPS, preconditioned


class _Row(NamedTuple):
    """One task on the sheet."""

    task_name: str
    y: np.ndarray
    results: dict[str, evaluation.Evaluation]  # by method, as far as they are there


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
@click.option("--all", "everything", is_flag=True, help="Restore with all methods, not with two; takes half an hour.")
@click.option(
    "--steps", type=click.IntRange(4), help="Length of every method; shorter is faster.  [default: the tasks']"
)
@seed_option
@force_option
@quiet_option
def command(
    out: pathlib.Path,
    photo: pathlib.Path,
    size: int,
    everything: bool,
    steps: int | None,
    seed: int,
    force: bool,
    quiet: bool,
) -> None:
    """Degrade a photograph in three ways and restore it with SPGD and DPPS, preconditioned.

    Writes one picture that compares the results, which grows with each of them, and prints PSNR, SSIM and LPIPS.
    """
    _targets.check_suffixes([out])
    _targets.check([out], force)
    multiple = math.lcm(*(TASKS[name].multiple(TASKS[name].options) for name in TASK_NAMES))
    if size % multiple:
        raise click.UsageError(f"--size is {size}, expected a multiple of {multiple}, as the tasks need it")
    truth = images.resize(images.centre(images.load(photo)), (size, size))
    prior = load_prior("photo")
    names = tuple(METHODS) if everything else METHOD_NAMES
    rows: list[_Row] = []
    table: list[tuple[Any, ...]] = []
    saved, unsaved = False, None
    for task_name in TASK_NAMES:
        degraded = task(task_name, image_shape=(size, size, 3), key=key_for("operator", seed))
        for method_name in names:
            row = METHODS[method_name]
            if row.refusal(degraded.degradation.operator):
                continue
            settings: dict[str, Any] = {row.length: steps} if steps else {}
            sampler = degraded.sampler(method_name, **settings)
            key = key_for("evaluation", seed)  # one for all, so every method is given the same measurement
            result = evaluation.evaluate(sampler, prior, degraded.degradation, truth[None], key=key, progress=not quiet)
            if not rows or rows[-1].task_name != task_name:
                rows.append(_Row(task_name, result.measurements[0], {}))
                simple = degraded.simple_answer(result.measurements[0])
                if simple is not None:
                    table.append((task_name, "simple answer", *evaluation.score(simple, truth), ""))
            rows[-1].results[method_name] = result
            table.append((task_name, method_name, *result.scores[0], f"{result.seconds:.0f}"))
            try:
                images.save(out, _sheet(names, rows, truth), overwrite=force or saved)
                saved = True
            except OSError as error:  # the scores are told all the same
                unsaved = error
            click.echo(f"{out}: {task_name} with {method_name}, {result.scores[0].psnr:.1f} dB")
    print_table("Results", ("task", "method", "PSNR", "SSIM", "LPIPS (alex)", "seconds"), table)
    if unsaved is not None:
        raise unsaved


def _enlarge(y: np.ndarray, size: int) -> np.ndarray:
    """A small measurement with its pixels repeated, so that they show."""
    return y.repeat(size // y.shape[0], 0).repeat(size // y.shape[1], 1)


def _sheet(method_names: Sequence[str], rows: Sequence[_Row], truth: np.ndarray) -> np.ndarray:
    """All pictures with labels, as uint8 (height, width, 3); blank where a result is not there yet."""
    from PIL import Image, ImageDraw, ImageFont

    size = len(truth)
    gap, head, text = size // 32, max(size // 10, 14), max(size // 16, 10)
    columns = ["degraded", *(name.upper() for name in method_names), "original"]
    width = gap + len(columns) * (size + gap)
    height = head + len(TASK_NAMES) * (size + head + gap)
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(text)

    def show(column: int, row: int, picture: np.ndarray, label: str) -> None:
        left, top = gap + column * (size + gap), head + row * (size + head + gap)
        sheet.paste(Image.fromarray(images.to_uint8(picture)), (left, top))
        draw.text((left, top + size), label, fill="black", font=font)

    for i, column in enumerate(columns):
        draw.text((gap + i * (size + gap), gap // 2), column, fill="black", font=font)
    for j, row in enumerate(rows):
        show(0, j, _enlarge(row.y, size), row.task_name.replace("_", " "))
        for i, name in enumerate(method_names):
            if name in row.results:
                result = row.results[name]
                show(1 + i, j, np.nan_to_num(result.restored[0]), f"{result.scores[0].psnr:.1f} dB")
        show(len(columns) - 1, j, truth, "")
    return np.asarray(sheet)
