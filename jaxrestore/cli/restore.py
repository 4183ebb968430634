"""`jaxrestore restore`."""

import functools
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click
import jax
import numpy as np

from jaxrestore import estimates, images, parallel, stopping
from jaxrestore.cli import _estimates, _files, _jobs, _stored, _targets
from jaxrestore.cli._failures import Failures
from jaxrestore.cli._jobs import Job
from jaxrestore.cli._method_choice import MethodChoice, method_options
from jaxrestore.cli._options import PATH, force_option, out_option, strict_option
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options
from jaxrestore.credible import Calibration
from jaxrestore.degradation import Degradation
from jaxrestore.priors import Prior, TiledPrior
from jaxrestore.restore import Divergence, Moments, Sample, StreamOptions, best_samples, each_sample, moments
from jaxrestore.samplers import Sampler
from jaxrestore.scale import ScaleWarning, doubts
from jaxrestore.streaming import restore_batches

_TILE, _LARGEST_WHOLE = 256, 512  # pixels; networks know the sizes they were trained at, and memory is bounded
_SAVING = 20.0  # seconds that a signal leaves for writing what is restored already


class Plan(NamedTuple):
    """Pictures that are restored together, and how."""

    group: list[Job]
    degradation: Degradation
    sampler: Sampler
    calibration: Calibration | None  # of the deviations that are saved beside the results


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
    help="Join the other processes of a cluster first, and restore this one's share: auto, or I/N@HOST:PORT. Needed "
    "where devices can only be used all together, as the hosts of a TPU; else --share is enough.",
)
@click.option(
    "--share",
    metavar="I/N",
    help="Restore this process's share of a folder, I from 0 to N - 1, or auto under SLURM and MPI. Shares know "
    "nothing of each other: one that fails stops nobody, and with --skip-existing another takes its place.",
)
@click.option("--skip-existing", is_flag=True, help="Leave out pictures whose result exists: goes on after a stop.")
@click.option(
    "--estimate", is_flag=True, help="Compile, do one step, say what the run would cost in memory and time, and stop."
)
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
    share: str | None,
    skip_existing: bool,
    estimate: bool,
    strict: bool,
) -> None:
    """Restore the degraded picture SOURCE, or all pictures of a folder.

    Every file is written as soon as its batch is done. PNG, JPEG, WebP and TIFF, any size; amplitudes for phase
    retrieval as .npy. Results keep what their format can of SOURCE: 16 bits, grey, transparency (inpainting fills it
    in), resolution and texts; colours are sRGB. Masks and kernels are named, or lie beside the pictures as `degrade`
    writes them; JPEG files tell their quality. A picture that cannot be read or written, or diverges, does not keep the
    others from being restored: it is named at the end, and the exit code is 1. Several devices share each batch;
    several processes take --share of a folder. Pictures are read when it is their turn, and the batch size follows from
    the memory that is free.

    \b
    jaxrestore restore small.png -o large.png --task super_resolution --option factor=4
    jaxrestore restore holes.png -o whole.png --task inpainting_random --mask mask.png
    """  # noqa: D301
    if distributed and share:
        raise click.UsageError("--share and --distributed both say which share is meant; give one of them")
    if distributed:
        parallel.join(distributed)
    place = parallel.place(share) if share else (None, None)
    if save_std and method_choice.samples < 2:
        raise click.UsageError("--save-std needs --samples of at least 2")
    paths = _files.inputs(source, (*images.SUFFIXES, ".npy"))
    targets = _targets.outputs(paths, source, out)
    _targets.check_suffixes(targets, or_folder=True)
    _targets.check_distinct(_results(targets, save_std))  # whatever this process's share is
    mine = parallel.share(range(len(paths)), *place)
    indices = [i for i in mine if not (skip_existing and os.path.exists(targets[i]))]
    replacing = force or skip_existing  # deviations without their result are of a run that was stopped between them
    _targets.check([] if estimate else _results([targets[i] for i in indices], save_std), replacing)
    options = task_choice.read_options(draws=False)
    if task_choice.noise is not None:
        method_choice.warn_of_idle_noise()
    prior, channels = method_choice.load_prior(dtype=dtype)

    @functools.cache
    def options_of(path: pathlib.Path) -> dict[str, Any]:
        return task_choice.options_of(path, options)

    @functools.cache
    def made_as(path: pathlib.Path) -> str:
        return _jobs.made_as(path, task_choice, options_of(path))

    def read(path: pathlib.Path, say: Callable[[str], Any]) -> tuple[np.ndarray, images.Picture | None]:
        return _jobs.read(path, channels, task_choice, options_of(path), say)

    failures = Failures(len(indices), strict=strict, advice=method_choice.advice)
    jobs = []
    for i in indices:
        # Every picture is looked at before the first is restored, and read again when its batch's turn comes.
        with failures.of(paths[i]):
            jobs.append(_jobs.job(paths[i], targets[i], i, read, task_choice, options_of(paths[i])))
            _jobs.say_told(jobs[-1], options)

    # All tasks and samplers are made, and so all options checked, before the first picture is restored.
    plans = []
    for group in _jobs.groups(jobs):
        with failures.of(*(job.source for job in group)):
            plans.append(_plan(group, task_choice, method_choice, calibrated=save_std))
    failures.check_some_left(len(plans))

    def stack_of(group: Sequence[Job]) -> _stored.Measurements:
        return _stored.Measurements([j.source for j in group], group[0].shape, lambda path: read(path, lambda _: None))

    for plan in plans:
        _warn_of_scale(plan, stack_of(plan.group))
    if not estimate:
        _targets.check_room(out, _to_be_written(plans, save_std))
    with failures.told(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ScaleWarning)  # the library's, which knows no files, and doubts bright pictures
        for group, degradation, sampler, calibration in plans:
            stack = stack_of(group)
            arguments = (sampler, _tiled(prior, tile, degradation.image_shape), degradation, stack)
            batching: StreamOptions = {
                "batch_size": method_choice.batch_size,
                "num_samples": method_choice.samples,
                "indices": [job.index for job in group],
                "collection": _stored.count_alike(paths, group[0].source, made_as),
                "mesh": parallel.local_mesh(),
            }
            key = key_for("sampler", task_choice.seed)
            if estimate:
                task = task_choice.build(degradation.image_shape, group[0].options, group[0].drawn)
                cost = method_choice.cost(method_choice.settings_for(task))
                found = estimates.estimate(*arguments, key=key, **batching)
                click.echo("\n".join(_estimates.lines(len(group), degradation.image_shape, cost, found)))
                continue

            def is_wanted(row: int, group: Sequence[Job] = group) -> bool:
                """Whether nobody else has restored it meanwhile."""
                return not (skip_existing and os.path.exists(group[row].target))

            batching["wanted"] = is_wanted
            batching["progress"] = not method_choice.quiet and jax.process_index() == 0
            divergences: list[Divergence] = []
            samples, restored = each_sample(restore_batches(*arguments, key=key, **batching), divergences), []
            for result in moments(samples) if save_std else best_samples(samples):
                job, like = group[result.image], stack.take_like(result.image)
                with failures.of(job.source), stopping.patience(_SAVING):
                    is_here = not is_wanted(result.image)
                    click.echo(
                        f"{job.target} is there now" if is_here else _save(job, like, result, calibration, replacing)
                    )
                    restored.append(job.source)
            failures.note_divergences(divergences, [job.source for job in group], restored)


