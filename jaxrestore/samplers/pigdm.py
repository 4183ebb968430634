"""PiGDM: pseudo-inverse guided diffusion."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import schedules
from jaxrestore._numerics import safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.operators.spectral import likelihood_score
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers.ancestral import ancestral, guided
from jaxrestore.samplers.likelihood import (
    Estimate,
    Level,
    Likelihood,
    LikelihoodGradient,
    check_noise_std,
    noise_variance,
    require,
)


def pseudo_inverse_guidance(noise_std: jax.typing.ArrayLike | None = None) -> Likelihood:
    """r^2 times the gradient of log N(y; A x0, r^2 A A^T + s^2 I) through the denoiser.

    The estimate is taken for a Gaussian around x0 with variance r^2 = sigma^2 / (1 + sigma^2): that of white data of
    unit variance. Without noise this is minus the gradient of ||A^+ (y - A x0)||^2 / 2.

    Args:
      noise_std: s, the deviation of the measurement noise; None takes that of the degradation's Gaussian noise.

    References:
      Song et al., Pseudoinverse-Guided Diffusion Models for Inverse Problems, ICLR 2023, equations 7 and 8.
    """

    def likelihood(
        estimate: Estimate, x: jax.Array, level: Level, degradation: Degradation, y: jax.Array
    ) -> LikelihoodGradient:
        variance = jnp.square(level.sigma) / (1.0 + jnp.square(level.sigma))
        x0, back, aux = jax.vjp(estimate, x, has_aux=True)
        residual = y - degradation.operator(x0)
        score = likelihood_score(degradation.operator, residual, variance, noise_variance(degradation, noise_std))
        (gradient,) = back(-variance * score)
        return LikelihoodGradient(gradient, safe_norm(residual), x0, aux)

    return likelihood


def pigdm(
    *,
    num_steps: int | schedules.DDPMSchedule = 100,
    scale: jax.typing.ArrayLike = 1.0,
    noise_std: jax.typing.ArrayLike | None = None,
) -> Sampler:
    """Pseudo-inverse guided diffusion, for linear operators.

    Ancestral steps (DDIM with eta = 1), each moved by sqrt(abar_t abar_{t-1}) times the guidance.

    Args:
      num_steps: Reverse steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`;
        published 20 and 100.
      scale: Further weight of the guidance, positive; published 1. May be traced.
      noise_std: Standard deviation of the measurement noise; None takes that of the degradation's Gaussian noise.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If a setting is out of range.
      TypeError: When sampling, if the operator is not linear or the noise has no one strength.

    References:
      Song et al., Pseudoinverse-Guided Diffusion Models for Inverse Problems, ICLR 2023, algorithm 1.

    Example:
      >>> sampler = jr.pigdm(num_steps=20)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    schedule = schedules.as_schedule(num_steps)
    check_noise_std(noise_std)
    return ancestral(
        guided(
            pseudo_inverse_guidance(noise_std),
            schedule,
            scale=scale,
            weights=np.sqrt(schedule.abar * schedule.abar_previous),
            require=functools.partial(require, "pigdm", "linear"),
        )
    )
