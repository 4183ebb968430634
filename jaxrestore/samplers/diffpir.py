"""DiffPIR: plug-and-play image restoration with a diffusion denoiser."""

import jax
import jax.numpy as jnp

from jaxrestore import _checks, schedules
from jaxrestore._numerics import like, safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.operators.spectral import proximal_step
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import ReverseProcess, ReverseStep, ancestral, table_at
from jaxrestore.samplers.likelihood import LEAST_VARIANCE, check_noise_std, noise_variance, require
from jaxrestore.samplers.starts import Start, noise_start

ENDS = ("data", "state")


@remembered
def proximal_process(
    schedule: schedules.DDPMSchedule,
    *,
    strength: jax.typing.ArrayLike = 1.0,
    zeta: jax.typing.ArrayLike = 0.1,
    clip: bool = False,
    end: str = "data",
    noise_std: jax.typing.ArrayLike | None = None,
) -> ReverseProcess:
    """The reverse process of DiffPIR; see `diffpir`, whose arguments these are."""
    _checks.positive("strength", strength)
    _checks.within("zeta", zeta, 0.0, 1.0)
    _checks.one_of("end", end, ENDS)
    check_noise_std(noise_std)

    def init(degradation: Degradation, y: jax.Array) -> tuple[()]:
        require("diffpir", "linear", degradation)
        return ()

    def step(x, t, memory, prior, degradation, y):
        prediction = prior.predict(x, t, schedule)
        x0, operator = prediction.x0, degradation.operator
        x0 = jnp.clip(x0, -1.0, 1.0) if clip else x0
        abar, abar_previous = table_at(schedule.abar, t, x), table_at(schedule.abar_previous, t, x)
        variance = jnp.maximum(noise_variance(degradation, noise_std, x.dtype), LEAST_VARIANCE)
        rho = like(x, strength) * variance * abar / (1.0 - abar)
        corrected = proximal_step(operator, y, x0, rho)
        eps = (x - jnp.sqrt(abar) * corrected) / jnp.sqrt(1.0 - abar)
        rest, fresh = jnp.sqrt(1.0 - abar_previous), like(x, zeta)
        mean = jnp.sqrt(abar_previous) * corrected + rest * jnp.sqrt(1.0 - fresh) * eps
        if end == "state":
            mean = jnp.where(t > 0, mean, x)

        def spread(z: jax.Array) -> jax.Array:
            return rest * jnp.sqrt(fresh) * z

        return ReverseStep(mean, spread, x0, prediction.eps, x0 - corrected, safe_norm(y - operator(x0))), memory

    return ReverseProcess(schedule, init, step)


@remembered
def diffpir(
    *,
    num_steps: int | schedules.DDPMSchedule = 100,
    strength: jax.typing.ArrayLike = 1.0,
    zeta: jax.typing.ArrayLike = 0.1,
    spacing: str = "linspace",
    clip: bool = False,
    end: str = "data",
    noise_std: jax.typing.ArrayLike | None = None,
    start: Start = noise_start,
) -> Sampler:
    """DiffPIR, for linear operators: each estimate is followed by a proximal step on the data.

    The estimate x0 becomes argmin ||A x - y||^2 + rho_t ||x - x0||^2 with rho_t = strength s^2 abar_t / (1 - abar_t),
    s the noise of the measurement. The next state keeps sqrt(1 - zeta) of the noise that goes with it. No gradient
    passes the network.

    With `spacing="quadratic", clip=True, end="state", start=aligned_start` it is the authors' program, where the start
    is the measurement (0.6 % of the state) under noise. Their rho_t takes the noise of images in [0, 1], half of s, so
    their lambda is 4 times `strength`: lambda 7 is 1.75. Noise below 0.001 on their scale counts as 0.001, which is
    `noise_std=0.002` here; without it ours counts as 0.001 on [-1, 1].

    Args:
      num_steps: Reverse steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`;
        published 100, and 20 for inpainting.
      strength: Weight of the prior, positive: a quarter of the authors' lambda. Their scripts run lambda 7 for
        deblurring, 2 to 12 for super-resolution, 1 for inpainting. May be traced.
      zeta: Share of fresh noise, in [0, 1]; their scripts run 0.3 for deblurring, 0.25 for super-resolution, 1 for
        inpainting. May be traced.
      spacing: Which timesteps are kept, see `schedules.ddpm`; published "quadratic".
      clip: Estimates are clipped to [-1, 1] before the data step, as published.
      end: What comes out. "data": the last estimate after its data step, as in algorithm 1. "state": the state that
        reaches the first timestep, with its remaining noise of 0.01 and no data step there, as in the authors' program.
      noise_std: s; None takes that of the degradation's Gaussian noise.
      start: Where the first step begins; published `aligned_start`, but for super-resolution bicubically enlarged.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If a setting is out of range.
      TypeError: When sampling, if the operator is not linear or the noise has no one strength.

    References:
      Zhu et al., Denoising Diffusion Models for Plug-and-Play Image Restoration, CVPR workshops 2023
      (arXiv 2305.08995), algorithm 1. Bicubic super-resolution by back-projection, a choice of their program, is not
      offered: the data step is exact for every linear operator.

    Example:
      >>> sampler = jr.diffpir(num_steps=20, strength=7 / 4, zeta=0.3, spacing="quadratic", clip=True, end="state")
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    schedule = schedules.as_schedule(num_steps, spacing)
    process = proximal_process(schedule, strength=strength, zeta=zeta, clip=clip, end=end, noise_std=noise_std)
    return ancestral(process, start=start)
