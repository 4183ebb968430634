"""`jaxrestore degrade`."""

import pathlib

import click
import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import images
from jaxrestore.cli import _shared
from jaxrestore.operators import Inpainting, MotionBlur
from jaxrestore.storage.files import replacing


@click.command("degrade")
@click.argument("source", type=click.Path(path_type=pathlib.Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=pathlib.Path), help="File, or folder for a folder."
)
@_shared.task_options
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(source, out, wanted, force) -> None:
    """Degrade the clean picture SOURCE, or all pictures of a folder, as a task describes.

    A random mask or kernel is written beside the first result, as NAME.mask.png or NAME.kernel.png; the same --seed
    draws the same one for `restore`. Amplitudes (phase retrieval) are written as .npy.
    """
    paths = _shared.inputs(source)
    suffix = None if _shared.is_picture(wanted.task_name) else ".npy"
    targets = _shared.outputs(paths, source, out, suffix)
    if suffix and any(t.suffix != suffix for t in targets):
        raise ValueError(f"{targets[0]} has suffix {targets[0].suffix!r}, expected .npy for {wanted.task_name}")
    _shared.refuse_existing(targets, force)
    values = wanted.values()
    for i, (path, target) in enumerate(zip(paths, targets, strict=True)):
        image = _shared.crop_to_factor(images.load(path), wanted.task_name, values)
        degradation = wanted.build(image.shape, values).degradation
        key = jax.random.fold_in(jax.random.fold_in(wanted.key, 2), i)
        y = np.asarray(degradation.measure(key, jnp.asarray(image)))
        operator = degradation.operator
        if isinstance(operator, Inpainting) and wanted.mask is None:
            known = np.asarray(operator.mask, np.float32)
            images.save(target.with_suffix(".mask.png"), 2 * known - 1, overwrite=force)
        if isinstance(operator, MotionBlur) and wanted.kernel is None:
            weights = np.asarray(operator.kernel)
            picture = 2 * weights[..., None] / weights.max() - 1
            images.save(target.with_suffix(".kernel.png"), picture, overwrite=force)
        if suffix:
            with replacing(target) as temporary, open(temporary, "wb") as file:
                np.save(file, y)
        else:
            images.save(target, y, overwrite=force)
        click.echo(str(target))
