"""Operators that act on each pixel alone: denoising, colourisation, high dynamic range, haze."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.operators.spectral import SVD


@pytree
class Denoising(OperatorBase):
    """The identity: all of the degradation is in the noise."""

    image_shape: tuple[int, int, int] = static()

    def __post_init__(self) -> None:
        set_shape(self)

    def svd(self) -> SVD:
        """All singular values are 1."""
        return SVD(jnp.ones((1, 1, 1)), lambda x: x, lambda c: c, lambda y: y)

    def _apply(self, x: jax.Array) -> jax.Array:
        return x


@pytree
class Colorization(OperatorBase):
    """The mean of the channels, (H, W, 1): grey as DDRM and DDNM define it."""

    image_shape: tuple[int, int, int] = static()

    def __post_init__(self) -> None:
        set_shape(self)

    def svd(self) -> SVD:
        """Grey has the singular value C^-1/2; the other C - 1 directions of colour are not measured."""
        channels = self.image_shape[2]
        _, values, right = np.linalg.svd(np.full((1, channels), 1.0 / channels))
        # The sign of the only left singular vector is put into the right ones: U = 1.
        basis = right * np.sign(right[0, 0])

        def measured(y: jax.Array) -> jax.Array:
            return jnp.pad(y, ((0, 0), (0, 0), (0, channels - 1)))

        def turn(matrix: np.ndarray, x: jax.Array) -> jax.Array:
            return jnp.einsum("dc,hwc->hwd", like(x, matrix), x, precision="highest")

        padded = np.pad(values, (0, channels - 1))
        return SVD(jnp.asarray(padded), lambda x: turn(basis, x), lambda c: turn(basis.T, c), measured)

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
        return jnp.clip(like(x, self.scale) * x, -1.0, 1.0)


@pytree
class Haze(OperatorBase):
    """Light scattered on its way: t x + (1 - t) a, with the transmission t of each pixel and the colour a of the air.

    Affine, not linear. Methods that ask for a linear operator can be given `Inpainting(t)`, whose mask dims pixels, and
    the measurement less `haze(0)`.

    Raises:
      ValueError: When called, if the shapes do not fit, or concrete values are out of range.

    References:
      Narasimhan & Nayar, Vision and the Atmosphere, International Journal of Computer Vision 2002.

    Example:
      >>> haze = jr.operators.Haze((8, 8, 3), jnp.full((8, 8, 1), 0.5), jnp.array([0.8, 0.8, 0.9]))
      >>> haze(jnp.zeros((8, 8, 3)))[0, 0].tolist()
      [0.4000000059604645, 0.4000000059604645, 0.44999998807907104]
    """

    linear: ClassVar[bool] = False

    image_shape: tuple[int, int, int] = static()
    transmission: jax.Array  # (), or (H, W, 1); in [0, 1], exp(-density depth)
    airlight: jax.Array  # (), or (C,); in [-1, 1]

    def __post_init__(self) -> None:
        set_shape(self)

    def _apply(self, x: jax.Array) -> jax.Array:
        _checks.within("transmission", self.transmission, 0.0, 1.0)
        _checks.within("airlight", self.airlight, -1.0, 1.0)
        transmission, airlight = like(x, self.transmission), like(x, self.airlight)
        expected = {"transmission": ((), (*self.image_shape[:2], 1)), "airlight": ((), (self.image_shape[2],))}
        for name, value in (("transmission", transmission), ("airlight", airlight)):
            if value.shape not in expected[name]:
                raise ValueError(f"{name} has shape {value.shape}, expected {expected[name][0]} or {expected[name][1]}")
        return transmission * x + (1.0 - transmission) * airlight
