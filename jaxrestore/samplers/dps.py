"""DPS: diffusion posterior sampling."""

import jax
import optax

from jaxrestore import schedules
from jaxrestore._numerics import safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import ancestral, guided
from jaxrestore.samplers.likelihood import Estimate, Level, LikelihoodGradient


def residual_norm(
    estimate: Estimate, x: jax.Array, level: Level, degradation: Degradation, y: jax.Array
) -> LikelihoodGradient:
    """The gradient of ||y - A(x0(x))||_2: the norm, not its square.

    One network evaluation and one vector-Jacobian product.

    References:
      Chung et al., Diffusion Posterior Sampling for General Noisy Inverse Problems, ICLR 2023, algorithm 1.
    """

    def misfit(x: jax.Array):
        x0, aux = estimate(x)
        return safe_norm(y - degradation.operator(x0)), (x0, aux)

    (residual, (x0, aux)), gradient = jax.value_and_grad(misfit, has_aux=True)(x)
    return LikelihoodGradient(gradient, residual, x0, aux)


@remembered
def dps(
    *,
    num_steps: int | schedules.DDPMSchedule = 1000,
    scale: jax.typing.ArrayLike = 1.0,
    warmup_steps: int = 1,
    transform: optax.GradientTransformation | None = None,
) -> Sampler:
    """Diffusion posterior sampling: ancestral steps, each moved down the gradient of the residual's norm.

    The step is `scale` times the gradient of ||y - A(x0)||, as in the released code. The square's gradient is that
    times 2 ||y - A(x0)||, so on the squared norm, as the paper writes it, the step size is `scale / (2 ||y - A(x0)||)`,
    and the paper's zeta' is half of `scale`. The norm is that of one image: the released code takes it over the whole
    batch, which makes a result depend on its batch mates. For Poisson noise that code divides by the measurement; here
    the norm is the same for all noise.

    Args:
      num_steps: Reverse steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`.
      scale: Positive; released 0.3 for super-resolution and all blurs, 0.5 for inpainting, 1.0 for phase retrieval. May
        be traced.
      warmup_steps: Likelihood steps at each noise level; more than 1 is SPGD's warm-up around DPS.
      transform: What the gradient goes through, e.g. `adaptive_directional_momentum(0.9)`; published: none.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`.

    Raises:
      ValueError: If a setting is out of range.

    References:
      Chung et al., Diffusion Posterior Sampling for General Noisy Inverse Problems, ICLR 2023 (arXiv 2209.14687),
      algorithm 1.

    Example:
      >>> sampler = jr.dps(num_steps=20, scale=0.4)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    schedule = schedules.as_schedule(num_steps)
    return ancestral(
        guided(residual_norm, schedule, scale=scale, clip=True, transform=transform, warmup_steps=warmup_steps)
    )
