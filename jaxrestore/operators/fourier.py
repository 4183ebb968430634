"""Phase retrieval: the amplitudes of an oversampled Fourier transform."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore._numerics import safe_sqrt
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape

PADDED = ("unit", "signed")


@pytree
class PhaseRetrieval(OperatorBase):
    """|F(pad(v))| with a centred orthonormal 2-D transform of each channel.

    Each side is padded with zeros by `oversample / 8` of the image's length at both ends (rounded down to whole
    pixels), so `oversample=2` measures 1.5 times the image's sides, as DPS, DAPS and SPGD do. What v is, the papers do
    not agree on: DAPS and SPGD take (x + 1) / 2, the image in [0, 1] on black; DPS takes x itself, in [-1, 1] on grey.
    There the pattern of the amplitudes is twice as strong against the same noise, and x and -x have the same.

    The image and its point reflection, among others, have the same amplitudes: run several samples and keep the one
    with the smallest residual.

    Raises:
      ValueError: If `oversample` is negative, or `padded` is none of `PADDED`.
    """

    linear: ClassVar[bool] = False

    image_shape: tuple[int, int, int] = static()
    oversample: float = static(default=2.0)
    padded: str = static(default="unit")  # "unit": the image in [0, 1], as DAPS and SPGD; "signed": in [-1, 1], as DPS

    def __post_init__(self) -> None:
        set_shape(self)
        _checks.not_negative("oversample", self.oversample)
        _checks.one_of("padded", self.padded, PADDED)

    def _apply(self, x: jax.Array) -> jax.Array:
        pads = [int(self.oversample / 8.0 * n) for n in self.image_shape[:2]]
        v = (x + 1.0) / 2.0 if self.padded == "unit" else x
        padded = jnp.pad(v, ((pads[0], pads[0]), (pads[1], pads[1]), (0, 0)))
        # The shifts before and after make the origin the centre; the one before changes phases only, so it is left out.
        spectrum = jnp.fft.fft2(padded, axes=(0, 1), norm="ortho")
        return _amplitude(jnp.fft.fftshift(spectrum, axes=(0, 1)))


def _amplitude(z: jax.Array) -> jax.Array:
    """|z| with gradient 0 where z is 0; the derivative of the square root is infinite there."""
    return safe_sqrt(jnp.square(z.real) + jnp.square(z.imag))
