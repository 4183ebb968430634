"""`jaxrestore restore`."""

import hashlib
import os
import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click
import jax
import numpy as np

from jaxrestore import images, parallel
from jaxrestore.cli import _files, _prior, _targets
from jaxrestore.cli._failures import Failures
from jaxrestore.cli._method_choice import MethodChoice, method_options
from jaxrestore.cli._options import PATH, force_option, out_option, strict_option
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options
from jaxrestore.degradation import Degradation
from jaxrestore.priors import Prior, TiledPrior
from jaxrestore.restore import Divergence, Moments, Sample, best_samples, each_sample, moments
from jaxrestore.samplers import Sampler
from jaxrestore.scale import ScaleWarning, doubts
from jaxrestore.streaming import restore_batches

_TILE, _LARGEST_WHOLE = 256, 512  # pixels; networks know the sizes they were trained at, and memory is bounded


class Job(NamedTuple):
    """A picture to restore."""

    source: pathlib.Path
    target: pathlib.Path
    index: int  # its place in the folder, whatever is skipped: it chooses the key
    y: np.ndarray  # (H, W, C), the measurement
    like: images.Picture | None  # what the result keeps of its file: depth, transparency, ...; None for arrays
    drawn: pathlib.Path | None  # the file of its mask or kernel, for tasks that have one
    drawn_as: str | None  # what tells this file from those of others


class Plan(NamedTuple):
    """Pictures that are restored together, and how."""

    group: list[Job]
    degradation: Degradation
    sampler: Sampler


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
    help="Write the mean of the samples, and beside it each pixel's standard deviation (NAME.std.png, .npy).",
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
@strict_option
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
    strict: bool,
) -> None:
    """Restore the degraded picture SOURCE, or all pictures of a folder.

    Every file is written as soon as its batch is done. PNG, JPEG, WebP and TIFF, any size; amplitudes for phase
    retrieval as .npy. Results keep what their format can of SOURCE: 16 bits, grey, transparency (inpainting fills it
    in), resolution and texts; colours are sRGB. Masks and kernels are named, or lie beside the pictures as `degrade`
    writes them. A picture that cannot be read or written, or diverges, does not keep the others from being restored: it
    is named at the end, and the exit code is 1. Several devices share each batch; for several processes see
    --distributed.

    \b
    jaxrestore restore small.png -o large.png --task super_resolution --option factor=4
    jaxrestore restore holes.png -o whole.png --task inpainting_random --mask mask.png
    """  # noqa: D301
    if distributed:
        parallel.join(distributed)
    if save_std and method_choice.samples < 2:
        raise click.UsageError("--save-std needs --samples of at least 2")
    paths = _files.inputs(source, (*images.SUFFIXES, ".npy"))
    targets = _targets.outputs(paths, source, out)
    _targets.check_suffixes(targets)
    indices = [i for i in parallel.share(range(len(paths))) if not (skip_existing and os.path.exists(targets[i]))]
    written = [targets[i] for i in indices]
    _targets.check([*written, *(f for t in written if save_std for f in _std_files(t))], force)
    options = task_choice.read_options(draws=False)
    if task_choice.noise is not None:
        method_choice.warn_of_idle_noise()
    prior, channels = method_choice.load_prior(dtype=dtype)
    failures = Failures(len(indices), strict=strict, advice=method_choice.advice)
    jobs = []
    for i in indices:
        with failures.of(paths[i]):
            jobs.append(_read(paths[i], targets[i], i, channels, task_choice, options))

    # All tasks and samplers are made, and so all options checked, before the first picture is restored.
    plans = []
    for group in _groups(jobs):
        with failures.of(*(job.source for job in group)):
            plans.append(_plan(group, task_choice, method_choice, options))
    failures.check_some_left(len(plans))
    for plan in plans:
        _warn_of_scale(plan)
    _targets.check_room(out, _to_be_written(plans, save_std))
    with failures.told(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ScaleWarning)  # the library's, which knows no files, and doubts bright pictures
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
            samples, restored = each_sample(batches, divergences), []
            for result in moments(samples) if save_std else best_samples(samples):
                job = group[result.image]
                with failures.of(job.source):
                    click.echo(_save(job, result, force))
                    restored.append(job.source)
            failures.note_divergences(divergences, [job.source for job in group], restored)


