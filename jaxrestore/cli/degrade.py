"""`jaxrestore degrade`."""

import pathlib

import click
import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import images
from jaxrestore.cli import _drawn, _files, _targets
from jaxrestore.cli._failures import Failures
from jaxrestore.cli._options import PATH, force_option, out_option, strict_option
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options
from jaxrestore.degradation import Degradation


@click.command("degrade")
@click.argument("source", type=PATH)
@out_option
@task_options
@force_option
@strict_option
def command(source: pathlib.Path, out: pathlib.Path, task_choice: TaskChoice, force: bool, strict: bool) -> None:
    """Degrade the clean picture SOURCE, or all pictures of a folder, as a task describes.

    A random mask or kernel is written beside each result, as NAME.mask.png or NAME.kernel.png, where `restore` finds
    it; pictures of one size share the same. Results keep what their format can of SOURCE: 16 bits, grey, transparency,
    resolution and texts. Amplitudes (phase retrieval) are written as .npy. A picture that cannot be read is named at
    the end, and the exit code is 1.
    """
    definition, options = task_choice.definition, task_choice.read_options()
    paths = _files.inputs(source)
    array = definition.stored == "array"
    targets = _targets.outputs(paths, source, out, ".npy" if array else None)
    _targets.check_suffixes(targets, (".npy",) if array else images.SUFFIXES, or_folder=True)
    drawn = definition.drawn if task_choice.given is None else None
    drawn_files = [_drawn.beside(target, drawn) for target in targets] if drawn else []
    _targets.check([*targets, *drawn_files], force)
    multiple, failures = definition.multiple(options), Failures(len(paths), strict=strict)
    # Read once for their shapes and again to degrade them: all that are fit are known before the first result is
    # written, and no folder is too large for memory.
    shapes: dict[pathlib.Path, tuple[int, int, int]] = {}
    degradations: dict[tuple[int, int, int], Degradation] = {}
    room = []
    for path, target in zip(paths, targets, strict=True):
        with failures.of(path):
            picture = _files.read_clean(path, multiple)
            shape = (*picture.pixels.shape[:2], 3)
            if shape not in degradations:
                degradations[shape] = task_choice.build(shape, options).degradation
            measured = degradations[shape].measurement_shape
            if not array:
                _targets.check_sides(target, measured)
            shapes[path] = shape
            room.append((target, measured, picture.depth))
    failures.check_some_left(len(shapes))
    _targets.check_room(out, room)
    with failures.told():
        for i, (path, target) in enumerate(zip(paths, targets, strict=True)):
            if path not in shapes:
                continue
            with failures.of(path):
                image, like = _files.shown(_files.read_clean(path, multiple), definition)
                degradation = degradations[shapes[path]]
                key = jax.random.fold_in(key_for("measurement", task_choice.seed), i)
                y = _measure(key, degradation, image, is_grey=like.mode == "grey" and not array)
                if drawn:
                    _drawn.KINDS[drawn].save(drawn_files[i], getattr(degradation.operator, drawn), force)
                _files.save_result(target, y, like, force)
                click.echo(str(target))


def _measure(key: jax.Array, degradation: Degradation, image: np.ndarray, is_grey: bool) -> np.ndarray:
    """The measurement of an image.

    That of a grey picture is grey, of one channel: the mean of three would have less noise than was asked for.
    """
    y = degradation.operator(jnp.asarray(image))
    return np.asarray(degradation.noise(key, y.mean(-1, keepdims=True) if is_grey else y))
