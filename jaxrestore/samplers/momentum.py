"""Adaptive directional momentum: the gradient transformation of SPGD."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore.samplers._angles import cosine
from jaxrestore.samplers._recipes import remembered


class AdaptiveDirectionalMomentumState(NamedTuple):
    """Carried from one update to the next."""

    previous: Any  # the smoothed gradient returned last; zeros at first
    weight: Any  # (), alpha in [0, 1] of the last update, for each array
    count: jax.Array  # (), int32, updates made


@remembered
def adaptive_directional_momentum(beta: jax.typing.ArrayLike = 0.9) -> optax.GradientTransformation:
    """Smooth a gradient along its previous direction, the more the better the two agree.

    g~_j = alpha_j beta g~_{j-1} + (1 - alpha_j beta) g_j with alpha_j = (mean cos(g_j, g~_{j-1}) + 1) / 2; the cosine
    is taken over the last axis (channels) and averaged over all others (pixels). The first update returns the gradient
    unchanged. Gradients that keep their direction are averaged, those that turn against it are taken as they are.

    Args:
      beta: Momentum in [0, 1]; 0 returns every gradient unchanged. May be traced.

    Returns:
      An optax transformation; each array of the gradient is treated on its own.

    Raises:
      ValueError: If a concrete `beta` is outside [0, 1].

    References:
      Wu et al., Enhancing Diffusion Model Stability for Image Restoration via Gradient Management, 2025
      (arXiv 2507.06656), adaptive directional momentum.
    """
    _checks.within("beta", beta, 0.0, 1.0)

    def init(params: optax.Params) -> AdaptiveDirectionalMomentumState:
        weight = jax.tree.map(lambda a: jnp.zeros((), a.dtype), params)
        return AdaptiveDirectionalMomentumState(jax.tree.map(jnp.zeros_like, params), weight, jnp.int32(0))

    def update(
        updates: Any, state: Any, params: optax.Params | None = None
    ) -> tuple[Any, AdaptiveDirectionalMomentumState]:
        previous, _, count = state
        started = count > 0

        def agreement(gradient: jax.Array, last: jax.Array) -> jax.Array:
            return jnp.where(started, (cosine(gradient, last, axis=-1).mean() + 1.0) / 2.0, 0.0)

        def smooth(gradient: jax.Array, last: jax.Array, weight: jax.Array) -> jax.Array:
            share = weight * like(gradient, beta)
            return share * last + (1.0 - share) * gradient

        weight = jax.tree.map(agreement, updates, previous)
        smoothed = jax.tree.map(smooth, updates, previous, weight)
        return smoothed, AdaptiveDirectionalMomentumState(smoothed, weight, count + 1)

    return optax.GradientTransformation(init, update)
