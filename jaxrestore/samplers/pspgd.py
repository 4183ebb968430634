"""PSPGD: SPGD with a preconditioned likelihood, whose step size is 1 whatever the operator."""

import jax
import optax
from jax.core import Tracer

from jaxrestore import _checks
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.preconditioned import preconditioned_residual
from jaxrestore.samplers.spgd import spgd
from jaxrestore.samplers.starts import FirstImage


def levels_of(evaluations: int, detail: float) -> int:
    """How many noise levels a budget of evaluations is split into: 3 at detail 0, half of the budget at 1."""
    fewest, most = min(3, evaluations // 2), evaluations // 2
    return max(2, round(fewest * (most / fewest) ** detail))


def split_budget(evaluations: int, detail: float) -> tuple[int, int]:
    """Noise levels, and likelihood steps at each of them.

    Raises:
      ValueError: If there are fewer than 4 evaluations, or `detail` is out of range.
    """
    _checks.at_least("evaluations", evaluations, 4)
    _checks.within("detail", detail, 0.0, 1.0)
    num_steps = levels_of(evaluations, detail)
    return num_steps, max(1, round(evaluations / num_steps))


@remembered
def pspgd(
    *,
    evaluations: int = 24,
    detail: float = 0.5,
    sigma_max: float = 10.0,
    sigma_min: float = 0.05,
    learning_rate: jax.typing.ArrayLike = 1.0,
    momentum: jax.typing.ArrayLike = 0.0,
    solver_steps: int = 5,
    noise_std: jax.typing.ArrayLike | None = None,
    start: FirstImage | None = None,
) -> Sampler:
    """SPGD with a preconditioned likelihood: a fraction of the evaluations, and no step size to choose.

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
      momentum: Nesterov's, in [0, 1], restarted at each level. It moves on what the network makes slow rather than the
        operator, such as the inside of holes, and overshoots elsewhere. May be traced.
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
    _checks.within("momentum", momentum, 0.0, 1.0)
    num_steps, warmup_steps = split_budget(evaluations, detail)
    # Python's numbers do not widen a run, NumPy's do under x64.
    decay = momentum if isinstance(momentum, Tracer) else float(momentum)  # pyright: ignore[reportArgumentType]
    return spgd(
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        learning_rate=learning_rate,
        lr_min_ratio=1.0,
        sigma_max=sigma_max,
        sigma_min=sigma_min,
        likelihood=preconditioned_residual(solver_steps=solver_steps, noise_std=noise_std),
        transform=optax.trace(decay, nesterov=True),  # pyright: ignore[reportArgumentType]
        start=start,
    )
