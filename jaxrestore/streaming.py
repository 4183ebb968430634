"""Restoring many images as a stream of finished batches."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrestore import _checks, measurements, memory, parallel, scale, stopping
from jaxrestore._progress import StepBar, step_bar
from jaxrestore.degradation import Degradation
from jaxrestore.measurements import Stack
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._base import Sampler, batch_axes

_LARGEST = 10.0  # values of an answer that is a picture at all
_WORST = 10.0  # its residual over that of plain grey, or over what the operator makes of plain white if that is more
_REPORTS = 50  # pieces of a run between looks at the device: often enough for a bar, too few to slow the loop


class Batch(NamedTuple):
    """Finished posterior samples, in order: all of the first image, then those of the next."""

    image: np.ndarray  # (B,), int, index of the image each sample belongs to
    sample: np.ndarray  # (B,), int, which of its samples
    last: np.ndarray  # (B,), bool, whether it is the last of its image
    x: np.ndarray  # (B, H, W, C), in the dtype of the measurements, at least float32
    residual: np.ndarray  # (B,), ||A(x) - y||_2
    # (B,), int, step at which the state stopped being finite, or the last one where the answer is finite, but no
    # picture: values beyond 10, or a residual ten times that of plain grey. -1 where all is well.
    diverged: np.ndarray


class Run(NamedTuple):
    """What all batches of a run share."""

    sampler: Sampler
    prior: Prior
    degradation: Degradation
    ys: Stack
    jobs: np.ndarray  # (N * num_samples, 2), the image and the number of each sample
    numbers: np.ndarray  # (N,), of the measurements' keys
    key: jax.Array
    batched: bool
    mesh: Mesh | None
    device: Any  # one of them
    size: int  # samples in a batch, a multiple of the number of devices; what is tried first


def restore_batches(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    ys: Stack,
    *,
    key: jax.Array,
    batch_size: int | None = None,
    num_samples: int = 1,
    batched_degradation: bool = False,
    indices: Sequence[int] | None = None,
    collection: int | None = None,
    wanted: Callable[[int], bool] | None = None,
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
      ys: (N, *degradation.measurement_shape), float32, or float64 under `jax_enable_x64`. Other than arrays of NumPy
        and JAX, which are looked at as a whole first, a `Stack` is asked for the measurements of a batch when it is
        that batch's turn.
      key: Source of all random draws.
      batch_size: Samples on the device at a time; memory grows with it. None takes 4 on processors and 16 elsewhere, or
        half of that, and so on, where the compiled program needs more memory than the device has free. A batch that
        cannot be allocated all the same is halved, with a warning, and the run goes on.
      num_samples: Posterior samples for each image.
      batched_degradation: The degradation's arrays have a leading axis N: each image has its own mask or kernel.
        Scalars, such as the strength of the noise, may have one too, or are shared by all images.
      indices: (N,), replaces the images' own positions as the i of their keys: a part of a collection then gives what
        the whole would.
      collection: Number of measurements of the collection that `indices` refers to. Batches are then filled up to what
        the whole collection would have, so that its parts have its program, and its results to the last bit; None lets
        a part that is smaller than a batch have a program of its own, whose sums round otherwise.
      wanted: Asked for each row of `ys` when its turn comes; False leaves it out, for instance what another process has
        done meanwhile.
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
    run = arrange(
        sampler,
        prior,
        degradation,
        ys,
        key=key,
        batch_size=batch_size,
        num_samples=num_samples,
        batched_degradation=batched_degradation,
        indices=indices,
        collection=collection,
        mesh=mesh,
    )
    size, unit = run.size, 1 if mesh is None else mesh.size
    foreseen = batch_size is not None or size == unit  # whether it is known already what fits
    start, left_out = 0, set[int]()
    num_steps = sampler.num_steps
    total = num_steps * math.ceil(len(run.jobs) / size)
    with step_bar(total, enabled=progress, of_batch=num_steps, pictures=len(ys)) as bar:
        while True:
            stopping.check()
            job, end = _next(run.jobs, start, size, left_out, wanted)
            if not len(job):
                return
            try:
                x, residual, diverged = _restore(run, job, size, bar, foreseen)
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                size = memory.smaller(size, error, unit)
                foreseen = size == unit or not isinstance(error, memory.TooLarge)
                bar.expect(num_steps * math.ceil((len(run.jobs) - start) / size))
                continue
            foreseen, start = True, end
            yield Batch(job[:, 0], job[:, 1], job[:, 1] == num_samples - 1, x, residual, diverged)


def arrange(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    ys: Stack,
    *,
    key: jax.Array,
    batch_size: int | None,
    num_samples: int,
    batched_degradation: bool,
    indices: Sequence[int] | None,
    collection: int | None,
    mesh: Mesh | None,
) -> Run:
    """The arguments of `restore_batches`, checked and put on the devices."""
    if batch_size is not None:
        _checks.at_least("batch_size", batch_size, 1)
    _checks.at_least("num_samples", num_samples, 1)
    if batched_degradation and any(jnp.shape(a)[:1] not in ((), (len(ys),)) for a in jax.tree.leaves(degradation)):
        raise ValueError(f"the degradation's arrays need a leading axis of {len(ys)}, one entry for each measurement")
    measurements.check(ys, first_degradation(degradation, batched=batched_degradation).measurement_shape)
    if measurements.is_array(ys):
        each = [_take(degradation, i) for i in range(len(ys))] if batched_degradation else [degradation]
        scale.warn(each, ys)
    if indices is not None and len(indices) != len(ys):
        raise ValueError(f"indices has {len(indices)} entries, expected {len(ys)}, one for each measurement")
    numbers = np.arange(len(ys)) if indices is None else np.asarray(indices)
    jobs = np.array([(i, s) for i in range(len(ys)) for s in range(num_samples)])
    device = jax.local_devices()[0] if mesh is None else mesh.devices.flat[0]
    unit = 1 if mesh is None else mesh.size
    size = memory.usual_batch(device) * unit if batch_size is None else batch_size
    size = min(size, max(len(ys), collection or 0) * num_samples)
    if mesh is not None:
        prior = parallel.place_prior(prior, mesh)
        degradation = degradation if batched_degradation else parallel.replicate(degradation, mesh)
    size = math.ceil(size / unit) * unit
    return Run(sampler, prior, degradation, ys, jobs, numbers, key, batched_degradation, mesh, device, size)


def _next(
    jobs: np.ndarray, start: int, size: int, left_out: set[int], wanted: Callable[[int], bool] | None
) -> tuple[np.ndarray, int]:
    """The jobs of the next batch, without those of images that are not wanted, and where the one after it starts."""
    chosen: list[int] = []
    place = start
    while place < len(jobs) and len(chosen) < size:
        image, sample = map(int, jobs[place])
        if sample == 0 and wanted is not None and not wanted(image):
            left_out.add(image)
        if image not in left_out:
            chosen.append(place)
        place += 1
    return jobs[chosen], place


def _restore(
    run: Run, job: np.ndarray, size: int, bar: StepBar, foreseen: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The samples of `job` as a batch of `size`, in pieces: x, residual, and where each diverged.

    Raises:
      TooLarge: If it is not foreseen that the batch fits, and its program needs more than the device has free.
    """
    state, diverged, *rest = begin(run, job, size)
    if not foreseen:
        memory.require_room(program(run, state, diverged, *rest), run.device)
    num_steps = run.sampler.num_steps
    piece = max(1, -(-num_steps // _REPORTS))
    done = reported = 0
    while done < num_steps:
        stopping.check()
        steps = min(piece, num_steps - done)
        earlier = diverged
        state, diverged = advance(run, state, diverged, *rest, steps=steps)
        done += steps
        # Look at the piece before, while this one runs: the device never waits for the host.
        if (np.asarray(earlier)[: len(job)] >= 0).all():
            break
        bar.advance(done - steps - reported)
        reported = done - steps
    _, degradation, y = rest
    residual, exploded = _judge(run.batched, state.x, degradation, y)
    diverged = jnp.where((diverged < 0) & exploded, num_steps - 1, diverged)
    x, residual, diverged = (np.asarray(a)[: len(job)] for a in (state.x, residual, diverged))
    bar.advance(num_steps - reported)
    return x, residual, diverged


def begin(run: Run, job: np.ndarray, size: int) -> tuple[Any, jax.Array, Prior, Degradation, jax.Array]:
    """The first state of the samples of `job` as a batch of `size`, and what else `advance` takes."""
    key, mesh, batched, degradation = run.key, run.mesh, run.batched, run.degradation
    # A batch that is not full is filled up with its own last job, so that it needs no program of its own.
    filled = np.concatenate([job, np.repeat(job[-1:], size - len(job), 0)])
    shape = first_degradation(degradation, batched=batched).measurement_shape
    y = jnp.asarray(measurements.read(run.ys, filled[:, 0], shape))
    local = _take(degradation, filled[:, 0]) if batched else degradation
    keys = jax.vmap(lambda i, s: jax.random.fold_in(jax.random.fold_in(key, i), s))(
        run.numbers[filled[:, 0]], filled[:, 1]
    )
    if mesh is not None:
        keys, y = parallel.split_batch((keys, y), mesh)
        local = _split(local, mesh) if batched else local
    y = _relevant(batched, local, y)
    state = _start(run.sampler, batched, keys, run.prior, local, y)
    diverged = jnp.full(len(y), -1, jnp.int32)
    if mesh is not None:
        # Zeros in the first state would lie whole on every device, and the loop be compiled once more for them.
        split, diverged = parallel.split_batch((state._replace(index=None), diverged), mesh)
        state = split._replace(index=state.index)
    return state, diverged, run.prior, local, y


def program(run: Run, *arguments: Any) -> Any:
    """The compiled program of `advance`, which takes the same one."""
    return _advance.lower(run.sampler, run.batched, *arguments, jnp.int32(1)).compile()


def advance(run: Run, *arguments: Any, steps: int) -> tuple[Any, jax.Array]:
    """The state after so many steps, and at which step each image's left the finite numbers; the old one is gone."""
    return _advance(run.sampler, run.batched, *arguments, jnp.int32(steps))


@functools.partial(jax.jit, static_argnums=0)
def _relevant(batched: bool, degradation, y):
    axes = degradation_axes(degradation, batched)
    return jax.vmap(lambda degradation, y: degradation.relevant(y), in_axes=(axes, 0))(degradation, y)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _start(sampler: Sampler, batched: bool, keys, prior, degradation, y):
    first, axis = first_degradation(degradation, batched=batched), degradation_axes(degradation, batched)
    axes = batch_axes(jax.eval_shape(sampler.init, keys[0], prior, first, y[0]))
    return jax.vmap(sampler.init, in_axes=(0, None, axis, 0), out_axes=axes)(keys, prior, degradation, y)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _advance(sampler: Sampler, batched: bool, state, diverged, prior, degradation, y, steps):
    """`steps` (traced: one program for all pieces) steps; `diverged` keeps the first with a value not finite."""
    axes, axis = batch_axes(state), degradation_axes(degradation, batched)
    step = jax.vmap(lambda *args: sampler.step(*args)[0], in_axes=(axes, None, axis, 0), out_axes=axes)

    def body(_, carry):
        state, diverged = carry
        advanced = step(state, prior, degradation, y)
        finite = jnp.isfinite(advanced.x).all(range(1, advanced.x.ndim))
        return advanced, jnp.where((diverged < 0) & ~finite, state.index, diverged)

    return jax.lax.fori_loop(0, steps, body, (state, diverged))


@functools.partial(jax.jit, static_argnums=0)
def _judge(batched: bool, x, degradation, y):
    """The residual of each answer, and whether it has exploded though it is finite: pixels are in [-1, 1]."""

    def judge(x, degradation, y):
        def misfit(x, y):
            return jnp.linalg.norm((degradation.operator(x) - y).ravel())

        grey, white = jnp.zeros_like(x), jnp.ones_like(x)
        residual, usual = misfit(x, y), jnp.maximum(misfit(grey, y), misfit(white, degradation.operator(grey)))
        return residual, (jnp.abs(x).max() > _LARGEST) | (residual > _WORST * usual)

    return jax.vmap(judge, in_axes=(0, degradation_axes(degradation, batched), 0))(x, degradation, y)


def first_degradation(degradation: Degradation, *, batched: bool) -> Degradation:
    """The degradation of the first image."""
    return _take(degradation, 0) if batched else degradation


def _take(degradation: Degradation, index: Any) -> Degradation:
    """The entries of some images; scalars are everybody's."""
    return jax.tree.map(lambda a: a[index] if jnp.ndim(a) else a, degradation)


def degradation_axes(degradation: Degradation, batched: bool) -> Any:
    """Vmap axes of a degradation: scalars are everybody's."""
    return jax.tree.map(lambda a: 0 if jnp.ndim(a) else None, degradation) if batched else None


def _split(degradation: Degradation, mesh: Mesh) -> Degradation:
    """Each image's entries on the device that has the image, scalars on all."""
    return jax.tree.map(
        lambda a: parallel.split_batch(a, mesh) if jnp.ndim(a) else parallel.replicate(a, mesh), degradation
    )
