"""GroupNorm, with or without SiLU, whose backward pass keeps its input and computes the rest again.

`jax.grad` alone would write out the deviations from the mean and the sigmoid for the backward pass: two further arrays
of the input's size for every norm. Both are cheaper computed than read. `python -m benchmarks.levers
group_norm_backward` measures it.
"""

import functools

import jax
import jax.numpy as jnp

from jaxrestore.layers._varying import vary_alike


def _by_group(a: jax.Array, groups: int) -> jax.Array:
    """Means over the channels of each group, (N, C) to (N, C)."""
    n, channels = a.shape
    means = a.reshape(n, groups, channels // groups).mean(2, keepdims=True)
    return jnp.broadcast_to(means, (n, groups, channels // groups)).reshape(n, channels)


def _moments(x: jax.Array, groups: int, eps: float) -> tuple[jax.Array, jax.Array]:
    """Mean and inverse standard deviation of each channel's group, (N, C).

    Two passes, since E[x^2] - E[x]^2 loses digits. Sums over pixels only, groups combined afterwards: on CPU four times
    faster than one sum over both.
    """
    means = x.mean((1, 2))
    variances = jnp.square(x - means[:, None, None]).mean((1, 2))
    mean = _by_group(means, groups)
    return mean, jax.lax.rsqrt(_by_group(variances + jnp.square(means - mean), groups) + eps)


def group_norm(x: jax.Array, gain: jax.Array, shift: jax.Array, groups: int, eps: float, silu: bool) -> jax.Array:
    """Normalise over the pixels and channels of each group, in float32; then gain * x + shift, then SiLU if wanted.

    Args:
      x: (N, H, W, C).
      gain: (N, C), float32: the norm's scale, and FiLM's if there is one.
      shift: (N, C), float32.
      groups: Must divide C.
      eps: Added to the variance.
      silu: Whether SiLU follows.

    Returns:
      (N, H, W, C), in the dtype of `x`.

    References:
      Wu & He, Group Normalization, ECCV 2018 (arXiv 1803.08494).
    """
    return _group_norm(*vary_alike(x, gain, shift), groups, eps, silu)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _group_norm(x, gain, shift, groups, eps, silu):
    return _forward(x, gain, shift, groups, eps, silu)[0]


def _forward(x, gain, shift, groups, eps, silu):
    values = x.astype(jnp.float32)
    mean, inverse = _moments(values, groups, eps)
    factor = inverse * gain  # one multiply-add a value
    out = values * factor[:, None, None] + (shift - mean * factor)[:, None, None]
    out = jax.nn.silu(out) if silu else out
    return out.astype(x.dtype), (x, gain, shift, mean, inverse)


def _backward(groups, eps, silu, residuals, g):
    # Behind the barrier XLA does not find that the forward pass had the same values, which it would then store.
    (x, gain, shift, mean, inverse), g = jax.lax.optimization_barrier((residuals, g))
    pixels = x.shape[1] * x.shape[2]
    normed = (x.astype(jnp.float32) - mean[:, None, None]) * inverse[:, None, None]
    g = g.astype(jnp.float32)
    if silu:
        z = normed * gain[:, None, None] + shift[:, None, None]
        sigmoid = jax.nn.sigmoid(z)
        g = g * sigmoid * (1.0 + z * (1.0 - sigmoid))
    d_shift = g.sum((1, 2))
    d_gain = (g * normed).sum((1, 2))
    # The two means over a group that the formula for dx needs follow from these sums.
    offset, slope = _by_group(gain * d_shift / pixels, groups), _by_group(gain * d_gain / pixels, groups)
    dx = inverse[:, None, None] * (g * gain[:, None, None] - offset[:, None, None] - normed * slope[:, None, None])
    return dx.astype(x.dtype), d_gain, d_shift


_group_norm.defvjp(_forward, _backward)
