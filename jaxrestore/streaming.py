"""Restoring many images as a stream of finished batches."""

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrestore import _checks, parallel, scale
from jaxrestore._progress import step_bar
from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._base import Sampler, batch_axes

_REPORTS = 50  # pieces of a run between looks at the device: often enough for a bar, too few to slow the loop


class Batch(NamedTuple):
    """Finished posterior samples, in order: all of the first image, then those of the next."""

    image: np.ndarray  # (B,), int, index of the image each sample belongs to
    sample: np.ndarray  # (B,), int, which of its samples
    last: np.ndarray  # (B,), bool, whether it is the last of its image
    x: np.ndarray  # (B, H, W, C), float32
    residual: np.ndarray  # (B,), ||A(x) - y||_2
    diverged: np.ndarray  # (B,), int, step at which the state stopped being finite; -1 where it stayed so


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
    """Restore a stack of measurements in device batches, and hand out each batch as it is done.

    Sample s of image i uses `fold_in(fold_in(key, i), s)`, so a result does not depend on `batch_size`, nor on which
    other images are there. An image that diverges is marked, and does not keep the others from being restored.

    Args:
      sampler: From `jaxrestore.spgd` and its kind.
      prior: What images look like.
      degradation: How the measurements were made.
      ys: (N, *degradation.measurement_shape), float32.
      key: Source of all random draws.
      batch_size: Samples on the device at a time; memory grows with it.
      num_samples: Posterior samples for each image.
      batched_degradation: The degradation's arrays have a leading axis N: each image has its own mask or kernel.
        Scalars, such as the strength of the noise, may have one too, or are shared by all images.
      indices: (N,), replaces the images' own positions as the i of their keys: a part of a collection then gives what
        the whole would.
      mesh: Devices of this process over which batches are spread, e.g. `jaxrestore.parallel.batch_mesh()`; `batch_size`
        is rounded up to a multiple of their number. Parameters are on each device, or spread where they would fill
        more than half of one (`jaxrestore.parallel.place_prior`). None uses the default device.
      progress: Show a bar with rate and time left.

    Returns:
      An iterator over the batches. Arguments are checked at its first `next`.

    Raises:
      ValueError: If a shape or setting does not fit.
      TypeError: If `ys` is no floating array.

    Warns:
      ScaleWarning: If measurements seem to be in [0, 1] or [0, 255] instead of [-1, 1].
    """
    _checks.at_least("batch_size", batch_size, 1)
    _checks.at_least("num_samples", num_samples, 1)
    _check_measurements(ys, degradation, batched_degradation)
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
    with step_bar(sampler.num_steps * count, enabled=progress) as advance_bar:
        for start in range(0, len(jobs), size):
            job = np.array(jobs[start : start + size])
            # The last batch is filled up with its own last job, so that it needs no program of its own.
            filled = np.concatenate([job, np.repeat(job[-1:], size - len(job), 0)])
            y = jnp.asarray(np.asarray(ys)[filled[:, 0]])
            local = _take(degradation, filled[:, 0]) if batched_degradation else degradation
            keys = jax.vmap(lambda i, s: jax.random.fold_in(jax.random.fold_in(key, i), s))(
                numbers[filled[:, 0]], filled[:, 1]
            )
            if mesh is not None:
                keys, y = parallel.split_batch((keys, y), mesh)
                local = _split(local, mesh) if batched_degradation else local
            results = _run(sampler, keys, prior, local, y, batched_degradation, len(job), mesh, advance_bar)
            x, residual, diverged = (np.asarray(a)[: len(job)] for a in results)
            yield Batch(job[:, 0], job[:, 1], job[:, 1] == num_samples - 1, x, residual, diverged)


def _check_measurements(ys: Any, degradation: Degradation, batched: bool) -> None:
    """Raise unless `ys` is a stack of finite measurements of the degradation."""
    if batched and any(jnp.shape(a)[:1] not in ((), (len(ys),)) for a in jax.tree.leaves(degradation)):
        raise ValueError(f"the degradation's arrays need a leading axis of {len(ys)}, one entry for each measurement")
    shape = first_degradation(degradation, batched=batched).measurement_shape
    if not hasattr(ys, "shape") or len(ys.shape) != len(shape) + 1:
        raise ValueError(
            f"ys has shape {getattr(ys, 'shape', None)}, expected (N, {', '.join(map(str, shape))})"
            "; for one measurement use ys[None]"
        )
    if len(ys) == 0:
        raise ValueError("ys holds no measurement")
    _checks.array("one measurement of ys", ys[0], shape)
    if not np.isfinite(np.asarray(ys)).all():
        raise ValueError("ys has values that are not finite")
    _warn_of_scale(ys, degradation, batched)


