"""DDRM: denoising diffusion restoration models."""

import jax
import jax.numpy as jnp

from jaxrestore import _checks, schedules
from jaxrestore._numerics import like, safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.operators.spectral import spectral
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import ReverseProcess, ReverseStep, ancestral, table_at
from jaxrestore.samplers.likelihood import check_noise_std, noise_variance, require


@remembered
def spectral_process(
    schedule: schedules.DDPMSchedule,
    *,
    eta: jax.typing.ArrayLike = 0.85,
    eta_b: jax.typing.ArrayLike = 1.0,
    noise_std: jax.typing.ArrayLike | None = None,
) -> ReverseProcess:
    """The reverse process of DDRM; see `ddrm`, whose arguments these are."""
    _checks.within("eta", eta, 0.0, 1.0)
    _checks.within("eta_b", eta_b, 0.0, 1.0)
    check_noise_std(noise_std)

    def init(degradation: Degradation, y: jax.Array) -> tuple[()]:
        require("ddrm", "svd", degradation)
        return ()

    def step(x, t, memory, prior, degradation, y):
        fresh, trust = like(x, eta), like(x, eta_b)
        prediction = prior.predict(x, t, schedule)
        svd = spectral(degradation.operator, x)
        abar = table_at(schedule.abar_previous, t, x)
        sigma = jnp.sqrt((1.0 - abar) / abar)
        measured_at, inverse = svd.nonzero(), svd.inverse()
        # That of the measurement, in each direction.
        noise = jnp.sqrt(noise_variance(degradation, noise_std, x.dtype)) * inverse
        estimate, eps = svd.analyze(prediction.x0), svd.analyze(prediction.eps)
        measured = inverse * svd.measured(y)

        keep = jnp.sqrt(1.0 - jnp.square(fresh))
        unmeasured = estimate + keep * sigma * eps
        # Divided by noise where noise > sigma only; elsewhere the branch is not taken.
        noisier = estimate + keep * sigma * (measured - estimate) / jnp.where(noise > sigma, noise, 1.0)
        cleaner = (1.0 - trust) * estimate + trust * measured
        mean = jnp.where(measured_at, jnp.where(noise > sigma, noisier, cleaner), unmeasured)
        left = jnp.sqrt(jnp.maximum(jnp.square(sigma) - jnp.square(noise * trust), 0.0))
        std = jnp.where(measured_at & (noise <= sigma), left, fresh * sigma)

        signal = jnp.sqrt(abar)
        gradient = svd.synthesize(jnp.where(measured_at, estimate - measured, 0.0))
        residual = safe_norm(y - degradation.operator(prediction.x0))
        return ReverseStep(
            signal * svd.synthesize(mean),
            lambda z: signal * svd.synthesize(std * svd.analyze(z)),
            prediction.x0,
            prediction.eps,
            gradient,
            residual,
        ), memory

    return ReverseProcess(schedule, init, step)


@remembered
def ddrm(
    *,
    num_steps: int | schedules.DDPMSchedule = 20,
    eta: jax.typing.ArrayLike = 0.85,
    eta_b: jax.typing.ArrayLike = 1.0,
    spacing: str = "linspace",
    noise_std: jax.typing.ArrayLike | None = None,
) -> Sampler:
    """Denoising diffusion restoration models, for linear operators with a singular value decomposition.

    In the coordinates V^T x each direction is drawn on its own: from the prior where nothing was measured, around the
    measurement where that is less noisy than the state, and between the two where it is noisier. No gradient passes the
    network.

    Args:
      num_steps: Reverse steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`;
        published 20.
      eta: Share of fresh noise where the measurement does not decide, in [0, 1]; published 0.85. May be traced.
      eta_b: Trust in the measurement where it decides, in [0, 1]; published 1. May be traced.
      spacing: Which timesteps are kept, see `schedules.ddpm`; published "leading", which starts at t = 950.
      noise_std: Standard deviation of the measurement noise; None takes that of the degradation's Gaussian noise.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If a setting is out of range.
      TypeError: When sampling, if the operator is not linear or has no decomposition, or the noise has no one strength.

    References:
      Kawar et al., Denoising Diffusion Restoration Models, NeurIPS 2022 (arXiv 2201.11793), equations 7 and 8. The
      start is plain noise: at the first noise level the measurement's share of x_T is below a hundredth.

    Example:
      >>> sampler = jr.ddrm(num_steps=20)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    schedule = schedules.as_schedule(num_steps, spacing)
    return ancestral(spectral_process(schedule, eta=eta, eta_b=eta_b, noise_std=noise_std))
