"""A likelihood whose gradient is evened out, so that one step size is right for every operator."""

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

from jaxrestore import _checks
from jaxrestore._numerics import safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.operators.linearised import linearise
from jaxrestore.operators.spectral import likelihood_score
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.likelihood import (
    LEAST_VARIANCE,
    Estimate,
    Level,
    Likelihood,
    LikelihoodGradient,
    check_noise_std,
    noise_variance,
)


@remembered
def preconditioned_residual(*, solver_steps: int = 5, noise_std: jax.typing.ArrayLike | None = None) -> Likelihood:
    """The gradient of v/2 ||y - A(x0(x))||^2 in the metric (v A A^T + s^2 I)^-1, the metric held fixed.

    v = sigma^2 / (1 + sigma^2) is the variance of the image around its estimate, for white data of unit variance. The
    metric evens out what the operator weighs differently, so that a step of 1 is right for all of them. It is applied
    in closed form where the operator knows its decomposition, else by conjugate gradients; operators that are not
    linear are linearised at the estimate, which makes this a Gauss-Newton step. For linear operators it is PiGDM's
    guidance.

    Args:
      solver_steps: Conjugate gradient iterations for operators that are not linear, at least 1. They cost evaluations
        of the operator, not of the network.
      noise_std: s, the deviation of the measurement noise; None takes that of the degradation's Gaussian noise.

    Returns:
      A likelihood, for `guided` or `spgd`.

    Raises:
      ValueError: If a setting is out of range.

    References:
      Song et al., Pseudoinverse-Guided Diffusion Models for Inverse Problems, ICLR 2023, equations 7 and 8.
    """
    _checks.at_least("solver_steps", solver_steps, 1)
    check_noise_std(noise_std)

    def likelihood(
        estimate: Estimate, x: jax.Array, level: Level, degradation: Degradation, y: jax.Array
    ) -> LikelihoodGradient:
        operator, noise = degradation.operator, noise_variance(degradation, noise_std, x.dtype)
        variance = jnp.square(level.sigma) / (1.0 + jnp.square(level.sigma))
        x0, back, aux = jax.vjp(estimate, x, has_aux=True)
        if operator.linear:
            residual = y - operator(x0)
            score = likelihood_score(operator, residual, variance, noise)
        else:
            local = linearise(operator, x0)
            residual = y - local.measured
            # Where the Jacobian has no rank (clipped pixels) only the noise keeps the system regular.
            noise = jnp.maximum(noise, LEAST_VARIANCE)
            solution, _ = cg(
                lambda u: variance * local.forward(local.adjoint(u)) + noise * u,
                residual,
                tol=1e-6,
                maxiter=solver_steps,
            )
            score = local.adjoint(solution)
        (gradient,) = back(-variance * score)
        return LikelihoodGradient(gradient, safe_norm(residual), x0, aux)

    return likelihood
