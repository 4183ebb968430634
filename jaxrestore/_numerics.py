"""Arithmetic in the dtype of the images, and with derivatives where the plain formula has none."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def like(x: jax.Array, value: jax.typing.ArrayLike) -> jax.Array:
    """A setting, table or array in the dtype of `x`.

    Under `jax_enable_x64` what is made of NumPy's float64 would otherwise turn float32 images into float64.
    """
    return jnp.asarray(value, x.dtype)


def safe_sqrt(squared: jax.Array) -> jax.Array:
    """The square root of numbers that are not negative, with derivative 0 at 0, where the true one is infinite."""
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def safe_norm(v: jax.Array, axis: int | Sequence[int] | None = None, *, keepdims: bool = False) -> jax.Array:
    """||v||_2 over `axis` (all axes by default), with gradient 0 at v = 0."""
    return safe_sqrt(jnp.sum(jnp.square(v), axis, keepdims=keepdims))
