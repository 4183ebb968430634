"""Inpainting, and the masks for it."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase
from jaxrestore.operators.spectral import SVD


@pytree
class Inpainting(OperatorBase):
    """The image times a mask; unknown pixels become 0, mid-grey.

    Raises:
      ValueError: When called, if the mask has another shape, or concrete values that are NaN or of more than 1.

    Example:
      >>> levels = np.array([[0, 255]], np.uint8)  # whole numbers: what is not 0 keeps the pixel
      >>> jr.operators.Inpainting(levels, channels=1)(jnp.full((1, 2, 1), 0.5)).ravel().tolist()
      [0.0, 0.5]
    """

    # (H, W) or (H, W, 1) for all channels, or (H, W, C); 1 keeps a pixel, 0 hides it, fractions darken it. Of booleans
    # and whole numbers, all but 0 keep it, as masks of 0 and 255 mean it.
    mask: jax.Array
    channels: int = static(default=3)  # the image's

    def __post_init__(self) -> None:
        _checks.at_least("channels", self.channels, 1)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        shape = tuple(self.mask.shape)
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[-1] not in (1, self.channels)):
            raise ValueError(f"mask has shape {shape}, expected (H, W, 1) or (H, W, {self.channels})")
        return (shape[0], shape[1], self.channels)

    def svd(self) -> SVD:
        """The mask itself: pixels are its singular vectors."""
        mask = self._mask()
        return SVD(jnp.abs(mask), lambda x: x, lambda c: c, lambda y: like(y, jnp.sign(mask)) * y)

    def relevant(self, y: jax.Array) -> jax.Array:
        """The measurement with 0 where nothing is known, as the operator has it there."""
        return jnp.where(self._mask() != 0, y, 0)

    def _apply(self, x: jax.Array) -> jax.Array:
        return x * self._mask().astype(x.dtype)

    def _mask(self) -> jax.Array:
        mask = self.mask if self.mask.ndim == 3 else self.mask[..., None]
        if not jnp.issubdtype(mask.dtype, jnp.floating):
            mask = mask != 0
        elif not isinstance(mask, Tracer) and not (largest := np.abs(np.asarray(mask)).max(initial=0.0)) <= 1.0:
            raise ValueError(
                f"mask has values up to {largest:g}, expected 1 where a pixel is kept and 0 where it is hidden; for "
                "levels up to 255 use mask > 127"
            )
        return jnp.asarray(mask, jnp.promote_types(mask.dtype, jnp.float32))


def random_mask(key: jax.Array, image_shape: tuple[int, int, int], rate: float = 0.8) -> jax.Array:
    """Hide a share of the pixels, chosen at random without replacement, in all channels alike.

    Args:
      key: Chooses the pixels.
      image_shape: (H, W, C).
      rate: Share of hidden pixels, in [0, 1]; rounded to whole pixels.

    Returns:
      (H, W, 1), float32, 1 where the pixel is kept.

    Raises:
      ValueError: If `rate` is outside [0, 1].
    """
    height, width, _ = _checks.image_shape("image_shape", image_shape)
    _checks.within("rate", rate, 0.0, 1.0)
    pixels = height * width
    hidden = jnp.arange(pixels) < round(rate * pixels)
    return 1.0 - jax.random.permutation(key, hidden).reshape(height, width, 1).astype(jnp.float32)


def box_mask(
    key: jax.Array, image_shape: tuple[int, int, int], box: tuple[int, int] = (128, 128), *, margin: int = 16
) -> jax.Array:
    """Hide one box at a random place.

    Args:
      key: Chooses the place.
      image_shape: (H, W, C).
      box: Height and width of the box in pixels.
      margin: Least distance of the box to the image's border, in pixels.

    Returns:
      (H, W, 1), float32, 1 where the pixel is kept.

    Raises:
      ValueError: If box and margins do not fit into the image.
    """
    height, width, _ = _checks.image_shape("image_shape", image_shape)
    _checks.at_least("margin", margin, 0)
    room = (height - box[0] - 2 * margin, width - box[1] - 2 * margin)
    if min(room) < 0 or min(box) < 1:
        raise ValueError(
            f"a box of {box[0]}x{box[1]} with a margin of {margin} does not fit into {height}x{width}; "
            f"expected at most {height - 2 * margin}x{width - 2 * margin}"
        )
    key_top, key_left = jax.random.split(key)
    top = margin + jax.random.randint(key_top, (), 0, room[0] + 1)
    left = margin + jax.random.randint(key_left, (), 0, room[1] + 1)
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    inside = (rows >= top) & (rows < top + box[0]) & (columns >= left) & (columns < left + box[1])
    return 1.0 - inside[..., None].astype(jnp.float32)