def _warn_of_scale(ys: Any, degradation: Degradation, batched: bool) -> None:
    """Say so where measurements seem to be on another scale than pictures in [-1, 1]."""
    if batched:
        doubts = {i: text for i, y in enumerate(ys) for text in scale.doubts(_take(degradation, i), [y]).values()}
    else:
        doubts = scale.doubts(degradation, ys)
    if doubts:
        index, reason = next(iter(doubts.items()))
        others = f"; so do {len(doubts) - 1} more" if len(doubts) > 1 else ""
        warnings.warn(f"measurement {index} of ys {reason}{others}", scale.ScaleWarning, stacklevel=4)


def _run(
    sampler: Sampler,
    keys: jax.Array,
    prior: Prior,
    degradation: Degradation,
    y: jax.Array,
    batched: bool,
    count: int,
    mesh: Mesh | None,
    advance_bar: Callable[[int], Any],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One batch, of which the first `count` images are wanted, from its start to its end, in pieces."""
    y = _relevant(batched, degradation, y)
    state = _start(sampler, batched, keys, prior, degradation, y)
    diverged = jnp.full(len(y), -1, jnp.int32)
    if mesh is not None:
        # Zeros in the first state would lie whole on every device, and the loop be compiled once more for them.
        split, diverged = parallel.split_batch((state._replace(index=None), diverged), mesh)
        state = split._replace(index=state.index)
    piece = max(1, -(-sampler.num_steps // _REPORTS))
    done = reported = 0
    while done < sampler.num_steps:
        steps = min(piece, sampler.num_steps - done)
        earlier = diverged
        state, diverged = _advance(sampler, batched, state, diverged, prior, degradation, y, jnp.int32(steps))
        done += steps
        # Look at the piece before, while this one runs: the device never waits for the host.
        if (np.asarray(earlier)[:count] >= 0).all():
            break
        advance_bar(done - steps - reported)
        reported = done - steps
    residual = _residuals(batched, state.x, degradation, y)
    jax.block_until_ready(residual)
    advance_bar(sampler.num_steps - reported)
    return state.x, residual, diverged


@functools.partial(jax.jit, static_argnums=0)
def _relevant(batched: bool, degradation, y):
    return jax.vmap(lambda degradation, y: degradation.relevant(y), in_axes=(_axes(degradation, batched), 0))(
        degradation, y
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _start(sampler: Sampler, batched: bool, keys, prior, degradation, y):
    first, axis = first_degradation(degradation, batched=batched), _axes(degradation, batched)
    axes = batch_axes(jax.eval_shape(sampler.init, keys[0], prior, first, y[0]))
    return jax.vmap(sampler.init, in_axes=(0, None, axis, 0), out_axes=axes)(keys, prior, degradation, y)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _advance(sampler: Sampler, batched: bool, state, diverged, prior, degradation, y, steps):
    """`steps` (traced: one program for all pieces) steps; `diverged` keeps the first with a value not finite."""
    axes, axis = batch_axes(state), _axes(degradation, batched)
    step = jax.vmap(lambda *args: sampler.step(*args)[0], in_axes=(axes, None, axis, 0), out_axes=axes)

    def body(_, carry):
        state, diverged = carry
        advanced = step(state, prior, degradation, y)
        finite = jnp.isfinite(advanced.x).all(range(1, advanced.x.ndim))
        return advanced, jnp.where((diverged < 0) & ~finite, state.index, diverged)

    return jax.lax.fori_loop(0, steps, body, (state, diverged))


@functools.partial(jax.jit, static_argnums=0)
def _residuals(batched: bool, x, degradation, y):
    def residual(x, degradation, y):
        return jnp.linalg.norm((degradation.operator(x) - y).ravel())

    return jax.vmap(residual, in_axes=(0, _axes(degradation, batched), 0))(x, degradation, y)


def first_degradation(degradation: Degradation, *, batched: bool) -> Degradation:
    """The degradation of the first image."""
    return _take(degradation, 0) if batched else degradation


def _take(degradation: Degradation, index: Any) -> Degradation:
    """The entries of some images; scalars are everybody's."""
    return jax.tree.map(lambda a: a[index] if jnp.ndim(a) else a, degradation)


def _axes(degradation: Degradation, batched: bool) -> Any:
    """Vmap axes of a degradation."""
    return jax.tree.map(lambda a: 0 if jnp.ndim(a) else None, degradation) if batched else None


def _split(degradation: Degradation, mesh: Mesh) -> Degradation:
    """Each image's entries on the device that has the image, scalars on all."""
    return jax.tree.map(
        lambda a: parallel.split_batch(a, mesh) if jnp.ndim(a) else parallel.replicate(a, mesh), degradation
    )
