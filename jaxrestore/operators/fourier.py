"""Phase retrieval: the amplitudes of an oversampled Fourier transform."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore._numerics import safe_sqrt
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape


@pytree
class PhaseRetrieval(OperatorBase):
    """|F(pad((x + 1) / 2))| with a centred orthonormal 2-D transform of each channel.

    Each side is padded by `oversample / 8` of the image's length at both ends (rounded to whole pixels), so
    `oversample=2` measures 1.5 times the image's sides, as DPS, DAPS and SPGD do. The image and its point reflection,
    among others, have the same amplitudes: run several samples and keep the one with the smallest residual.

    Raises:
      ValueError: If `oversample` is negative.
    """

    linear: ClassVar[bool] = False

    image_shape: tuple[int, int, int] = static()
    oversample: float = static(default=2.0)

    def __post_init__(self) -> None:
        set_shape(self)
        _checks.not_negative("oversample", self.oversample)

    def _apply(self, x: jax.Array) -> jax.Array:
        pads = [int(self.oversample / 8.0 * n) for n in self.image_shape[:2]]
        padded = jnp.pad((x + 1.0) / 2.0, ((pads[0], pads[0]), (pads[1], pads[1]), (0, 0)))
        # The shifts before and after make the origin the centre; the one before changes phases only, so it is left out.
        spectrum = jnp.fft.fft2(padded, axes=(0, 1), norm="ortho")
        return _amplitude(jnp.fft.fftshift(spectrum, axes=(0, 1)))


def _amplitude(z: jax.Array) -> jax.Array:
    """|z| with gradient 0 where z is 0; the derivative of the square root is infinite there."""
    return safe_sqrt(jnp.square(z.real) + jnp.square(z.imag))
