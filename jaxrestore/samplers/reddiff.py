"""RED-diff: regularisation by denoising diffusion."""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxrestore import _checks, schedules
from jaxrestore._numerics import like, safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.operators.spectral import pseudo_inverse
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.ancestral import table_at
from jaxrestore.samplers.starts import upsample


class REDDiffState(NamedTuple):
    x: jax.Array  # (H, W, C), mu, the image that is optimised
    x0: jax.Array  # (H, W, C), estimate of the last evaluation
    optimizer: optax.OptState
    index: jax.Array  # (), int32, steps taken
    key: jax.Array  # (), constant; step i draws from fold_in(key, i)


class REDDiffInfo(NamedTuple):
    timestep: jax.Array  # (), int32, in the network's own numbering
    residual: jax.Array  # (), ||y - A(mu)||_2


@remembered
def reddiff(
    *,
    num_steps: int | schedules.DDPMSchedule = 1000,
    learning_rate: jax.typing.ArrayLike = 0.1,
    strength: jax.typing.ArrayLike = 0.25,
    spacing: str = "linspace",
) -> Sampler:
    """Regularisation by denoising diffusion: Adam on the image, with the denoiser's error as its prior's gradient.

    The misfit is mean |y - A(mu)|^2 / 2; the prior's gradient at mu is strength sqrt(1/SNR_t) (eps(x_t) - n), with x_t
    the image under noise n of a level that falls from step to step. No gradient passes the network. It finds one image,
    a mode rather than a sample: draws differ by the noise that they have seen. The authors give Adam gradients of means
    over the batch, small enough that its epsilon of 1e-8 shortens the last steps; ours are sums, and no step is.

    Args:
      num_steps: Adam steps, 1 to 1000, or the schedule to follow, e.g. `schedules.ddpm(100, kind="cosine")`;
        published 1000 and 100.
      learning_rate: Step size of Adam (betas 0.9 and 0.99), positive: about the change of each pixel at each step. The
        authors' default is 0.1; the commands that they give run 0.5 for Gaussian and nonlinear deblurring, high dynamic
        range and phase retrieval, 0.25 for inpainting. May be traced.
      strength: Weight of the prior, lambda, positive; published 0.25 ("grad_term_weight"). May be traced.
      spacing: Which timesteps are kept, see `schedules.ddpm`; published "leading", at t = 990 first for 100
        steps.

    Returns:
      A sampler with a `REDDiffState` and a `REDDiffInfo`. The start is the measurement enlarged to the image: for masks
      and averages that is the published A^+ y, and for blurs it has none of the noise that A^+ would amplify. Where the
      measurement is no image it is A^+ y for linear operators, else zeros.

    Raises:
      ValueError: If a setting is out of range.

    References:
      Mardani et al., A Variational Perspective on Solving Inverse Problems with Diffusion Models, ICLR 2024
      (arXiv 2305.04391), algorithm 1 with the weighting of proposition 2.

    Example:
      >>> sampler = jr.reddiff(num_steps=20, learning_rate=0.1)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    _checks.positive("strength", strength)
    _checks.positive("learning_rate", learning_rate)
    schedule = schedules.as_schedule(num_steps, spacing)
    adam = optax.scale_by_adam(b1=0.9, b2=0.99)

    def init(key: jax.Array, prior: Prior, degradation: Degradation, y: jax.Array) -> REDDiffState:
        x = upsample(degradation, y)
        if x is None:
            linear = degradation.operator.linear
            x = pseudo_inverse(degradation.operator, y) if linear else jnp.zeros(degradation.image_shape, y.dtype)
        return REDDiffState(x, jnp.zeros_like(x), adam.init(x), jnp.int32(0), key)

    def step(
        state: REDDiffState, prior: Prior, degradation: Degradation, y: jax.Array
    ) -> tuple[REDDiffState, REDDiffInfo]:
        t = schedule.num_steps - 1 - state.index
        abar = table_at(schedule.abar, t, state.x)
        noise = jax.random.normal(jax.random.fold_in(state.key, state.index), state.x.shape, state.x.dtype)
        noisy = jnp.sqrt(abar) * state.x + jnp.sqrt(1.0 - abar) * noise
        prediction = prior.predict(noisy, t, schedule)

        def misfit(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            difference = y - degradation.operator(x)
            return jnp.mean(jnp.square(difference)) / 2.0, safe_norm(difference)

        (_, residual), gradient = jax.value_and_grad(misfit, has_aux=True)(state.x)
        weight = like(state.x, strength) * jnp.sqrt((1.0 - abar) / abar)
        gradient = gradient + weight * (prediction.eps - noise) / noise.size
        # Adam does not care for the gradient's scale, except through its epsilon: sums, not means, keep clear of it.
        update, optimizer = adam.update(noise.size * gradient, state.optimizer)
        x = state.x - like(state.x, learning_rate) * cast(jax.Array, update)
        timestep = jnp.asarray(schedule.timesteps, jnp.int32)[t]
        return REDDiffState(x, prediction.x0, optimizer, state.index + 1, state.key), REDDiffInfo(timestep, residual)

    return Sampler(init, step, schedule.num_steps)
