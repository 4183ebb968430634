"""DDNM+: the denoising diffusion null-space model, for noisy measurements."""

from typing import NamedTuple

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
        x0, eps, operator = prediction.x0, prediction.eps, degradation.operator
        abar = table_at(schedule.abar_previous, t, x)
        signal, std, fresh = jnp.sqrt(abar), jnp.sqrt(1.0 - abar), like(x, eta)
        # That of the measurement, on the state's scale.
        noise = signal * jnp.sqrt(noise_variance(degradation, noise_std, x.dtype))
        keep = jnp.sqrt(1.0 - jnp.square(fresh))
        residual = y - operator(x0)
        if (svd := find_svd(operator, x)) is not None:
            inverse, coefficients = svd.inverse(), svd.analyze(x0)
            shares = _shares(svd.nonzero() & (noise > 0), noise * inverse, std, fresh)
            misfit = jnp.where(svd.nonzero(), inverse * svd.measured(y) - coefficients, 0.0)
            change = signal * svd.synthesize(shares.measurement * misfit)
            kept = svd.synthesize(shares.eps * svd.analyze(eps))

            def spread(z: jax.Array) -> jax.Array:
                return svd.synthesize(shares.fresh * svd.analyze(z))
        else:
            # Brings at most half as much noise as is drawn into any direction.
            drawn = fresh * std
            ratio = jnp.minimum(noise / jnp.maximum(drawn, 1e-20), 1e6)
            change = signal * likelihood_score(operator, residual, 1.0, jnp.square(ratio))
            kept = keep * std * eps

            def spread(z: jax.Array) -> jax.Array:
                return drawn * z

        return ReverseStep(signal * x0 + change + kept, spread, x0, eps, -change / signal, safe_norm(residual)), memory

    return ReverseProcess(schedule, init, step)


class _Shares(NamedTuple):
    """What goes into the next state in each singular direction; its deviation is `std` in all of them."""

    measurement: jax.Array  # of the way from the estimate to the measurement
    fresh: jax.Array  # deviation of the noise that is drawn
    eps: jax.Array  # deviation of the noise that is kept


def _shares(heard: jax.Array, measured: jax.Array, std: jax.Array, eta: jax.Array) -> _Shares:
    """The rule of DDNM+.

    Args:
      heard: Where there is a measurement, and it has noise.
      measured: Deviation of that noise.
      std: That of the next state's noise.
      eta: Share of fresh noise.
    """
    keep = jnp.sqrt(1.0 - jnp.square(eta))
    clear = measured < std
    left = jnp.sqrt(jnp.maximum(jnp.square(std) - jnp.square(measured), 0.0))
    share = jnp.where(clear, 1.0, keep * std / jnp.where(clear, 1.0, measured))
    return _Shares(
        jnp.where(heard, share, 1.0),
        jnp.where(heard & clear, left, eta * std),
        jnp.where(heard, 0.0, keep * std),
    )


@remembered
def ddnm(
    *,
    num_steps: int | schedules.DDPMSchedule = 100,
    eta: jax.typing.ArrayLike = 0.85,
    spacing: str = "linspace",
    noise_std: jax.typing.ArrayLike | None = None,
) -> Sampler:
    """DDNM+, for linear operators: the range of A from the measurement, its null space from the prior.

    In each singular direction that is measured, the estimate x0 goes to the measurement, whose noise there then counts
    as part of the next state's: only the rest is drawn. Where the measurement is noisier than the next state, it goes
    only so far that the measurement's noise is sqrt(1 - eta^2) of the state's, and eta of it is drawn. Of the noise
    that the network found (eps) nothing is kept in either case, for it holds the measurement's own; directions that
    nobody measured keep sqrt(1 - eta^2) of it and draw eta, as all directions do where the measurement has no noise
    (DDNM). The variances always add up to that of the next state. No gradient passes the network.

    Operators without a decomposition are treated by a rule of this library, for the published one needs the singular
    values: the inverse is A^T (A A^T + r^2 I)^-1, by conjugate gradients, with r the noise of the measurement over the
    noise that is drawn: it brings at most half of that into any direction. All directions keep eps and draw alike.

    Args:
      num_steps: Reverse steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`;
        published 100.
      eta: Share of fresh noise, in [0, 1]; published 0.85. May be traced.
      spacing: Which timesteps are kept, see `schedules.ddpm`; published "leading", which starts at t = 990.
      noise_std: Standard deviation of the measurement noise; None takes that of the degradation's Gaussian noise.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If a setting is out of range.
      TypeError: When sampling, if the operator is not linear or the noise has no one strength.

    References:
      Wang et al., Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model, ICLR 2023 (arXiv 2212.00490),
      equations 17 to 19 and appendix I, as the authors' code has them. Without time travel, like their experiments with
      noise. Singular values below 1e-4 of the largest count as none; the authors leave out more of their blurs, those
      below 0.03 along either axis.

    Example:
      >>> sampler = jr.ddnm(num_steps=20, eta=0.85)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    schedule = schedules.as_schedule(num_steps, spacing)
    return ancestral(null_space_process(schedule, eta=eta, noise_std=noise_std))
