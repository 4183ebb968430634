"""DPPS: diffusion posterior proximal sampling."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks, schedules
from jaxrestore._numerics import like
from jaxrestore.operators import Operator
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import (
    Choice,
    ReverseStep,
    Selection,
    ancestral,
    guided,
    single_draw,
    table_at,
)
from jaxrestore.samplers.dps import residual_norm
from jaxrestore.samplers.starts import Start, aligned_start, noise_start


class CandidateInfo(NamedTuple):
    """Diagnostics of one choice."""

    num_candidates: jax.Array  # (), int32, drawn at this step; 0 at the last, which adds no noise
    best: jax.Array  # (), int32, index of the chosen candidate; -1 where nothing was compared
    cost: jax.Array  # (), of the chosen candidate; infinite where nothing was compared


class _Best(NamedTuple):
    """The best candidate so far."""

    index: jax.Array
    cost: jax.Array


def candidate_counts(schedule: schedules.DDPMSchedule, n_max: int) -> np.ndarray:
    """Candidates at each step: floor(max(n_max (1 - exp(-SNR_t)), 2)) with SNR_t = abar_t / (1 - abar_t).

    Returns:
      (num_steps,), int64, indexed by t.

    References:
      Wu et al. 2024 (arXiv 2402.16907), adaptive sampling frequency.
    """
    snr = schedule.abar / (1.0 - schedule.abar)
    return np.floor(np.maximum(n_max * (1.0 - np.exp(-snr)), 2.0)).astype(np.int64)


def select_candidate(
    reverse: ReverseStep,
    operator: Operator,
    y: jax.Array,
    abar_previous: jax.Array,
    num_candidates: jax.Array,
    draw: Callable[[jax.Array], jax.Array],
    *,
    chunk_size: int,
) -> Selection:
    """The noisy state among `num_candidates` that is most consistent with the measurement.

    Candidates c_k = mean + spread(z_k) are scored by ||sqrt(abar_{t-1}) y - A(c_k - sqrt(1 - abar_{t-1}) eps)||_2. They
    are drawn `chunk_size` at a time and only the best's index is kept, so memory does not depend on their number; the
    best is drawn once more. Its derivative is that of the chosen candidate.

    Args:
      reverse: The reverse step.
      operator: A.
      y: Measurement.
      abar_previous: abar_{t-1}.
      num_candidates: (), int32; may be traced. With 0 the mean itself is returned.
      draw: Index of a candidate, (), int32, to its noise z_k (H, W, C).
      chunk_size: Candidates vmapped together.

    References:
      Wu et al. 2024 (arXiv 2402.16907), algorithm 1.
    """

    def candidate(k: jax.Array) -> jax.Array:
        return reverse.mean + reverse.spread(draw(k))

    # Which candidate is chosen has no derivative, the chosen one has. So the loop, whose length is known only as it
    # runs and which reverse mode could not go back through, sees constants, and keeps an index instead of an image.
    constants = (operator, y, abar_previous, reverse.eps)
    fixed_operator, fixed_y, abar, eps = jax.lax.stop_gradient(constants)
    shift, target = jnp.sqrt(1.0 - abar) * eps, jnp.sqrt(abar) * fixed_y

    def cost(k: jax.Array) -> jax.Array:
        misfit = target - fixed_operator(jax.lax.stop_gradient(candidate(k)) - shift)
        return jnp.where(k < num_candidates, jnp.sqrt(jnp.sum(jnp.square(misfit))), jnp.inf)

    def chunk(i: jax.Array, best: _Best) -> _Best:
        indices = i * chunk_size + jnp.arange(chunk_size, dtype=jnp.int32)
        costs = jax.vmap(cost)(indices)
        first = jnp.argmin(costs)
        newcomer = _Best(indices[first], costs[first])
        return jax.tree.map(lambda new, old: jnp.where(newcomer.cost < best.cost, new, old), newcomer, best)

    none_yet = _Best(jnp.int32(-1), like(reverse.mean, jnp.inf))
    best = jax.lax.fori_loop(0, -(-num_candidates // chunk_size), chunk, none_yet)
    x = jnp.where(best.index < 0, reverse.mean, candidate(best.index))
    return Selection(x, CandidateInfo(num_candidates, best.index, best.cost))


@remembered
def best_of(schedule: schedules.DDPMSchedule, n_max: int = 50, *, chunk_size: int = 2) -> Choice:
    """The choice of DPPS, for any ancestral sampler: the best of up to `n_max` draws, more of them as noise falls.

    Args:
      schedule: The sampler's.
      n_max: Most candidates at a step; 1 draws one as other samplers do, and compares nothing.
      chunk_size: Candidates drawn and scored together: more memory, fewer loop turns. Does not change the result.

    Returns:
      A choice, for `ancestral`; it reports a `CandidateInfo`, or nothing where `n_max` is 1.

    Raises:
      ValueError: If a setting is out of range.

    References:
      Wu et al., Diffusion Posterior Proximal Sampling for Image Restoration, ACM MM 2024 (arXiv 2402.16907),
      algorithm 1.
    """
    _checks.at_least("n_max", n_max, 1)
    _checks.at_least("chunk_size", chunk_size, 1)
    if n_max == 1:
        return single_draw
    counts = candidate_counts(schedule, n_max)
    counts[0] = 0  # t = 0 adds no noise: nothing to choose from

    def choose(reverse, degradation, y, t, draw) -> Selection:
        return select_candidate(
            reverse,
            degradation.operator,
            y,
            table_at(schedule.abar_previous, t, reverse.mean),
            jnp.asarray(counts, jnp.int32)[t],
            draw,
            chunk_size=chunk_size,
        )

    return choose


@remembered
def dpps(
    *,
    num_steps: int | schedules.DDPMSchedule = 1000,
    scale: jax.typing.ArrayLike = 1.0,
    n_max: int = 50,
    chunk_size: int = 2,
    aligned: bool = True,
    start: Start | None = None,
) -> Sampler:
    """Diffusion posterior proximal sampling: DPS that picks its noise.

    Of several candidates for the next state the one most consistent with the measurement goes on; their number grows
    with the signal-to-noise ratio of the step. The start carries the measurement's low frequencies.

    Args:
      num_steps: Reverse steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`.
      scale: Positive; published 1.0 for super-resolution and inpainting, 0.4 for deblurring. May be traced.
      n_max: Most candidates at a step; 1 draws one as DPS does.
      chunk_size: Candidates drawn and scored together: more memory, fewer loop turns. Does not change the result.
      aligned: Start from the measurement (see `aligned_start`) rather than from plain noise.
      start: Where else the first step begins.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If a setting is out of range.

    References:
      Wu et al., Diffusion Posterior Proximal Sampling for Image Restoration, ACM MM 2024 (arXiv 2402.16907).

    Example:
      >>> sampler = jr.dpps(num_steps=20, scale=0.4, n_max=10)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    schedule = schedules.as_schedule(num_steps)
    return ancestral(
        guided(residual_norm, schedule, scale=scale, clip=True),
        start=start or (aligned_start if aligned else noise_start),
        choose=best_of(schedule, n_max, chunk_size=chunk_size),
    )
