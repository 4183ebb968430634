"""SPGD: stabilized progressive gradient diffusion."""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxrestore import _checks, schedules
from jaxrestore._numerics import like
from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._angles import angle
from jaxrestore.samplers._base import Sampler, falling
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.likelihood import Estimate, Level, Likelihood, LikelihoodGradient
from jaxrestore.samplers.momentum import AdaptiveDirectionalMomentumState, adaptive_directional_momentum
from jaxrestore.samplers.starts import FirstImage, first_image


class SPGDState(NamedTuple):
    x: jax.Array  # (H, W, C), noisy image; after the last step, the answer
    x0: jax.Array  # (H, W, C), denoised estimate of the last evaluation
    gradient: jax.Array  # (H, W, C), last likelihood gradient; for the diagnostics
    direction: jax.Array  # (H, W, C), last denoising direction x0 - x; for the diagnostics
    index: jax.Array  # (), int32, steps taken
    key: jax.Array  # (), constant; SPGD draws only its start


class SPGDInfo(NamedTuple):
    """Diagnostics of one annealing step, from its last warm-up iteration; angles in radians."""

    sigma: jax.Array  # (), noise level
    residual: jax.Array  # (), ||A(x0) - y||_2
    angle_likelihood_denoising: jax.Array  # (), between the descent direction -g and x0 - x
    angle_likelihood: jax.Array  # (), between successive annealing steps' likelihood gradients; -1 at the first
    angle_denoising: jax.Array  # (), between successive denoising directions; -1 at the first
    # (), mean alpha of the step's warm-up iterations after the first; 0 without them, and under another transform
    momentum_weight: jax.Array


class _Inner(NamedTuple):
    """One warm-up iteration, as scanned."""

    gradient: jax.Array
    direction: jax.Array
    x0: jax.Array
    residual: jax.Array


def squared_residual(
    estimate: Estimate, x: jax.Array, level: Level, degradation: Degradation, y: jax.Array
) -> LikelihoodGradient:
    """The gradient of ||A(x0(x)) - y||^2: one network evaluation and one vector-Jacobian product."""

    def misfit(x: jax.Array):
        x0, aux = estimate(x)
        return jnp.sum(jnp.square(degradation.operator(x0) - y)), (x0, aux)

    (squared, (x0, aux)), gradient = jax.value_and_grad(misfit, has_aux=True)(x)
    return LikelihoodGradient(gradient, jnp.sqrt(squared), x0, aux)


@remembered
def spgd(
    *,
    num_steps: int = 100,
    warmup_steps: int = 5,
    learning_rate: jax.typing.ArrayLike = 1.0,
    lr_min_ratio: jax.typing.ArrayLike = 0.01,
    momentum: jax.typing.ArrayLike = 0.9,
    sigma_max: float = 100.0,
    sigma_min: float = 0.1,
    likelihood: Likelihood = squared_residual,
    transform: optax.GradientTransformation | None = None,
    start: FirstImage | None = None,
) -> Sampler:
    """Stabilized progressive gradient diffusion.

    At each noise level the likelihood takes several small steps before the one denoising step (progressive likelihood
    warm-up), and its gradients are smoothed along their own direction (adaptive directional momentum). The gradient of
    ||A(D(x, sigma)) - y||^2 is taken through the network with respect to x: one network evaluation and one
    vector-Jacobian product for each warm-up step.

    Args:
      num_steps: Noise levels N, at least 2.
      warmup_steps: Likelihood steps at each level, at least 1.
      learning_rate: Step size at the first level, positive; it falls linearly towards `lr_min_ratio` of itself. May be
        traced.
      lr_min_ratio: In [0, 1]. May be traced.
      momentum: beta of `adaptive_directional_momentum`; 0.9 is the paper, 0 is what the released code does (it computes
        the smoothed gradient and then steps with the raw one). May be traced.
      sigma_max: First noise level.
      sigma_min: Last noise level. Published 0.1.
      likelihood: What to take the gradient of; published ||A(D(x, sigma)) - y||^2. The learning rate is in its units.
      transform: What each level's gradients go through, instead of the adaptive directional momentum.
      start: The image to which the first noise is added; published none.

    Returns:
      A sampler with an `SPGDState` and an `SPGDInfo`.

    Raises:
      ValueError: If a setting is out of range.

    References:
      Wu et al., Enhancing Diffusion Model Stability for Image Restoration via Gradient Management, ACM MM 2025
      (arXiv 2507.06656), algorithm 1.

    Example:
      >>> sampler = jr.spgd(num_steps=10, warmup_steps=3, learning_rate=0.5)
      >>> sampler.sample(key, prior, degradation, y).image.shape
      (8, 8, 3)
    """
    _checks.at_least("num_steps", num_steps, 2)
    _checks.at_least("warmup_steps", warmup_steps, 1)
    _checks.positive("learning_rate", learning_rate)
    _checks.within("lr_min_ratio", lr_min_ratio, 0.0, 1.0)
    sigmas = schedules.edm(num_steps, sigma_max=sigma_max, sigma_min=sigma_min)
    transform = adaptive_directional_momentum(momentum) if transform is None else transform

    def init(key: jax.Array, prior: Prior, degradation: Degradation, y: jax.Array) -> SPGDState:
        key_start, key_steps = jax.random.split(key)
        x = float(sigmas[0]) * jax.random.normal(key_start, degradation.image_shape, y.dtype)
        zeros = jnp.zeros_like(x)
        x = x if start is None else x + first_image(start, degradation, y)
        return SPGDState(x, zeros, zeros, zeros, jnp.int32(0), key_steps)

    def step(state: SPGDState, prior: Prior, degradation: Degradation, y: jax.Array) -> tuple[SPGDState, SPGDInfo]:
        levels = like(state.x, sigmas)
        sigma, sigma_next = levels[state.index], levels[state.index + 1]
        rate = falling(state.x, learning_rate, lr_min_ratio, state.index, num_steps)

        def estimate(x: jax.Array) -> tuple[jax.Array, None]:
            return prior.denoise(x, sigma), None

        def warm_up(carry, _):
            x, memory, _ = carry
            likely = likelihood(estimate, x, Level(1.0, sigma), degradation, y)
            update, memory = transform.update(likely.gradient, memory)
            inner = _Inner(likely.gradient, likely.x0 - x, likely.x0, likely.residual)
            weight = memory.weight if isinstance(memory, AdaptiveDirectionalMomentumState) else like(x, 0.0)
            return (x - rate * cast(jax.Array, update), memory, inner), weight

        # The momentum restarts at every noise level.
        before = _Inner(state.gradient, state.direction, state.x0, like(state.x, 0.0))
        carry = (state.x, transform.init(state.x), before)
        (x, _, last), weights = jax.lax.scan(warm_up, carry, length=warmup_steps)
        # The denoising step uses the last evaluation: no further pass through the network.
        x = x + (sigma - sigma_next) / sigma * last.direction

        info = SPGDInfo(
            sigma=sigma,
            residual=last.residual,
            angle_likelihood_denoising=angle(-last.gradient, last.direction),
            angle_likelihood=angle(last.gradient, state.gradient),
            angle_denoising=angle(last.direction, state.direction),
            momentum_weight=weights[1:].mean() if warmup_steps > 1 else like(state.x, 0.0),
        )
        return SPGDState(x, last.x0, last.gradient, last.direction, state.index + 1, state.key), info

    return Sampler(init, step, num_steps)
