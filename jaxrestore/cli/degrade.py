"""`jaxrestore degrade`."""

import pathlib

import click
import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore.cli import _files
from jaxrestore.cli._options import PATH, force_option, out_option
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options


@click.command("degrade")
@click.argument("source", type=PATH)
@out_option
@task_options
@force_option
def command(source: pathlib.Path, out: pathlib.Path, task_choice: TaskChoice, force: bool) -> None:
    """Degrade the clean picture SOURCE, or all pictures of a folder, as a task describes.

    A random mask or kernel is written beside each result, as NAME.mask.png or NAME.kernel.png. Pictures of one size
    share the same, and the same --seed draws it again for `restore`. Amplitudes (phase retrieval) are written as .npy.
    """
    definition, options = task_choice.definition, task_choice.read_options()
    paths = _files.inputs(source)
    array = definition.stored == "array"
    targets = _files.outputs(paths, source, out, ".npy" if array else None)
    for target in targets:
        if array:
            _files.check_suffix(target, (".npy",))
        else:
            _files.check_suffix(target)
    drawn = definition.drawn if definition.drawn and options[definition.drawn] is None else None
    drawn_files = [_files.drawn_file(target, drawn) for target in targets] if drawn else []
    _files.refuse_existing([*targets, *drawn_files], force)
    multiple = definition.multiple(options)
    # Read once for their shapes and again to degrade them: all are known to be fit before the first result is written,
    # and no folder is too large for memory.
    shapes = {path: _files.read_clean(path, multiple).shape for path in paths}
    degradations = {shape: task_choice.build(shape, options).degradation for shape in set(shapes.values())}
    for i, (path, target) in enumerate(zip(paths, targets, strict=True)):
        image, degradation = _files.read_clean(path, multiple), degradations[shapes[path]]
        key = jax.random.fold_in(key_for("measurement", task_choice.seed), i)
        y = np.asarray(degradation.measure(key, jnp.asarray(image)))
        if drawn:
            _files.save_drawn(drawn_files[i], getattr(degradation.operator, drawn), force)
        _files.save_measurement(target, y, force)
        click.echo(str(target))
