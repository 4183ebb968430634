"""DDPG: denoising diffusion with iteratively preconditioned guidance."""

import jax
import jax.numpy as jnp

from jaxrestore import _checks, schedules
from jaxrestore._numerics import like, safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.operators.spectral import likelihood_score, transpose
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import ReverseProcess, ReverseStep, ancestral, table_at
from jaxrestore.samplers.likelihood import check_noise_std, noise_variance, require
from jaxrestore.samplers.starts import Start, noise_start

_LEAST_RIDGE = 1e-4  # published, for measurements without noise


@remembered
def preconditioned_process(
    schedule: schedules.DDPMSchedule,
    *,
    gamma: jax.typing.ArrayLike = 8.0,
    zeta: jax.typing.ArrayLike | None = 0.5,
    ridge: jax.typing.ArrayLike = 0.7,
    shrink: bool = True,
    noise_std: jax.typing.ArrayLike | None = None,
) -> ReverseProcess:
    """The reverse process of DDPG; see `ddpg`, whose arguments these are."""
    _checks.positive("gamma", gamma)
    _checks.not_negative("ridge", ridge)
    if zeta is not None:
        _checks.within("zeta", zeta, 0.0, 1.0)
    check_noise_std(noise_std)

    def init(degradation: Degradation, y: jax.Array) -> tuple[()]:
        require("ddpg", "linear", degradation)
        return ()

    def step(x, t, memory, prior, degradation, y):
        prediction = prior.predict(x, t, schedule)
        x0, operator = prediction.x0, degradation.operator
        abar, abar_previous = table_at(schedule.abar, t, x), table_at(schedule.abar_previous, t, x)
        variance = noise_variance(degradation, noise_std, x.dtype)
        noisy = variance > 0
        misfit = y - operator(x0)
        back_projection = likelihood_score(operator, misfit, 1.0, jnp.maximum(like(x, ridge) * variance, _LEAST_RIDGE))
        least_squares = transpose(operator)(misfit)
        delta = jnp.where(noisy, abar_previous ** like(x, gamma), 0.0)
        rate = (1.0 - abar_previous) / (1.0 - abar) if shrink else 1.0
        change = rate * ((1.0 - delta) * back_projection + delta * least_squares)
        # With noise the last step returns the estimate as it is.
        corrected = x0 + jnp.where((t == 0) & noisy, 0.0, 1.0) * change
        rest = jnp.sqrt(1.0 - abar_previous)
        if zeta is None:
            mean, fresh = jnp.sqrt(abar_previous) * corrected, like(x, 0.0)
        else:
            eps = (x - jnp.sqrt(abar) * corrected) / jnp.sqrt(1.0 - abar)
            share = jnp.sqrt(1.0 - like(x, zeta)) * jnp.where(noisy, delta, 1.0)
            mean, fresh = jnp.sqrt(abar_previous) * corrected + rest * share * eps, jnp.sqrt(like(x, zeta))

        def spread(z: jax.Array) -> jax.Array:
            return rest * fresh * z

        return ReverseStep(mean, spread, x0, prediction.eps, -change, safe_norm(misfit)), memory

    return ReverseProcess(schedule, init, step)


@remembered
def ddpg(
    *,
    num_steps: int | schedules.DDPMSchedule = 100,
    gamma: jax.typing.ArrayLike = 8.0,
    zeta: jax.typing.ArrayLike | None = 0.5,
    ridge: jax.typing.ArrayLike = 0.7,
    shrink: bool = True,
    spacing: str = "linspace",
    noise_std: jax.typing.ArrayLike | None = None,
    start: Start = noise_start,
) -> Sampler:
    """Iteratively preconditioned guidance, for linear operators: from back-projection to least squares.

    The estimate x0 moves by (1 - delta_t) A^T (A A^T + ridge s^2 I)^-1 r + delta_t A^T r, with r = y - A x0, s the
    noise of the measurement and delta_t = abar_{t-1}^gamma: far from the image the measured directions are set to what
    was measured, near it they are only pulled there, for back-projection would amplify the noise. No gradient passes
    the network.

    Args:
      num_steps: Reverse steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`;
        published 100.
      gamma: How late least squares takes over, positive; published 3 to 300, 8 at noise 0.1. May be traced.
      zeta: Share of fresh noise, in [0, 1]; published 0.4 to 1. May be traced. None is the deterministic form (IDPG),
        whose states have no noise after the first.
      ridge: Weight of the noise in the inverse, not negative; published 0.2 to 7. May be traced.
      shrink: Scale each correction by (1 - abar_{t-1}) / (1 - abar_t), as published for noise of 0.1 and above.
      spacing: Which timesteps are kept, see `schedules.ddpm`; published "leading", which starts at t = 990.
      noise_std: s; None takes that of the degradation's Gaussian noise. At 0, delta_t is 0 throughout.
      start: Where the first step begins; published noise.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If a setting is out of range.
      TypeError: When sampling, if the operator is not linear or the noise has no one strength.

    References:
      Garber & Tirer, Image Restoration by Denoising Diffusion Models with Iteratively Preconditioned Guidance, CVPR
      2024 (arXiv 2312.16519), algorithm 1. The kept share of the noise is weighted by delta_t, as in the authors' code.

    Example:
      >>> sampler = jr.ddpg(num_steps=20)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    schedule = schedules.as_schedule(num_steps, spacing)
    process = preconditioned_process(schedule, gamma=gamma, zeta=zeta, ridge=ridge, shrink=shrink, noise_std=noise_std)
    return ancestral(process, start=start)
