"""DPS: diffusion posterior sampling."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrestore import _checks, schedules
from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers.ancestral import AncestralState, guided_mean


class DPSInfo(NamedTuple):
    timestep: jax.Array  # (), int32, in the network's own numbering
    residual: jax.Array  # (), ||y - A(x0)||_2


def dps(
    *,
    num_steps: int = 1000,
    scale: jax.typing.ArrayLike = 1.0,
    base_steps: int = 1000,
    noise_schedule: str = "linear",
) -> Sampler:
    """Diffusion posterior sampling: ancestral steps, each moved down the gradient of the residual's norm.

    The step size is `scale / ||y - A(x0)||` on the squared norm, as published. The norm is that of one image: the
    released code takes it over the whole batch, which makes a result depend on its batch mates.

    Args:
      num_steps: Reverse steps, 1 to `base_steps`; fewer are respaced.
      scale: Positive; published 1.0 for super-resolution and inpainting, 0.3 to 1.0 elsewhere. May be traced.
      base_steps: Steps of the training schedule.
      noise_schedule: "linear" or "cosine", as the network was trained.

    Returns:
      A sampler with an `AncestralState` and a `DPSInfo`.

    Raises:
      ValueError: If a setting is out of range.

    References:
      Chung et al., Diffusion Posterior Sampling for General Noisy Inverse Problems, ICLR 2023 (arXiv 2209.14687),
      algorithm 1.
    """
    schedule = schedules.ddpm(num_steps, base_steps=base_steps, kind=noise_schedule)
    _checks.positive("scale", scale)

    def init(key: jax.Array, prior: Prior, degradation: Degradation, y: jax.Array) -> AncestralState:
        key_start, key_steps = jax.random.split(key)
        x = jax.random.normal(key_start, degradation.image_shape)
        return AncestralState(x, jnp.zeros_like(x), jnp.int32(0), key_steps)

    def step(
        state: AncestralState, prior: Prior, degradation: Degradation, y: jax.Array
    ) -> tuple[AncestralState, DPSInfo]:
        t = num_steps - 1 - state.index
        guided = guided_mean(state.x, t, prior, degradation, y, schedule=schedule, scale=scale)
        noise = jax.random.normal(jax.random.fold_in(state.key, state.index), state.x.shape)
        x = guided.mean + jnp.where(t > 0, jnp.exp(0.5 * guided.log_variance), 0.0) * noise
        timestep = jnp.asarray(schedule.timesteps, jnp.int32)[t]
        return AncestralState(x, guided.x0, state.index + 1, state.key), DPSInfo(timestep, guided.residual)

    return Sampler(init, step, num_steps, "scale")
