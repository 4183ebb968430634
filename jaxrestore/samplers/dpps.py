"""DPPS: diffusion posterior proximal sampling."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks, schedules
from jaxrestore.degradation import Degradation
from jaxrestore.operators import Operator
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers.ancestral import AncestralState, GuidedMean, aligned_start, guided_mean


class DPPSInfo(NamedTuple):
    timestep: jax.Array  # (), int32, in the network's own numbering
    residual: jax.Array  # (), ||y - A(x0)||_2
    num_candidates: jax.Array  # (), int32, drawn at this step; 0 at the last, which adds no noise
    best: jax.Array  # (), int32, index of the chosen candidate; -1 where there is none
    cost: jax.Array  # (), of the chosen candidate; infinite where there is none


class Selection(NamedTuple):
    """The best candidate so far."""

    x: jax.Array  # (H, W, C)
    cost: jax.Array  # ()
    best: jax.Array  # (), int32


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
    guided: GuidedMean,
    operator: Operator,
    y: jax.Array,
    abar_previous: jax.Array,
    num_candidates: jax.Array,
    draw: Callable[[jax.Array], jax.Array],
    *,
    chunk_size: int,
) -> Selection:
    """The noisy state among `num_candidates` that is most consistent with the measurement.

    Candidates c_k = mean + std z_k are scored by ||sqrt(abar_{t-1}) y - A(c_k - sqrt(1 - abar_{t-1}) eps)||_2. They are
    drawn `chunk_size` at a time and only the best is kept, so memory does not depend on their number.

    Args:
      guided: The reverse step.
      operator: A.
      y: Measurement.
      abar_previous: abar_{t-1}.
      num_candidates: (), int32; may be traced. With 0 the mean itself is returned.
      draw: Index of a candidate, (), int32, to its noise z_k (H, W, C).
      chunk_size: Candidates vmapped together.

    References:
      Wu et al. 2024 (arXiv 2402.16907), algorithm 1.
    """
    std = jnp.exp(0.5 * guided.log_variance)
    shift = jnp.sqrt(1.0 - abar_previous) * guided.eps
    target = jnp.sqrt(abar_previous) * y

    def cost(k: jax.Array) -> tuple[jax.Array, jax.Array]:
        candidate = guided.mean + std * draw(k)
        distance = jnp.sqrt(jnp.sum(jnp.square(target - operator(candidate - shift))))
        return jnp.where(k < num_candidates, distance, jnp.inf), candidate

    def chunk(i: jax.Array, kept: Selection) -> Selection:
        indices = i * chunk_size + jnp.arange(chunk_size, dtype=jnp.int32)
        costs, candidates = jax.vmap(cost)(indices)
        best = jnp.argmin(costs)
        better = costs[best] < kept.cost
        return Selection(
            jnp.where(better, candidates[best], kept.x),
            jnp.where(better, costs[best], kept.cost),
            jnp.where(better, indices[best], kept.best),
        )

    nothing = Selection(guided.mean, jnp.float32(jnp.inf), jnp.int32(-1))
    return jax.lax.fori_loop(0, -(-num_candidates // chunk_size), chunk, nothing)


def dpps(
    *,
    num_steps: int = 1000,
    scale: jax.typing.ArrayLike = 1.0,
    n_max: int = 50,
    chunk_size: int = 2,
    aligned: bool = True,
    base_steps: int = 1000,
    noise_schedule: str = "linear",
) -> Sampler:
    """Diffusion posterior proximal sampling: DPS that picks its noise.

    Of several candidates for the next state the one most consistent with the measurement goes on; their number grows
    with the signal-to-noise ratio of the step. The start carries the measurement's low frequencies.

    Args:
      num_steps: Reverse steps, 1 to `base_steps`; fewer are respaced.
      scale: Positive; published 1.0 for super-resolution and inpainting, 0.4 for deblurring. May be traced.
      n_max: Most candidates at a step, at least 2.
      chunk_size: Candidates drawn and scored together: more memory, fewer loop turns. Does not change the result.
      aligned: Start from the measurement (see `aligned_start`) rather than from plain noise.
      base_steps: Steps of the training schedule.
      noise_schedule: "linear" or "cosine", as the network was trained.

    Returns:
      A sampler with an `AncestralState` and a `DPPSInfo`.

    Raises:
      ValueError: If a setting is out of range.

    References:
      Wu et al., Diffusion Posterior Proximal Sampling for Image Restoration, ACM MM 2024 (arXiv 2402.16907).
    """
    schedule = schedules.ddpm(num_steps, base_steps=base_steps, kind=noise_schedule)
    _checks.positive("scale", scale)
    _checks.at_least("n_max", n_max, 2)
    _checks.at_least("chunk_size", chunk_size, 1)
    counts = candidate_counts(schedule, n_max)
    counts[0] = 0  # t = 0 adds no noise: nothing to choose from

    def init(key: jax.Array, prior: Prior, degradation: Degradation, y: jax.Array) -> AncestralState:
        key_start, key_steps = jax.random.split(key)
        abar = float(schedule.abar[-1]) if aligned else 0.0
        x = aligned_start(key_start, degradation, y, abar)
        return AncestralState(x, jnp.zeros_like(x), jnp.int32(0), key_steps)

    def step(
        state: AncestralState, prior: Prior, degradation: Degradation, y: jax.Array
    ) -> tuple[AncestralState, DPPSInfo]:
        t = num_steps - 1 - state.index
        guided = guided_mean(state.x, t, prior, degradation, y, schedule=schedule, scale=scale)
        key = jax.random.fold_in(state.key, state.index)
        count = jnp.asarray(counts, jnp.int32)[t]
        chosen = select_candidate(
            guided,
            degradation.operator,
            y,
            jnp.asarray(schedule.abar_previous, jnp.float32)[t],
            count,
            lambda k: jax.random.normal(jax.random.fold_in(key, k), state.x.shape),
            chunk_size=chunk_size,
        )
        timestep = jnp.asarray(schedule.timesteps, jnp.int32)[t]
        info = DPPSInfo(timestep, guided.residual, count, chosen.best, chosen.cost)
        return AncestralState(chosen.x, guided.x0, state.index + 1, state.key), info

    return Sampler(init, step, num_steps, "scale")
