"""`jaxrestore restore`."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click
import jax
import numpy as np

from jaxrestore import images, parallel
from jaxrestore.cli import _failures, _files, _prior
from jaxrestore.cli._method_choice import MethodChoice, method_options
from jaxrestore.cli._options import PATH, force_option, out_option
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options
from jaxrestore.credible import Calibration
from jaxrestore.degradation import Degradation
from jaxrestore.priors import Prior, TiledPrior
from jaxrestore.restore import Divergence, Sample, best_samples, each_sample, moments
from jaxrestore.samplers import Sampler
from jaxrestore.streaming import restore_batches

_TILE, _LARGEST_WHOLE = 256, 512  # pixels; networks know the sizes they were trained at, and memory is bounded


class Job(NamedTuple):
    """A picture to restore."""

    source: pathlib.Path
    target: pathlib.Path
    index: int  # its place in the folder, whatever is skipped: it chooses the key
    y: np.ndarray  # (H, W, C), the measurement
    like: images.Picture | None  # what the result keeps of its file: depth, transparency, ...; None for arrays


@click.command("restore")
@click.argument("source", type=PATH)
@out_option
@task_options
@method_options
@click.option(
    "--dtype",
    default=None,
    type=click.Choice(["float32", "bfloat16"]),
    help="Number format that the network computes in; bfloat16 suits GPUs and TPUs.  [default: the prior's]",
)
@click.option(
    "--save-std",
    is_flag=True,
    help="Write the mean of the samples, and beside it each pixel's standard deviation (NAME.std.png, .npy), "
    "calibrated if --settings names a file of `jaxrestore calibrate`.",
)
@force_option
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
def command(
    source: pathlib.Path,
    out: pathlib.Path,
    task_choice: TaskChoice,
    method_choice: MethodChoice,
    dtype: str | None,
    save_std: bool,
    force: bool,
    tile: int | None,
    distributed: str | None,
    skip_existing: bool,
) -> None:
    """Restore the degraded picture SOURCE, or all pictures of a folder.

    Every file is written as soon as its batch is done. PNG, JPEG, WebP and TIFF, any size; amplitudes for phase
    retrieval as .npy. Results keep what their format can of SOURCE: 16 bits, grey, transparency (inpainting fills it
    in), resolution and texts; colours are sRGB. A picture that diverges does not keep the others from being restored:
    it is named at the end. Several devices share each batch; for several processes see --distributed.

    \b
    jaxrestore restore small.png -o large.png --task super_resolution --option factor=4
    jaxrestore restore holes.png -o whole.png --task inpainting_random --mask mask.png
    """  # noqa: D301
    if distributed:
        parallel.join(distributed)
    if save_std and method_choice.samples < 2:
        raise click.UsageError("--save-std needs --samples of at least 2")
    paths = _files.inputs(source, (*images.SUFFIXES, ".npy"))
    targets = _files.outputs(paths, source, out)
    for target in targets:
        _files.check_suffix(target)
    indices = [i for i in parallel.share(range(len(paths))) if not (skip_existing and targets[i].exists())]
    written = [targets[i] for i in indices]
    _files.refuse_existing([*written, *(f for t in written if save_std for f in _std_files(t))], force)
    options = task_choice.read_options()
    calibration = method_choice.load_calibration(task_choice, options) if save_std else None
    prior, channels = method_choice.load_prior(dtype=dtype)
    jobs = [Job(paths[i], targets[i], i, *_read(paths[i], channels, task_choice, options)) for i in indices]

    # All tasks and samplers are made, and so all options checked, before the first picture is restored.
    plans = [_plan(group, task_choice, method_choice, options) for group in _groups(jobs)]
    failed: list[_failures.FailedSample] = []
    restored: set[pathlib.Path] = set()
    for group, degradation, sampler in plans:
        divergences: list[Divergence] = []
        batches = restore_batches(
            sampler,
            _tiled(prior, tile, degradation.image_shape),
            degradation,
            np.stack([job.y for job in group]),
            key=key_for("sampler", task_choice.seed),
            batch_size=method_choice.batch_size,
            num_samples=method_choice.samples,
            indices=[job.index for job in group],
            mesh=parallel.local_mesh(),
            progress=not method_choice.quiet and jax.process_index() == 0,
        )
        for image, line in _save_results(each_sample(batches, divergences), group, save_std, calibration, force):
            restored.add(group[image].source)
            click.echo(line)
        failed += _failures.failed_samples(divergences, [job.source for job in group])
    _failures.raise_failed(failed, restored, len(jobs), method_choice.advice)


def _read(
    path: pathlib.Path, channels: int, task_choice: TaskChoice, options: Mapping[str, Any]
) -> tuple[np.ndarray, images.Picture | None]:
    """A measurement, without the border that the task cannot treat, and what its result is to be kept like."""
    definition = task_choice.definition
    (y, like), multiple = _files.read_measurement(path, definition), definition.multiple(options)
    y = _prior.known_measurement(y, channels, definition, path)
    try:
        height, width, _ = definition.image_shape(y.shape, options)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if height % multiple or width % multiple:
        # Such an image has the sides of its measurement: those that are enlarged are multiples of their factor.
        y = _files.crop(y, multiple, path)
        if like is not None and like.alpha is not None:
            like = dataclasses.replace(like, alpha=_files.crop(like.alpha, multiple, path))
        click.echo(f"{path} is cut to {y.shape[0]}x{y.shape[1]}: sides must be multiples of {multiple}", err=True)
    return y, like


def _groups(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs whose measurements are of one shape: they are restored together."""
    return [[jobs[i] for i in members] for members in _files.indices_by_shape([job.y for job in jobs]).values()]