def _read(
    path: pathlib.Path,
    target: pathlib.Path,
    index: int,
    channels: int,
    task_choice: TaskChoice,
    options: Mapping[str, Any],
) -> Job:
    """A picture with its measurement, without the border that the task cannot treat."""
    definition = task_choice.definition
    drawn = task_choice.find_drawn(path)
    (y, like), multiple = _files.read_measurement(path, definition), definition.multiple(options)
    y = _prior.known_measurement(y, channels, definition, path)
    try:
        shape = definition.image_shape(y.shape, options)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if shape[0] % multiple or shape[1] % multiple:
        # Such an image has the sides of its measurement: those that are enlarged are multiples of their factor.
        def part(pixels: np.ndarray) -> np.ndarray:
            return images.crop_to_multiple(pixels, multiple)

        y = _files.cut(images.Picture(y), part, path).pixels
        like = like and like.cut(part)
        shape = definition.image_shape(y.shape, options)
        click.echo(f"{path} is cut to {y.shape[0]}x{y.shape[1]}: sides must be multiples of {multiple}", err=True)
    _targets.check_sides(target, shape)
    drawn_as = None if drawn is None else hashlib.sha256(drawn.read_bytes()).hexdigest()
    return Job(path, target, index, y, like, drawn, drawn_as)


def _groups(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs whose measurements are of one shape, and whose masks or kernels are equal: they are restored together."""
    groups: dict[tuple[Any, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.y.shape, job.drawn_as), []).append(job)
    return list(groups.values())


def _plan(group: list[Job], task_choice: TaskChoice, method_choice: MethodChoice, options: Mapping[str, Any]) -> Plan:
    """A group of jobs with what made their measurements, and what restores them."""
    shape = task_choice.definition.image_shape(group[0].y.shape, options)
    task = task_choice.build(shape, options, group[0].drawn)
    return Plan(group, task.degradation, method_choice.method.build(**method_choice.settings_for(task)))


def _warn_of_scale(plan: Plan) -> None:
    """Name arrays that seem to be on another scale; pictures say themselves what their black and white are."""
    arrays = [job for job in plan.group if job.like is None]
    for i, reason in doubts(plan.degradation, (job.y for job in arrays)).items():
        warnings.warn(f"{arrays[i].source} {reason}", ScaleWarning, stacklevel=2)


def _to_be_written(plans: Sequence[Plan], save_std: bool) -> Iterator[tuple[pathlib.Path, tuple[int, int, int], int]]:
    """Files, and shape and depth of what goes into them."""
    for group, degradation, _ in plans:
        height, width, channels = degradation.image_shape
        for job in group:
            is_grey, depth = (False, 8) if job.like is None else (job.like.mode == "grey", job.like.depth)
            yield job.target, (height, width, 1 if is_grey else channels), depth
            if save_std:
                yield from ((path, degradation.image_shape, 8) for path in _std_files(job.target))


def _tiled(prior: Prior, tile: int | None, shape: Sequence[int]) -> Prior:
    """The prior as it sees pictures of this shape."""
    if tile is None:
        tile = _TILE if max(shape[:2]) > _LARGEST_WHOLE else 0
    return TiledPrior(prior, tile=tile, overlap=tile // 4) if tile else prior


def _save(job: Job, result: Sample | Moments, force: bool) -> str:
    """Write a result; a line that says so."""
    if isinstance(result, Moments):
        return _save_moments(job, result.mean, result.std, force)
    _files.save_result(job.target, result.x, job.like, force)
    return f"{job.target}  residual {result.residual:.3f}"


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
