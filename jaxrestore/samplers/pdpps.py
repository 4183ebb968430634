"""PDPPS: DPPS around a preconditioned likelihood, in fewer steps and with no step size to choose."""

import jax
import numpy as np

from jaxrestore import schedules
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import ancestral, guided
from jaxrestore.samplers.dpps import best_of
from jaxrestore.samplers.preconditioned import preconditioned_residual
from jaxrestore.samplers.starts import FirstImage, aligned_start, image_start, noise_start


def schedule_between(num_steps: int, sigma_max: float, sigma_min: float) -> schedules.DDPMSchedule:
    """The steps of the process nearest to an EDM grid; fewer than asked for where two levels are nearest to one."""
    return schedules.at_levels(schedules.edm(num_steps, sigma_max=sigma_max, sigma_min=sigma_min)[:-1])


@remembered
def pdpps(
    *,
    num_steps: int = 30,
    sigma_max: float = 10.0,
    sigma_min: float = 0.05,
    scale: jax.typing.ArrayLike = 1.0,
    n_max: int = 50,
    chunk_size: int = 2,
    aligned: bool = True,
    solver_steps: int = 5,
    noise_std: jax.typing.ArrayLike | None = None,
    start: FirstImage | None = None,
) -> Sampler:
    """DPPS whose likelihood is preconditioned: the selection and the aligned start of DPPS around PiGDM's guidance.

    The guidance enters as in `pigdm`, with weight sqrt(abar_t abar_{t-1}), whatever the operator; operators that are
    not linear are linearised. The reverse process begins where the start shows through the noise, and its steps are
    those of `schedules.edm`. This is not the paper's method, which is `dpps`.

    Args:
      num_steps: Reverse steps, at least 2. From about 150 on some levels are nearest to the same step of the process,
        and count once.
      sigma_max: First noise level, as SPGD has it: sqrt((1 - abar) / abar).
      sigma_min: Last noise level.
      scale: Further weight of the guidance, positive; 1 for every operator. May be traced.
      n_max: Most candidates at a step, see `dpps`.
      chunk_size: See `dpps`.
      aligned: See `dpps`.
      solver_steps: See `preconditioned_residual`.
      noise_std: Standard deviation of the measurement noise; None takes that of the degradation's Gaussian noise.
      start: The image to which the first noise is added, instead of what `aligned` says.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If a setting is out of range.
      TypeError: When sampling, if the noise has no one strength.

    References:
      Wu et al., Diffusion Posterior Proximal Sampling for Image Restoration, ACM MM 2024 (arXiv 2402.16907); Song et
      al., Pseudoinverse-Guided Diffusion Models for Inverse Problems, ICLR 2023.

    Example:
      >>> sampler = jr.pdpps(num_steps=20, n_max=10)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    schedule = schedule_between(num_steps, sigma_max, sigma_min)
    likelihood = preconditioned_residual(solver_steps=solver_steps, noise_std=noise_std)
    weights = np.sqrt(schedule.abar * schedule.abar_previous)
    first = (aligned_start if aligned else noise_start) if start is None else image_start(start)
    return ancestral(
        guided(likelihood, schedule, scale=scale, weights=weights),
        start=first,
        choose=best_of(schedule, n_max, chunk_size=chunk_size),
    )
