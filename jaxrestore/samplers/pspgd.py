"""PSPGD: SPGD with a preconditioned likelihood, whose step size is 1 whatever the operator."""

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

from jaxrestore import _checks
from jaxrestore._numerics import safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.operators.linearised import linearise
from jaxrestore.operators.spectral import likelihood_score
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers.likelihood import (
    LEAST_VARIANCE,
    Estimate,
    Level,
    Likelihood,
    LikelihoodGradient,
    check_noise_std,
    noise_variance,
)
from jaxrestore.samplers.spgd import spgd
from jaxrestore.samplers.starts import FirstImage


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

    References:
      Song et al., Pseudoinverse-Guided Diffusion Models for Inverse Problems, ICLR 2023, equations 7 and 8.
    """
    _checks.at_least("solver_steps", solver_steps, 1)
    check_noise_std(noise_std)

    def likelihood(
        estimate: Estimate, x: jax.Array, level: Level, degradation: Degradation, y: jax.Array
    ) -> LikelihoodGradient:
        operator, noise = degradation.operator, noise_variance(degradation, noise_std)
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


def levels_of(evaluations: int, detail: float) -> int:
    """How many noise levels a budget of evaluations is split into: 3 at detail 0, half of the budget at 1."""
    fewest, most = min(3, evaluations // 2), evaluations // 2
    return max(2, round(fewest * (most / fewest) ** detail))


def split_budget(evaluations: int, detail: float) -> tuple[int, int]:
    """Noise levels, and likelihood steps at each of them."""
    num_steps = levels_of(evaluations, detail)
    return num_steps, max(1, round(evaluations / num_steps))


def pspgd(
    *,
    evaluations: int = 24,
    detail: float = 0.5,
    sigma_max: float = 10.0,
    sigma_min: float = 0.05,
    learning_rate: jax.typing.ArrayLike = 1.0,
    solver_steps: int = 5,
    noise_std: jax.typing.ArrayLike | None = None,
    start: FirstImage | None = None,
) -> Sampler:
    """SPGD with a preconditioned likelihood: a quarter of the evaluations, and no step size to choose.

    SPGD's structure, likelihood steps before each denoising step, with the metric of `preconditioned_residual` instead
    of plain gradient descent, so that one step of size 1 goes as far as many small ones. This is not the paper's
    method, which is `spgd`.

    Args:
      evaluations: Network evaluations, each with its vector-Jacobian product, at least 4; rounded to whole levels.
      detail: In [0, 1]: few noise levels with many likelihood steps each come near to the posterior mean (0, high
        PSNR), many levels with few steps keep more texture (1, low LPIPS).
      sigma_max: First noise level.
      sigma_min: Last noise level.
      learning_rate: Step size, positive; 1 for every operator, unstable from about 4. May be traced.
      solver_steps: See `preconditioned_residual`.
      noise_std: Standard deviation of the measurement noise; None takes that of the degradation's Gaussian noise.
      start: The image to which the first noise is added.

    Returns:
      A sampler with an `SPGDState` and an `SPGDInfo`.

    Raises:
      ValueError: If a setting is out of range.
      TypeError: When sampling, if the noise has no one strength.

    References:
      Wu et al., Enhancing Diffusion Model Stability for Image Restoration via Gradient Management, ACM MM 2025
      (arXiv 2507.06656), for the structure; Song et al., Pseudoinverse-Guided Diffusion Models for Inverse Problems,
      ICLR 2023, for the metric.

    Example:
      >>> sampler = jr.pspgd(evaluations=12)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    _checks.at_least("evaluations", evaluations, 4)
    _checks.within("detail", detail, 0.0, 1.0)
    num_steps, warmup_steps = split_budget(evaluations, detail)
    return spgd(
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        learning_rate=learning_rate,
        lr_min_ratio=1.0,
        momentum=0.0,
        sigma_max=sigma_max,
        sigma_min=sigma_min,
        likelihood=preconditioned_residual(solver_steps=solver_steps, noise_std=noise_std),
        start=start,
    )
