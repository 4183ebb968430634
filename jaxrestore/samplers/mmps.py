"""MMPS: moment matching posterior sampling."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

from jaxrestore import _checks, schedules
from jaxrestore._numerics import gmres, like, safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.noise import JPEGNoise
from jaxrestore.operators.jpeg import DecodedJPEG
from jaxrestore.operators.linearised import linearise
from jaxrestore.operators.spectral import spectral
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import ancestral, guided
from jaxrestore.samplers.likelihood import (
    Estimate,
    Level,
    Likelihood,
    LikelihoodGradient,
    check_noise_std,
    noise_variance,
)

SOLVERS = ("cg", "gmres")

_Map = Callable[[jax.Array], jax.Array]


@remembered
def moment_matching(
    solver_steps: int = 1, noise_std: jax.typing.ArrayLike | None = None, *, solver: str = "cg"
) -> Likelihood:
    """The gradient of -log N(y; A x0, A V A^T + s^2 I) with V the denoiser's own posterior covariance.

    V = sigma^2 dx0/dx (Tweedie's second moment) is only ever multiplied with vectors, and the system is solved by a few
    iterations from zero: each costs one vector-Jacobian product. That multiplies with the transpose, which is the same
    for an exact denoiser, and for a network nearly so. Nonlinear operators are linearised at x0.

    Args:
      solver_steps: Iterations, at least 1; few act as a regularisation.
      noise_std: s, the deviation of the measurement noise; None takes that of the degradation's Gaussian noise.
      solver: "cg", conjugate gradients, or "gmres", see `mmps`.

    Returns:
      A likelihood, for `guided` or `spgd`.

    Raises:
      ValueError: If `solver_steps` is below 1, or there is no such solver.

    References:
      Rozet et al., Learning Diffusion Priors from Observations by Expectation Maximization, NeurIPS 2024
      (arXiv 2405.13712), section 4.2 and algorithm 3.
    """
    _checks.at_least("solver_steps", solver_steps, 1)
    _checks.one_of("solver", solver, SOLVERS)

    def likelihood(
        estimate: Estimate, x: jax.Array, level: Level, degradation: Degradation, y: jax.Array
    ) -> LikelihoodGradient:
        x0, back, aux = jax.vjp(estimate, x, has_aux=True)
        measured, forward, adjoint = linearise(degradation.operator, x0)
        # x = signal (x0 + sigma n), so the Jacobian with respect to x0 + sigma n is signal times that of x.
        scale = level.signal * jnp.square(level.sigma)
        variance = noise_variance(degradation, noise_std, x.dtype)

        residual = y - measured
        forward, adjoint, white = _where_noise_is_white(degradation, forward, adjoint, residual)

        def covariance(v: jax.Array) -> jax.Array:
            (pulled,) = back(adjoint(v))
            return variance * v + scale * forward(pulled)

        if solver == "cg":
            solution, _ = cg(covariance, white, tol=1e-6, maxiter=solver_steps)
        else:
            solution = gmres(covariance, white, solver_steps)
        (gradient,) = back(-adjoint(solution))
        return LikelihoodGradient(gradient, safe_norm(residual), x0, aux)

    return likelihood


def _where_noise_is_white(
    degradation: Degradation, forward: _Map, adjoint: _Map, residual: jax.Array
) -> tuple[_Map, _Map, jax.Array]:
    """The operator, its adjoint and a residual in coordinates in which the noise has one deviation.

    They are the measurement's own, but for JPEG's noise those of the operator's decomposition.
    """
    if not (isinstance(degradation.noise, JPEGNoise) and isinstance(degradation.operator, DecodedJPEG)):
        return forward, adjoint, residual
    svd = spectral(degradation.operator, residual)
    values = like(residual, svd.values)
    return lambda v: values * svd.analyze(v), lambda c: svd.synthesize(values * c), svd.measured(residual)


@remembered
def mmps(
    *,
    num_steps: int | schedules.DDPMSchedule = 100,
    solver_steps: int = 1,
    solver: str = "cg",
    scale: jax.typing.ArrayLike = 1.0,
    noise_std: jax.typing.ArrayLike | None = None,
) -> Sampler:
    """Moment matching posterior sampling: ancestral steps with the score of an approximate posterior.

    The step is the DDPM step of the estimate x0 + V A^T (A V A^T + s^2 I)^-1 (y - A x0).

    Args:
      num_steps: Reverse steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`.
      solver_steps: Iterations of the solver at each step; published 1 to 3 with "cg", 1 and 5 with "gmres".
      solver: "cg": conjugate gradients, as in the paper, for systems that are symmetric. A network's Jacobian is not
        quite; "gmres", generalised minimal residuals, does not ask for it, and is the default of the authors' later
        code (azula). It costs one vector-Jacobian product less at each step, and memory for a measurement an iteration.
      scale: Further weight of the guidance, positive; published 1. May be traced.
      noise_std: Standard deviation of the measurement noise; None takes that of the degradation's Gaussian noise.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If a setting is out of range.
      TypeError: When sampling, if the noise has no one strength.

    References:
      Rozet et al., Learning Diffusion Priors from Observations by Expectation Maximization, NeurIPS 2024
      (arXiv 2405.13712).

    Example:
      >>> sampler = jr.mmps(num_steps=20, solver_steps=2)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    schedule = schedules.as_schedule(num_steps)
    check_noise_std(noise_std)
    # sigma^2 signal = (1 - abar) / sqrt(abar) turns the gradient into the change of x0.
    change = (1.0 - schedule.abar) / schedule.abar**0.5
    return ancestral(
        guided(
            moment_matching(solver_steps, noise_std, solver=solver),
            schedule,
            scale=scale,
            weights=schedule.posterior_mean_x0 * change,
        )
    )