def _plan(
    group: list[Job], task_choice: TaskChoice, method_choice: MethodChoice, options: Mapping[str, Any]
) -> tuple[list[Job], Degradation, Sampler]:
    """A group of jobs with what made their measurements, and what restores them."""
    task = task_choice.build(task_choice.definition.image_shape(group[0].y.shape, options), options)
    return group, task.degradation, method_choice.method.build(**method_choice.settings_for(task))


def _tiled(prior: Prior, tile: int | None, shape: Sequence[int]) -> Prior:
    """The prior as it sees pictures of this shape."""
    if tile is None:
        tile = _TILE if max(shape[:2]) > _LARGEST_WHOLE else 0
    return TiledPrior(prior, tile=tile, overlap=tile // 4) if tile else prior


def _save_results(
    samples: Iterator[Sample], group: Sequence[Job], save_std: bool, calibration: Calibration | None, force: bool
) -> Iterator[tuple[int, str]]:
    """Write each result of a group as soon as it is there; its place in the group, and a line that says so."""
    if save_std:
        for found in moments(samples):
            std = found.std if calibration is None else np.float32(calibration.scale) * found.std
            line = _save_moments(group[found.image], found.mean, std, force)
            yield found.image, line if calibration is None else f"{line}, calibrated by {calibration.scale:.2f}"
    else:
        for best in best_samples(samples):
            job = group[best.image]
            _files.save_result(job.target, best.x, job.like, force)
            yield best.image, f"{job.target}  residual {best.residual:.3f}"


def _std_files(target: pathlib.Path) -> list[pathlib.Path]:
    return [target.with_name(f"{target.stem}.std{suffix}") for suffix in (".png", ".npy")]


def _save_moments(job: Job, mean: np.ndarray, std: np.ndarray, force: bool) -> str:
    """The mean as the result; beside it the spread, as an array and as a picture, white where it is largest."""
    picture, array = _std_files(job.target)
    white = max(float(np.percentile(std, 99)), 1e-6)
    images.save(picture, 2.0 * std / white - 1.0, overwrite=force)
    _files.save_array(array, std)
    _files.save_result(job.target, mean, job.like, force)
    spread = float(np.sqrt(np.mean(std**2)))
    return f"{job.target}  standard deviation {spread:.4f}, white in {picture.name} is {white:.4f}"
