"""`jaxrestore restore`."""

import pathlib
from collections.abc import Iterable, Iterator, Sequence

import click
import jax
import numpy as np

from jaxrestore import images, parallel
from jaxrestore.cli import _shared
from jaxrestore.priors import Prior, TiledPrior, load_prior
from jaxrestore.restore import Batch, DivergenceError, RunningStatistics, restore_batches
from jaxrestore.storage.files import replacing
from jaxrestore.tasks import build_sampler

_TILE, _LARGEST_WHOLE = 256, 512  # pixels; networks know the sizes they were trained at, and memory is bounded


@click.command("restore")
@click.argument("source", type=click.Path(path_type=pathlib.Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=pathlib.Path), help="File, or folder for a folder."
)
@_shared.task_options
@_shared.method_options
@click.option("--dtype", default=None, type=click.Choice(["float32", "bfloat16"]), help="Compute dtype of the network.")
@click.option(
    "--save-std",
    is_flag=True,
    help="Write the mean of the samples, and beside it each pixel's standard deviation (NAME.std.png, .npy).",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@click.option(
    "--tile",
    type=click.IntRange(0),
    metavar="PIXELS",
    help="Show the prior overlapping tiles of this side; 0 shows whole pictures.  [default: 256 for pictures of more "
    "than 512 pixels a side]",
)
@click.option(
    "--distributed",
    metavar="WHERE",
    help="Restore this process's share of a folder: auto, or I/N@HOST:PORT for process I of N.",
)
@click.option("--skip-existing", is_flag=True, help="Leave out pictures whose result exists: goes on after a stop.")
def command(source, out, wanted, by, dtype, save_std, force, tile, distributed, skip_existing) -> None:
    """Restore the degraded picture SOURCE, or all pictures of a folder.

    Every file is written as soon as its batch is done. PNG, JPEG, WebP and TIFF, any size; amplitudes for phase
    retrieval as .npy. Several devices share each batch; for several processes see --distributed.

    \b
    jaxrestore restore small.png -o large.png --task super_resolution --option factor=4
    jaxrestore restore holes.png -o whole.png --task inpainting_random --mask mask.png
    """  # noqa: D301
    if distributed:
        parallel.join(distributed)
    paths = _shared.inputs(source, (*images.SUFFIXES, ".npy"))
    targets = _shared.outputs(paths, source, out)
    for target in targets:
        if target.suffix.lower() not in images.SUFFIXES:
            raise images.ImageError(f"{target} has suffix {target.suffix!r}, expected {', '.join(images.SUFFIXES)}")
    if save_std and by.samples < 2:
        raise click.UsageError("--save-std needs --samples of at least 2")
    mine = parallel.share(range(len(targets)))
    missing = [i for i in mine if not (skip_existing and targets[i].exists())]
    written = [targets[i] for i in missing]
    _shared.refuse_existing([*written, *(f for t in written if save_std for f in _std_files(t))], force)
    values = wanted.values()
    loaded = load_prior(by.prior, dtype=dtype)
    measurements = [_shared.read_measurement(paths[i], wanted.task_name) for i in missing]

    for group in _shared.by_shape(measurements).values():
        numbers = [missing[j] for j in group]  # places in the folder, whatever is skipped: they choose the keys
        ys = np.stack([measurements[j] for j in group])
        shape = _shared.restored_shape(ys[0], wanted.task_name, values)
        chosen = wanted.build(shape, values)
        sampler = build_sampler(by.method, by.settings_for(chosen))
        batches = restore_batches(
            sampler,
            _tiled(loaded, tile, shape),
            chosen.degradation,
            ys,
            key=wanted.key,
            batch_size=by.batch_size,
            num_samples=by.samples,
            indices=numbers,
            mesh=parallel.local_mesh(),
            progress=not by.quiet and jax.process_index() == 0,
        )
        try:
            if save_std:
                for i, mean, std in _statistics(batches, by.samples):
                    _save_statistics(targets[numbers[i]], mean, std, force)
            else:
                for i, x, residual in _best_samples(batches, by.samples):
                    target = targets[numbers[i]]
                    images.save(target, x, overwrite=force)
                    click.echo(f"{target}  residual {residual:.3f}")
        except DivergenceError as error:
            raise FloatingPointError(
                f"{paths[numbers[error.image]]}: {error}, e.g. --set {error.setting}=..."
            ) from None


def _tiled(prior: Prior, tile: int | None, shape: Sequence[int]) -> Prior:
    """The prior as it sees pictures of this shape."""
    if tile is None:
        tile = _TILE if max(shape[:2]) > _LARGEST_WHOLE else 0
    return TiledPrior(prior, tile=tile, overlap=tile // 4) if tile else prior


def _best_samples(batches: Iterable[Batch], samples: int) -> Iterator[tuple[int, np.ndarray, float]]:
    """Index, picture and residual of each image's best sample, as soon as its last one is done."""
    best, chosen = np.inf, None
    for batch in batches:
        for i, sample, x, residual in zip(*batch, strict=True):
            if chosen is None or residual < best:
                best, chosen = residual, x
            if sample == samples - 1:
                yield int(i), chosen, float(best)
                best, chosen = np.inf, None


def _statistics(batches: Iterable[Batch], samples: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Index, mean and standard deviation of each image, as soon as its last sample is done."""
    running = RunningStatistics()
    for batch in batches:
        for i, sample, x, _ in zip(*batch, strict=True):
            running.add(x)
            if sample == samples - 1:
                yield int(i), running.mean, running.std
                running = RunningStatistics()


def _std_files(target: pathlib.Path) -> list[pathlib.Path]:
    return [target.with_name(f"{target.stem}.std{suffix}") for suffix in (".png", ".npy")]


def _save_statistics(target: pathlib.Path, mean: np.ndarray, std: np.ndarray, force: bool) -> None:
    """The mean as the result; beside it the spread, as an array and as a picture, white where it is largest."""
    picture, array = _std_files(target)
    white = max(float(np.percentile(std, 99)), 1e-6)
    images.save(picture, 2.0 * std / white - 1.0, overwrite=force)
    with replacing(array) as temporary, open(temporary, "wb") as file:
        np.save(file, std)
    images.save(target, mean, overwrite=force)
    click.echo(
        f"{target}  standard deviation {float(np.sqrt(np.mean(std**2))):.4f}, white in {picture.name} is {white:.4f}"
    )
