"""What ancestral (DDPM-type) samplers share: the guided reverse mean, and the aligned start."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior
from jaxrestore.schedules import DDPMSchedule


class AncestralState(NamedTuple):
    x: jax.Array  # (H, W, C), x_t; after the last step, the answer
    x0: jax.Array  # (H, W, C), clipped estimate of the last evaluation
    index: jax.Array  # (), int32, steps taken; the schedule is walked backwards, t = num_steps - 1 - index
    key: jax.Array  # (), constant; step i draws from fold_in(key, i)


class GuidedMean(NamedTuple):
    """One reverse step before its noise."""

    mean: jax.Array  # (H, W, C), of p(x_{t-1} | x_t) moved along the likelihood gradient
    log_variance: jax.Array  # (H, W, C)
    x0: jax.Array  # (H, W, C), clipped to [-1, 1]
    eps: jax.Array  # (H, W, C), the network's noise, before clipping
    gradient: jax.Array  # (H, W, C), of ||y - A(x0)||_2 with respect to x_t
    residual: jax.Array  # (), ||y - A(x0)||_2


def aligned_start(key: jax.Array, degradation: Degradation, y: jax.Array, abar: jax.typing.ArrayLike) -> jax.Array:
    """x_T = sqrt(abar_T) U(y) + sqrt(1 - abar_T) n: the measurement's low frequencies under the usual noise.

    U repeats pixels where y is a smaller image and is the identity where it has the image's shape; where y is no image
    (Fourier amplitudes), the start is plain noise.

    References:
      Wu et al., Diffusion Posterior Proximal Sampling for Image Restoration, ACM MM 2024 (arXiv 2402.16907), aligned
      initialisation.
    """
    height, width, channels = degradation.image_shape
    noise = jax.random.normal(key, degradation.image_shape)
    if y.ndim != 3 or height % y.shape[0] or width % y.shape[1] or y.shape[2] not in (1, channels):
        return noise
    upsampled = y.repeat(height // y.shape[0], 0).repeat(width // y.shape[1], 1)
    return jnp.sqrt(abar) * upsampled + jnp.sqrt(1.0 - jnp.asarray(abar)) * noise


def guided_mean(
    x: jax.Array,
    t: jax.Array,
    prior: Prior,
    degradation: Degradation,
    y: jax.Array,
    *,
    schedule: DDPMSchedule,
    scale: jax.typing.ArrayLike,
) -> GuidedMean:
    """Mean of the reverse step, moved by -scale grad ||y - A(x0(x_t))||_2: the norm, not its square, through the clip.

    One network evaluation and one vector-Jacobian product.

    References:
      Chung et al., Diffusion Posterior Sampling for General Noisy Inverse Problems, ICLR 2023, algorithm 1.
    """

    def estimate(x: jax.Array):
        prediction = prior.predict(x, t, schedule)
        x0 = jnp.clip(prediction.x0, -1.0, 1.0)
        return _norm(y - degradation.operator(x0)), (prediction, x0)

    (residual, (prediction, x0)), gradient = jax.value_and_grad(estimate, has_aux=True)(x)
    tables = (schedule.posterior_mean_x0, schedule.posterior_mean_xt)
    weight_x0, weight_xt = (jnp.asarray(a, jnp.float32)[t] for a in tables)
    mean = weight_x0 * x0 + weight_xt * x - scale * gradient
    return GuidedMean(mean, prediction.log_variance, x0, prediction.eps, gradient, residual)


def _norm(v: jax.Array) -> jax.Array:
    """||v||_2 with gradient 0 at v = 0, where that of the square root is infinite."""
    squared = jnp.sum(jnp.square(v))
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
