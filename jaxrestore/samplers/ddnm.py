"""DDNM+: the denoising diffusion null-space model, for noisy measurements."""

import jax
import jax.numpy as jnp

from jaxrestore import _checks, schedules
from jaxrestore._numerics import like, safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.operators.spectral import find_svd, likelihood_score
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import ReverseProcess, ReverseStep, ancestral, table_at
from jaxrestore.samplers.likelihood import check_noise_std, noise_variance, require


@remembered
def null_space_process(
    schedule: schedules.DDPMSchedule, *, eta: jax.typing.ArrayLike = 0.85, noise_std: jax.typing.ArrayLike | None = None
) -> ReverseProcess:
    """The reverse process of DDNM+; see `ddnm`, whose arguments these are."""
    _checks.within("eta", eta, 0.0, 1.0)
    check_noise_std(noise_std)

    def init(degradation: Degradation, y: jax.Array) -> tuple[()]:
        require("ddnm", "linear", degradation)
        return ()

    def step(x, t, memory, prior, degradation, y):
        prediction = prior.predict(x, t, schedule)
        x0, operator = prediction.x0, degradation.operator
        signal, rest = (
            jnp.sqrt(table_at(schedule.abar_previous, t, x)),
            jnp.sqrt(1.0 - table_at(schedule.abar_previous, t, x)),
        )
        std = like(x, eta) * rest  # deviation of the noise that the step may add
        noise = jnp.sqrt(noise_variance(degradation, noise_std, x.dtype))
        if (svd := find_svd(operator, x)) is not None:
            inverse, coefficients = svd.inverse(), svd.analyze(x0)
            share, left = _split(std, signal * noise * inverse)
            misfit = jnp.where(svd.nonzero(), inverse * svd.measured(y) - coefficients, 0.0)
            corrected = svd.synthesize(coefficients + share * misfit)

            def spread(z: jax.Array) -> jax.Array:
                return svd.synthesize(left * svd.analyze(z))
        else:
            # Without singular values: a regularised inverse, which brings at most half of `std` into any direction.
            ratio = signal * noise / jnp.maximum(std, 1e-20)
            corrected = x0 + likelihood_score(operator, y - operator(x0), 1.0, jnp.square(jnp.minimum(ratio, 1e6)))

            def spread(z: jax.Array) -> jax.Array:
                return std * z

        mean = signal * corrected + jnp.sqrt(1.0 - jnp.square(like(x, eta))) * rest * prediction.eps
        return ReverseStep(mean, spread, x0, prediction.eps, x0 - corrected, safe_norm(y - operator(x0))), memory

    return ReverseProcess(schedule, init, step)


def _split(std: jax.typing.ArrayLike, measured: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How far to go to the measurement so that its noise stays within `std`, and what noise is left to add."""
    share = jnp.where(measured > std, std / jnp.maximum(measured, 1e-20), 1.0)
    return share, jnp.sqrt(jnp.maximum(jnp.square(std) - jnp.square(share * measured), 0.0))


@remembered
def ddnm(
    *,
    num_steps: int | schedules.DDPMSchedule = 100,
    eta: jax.typing.ArrayLike = 0.85,
    noise_std: jax.typing.ArrayLike | None = None,
) -> Sampler:
    """DDNM+, for linear operators: the range of A from the measurement, its null space from the prior.

    The estimate x0 becomes x0 + L A^+ (y - A x0). L is at most 1 in each singular direction, and so small where the
    measurement is noisy that the noise it brings stays within what the step would add anyway; the step then adds only
    the rest. For operators without a decomposition L A^+ is A^T (A A^T + r^2 I)^-1, with r the noise of the measurement
    over that of the step: the same bound, softened. No gradient passes the network.

    Args:
      num_steps: Reverse steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`;
        published 100.
      eta: Share of fresh noise, in [0, 1]; published 0.85. May be traced.
      noise_std: Standard deviation of the measurement noise; None takes that of the degradation's Gaussian noise.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If a setting is out of range.
      TypeError: When sampling, if the operator is not linear or the noise has no one strength.

    References:
      Wang et al., Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model, ICLR 2023 (arXiv 2212.00490),
      equations 17 to 19 and appendix I; the DDIM form of the step is that of its experiments. Without time travel.

    Example:
      >>> sampler = jr.ddnm(num_steps=20, eta=0.85)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    schedule = schedules.as_schedule(num_steps)
    return ancestral(null_space_process(schedule, eta=eta, noise_std=noise_std))
