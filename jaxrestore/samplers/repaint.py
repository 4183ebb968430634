"""RePaint: inpainting by walking the reverse process back and forth."""

import jax
import jax.numpy as jnp

from jaxrestore import schedules
from jaxrestore._numerics import safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.operators.spectral import spectral
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import ReverseProcess, ReverseStep, ancestral, table_at
from jaxrestore.samplers.likelihood import require


@remembered
def replacement_process(schedule: schedules.DDPMSchedule) -> ReverseProcess:
    """The reverse process of RePaint: what was measured comes from the measurement, the rest from the prior.

    In the coordinates V^T x of the operator's decomposition, which for a mask are the pixels, measured directions of
    x_{t-1} are drawn from q(x_{t-1} | x0 = A^+ y), all others from the DDPM step.
    """

    def init(degradation: Degradation, y: jax.Array) -> tuple[()]:
        require("repaint", "svd", degradation)
        return ()

    def step(x, t, memory, prior, degradation, y):
        prediction = prior.predict(x, t, schedule)
        svd = spectral(degradation.operator, x)
        measured, answer = svd.nonzero(), svd.inverse() * svd.measured(y)
        abar = table_at(schedule.abar_previous, t, x)
        unknown = (
            table_at(schedule.posterior_mean_x0, t, x) * prediction.x0 + table_at(schedule.posterior_mean_xt, t, x) * x
        )
        mean = svd.synthesize(jnp.where(measured, jnp.sqrt(abar) * answer, svd.analyze(unknown)))
        std = jnp.exp(0.5 * prediction.log_variance)

        def spread(z):
            unmeasured = svd.analyze(std * z)
            return svd.synthesize(jnp.where(measured, jnp.sqrt(1.0 - abar) * svd.analyze(z), unmeasured))

        misfit = svd.synthesize(jnp.where(measured, svd.analyze(prediction.x0) - answer, 0.0))
        residual = safe_norm(y - degradation.operator(prediction.x0))
        return ReverseStep(mean, spread, prediction.x0, prediction.eps, misfit, residual), memory

    return ReverseProcess(schedule, init, step)


@remembered
def repaint(*, num_steps: int | schedules.DDPMSchedule = 250, jump_length: int = 10, jump_repeats: int = 10) -> Sampler:
    """RePaint, for masks and other linear operators with a decomposition: known pixels replaced, again and again.

    At each step what was measured is replaced by the measurement under the noise of that step. So that the rest gets
    to know of it, the process returns over `jump_length` steps, by adding noise, and walks them anew until each stretch
    has been walked `jump_repeats` times. No gradient passes the network, and the measurement's noise is not heard of:
    the answer agrees with the measurement exactly.

    Args:
      num_steps: Steps of the schedule, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`;
        published 250.
      jump_length: Steps of each return; published 10.
      jump_repeats: How often each stretch is walked; published 10. With 1 the process never returns.

    Returns:
      A sampler with an `AncestralState` and an `AncestralInfo`. Its `num_steps` counts all reverse steps: 2410 with the
      published settings, each a network evaluation.

    Raises:
      ValueError: If a setting is out of range.
      TypeError: When sampling, if the operator is not linear or has no decomposition.

    References:
      Lugmayr et al., RePaint: Inpainting Using Denoising Diffusion Probabilistic Models, CVPR 2022 (arXiv 2201.09865),
      algorithm 1 and section 4.2; for masks. Other operators are this library's.

    Example:
      >>> jr.repaint(num_steps=20, jump_length=5, jump_repeats=2).num_steps
      35
    """
    schedule = schedules.as_schedule(num_steps)
    walk = schedules.time_travel(schedule.num_steps, length=jump_length, repeats=jump_repeats)
    return ancestral(replacement_process(schedule), walk=walk)
