"""DAPS: decoupled annealing posterior sampling."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrestore import _checks, schedules
from jaxrestore._numerics import like, safe_norm
from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._base import Sampler, falling
from jaxrestore.samplers._recipes import remembered


class DAPSState(NamedTuple):
    x: jax.Array  # (H, W, C), noisy image; after the last step, the answer
    x0: jax.Array  # (H, W, C), the prior's estimate before the measurement was heard
    index: jax.Array  # (), int32, steps taken
    key: jax.Array  # (), constant; step i draws from fold_in(key, i)


class DAPSInfo(NamedTuple):
    sigma: jax.Array  # (), noise level
    residual: jax.Array  # (), ||y - A(x0)||_2 of the prior's estimate
    residual_after: jax.Array  # (), the same after the Langevin steps


def probability_flow(prior: Prior, x: jax.Array, sigma: jax.Array, steps: int, *, sigma_min: float = 0.01) -> jax.Array:
    """An image from a noisy one by Euler steps along the probability flow, on an EDM grid from `sigma` to 0.

    Args:
      prior: What images look like.
      x: (H, W, C), an image with noise of standard deviation `sigma`.
      sigma: (), above `sigma_min`; may be traced.
      steps: Network evaluations; 1 is the denoised estimate.
      sigma_min: Last level above zero.
    """
    high, low = like(x, sigma) ** (1 / 7), like(x, sigma_min ** (1 / 7))
    ramp = jnp.arange(steps, dtype=x.dtype) / max(steps - 1, 1)
    levels = jnp.append((high + ramp * (low - high)) ** 7, 0.0)

    def euler(x: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        now, after = pair
        return x + (now - after) / now * (prior.denoise(x, now) - x), None

    return jax.lax.scan(euler, x, (levels[:-1], levels[1:]))[0]


@remembered
def daps(
    *,
    num_steps: int = 200,
    ode_steps: int = 5,
    langevin_steps: int = 100,
    learning_rate: jax.typing.ArrayLike = 1e-4,
    lr_min_ratio: jax.typing.ArrayLike = 0.01,
    tau: jax.typing.ArrayLike = 0.01,
    sigma_max: float = 100.0,
    sigma_min: float = 0.1,
) -> Sampler:
    """Decoupled annealing posterior sampling, for any differentiable operator.

    At each noise level the probability flow gives an image, Langevin steps on exp(-||x - x0||^2 / (2 sigma^2)
    - ||A(x) - y||^2 / (2 tau^2)) draw one that fits the measurement, and fresh noise of the next level is added to it.
    Consecutive states are coupled through the image alone. No gradient passes the network.

    Args:
      num_steps: Noise levels, at least 2. Published 200, and 100.
      ode_steps: Network evaluations at each level. Published 5.
      langevin_steps: At each level; they cost an evaluation of the operator each. Published 100.
      learning_rate: Step size of the Langevin steps on the energy above, positive. Published with the paper (branch
        "legacy"): 1e-4 for super-resolution, Gaussian deblurring and random inpainting; 5e-5 for motion deblurring, box
        inpainting, nonlinear deblurring and phase retrieval; 2e-5 for high dynamic range. Stable below
        2 tau^2 / ||A||^2. May be traced.
      lr_min_ratio: The learning rate falls linearly towards this share of itself, in [0, 1]. May be traced.
      tau: Noise that the measurement is taken to have, positive; published 0.01 whatever it was. The authors' later
        code leaves the 2 out of the misfit's energy: its tau is sqrt(2) times this one. May be traced.
      sigma_max: First noise level.
      sigma_min: Last noise level.

    Returns:
      A sampler with a `DAPSState` and a `DAPSInfo`.

    Raises:
      ValueError: If a setting is out of range.

    References:
      Zhang et al., Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing, CVPR 2025
      (arXiv 2407.01521), algorithm 1.

    Example:
      >>> sampler = jr.daps(num_steps=10, ode_steps=2, langevin_steps=5, tau=0.05, learning_rate=5e-4)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    _checks.at_least("ode_steps", ode_steps, 1)
    _checks.at_least("langevin_steps", langevin_steps, 1)
    _checks.positive("learning_rate", learning_rate)
    _checks.within("lr_min_ratio", lr_min_ratio, 0.0, 1.0)
    _checks.positive("tau", tau)
    sigmas = schedules.edm(num_steps, sigma_max=sigma_max, sigma_min=sigma_min)

    def init(key: jax.Array, prior: Prior, degradation: Degradation, y: jax.Array) -> DAPSState:
        key_start, key_steps = jax.random.split(key)
        x = float(sigmas[0]) * jax.random.normal(key_start, degradation.image_shape, y.dtype)
        return DAPSState(x, jnp.zeros_like(x), jnp.int32(0), key_steps)

    def step(state: DAPSState, prior: Prior, degradation: Degradation, y: jax.Array) -> tuple[DAPSState, DAPSInfo]:
        levels, likely_noise = like(state.x, sigmas), like(state.x, tau)
        sigma, sigma_next = levels[state.index], levels[state.index + 1]
        rate = falling(state.x, learning_rate, lr_min_ratio, state.index, num_steps)
        key_langevin, key_noise = jax.random.split(jax.random.fold_in(state.key, state.index))
        x0 = probability_flow(prior, state.x, sigma, ode_steps, sigma_min=min(0.01, sigma_min))

        def energy(x: jax.Array) -> jax.Array:
            misfit = jnp.sum(jnp.square(degradation.operator(x) - y))
            return jnp.sum(jnp.square(x - x0)) / (2.0 * jnp.square(sigma)) + misfit / (2.0 * jnp.square(likely_noise))

        def langevin(j: jax.Array, x: jax.Array) -> jax.Array:
            noise = jax.random.normal(jax.random.fold_in(key_langevin, j), x.shape, x.dtype)
            return x - rate * jax.grad(energy)(x) + jnp.sqrt(2.0 * rate) * noise

        drawn = jax.lax.fori_loop(0, langevin_steps, langevin, x0)
        x = drawn + sigma_next * jax.random.normal(key_noise, drawn.shape, drawn.dtype)
        residuals = [safe_norm(y - degradation.operator(image)) for image in (x0, drawn)]
        return DAPSState(x, x0, state.index + 1, state.key), DAPSInfo(sigma, *residuals)

    return Sampler(init, step, num_steps)
