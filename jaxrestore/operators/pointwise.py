"""Operators that act on each pixel alone: denoising, colourisation, high dynamic range."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape


@pytree
class Denoising(OperatorBase):
    """The identity: all of the degradation is in the noise."""

    image_shape: tuple[int, int, int] = static()

    def __post_init__(self) -> None:
        set_shape(self)

    def _apply(self, x: jax.Array) -> jax.Array:
        return x


@pytree
class Colorization(OperatorBase):
    """The mean of the channels, (H, W, 1): grey as DDRM and DDNM define it."""

    image_shape: tuple[int, int, int] = static()

    def __post_init__(self) -> None:
        set_shape(self)

    def _apply(self, x: jax.Array) -> jax.Array:
        return x.mean(-1, keepdims=True)


@pytree
class HighDynamicRange(OperatorBase):
    """Over-exposure: clip(scale x, -1, 1). Clipped pixels have no gradient.

    Raises:
      ValueError: If `scale` is not positive.
    """

    linear: ClassVar[bool] = False

    image_shape: tuple[int, int, int] = static()
    scale: float = static(default=2.0)

    def __post_init__(self) -> None:
        set_shape(self)
        _checks.positive("scale", self.scale)

    def _apply(self, x: jax.Array) -> jax.Array:
        return jnp.clip(self.scale * x, -1.0, 1.0)
