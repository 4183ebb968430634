"""What a restoration will cost, before it is begun: operations, memory, and the time to come after one step."""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from jaxrestore import memory, streaming
from jaxrestore.degradation import Degradation
from jaxrestore.measurements import Stack
from jaxrestore.priors._base import Prior
from jaxrestore.restore import StreamOptions
from jaxrestore.samplers._base import Sampler


class Estimate(NamedTuple):
    """The cost of restoring a stack of measurements."""

    batch_size: int  # samples at a time
    samples: int  # in all
    steps: int  # of batches, all to come together
    flop: float  # of one sample; additions and multiplications of convolutions, matrix products and Fourier transforms
    # Bytes that a batch takes on each device beside the prior; None where the compiler does not tell.
    memory: int | None
    free: int | None  # bytes that the device had free before
    compile_seconds: float  # once; nothing where the compilation cache has the program
    step_seconds: float  # one step of a batch
    begin_seconds: float  # what a batch takes before its first step: all of the coarser grids
    seconds: float  # all of all batches


def estimate(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    ys: Stack,
    *,
    key: jax.Array,
    **options: Unpack[StreamOptions],
) -> Estimate:
    """Compile what `jaxrestore.restore_batches` would run for the same arguments, do one step of the first batch, stop.

    The batch size is that of the run, halved where a batch would not fit or cannot be allocated. All steps are taken to
    cost the same, which holds but for methods whose later steps draw more candidates.

    Raises:
      ValueError: If a shape or setting does not fit.
      MemoryError: If not even one image fits.
    """
    batch_size, mesh = options.get("batch_size"), options.get("mesh")
    run = streaming.arrange(
        sampler,
        prior,
        degradation,
        ys,
        key=key,
        batch_size=batch_size,
        num_samples=options.get("num_samples", 1),
        batched_degradation=options.get("batched_degradation", False),
        indices=options.get("indices"),
        collection=options.get("collection"),
        mesh=mesh,
    )
    size, unit = run.size, 1 if mesh is None else mesh.size
    while True:
        try:
            free, taken, *seconds = _one_step(run, size, batch_size is None and size > unit)
            break
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            size = memory.smaller(size, error, unit)
    compile_seconds, begin_seconds, step_seconds = seconds
    batches = math.ceil(len(run.jobs) / size)
    steps = sampler.num_steps * batches
    flop = sampler_flop(sampler, prior, streaming.first_degradation(degradation, batched=run.batched))
    total = begin_seconds * batches + step_seconds * steps
    return Estimate(size, len(run.jobs), steps, flop, taken, free, compile_seconds, step_seconds, begin_seconds, total)


def _one_step(run: streaming.Run, size: int, checked: bool) -> tuple[int | None, int | None, float, float, float]:
    """Bytes free and taken, and the seconds of compiling, of the beginning and of one step, of the first batch."""
    free = memory.free_bytes(run.device)
    started = time.perf_counter()
    arguments = jax.block_until_ready(streaming.begin(run, run.jobs[:size], size))
    first = time.perf_counter() - started  # compiles
    del arguments
    started = time.perf_counter()
    arguments = jax.block_until_ready(streaming.begin(run, run.jobs[:size], size))
    begin_seconds = time.perf_counter() - started
    held = sum(a.nbytes for a in jax.tree.leaves((arguments[0], arguments[-1]))) // (run.mesh.size if run.mesh else 1)
    started = time.perf_counter()
    compiled = streaming.program(run, *arguments)
    compile_seconds = time.perf_counter() - started + max(0.0, first - begin_seconds)
    if checked:
        memory.require_room(compiled, run.device)
    started = time.perf_counter()
    _ = jax.block_until_ready(streaming.advance(run, *arguments, steps=1))
    step_seconds = time.perf_counter() - started
    more = memory.program_bytes(compiled)
    return free, None if more is None else held + more, compile_seconds, begin_seconds, step_seconds


def sampler_flop(sampler: Sampler, prior: Prior, degradation: Degradation) -> float:
    """Floating-point operations of restoring one image, all steps; see `flop`."""
    key = jax.random.key(0)
    y = jax.ShapeDtypeStruct(degradation.measurement_shape, np.float32)
    state = jax.eval_shape(sampler.init, key, prior, degradation, y)
    begin = flop(sampler.init, key, prior, degradation, y)
    return begin + sampler.num_steps * flop(sampler.step, state, prior, degradation, y)


def flop(function: Callable[..., Any], *args: Any) -> float:
    """Additions and multiplications of a function's convolutions, matrix products and Fourier transforms.

    They are counted in the traced program, where loops of known length count so many times; XLA's own analysis counts
    the body of every loop once. Loops of unknown length count once here too, and of branches the most expensive counts.

    Args:
      function: Of arrays.
      *args: Its arguments, or their shapes (`jax.ShapeDtypeStruct`).

    Example:
      >>> from jaxrestore import estimates
      >>> estimates.flop(lambda a, b: a @ b, jnp.ones((2, 3)), jnp.ones((3, 5)))
      60.0
    """
    return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr: Jaxpr) -> float:
    return sum(_count_one(equation) for equation in jaxpr.eqns)


def _count_one(equation: Any) -> float:
    name, given = equation.primitive.name, equation.params
    shapes: list[Any] = [getattr(v.aval, "shape", ()) for v in equation.invars]
    out: Any = math.prod(getattr(equation.outvars[0].aval, "shape", ())) if equation.outvars else 0
    if name == "conv_general_dilated":
        kernel = shapes[1]
        return 2.0 * out * math.prod(kernel) / kernel[given["dimension_numbers"].rhs_spec[0]]
    if name == "dot_general":
        (contracted, _), _ = given["dimension_numbers"]
        return 2.0 * out * math.prod(shapes[0][axis] for axis in contracted)
    if name == "fft":
        return 5.0 * max(out, math.prod(shapes[0])) * math.log2(max(2, math.prod(given["fft_lengths"])))
    inner = [_count(j) for j in _inner(given)]
    if name == "scan":
        return given["length"] * sum(inner)
    return max(inner, default=0.0) if name == "cond" else sum(inner)


def _inner(params: dict[str, Any]) -> list[Jaxpr]:
    """The programs inside an operation: bodies of loops, branches, functions."""
    values = [v for value in params.values() for v in (value if isinstance(value, tuple | list) else (value,))]
    closed = [v.jaxpr for v in values if isinstance(v, ClosedJaxpr)]
    return closed + [v for v in values if isinstance(v, Jaxpr)]
