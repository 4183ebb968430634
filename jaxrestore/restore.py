"""Restoring many images: batches, progress, posterior samples, divergence."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrestore import _checks, parallel
from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._base import Sampler, batch_axes

_REPORTS = 50  # pieces of a run between looks at the device: often enough for a bar, too few to slow the loop
KEEP = ("all", "best")


class DivergenceError(FloatingPointError):
    """A sampler's state stopped being finite."""

    def __init__(self, image: int, sample: int, step: int, setting: str) -> None:
        self.image, self.sample, self.step, self.setting = image, sample, step, setting
        super().__init__(
            f"image {image} (posterior sample {sample}) diverged at step {step}: its state is no longer finite. "
            f"Lower {setting}; check also that y is on the [-1, 1] scale and that the operator is the one that made it"
        )


class Batch(NamedTuple):
    """Finished posterior samples, in order."""

    image: np.ndarray  # (B,), int, index of the image each sample belongs to
    sample: np.ndarray  # (B,), int, which of its samples
    x: np.ndarray  # (B, H, W, C), float32
    residual: np.ndarray  # (B,), ||A(x) - y||_2


def restore(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    ys: jax.Array | np.ndarray,
    *,
    key: jax.Array,
    batch_size: int = 8,
    num_samples: int = 1,
    keep: str = "all",
    batched_degradation: bool = False,
    mesh: Mesh | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Restore a stack of measurements in device batches.

    Sample s of image i uses `fold_in(fold_in(key, i), s)`, so a result does not depend on `batch_size`, nor on which
    other images are there.

    Args:
      sampler: From `jaxrestore.spgd` and its kind.
      prior: What images look like.
      degradation: How the measurements were made.
      ys: (N, *degradation.measurement_shape), float32.
      key: All randomness.
      batch_size: Samples on the device at a time; memory grows with it.
      num_samples: Posterior samples for each image.
      keep: "all" samples, or for each image the "best", with the smallest residual ||A(x) - y||: phase retrieval needs
        the best of about 4.
      batched_degradation: The degradation's arrays have a leading axis N: each image has its own mask or kernel.
      mesh: Devices of this process over which batches are spread, e.g. `jaxrestore.parallel.batch_mesh()`; `batch_size`
        is rounded up to a multiple of their number. Parameters are on each device, or spread where they would fill
        more than half of one (`jaxrestore.parallel.place_prior`). None uses the default device.
      progress: Show a bar with rate and time left.

    Returns:
      (N, H, W, C), or (N, num_samples, H, W, C) where several samples are kept; float32, not clipped.

    Raises:
      ValueError: If a shape or setting does not fit.
      TypeError: If `ys` is no floating array.
      DivergenceError: If a state stops being finite.
    """
    _checks.one_of("keep", keep, KEEP)
    shape = _first(degradation, batched_degradation).image_shape
    images = np.zeros((len(ys), num_samples, *shape), np.float32)
    residuals = np.full((len(ys), num_samples), np.inf)
    for batch in restore_batches(
        sampler,
        prior,
        degradation,
        ys,
        key=key,
        batch_size=batch_size,
        num_samples=num_samples,
        batched_degradation=batched_degradation,
        mesh=mesh,
        progress=progress,
    ):
        images[batch.image, batch.sample] = batch.x
        residuals[batch.image, batch.sample] = batch.residual
    if keep == "best":
        return images[np.arange(len(ys)), residuals.argmin(1)]
    return images[:, 0] if num_samples == 1 else images


class PosteriorStatistics(NamedTuple):
    """Of the posterior samples of each image, pixel by pixel."""

    mean: np.ndarray  # (N, H, W, C), float32: the estimate of least squared error
    std: np.ndarray  # (N, H, W, C), float32: how sure the sampler is


class RunningStatistics:
    """Mean and standard deviation of arrays that come one by one, none of which is kept (Welford 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = self._squares = np.float64(0.0)

    def add(self, x: np.ndarray) -> None:
        """Take in one array."""
        self.count += 1
        difference = np.asarray(x, np.float64) - self._mean
        self._mean = self._mean + difference / self.count
        self._squares = self._squares + difference * (x - self._mean)

    @property
    def mean(self) -> np.ndarray:
        """float32."""
        return np.asarray(self._mean, np.float32)

    @property
    def std(self) -> np.ndarray:
        """Unbiased (divided by one less than their number), float32."""
        return np.sqrt(self._squares / max(self.count - 1, 1)).astype(np.float32)


def posterior_statistics(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    ys: jax.Array | np.ndarray,
    *,
    key: jax.Array,
    num_samples: int = 8,
    batch_size: int = 8,
    batched_degradation: bool = False,
    mesh: Mesh | None = None,
    progress: bool = False,
) -> PosteriorStatistics:
    """Mean and standard deviation of each pixel over posterior samples; memory does not grow with their number.

    The samples are those of `restore` with the same key. How far the spread can be trusted depends on the sampler:
    `benchmarks/posterior.py` measures it.

    Args:
      sampler: From `jaxrestore.spgd` and its kind.
      prior: What images look like.
      degradation: How the measurements were made.
      ys: (N, *degradation.measurement_shape), float32.
      key: All randomness.
      num_samples: For each image, at least 2.
      batch_size: Samples on the device at a time.
      batched_degradation: The degradation's arrays have a leading axis N.
      mesh: Devices over which batches are spread, as for `restore`.
      progress: Show a bar with rate and time left.

    Raises:
      ValueError: If a shape or setting does not fit.
      TypeError: If `ys` is no floating array.
      DivergenceError: If a state stops being finite.
    """
    _checks.at_least("num_samples", num_samples, 2)
    running = [RunningStatistics() for _ in range(len(ys))]
    for batch in restore_batches(
        sampler,
        prior,
        degradation,
        ys,
        key=key,
        batch_size=batch_size,
        num_samples=num_samples,
        batched_degradation=batched_degradation,
        mesh=mesh,
        progress=progress,
    ):
        for i, x in zip(batch.image, batch.x, strict=True):
            running[i].add(x)
    return PosteriorStatistics(np.stack([r.mean for r in running]), np.stack([r.std for r in running]))


def restore_batches(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    ys: jax.Array | np.ndarray,
    *,
    key: jax.Array,
    batch_size: int = 8,
    num_samples: int = 1,
    batched_degradation: bool = False,
    indices: Sequence[int] | None = None,
    mesh: Mesh | None = None,
    progress: bool = False,
) -> Iterator[Batch]:
    """`restore` as an iterator over finished batches, for saving results as they come.

    Arguments and errors are those of `restore`; they are checked at the first `next`. `indices` (N,) replaces the
    images' own positions as the i of their keys: a part of a collection then gives what the whole would.
    """
    _checks.at_least("batch_size", batch_size, 1)
    _checks.at_least("num_samples", num_samples, 1)
    single = _first(degradation, batched_degradation)
    if not hasattr(ys, "shape") or len(ys.shape) != len(single.measurement_shape) + 1:
        raise ValueError(
            f"ys has shape {getattr(ys, 'shape', None)}, expected (N, {', '.join(map(str, single.measurement_shape))})"
            "; for one measurement use ys[None]"
        )
    if len(ys) == 0:
        raise ValueError("ys holds no measurement")
    _checks.array("one measurement of ys", ys[0], single.measurement_shape)
    if batched_degradation and any(len(a) != len(ys) for a in jax.tree.leaves(degradation)):
        raise ValueError(f"the degradation's arrays need a leading axis of {len(ys)}, one entry for each measurement")
    if not np.isfinite(np.asarray(ys)).all():
        raise ValueError("ys has values that are not finite")

    if indices is not None and len(indices) != len(ys):
        raise ValueError(f"indices has {len(indices)} entries, expected {len(ys)}, one for each measurement")
    numbers = np.arange(len(ys)) if indices is None else np.asarray(indices)

    jobs = [(i, s) for i in range(len(ys)) for s in range(num_samples)]
    size = min(batch_size, len(jobs))
    if mesh is not None:
        size = -(-size // mesh.size) * mesh.size
        prior = parallel.place_prior(prior, mesh)
        degradation = degradation if batched_degradation else parallel.replicate(degradation, mesh)
    count = -(-len(jobs) // size)
    with _bar(sampler.num_steps * count, enabled=progress) as advance_bar:
        for start in range(0, len(jobs), size):
            job = np.array(jobs[start : start + size])
            # The last batch is filled up with its own last job, so that it needs no program of its own.
            filled = np.concatenate([job, np.repeat(job[-1:], size - len(job), 0)])
            y = jnp.asarray(np.asarray(ys)[filled[:, 0]])
            local = _take(degradation, filled[:, 0]) if batched_degradation else degradation
            keys = jax.vmap(lambda i, s: jax.random.fold_in(jax.random.fold_in(key, i), s))(
                numbers[filled[:, 0]], filled[:, 1]
            )
            axis = 0 if batched_degradation else None
            if mesh is not None:
                keys, y = parallel.split_batch((keys, y), mesh)
                local = parallel.split_batch(local, mesh) if batched_degradation else local
            x, residual = _run(sampler, keys, prior, local, y, axis, job, mesh, advance_bar)
            yield Batch(job[:, 0], job[:, 1], x[: len(job)], residual[: len(job)])


def _run(sampler, keys, prior, degradation, y, axis, job, mesh, advance_bar) -> tuple[np.ndarray, np.ndarray]:
    """One batch from its start to its end, in pieces."""
    state = _start(sampler, axis, keys, prior, degradation, y)
    broken = jnp.full(len(y), -1, jnp.int32)
    if mesh is not None:
        # Zeros in the first state would lie whole on every device, and the loop be compiled once more for them.
        split, broken = parallel.split_batch((state._replace(index=None), broken), mesh)
        state = split._replace(index=state.index)
    piece = max(1, -(-sampler.num_steps // _REPORTS))
    done, reported = 0, 0
    while done < sampler.num_steps:
        steps = min(piece, sampler.num_steps - done)
        previous = broken
        state, broken = _advance(sampler, axis, state, broken, prior, degradation, y, jnp.int32(steps))
        done += steps
        # Look at the piece before, while this one runs: the device never waits for the host.
        _raise_if_broken(previous, job, sampler)
        advance_bar(done - steps - reported)
        reported = done - steps
    _raise_if_broken(broken, job, sampler)
    x, residual = _finish(axis, state.x, degradation, y)
    advance_bar(done - reported)
    return np.asarray(x), np.asarray(residual)


def _raise_if_broken(broken: jax.Array, job: np.ndarray, sampler: Sampler) -> None:
    steps = np.asarray(broken)[: len(job)]
    if (steps >= 0).any():
        first = int(np.argmax(steps >= 0))
        raise DivergenceError(int(job[first, 0]), int(job[first, 1]), int(steps[first]), sampler.setting)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _start(sampler: Sampler, axis: int | None, keys, prior, degradation, y):
    axes = batch_axes(jax.eval_shape(sampler.init, keys[0], prior, _first(degradation, axis == 0), y[0]))
    return jax.vmap(sampler.init, in_axes=(0, None, axis, 0), out_axes=axes)(keys, prior, degradation, y)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _advance(sampler: Sampler, axis: int | None, state, broken, prior, degradation, y, steps):
    """`steps` (traced: one program for all pieces) steps; `broken` keeps the first step with a value not finite."""
    axes = batch_axes(state)
    step = jax.vmap(lambda *args: sampler.step(*args)[0], in_axes=(axes, None, axis, 0), out_axes=axes)

    def body(_, carry):
        state, broken = carry
        advanced = step(state, prior, degradation, y)
        finite = jnp.isfinite(advanced.x).all(range(1, advanced.x.ndim))
        return advanced, jnp.where((broken < 0) & ~finite, state.index, broken)

    return jax.lax.fori_loop(0, steps, body, (state, broken))


@functools.partial(jax.jit, static_argnums=0)
def _finish(axis: int | None, x, degradation, y):
    def residual(x, degradation, y):
        return jnp.linalg.norm((degradation.operator(x) - y).ravel())

    return x, jax.vmap(residual, in_axes=(0, axis, 0))(x, degradation, y)


def _first(degradation: Degradation, batched: bool) -> Degradation:
    """The degradation of the first image."""
    return _take(degradation, 0) if batched else degradation


def _take(degradation: Degradation, index: Any) -> Degradation:
    return jax.tree.map(lambda a: a[index], degradation)


@contextlib.contextmanager
def _bar(total: int, *, enabled: bool) -> Iterator[Any]:
    """A function that advances a progress bar, or does nothing."""
    if not enabled:
        yield lambda steps: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Rate(TextColumn):
        def render(self, task):
            speed = task.finished_speed or task.speed
            self.text_format = f"{speed:.2f} steps/s" if speed else "compiling"
            return super().render(task)

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        Rate(""),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(TextColumn("restoring"), *columns, speed_estimate_period=120) as bar:
        task = bar.add_task("", total=total)
        yield lambda steps: bar.advance(task, steps)
