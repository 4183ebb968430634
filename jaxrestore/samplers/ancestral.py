"""What ancestral (DDPM-type) samplers are made of.

`ancestral` puts four parts together: a `ReverseProcess` (where the next, less noisy image lies), a start, a choice
(which draw from the reverse step goes on), and a walk (which steps are made, and when the process returns to more
noise). `guided` makes a reverse process from any likelihood gradient, with warm-up steps and a gradient transformation
such as `adaptive_directional_momentum` if wanted.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prediction, Prior
from jaxrestore.samplers._angles import angle
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.likelihood import Level, Likelihood
from jaxrestore.samplers.starts import Start, noise_start
from jaxrestore.schedules import DDPMSchedule

_RETURN = np.uint32(2**32 - 1)  # number of the draw that adds noise again; candidates count from 0


class ReverseStep(NamedTuple):
    """One reverse step before its noise: x_{t-1} = mean + spread(z), z standard normal."""

    mean: jax.Array  # (H, W, C)
    spread: Callable[[jax.Array], jax.Array]  # z -> noise, both (H, W, C); linear
    x0: jax.Array  # (H, W, C), denoised estimate
    eps: jax.Array  # (H, W, C), the noise that goes with it
    gradient: jax.Array  # (H, W, C), what the measurement moved the image against; for the diagnostics
    residual: jax.Array  # (), ||y - A(x0)||_2


class StepOfProcess(Protocol):
    def __call__(
        self, x: jax.Array, t: jax.Array, memory: Any, prior: Prior, degradation: Degradation, y: jax.Array, /
    ) -> tuple[ReverseStep, Any]: ...


class ReverseProcess(NamedTuple):
    """A reverse process given a measurement. Its memory, any pytree, is carried from step to step.

    The noise of a step is drawn by the sampler, not by the process, so that any choice among draws goes with any
    process; `ReverseStep.spread` says how the process would have it.
    """

    schedule: DDPMSchedule
    init: Callable[[Degradation, jax.Array], Any]  # (degradation, y) -> memory; refuses what the method cannot treat
    step: StepOfProcess


class Selection(NamedTuple):
    """The draw that goes on."""

    x: jax.Array  # (H, W, C)
    info: Any  # diagnostics of the choice; () where nothing was compared


class Choice(Protocol):
    def __call__(
        self,
        reverse: ReverseStep,
        degradation: Degradation,
        y: jax.Array,
        t: jax.Array,
        draw: Callable[[jax.typing.ArrayLike], jax.Array],
        /,
    ) -> Selection: ...


class AncestralState(NamedTuple):
    x: jax.Array  # (H, W, C), x_t; after the last step, the answer
    x0: jax.Array  # (H, W, C), estimate of the last evaluation
    gradient: jax.Array  # (H, W, C), last likelihood gradient; for the diagnostics
    eps: jax.Array  # (H, W, C), last noise estimate; for the diagnostics
    memory: Any  # what the reverse process carries
    index: jax.Array  # (), int32, steps taken
    key: jax.Array  # (), constant; step i draws from fold_in(key, i)


class AncestralInfo(NamedTuple):
    """Diagnostics of one step; angles in radians, as in `SPGDInfo`."""

    timestep: jax.Array  # (), int32, in the network's own numbering
    residual: jax.Array  # (), ||y - A(x0)||_2
    angle_likelihood_denoising: jax.Array  # (), between the descent direction -g and the denoising direction -eps
    angle_likelihood: jax.Array  # (), between successive likelihood gradients; -1 at the first
    angle_denoising: jax.Array  # (), between successive denoising directions; -1 at the first
    choice: Any  # diagnostics of the choice, e.g. a `CandidateInfo` of `best_of`


def single_draw(
    reverse: ReverseStep,
    degradation: Degradation,
    y: jax.Array,
    t: jax.Array,
    draw: Callable[[jax.typing.ArrayLike], jax.Array],
) -> Selection:
    """One draw from the reverse step; the last step adds no noise."""
    return Selection(reverse.mean + jnp.where(t > 0, 1.0, 0.0) * reverse.spread(draw(0)), ())


def _any_degradation(degradation: Degradation) -> None:
    """Nothing is required."""


@remembered
def guided(
    likelihood: Likelihood,
    schedule: DDPMSchedule,
    *,
    scale: jax.typing.ArrayLike = 1.0,
    weights: np.ndarray | None = None,
    clip: bool = False,
    transform: optax.GradientTransformation | None = None,
    warmup_steps: int = 1,
    require: Callable[[Degradation], None] = _any_degradation,
) -> ReverseProcess:
    """The DDPM reverse step, its mean moved against a likelihood gradient.

    Args:
      likelihood: (estimate, x, level, degradation, y) -> `LikelihoodGradient`: evaluates the denoiser, `estimate(x)`,
        which gives x0 and what is to be handed on as `aux`, and says where the measurement pulls. How noisy x is, says
        `level`: x = signal (x0 + sigma n).
      schedule: The noise levels that the process walks.
      scale: Weight of the gradient. May be traced.
      weights: (num_steps,), further weight of each step, indexed by t.
      clip: Estimates are clipped to [-1, 1], and the gradient taken through the clip.
      transform: Applied to the gradient, with its memory carried from one evaluation to the next.
      warmup_steps: Evaluations at each noise level: all but the last move the image by the gradient alone, as SPGD's
        progressive warm-up does.
      require: Raises where the likelihood cannot treat a degradation.

    Returns:
      A reverse process, for `ancestral`.

    Raises:
      ValueError: If a setting is out of range, or there are not as many weights as steps.
    """
    _checks.positive("scale", scale)
    _checks.at_least("warmup_steps", warmup_steps, 1)
    transform = optax.identity() if transform is None else transform
    factors = np.ones(schedule.num_steps) if weights is None else np.asarray(weights)
    if factors.shape != (schedule.num_steps,):  # JAX would take the last of them for all that are missing
        raise ValueError(f"weights has shape {factors.shape}, expected {(schedule.num_steps,)}, one for each step")

    def init(degradation: Degradation, y: jax.Array) -> Any:
        require(degradation)
        return transform.init(jnp.zeros(degradation.image_shape, y.dtype))

    def step(x, t, memory, prior, degradation, y):
        abar = table_at(schedule.abar, t, x)
        level = Level(jnp.sqrt(abar), jnp.sqrt((1.0 - abar) / abar))
        weight = like(x, scale) * table_at(factors, t, x)

        def estimate(x: jax.Array) -> tuple[jax.Array, Prediction]:
            prediction = prior.predict(x, t, schedule)
            return jnp.clip(prediction.x0, -1.0, 1.0) if clip else prediction.x0, prediction

        def evaluate(x, memory):
            likely = likelihood(estimate, x, level, degradation, y)
            update, memory = transform.update(likely.gradient, memory)
            return likely, cast(jax.Array, update), memory

        def warm_up(carry, _):
            x, memory = carry
            _, update, memory = evaluate(x, memory)
            return (x - weight * update, memory), None

        if warmup_steps > 1:
            (x, memory), _ = jax.lax.scan(warm_up, (x, memory), length=warmup_steps - 1)
        likely, update, memory = evaluate(x, memory)
        mean = (
            table_at(schedule.posterior_mean_x0, t, x) * likely.x0
            + table_at(schedule.posterior_mean_xt, t, x) * x
            - weight * update
        )
        std = jnp.exp(0.5 * likely.aux.log_variance)
        return ReverseStep(mean, lambda z: std * z, likely.x0, likely.aux.eps, likely.gradient, likely.residual), memory

    return ReverseProcess(schedule, init, step)


@remembered
def ancestral(
    reverse: ReverseProcess,
    *,
    start: Start = noise_start,
    choose: Choice = single_draw,
    walk: Sequence[int] | np.ndarray | None = None,
) -> Sampler:
    """A sampler that walks a reverse process from noise to image.

    Args:
      reverse: Such as `guided(...)`, or the process of `ddnm`, `diffpir`, `ddrm`.
      start: `noise_start` or `aligned_start`.
      choose: `single_draw`, or `best_of(...)` of DPPS.
      walk: Index t of each reverse step in turn, from the noisiest, `num_steps - 1`, to 0. Where the next is not one
        below the last, noise is added until it is: see `schedules.time_travel`. None walks straight down.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If the walk leaves the schedule, or skips a step on its way down.

    Example:
      >>> schedule = jr.schedules.ddpm(20)
      >>> guided = jr.samplers.guided(jr.samplers.residual_norm, schedule, scale=0.5, clip=True)
      >>> sampler = jr.samplers.ancestral(guided, choose=jr.samplers.best_of(schedule, 10))
      >>> sampler.sample(key, prior, degradation, y).info.choice.num_candidates.shape
      (20,)
    """
    schedule = reverse.schedule
    times = np.arange(schedule.num_steps)[::-1] if walk is None else _checked_walk(walk, schedule)
    # Share of the signal that is left after the noise between this step's end and the next one's beginning.
    kept_signal = schedule.abar[np.append(times[1:], 0)] / schedule.abar_previous[times]
    kept_signal = np.where(np.append(np.diff(times), -1) == -1, 1.0, kept_signal)

    def init(key: jax.Array, prior: Prior, degradation: Degradation, y: jax.Array) -> AncestralState:
        key_start, key_steps = jax.random.split(key)
        memory = reverse.init(degradation, y)
        x = start(key_start, degradation, y, float(schedule.abar[-1]))
        zeros = jnp.zeros_like(x)
        return AncestralState(x, zeros, zeros, zeros, memory, jnp.int32(0), key_steps)

    def step(
        state: AncestralState, prior: Prior, degradation: Degradation, y: jax.Array
    ) -> tuple[AncestralState, AncestralInfo]:
        t = jnp.asarray(times, jnp.int32)[state.index]
        reverse_step, memory = reverse.step(state.x, t, state.memory, prior, degradation, y)
        key = jax.random.fold_in(state.key, state.index)

        def draw(k: jax.typing.ArrayLike) -> jax.Array:
            return jax.random.normal(jax.random.fold_in(key, k), state.x.shape, state.x.dtype)

        chosen = choose(reverse_step, degradation, y, t, draw)
        x = chosen.x
        if walk is not None:
            share = table_at(kept_signal, state.index, x)
            x = jnp.sqrt(share) * x + jnp.sqrt(1.0 - share) * draw(_RETURN)
        info = AncestralInfo(
            timestep=jnp.asarray(schedule.timesteps, jnp.int32)[t],
            residual=reverse_step.residual,
            angle_likelihood_denoising=angle(-reverse_step.gradient, -reverse_step.eps),
            angle_likelihood=angle(reverse_step.gradient, state.gradient),
            angle_denoising=angle(reverse_step.eps, state.eps),
            choice=chosen.info,
        )
        gradient, eps = reverse_step.gradient, reverse_step.eps
        return AncestralState(x, reverse_step.x0, gradient, eps, memory, state.index + 1, state.key), info

    return Sampler(init, step, len(times))


def _checked_walk(walk: Sequence[int] | np.ndarray, schedule: DDPMSchedule) -> np.ndarray:
    """The walk as an array."""
    times = np.asarray(walk, np.int64)
    last = schedule.num_steps - 1
    if times.ndim != 1 or not len(times) or (times[0], times[-1]) != (last, 0) or times.max() > last or times.min() < 0:
        raise ValueError(f"walk has shape {times.shape}, expected steps from {last} to 0, all of them in that range")
    if (np.diff(times) < -1).any():
        skipped = times[1:][np.diff(times) < -1][0]
        raise ValueError(f"walk goes to step {skipped} without the one above it, expected steps down by one only")
    return times


def table_at(table: np.ndarray, t: jax.Array, x: jax.Array) -> jax.Array:
    """Entry t of a float64 table, in the dtype of the image x."""
    return like(x, table)[t]
