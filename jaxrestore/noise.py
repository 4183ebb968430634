"""Measurement noise."""

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxrestore._numerics import like
from jaxrestore._pytree import pytree


@runtime_checkable
class Noise(Protocol):
    """A pytree that draws a noisy measurement."""

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array: ...


@pytree
class NoNoise:
    """The measurement as it is."""

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array:
        return y


@pytree
class GaussianNoise:
    """y + std n."""

    std: jax.typing.ArrayLike  # on the [-1, 1] scale: twice what it is on [0, 1]; not negative

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array:
        return y + like(y, self.std) * jax.random.normal(key, y.shape, y.dtype)


@pytree
class PoissonNoise:
    """Photon counts: with m = (y + 1) / 2, counts k ~ Poisson(255 rate m), then 2 k / (255 rate) - 1.

    Brighter pixels are noisier. Negative intensities count as 0, and the result is clipped to [-1, 1] as in DPS.
    """

    rate: jax.typing.ArrayLike  # photons for each of 255 grey levels; positive, smaller is noisier

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array:
        photons = 255.0 * like(y, self.rate)
        counts = jax.random.poisson(key, jnp.clip((y + 1.0) / 2.0, 0.0) * photons)
        return jnp.clip(2.0 * counts.astype(y.dtype) / photons - 1.0, -1.0, 1.0)
