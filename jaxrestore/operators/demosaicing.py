"""What a camera's sensor records: one colour at each pixel."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.operators.spectral import SVD

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")


@pytree
class Demosaicing(OperatorBase):
    """A colour image seen through a Bayer filter: the value of one channel at each pixel, (H, W, 1).

    Raises:
      ValueError: If the image does not have three channels, or there is no such pattern.

    Example:
      >>> raw = jr.operators.Demosaicing((4, 4, 3))(jnp.ones((4, 4, 3)) * jnp.array([1.0, 0.5, 0.0]))
      >>> raw[:2, :2, 0].tolist()
      [[1.0, 0.5], [0.5, 0.0]]
    """

    image_shape: tuple[int, int, int] = static()
    pattern: str = static(default="RGGB")  # colours of the upper left 2x2 pixels, row by row

    def __post_init__(self) -> None:
        set_shape(self)
        _checks.one_of("pattern", self.pattern, PATTERNS)
        if self.image_shape[2] != 3:
            raise ValueError(f"image_shape is {self.image_shape}, expected three channels: red, green and blue")

    def svd(self) -> SVD:
        """That of a mask: the measured channels have singular value 1, the other two of each pixel 0."""
        mask = self._mask()
        return SVD(jnp.asarray(mask, jnp.float32), lambda x: x, lambda c: c, lambda y: like(y, mask) * y)

    def _mask(self) -> np.ndarray:
        """(H, W, 3), 1 for the channel that a pixel records."""
        height, width, _ = self.image_shape
        channels = np.array(["RGB".index(colour) for colour in self.pattern]).reshape(2, 2)
        tiled = np.tile(channels, (-(-height // 2), -(-width // 2)))[:height, :width]
        return tiled[..., None] == np.arange(3)

    def _apply(self, x: jax.Array) -> jax.Array:
        return (x * like(x, self._mask())).sum(-1, keepdims=True)
