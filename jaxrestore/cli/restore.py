"""`jaxrestore restore`."""

import pathlib

import click
import jax
import numpy as np

from jaxrestore import images
from jaxrestore.cli import _shared
from jaxrestore.priors import load_prior
from jaxrestore.restore import DivergenceError, restore_batches


@click.command("restore")
@click.argument("source", type=click.Path(path_type=pathlib.Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=pathlib.Path), help="File, or folder for a folder."
)
@_shared.task_options
@_shared.method_options
@click.option(
    "--samples",
    default=1,
    type=click.IntRange(1),
    help="Posterior samples; the one with the smallest residual is kept.",
)
@click.option("--batch-size", default=4, type=click.IntRange(1), help="Pictures of one size restored together.")
@click.option("--dtype", default=None, type=click.Choice(["float32", "bfloat16"]), help="Compute dtype of the network.")
@click.option("--force", is_flag=True, help="Replace existing files.")
@click.option("--skip-existing", is_flag=True, help="Leave out pictures whose result exists: goes on after a stop.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(
    source,
    out,
    task_name,
    noise,
    options,
    mask,
    kernel,
    seed,
    method,
    prior,
    settings,
    overrides,
    samples,
    batch_size,
    dtype,
    force,
    skip_existing,
    quiet,
) -> None:
    """Restore the degraded picture SOURCE, or all pictures of a folder.

    Every file is written as soon as its batch is done. PNG, JPEG, WebP and TIFF, any size; amplitudes for phase
    retrieval as .npy.

    \b
    jaxrestore restore small.png -o large.png --task super_resolution --option factor=4
    jaxrestore restore holes.png -o whole.png --task inpainting_random --mask mask.png
    """  # noqa: D301
    paths = _shared.inputs(source, (*images.SUFFIXES, ".npy"))
    targets = _shared.outputs(paths, source, out)
    for target in targets:
        if target.suffix.lower() not in images.SUFFIXES:
            raise images.ImageError(f"{target} has suffix {target.suffix!r}, expected {', '.join(images.SUFFIXES)}")
    if skip_existing:
        kept = [(p, t) for p, t in zip(paths, targets, strict=True) if not t.exists()]
        paths, targets = [p for p, _ in kept], [t for _, t in kept]
    _shared.refuse_existing(targets, force)
    values = _shared.read_options(options, mask, kernel)
    keywords = _shared.parse_values(overrides)
    loaded = load_prior(prior, dtype=dtype)

    groups: dict[tuple[int, ...], list[int]] = {}
    for i, path in enumerate(paths):
        y = _shared.read_measurement(path, task_name)
        groups.setdefault(y.shape, []).append(i)
    for shape, members in groups.items():
        y = np.empty(shape, np.float32)
        chosen = _shared.build_task(task_name, _shared.restored_shape(y, task_name, values), noise, values, seed)
        sampler = chosen.sampler(method, _shared.settings_for(prior, settings), **keywords)
        for start in range(0, len(members), batch_size):
            part = members[start : start + batch_size]
            ys = np.stack([_shared.read_measurement(paths[i], task_name) for i in part])
            best = np.full(len(part), np.inf)
            result: dict[int, np.ndarray] = {}
            try:
                for batch in restore_batches(
                    sampler,
                    loaded,
                    chosen.degradation,
                    ys,
                    key=jax.random.key(seed),
                    batch_size=batch_size,
                    num_samples=samples,
                    progress=not quiet,
                ):
                    for i, x, residual in zip(batch.image, batch.x, batch.residual, strict=True):
                        if residual < best[i]:
                            best[i], result[int(i)] = residual, x
            except DivergenceError as error:
                raise FloatingPointError(
                    f"{paths[part[error.image]]}: {error}, e.g. --set {error.setting}=..."
                ) from None
            for i, x in result.items():
                images.save(targets[part[i]], x, overwrite=force)
                click.echo(f"{targets[part[i]]}  residual {best[i]:.3f}")
