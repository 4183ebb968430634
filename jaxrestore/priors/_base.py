"""What samplers ask of a prior."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxrestore._numerics import like
from jaxrestore.schedules import DDPMSchedule


class Prediction(NamedTuple):
    """What a DDPM-type sampler needs to know of one step; each (H, W, C)."""

    x0: jax.Array  # posterior mean E[x0 | x_t], not clipped
    eps: jax.Array  # the noise that goes with it: x_t = sqrt(abar) x0 + sqrt(1 - abar) eps
    log_variance: jax.Array  # logarithm of the reverse step's variance


@runtime_checkable
class Prior(Protocol):
    """A pytree that denoises one image. Arrays are leaves, so priors pass through jit, vmap and grad as arguments."""

    def denoise(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        """Posterior mean E[x0 | x] for x = x0 + sigma n; (H, W, C) and () give (H, W, C), in the dtype of x."""
        ...

    def predict(self, x_t: jax.Array, t: jax.Array, schedule: DDPMSchedule) -> Prediction:
        """The reverse step at index `t` of `schedule`, for x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) n."""
        ...


def predict_from_denoiser(
    denoise: Callable[[jax.Array, jax.Array], jax.Array], x_t: jax.Array, t: jax.Array, schedule: DDPMSchedule
) -> Prediction:
    """The reverse step of a prior that knows E[x0 | x0 + sigma n] only; its variance is beta_tilde ("fixed small")."""
    abar, log_variance = (like(x_t, a)[t] for a in (schedule.abar, schedule.posterior_log_variance))
    signal, noise = jnp.sqrt(abar), jnp.sqrt(1 - abar)
    x0 = denoise(x_t / signal, noise / signal)
    return Prediction(x0, (x_t - signal * x0) / noise, jnp.full_like(x_t, log_variance))
