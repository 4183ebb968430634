"""PiGDM: pseudo-inverse guided diffusion."""

import functools

import jax
import numpy as np

from jaxrestore import schedules
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import ancestral, guided
from jaxrestore.samplers.likelihood import Likelihood, check_noise_std, require
from jaxrestore.samplers.preconditioned import preconditioned_residual
from jaxrestore.samplers.starts import Start, noise_start


@remembered
def pseudo_inverse_guidance(noise_std: jax.typing.ArrayLike | None = None) -> Likelihood:
    """`preconditioned_residual` by its first name: r^2 times the gradient of log N(y; A x0, r^2 A A^T + s^2 I).

    Args:
      noise_std: s, the deviation of the measurement noise; None takes that of the degradation's Gaussian noise.

    Returns:
      A likelihood, for `guided` or `spgd`.

    Raises:
      ValueError: If `noise_std` is negative.

    References:
      Song et al., Pseudoinverse-Guided Diffusion Models for Inverse Problems, ICLR 2023, equations 7 and 8.
    """
    return preconditioned_residual(noise_std=noise_std)


@remembered
def pigdm(
    *,
    num_steps: int | schedules.DDPMSchedule = 100,
    scale: jax.typing.ArrayLike = 1.0,
    spacing: str = "linspace",
    noise_std: jax.typing.ArrayLike | None = None,
    start: Start = noise_start,
) -> Sampler:
    """Pseudo-inverse guided diffusion, for linear operators.

    Ancestral steps, each moved by sqrt(abar_t abar_{t-1}) times the guidance. They are the paper's, DDIM with eta = 1,
    where the prior's variances are fixed to the smaller bound (a network without variance channels, at its default);
    with learned variances, as FFHQ-256's and ImageNet-256's, the fresh noise has those instead.

    Args:
      num_steps: Reverse steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`;
        published 20 and 100.
      scale: Further weight of the guidance, positive; published 1. May be traced.
      spacing: Which timesteps are kept, see `schedules.ddpm`; published "leading", which starts at t = 990.
      noise_std: Standard deviation of the measurement noise; None takes that of the degradation's Gaussian noise.
      start: Where the first step begins; published noise.

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
    schedule = schedules.as_schedule(num_steps, spacing)
    check_noise_std(noise_std)
    return ancestral(
        guided(
            pseudo_inverse_guidance(noise_std),
            schedule,
            scale=scale,
            weights=np.sqrt(schedule.abar * schedule.abar_previous),
            require=functools.partial(require, "pigdm", "linear"),
        ),
        start=start,
    )