def _plan(group: list[Job], task_choice: TaskChoice, method_choice: MethodChoice, *, calibrated: bool) -> Plan:
    """A group of jobs with what made their measurements, what restores them, and how their deviations are scaled."""
    shape = task_choice.definition.image_shape(group[0].shape, group[0].options)
    task = task_choice.build(shape, group[0].options, group[0].drawn)
    sampler = method_choice.method.build(**method_choice.settings_for(task))
    # What a file tells of itself, such as the quality of a JPEG, is part of what a calibration is for.
    calibration = method_choice.load_calibration(task_choice, group[0].options) if calibrated else None
    return Plan(group, task.degradation, sampler, calibration)


def _warn_of_scale(plan: Plan, stack: _stored.Measurements) -> None:
    """Name arrays that seem to be on another scale; pictures say themselves what their black and white are."""
    arrays = [i for i, job in enumerate(plan.group) if job.like is None]
    for i, reason in doubts(plan.degradation, (stack[i] for i in arrays)).items():
        warnings.warn(f"{plan.group[arrays[i]].source} {reason}", ScaleWarning, stacklevel=2)


def _to_be_written(plans: Sequence[Plan], save_std: bool) -> Iterator[tuple[pathlib.Path, tuple[int, int, int], int]]:
    """Files, and shape and depth of what goes into them."""
    for group, degradation, *_ in plans:
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


def _save(
    job: Job, like: images.Picture | None, result: Sample | Moments, calibration: Calibration | None, force: bool
) -> str:
    """Write a result; a line that says so."""
    if isinstance(result, Moments):
        std = result.std if calibration is None else np.float32(calibration.scale) * result.std
        line = _save_moments(job, like, result.mean, std, force)
        return line if calibration is None else f"{line}, calibrated by {calibration.scale:.2f}"
    _files.save_result(job.target, result.x, like, force)
    return f"{job.target}  residual {result.residual:.3f}"


def _std_files(target: pathlib.Path) -> list[pathlib.Path]:
    return [target.with_name(f"{target.stem}.std{suffix}") for suffix in (".png", ".npy")]


def _results(targets: Sequence[pathlib.Path], save_std: bool) -> list[pathlib.Path]:
    """The files of these results, deviations included."""
    return [file for target in targets for file in (target, *(_std_files(target) if save_std else ()))]


def _save_moments(job: Job, like: images.Picture | None, mean: np.ndarray, std: np.ndarray, force: bool) -> str:
    """The mean as the result; beside it the spread, as an array and as a picture, white where it is largest."""
    picture, array = _std_files(job.target)
    white = max(float(np.percentile(std, 99)), 1e-6)
    images.save(picture, 2.0 * std / white - 1.0, overwrite=force)
    _files.save_array(array, std)
    _files.save_result(job.target, mean, like, force)
    spread = float(np.sqrt(np.mean(std**2)))
    return f"{job.target}  standard deviation {spread:.4f}, white in {picture.name} is {white:.4f}"
