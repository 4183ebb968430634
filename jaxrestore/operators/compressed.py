"""Compressed sensing: some coefficients of an orthogonal transform."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase
from jaxrestore.operators.spectral import SVD


def hadamard(x: jax.Array) -> jax.Array:
    """The orthonormal Walsh-Hadamard transform of each channel, in the order of Sylvester's matrices; its own inverse.

    Raises:
      ValueError: If a side is no power of two.
    """
    for axis, side in enumerate(x.shape[:2]):
        if side & (side - 1):
            raise ValueError(f"the image has sides {x.shape[0]}x{x.shape[1]}, expected powers of two; pad or crop it")
        for bit in range(side.bit_length() - 1):
            halves = x.reshape(*x.shape[:axis], side >> (bit + 1), 2, 1 << bit, *x.shape[axis + 1 :])
            first, second = jnp.split(halves, 2, axis + 1)
            x = jnp.concatenate([first + second, first - second], axis + 1).reshape(x.shape)
        x = x / side**0.5
    return x


def hartley(x: jax.Array) -> jax.Array:
    """The real minus the imaginary part of each channel's orthonormal Fourier transform; its own inverse."""
    spectrum = jnp.fft.fft2(x, axes=(0, 1), norm="ortho")
    return (spectrum.real - spectrum.imag).astype(x.dtype)


_TRANSFORMS: dict[str, Callable[[jax.Array], jax.Array]] = {"hadamard": hadamard, "fourier": hartley}


@pytree
class CompressedSensing(OperatorBase):
    """Some coefficients of an image's transform, each where it is in the whole one; the others are 0; (H, W, C).

    "hadamard": of a single-pixel camera; sides are powers of two. "fourier": of magnetic resonance; coefficients are
    those of Hartley's transform, real numbers that say of the frequencies k and -k together what Fourier's complex ones
    do, so k is measured if the mask has k or -k. Frequency 0 is at [0, 0].

    Raises:
      ValueError: If there is no such transform; when called, if the mask has another shape, or the sides do not fit.

    References:
      Candes, Romberg & Tao, Robust Uncertainty Principles, IEEE Transactions on Information Theory 2006; Duarte et al.,
      Single-Pixel Imaging via Compressive Sampling, IEEE Signal Processing Magazine 2008.

    Example:
      >>> camera = jr.operators.CompressedSensing(jr.operators.random_mask(key, (8, 8, 3), 0.5), transform="hadamard")
      >>> camera(jnp.ones((8, 8, 3))).shape
      (8, 8, 3)
    """

    mask: jax.Array  # (H, W) or (H, W, 1); not 0 where a coefficient is measured
    channels: int = static(default=3)  # the image's
    transform: str = static(default="fourier")

    def __post_init__(self) -> None:
        _checks.at_least("channels", self.channels, 1)
        _checks.one_of("transform", self.transform, tuple(_TRANSFORMS))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        shape = tuple(self.mask.shape)
        if len(shape) not in (2, 3) or shape[2:] not in ((), (1,)):
            raise ValueError(f"mask has shape {shape}, expected (H, W) or (H, W, 1): channels are measured alike")
        return (shape[0], shape[1], self.channels)

    def svd(self) -> SVD:
        """The transform's rows are singular vectors, with value 1 where they are measured."""
        transform, measured = _TRANSFORMS[self.transform], self._measured()
        return SVD(
            measured.astype(jnp.float32), transform, transform, lambda y: jnp.where(measured, y, jnp.zeros_like(y))
        )

    def relevant(self, y: jax.Array) -> jax.Array:
        """The measurement with 0 where nothing is measured."""
        return jnp.where(self._measured(), y, jnp.zeros_like(y))

    def _apply(self, x: jax.Array) -> jax.Array:
        return like(x, self._measured()) * _TRANSFORMS[self.transform](x)

    def _measured(self) -> jax.Array:
        mask = (self.mask if self.mask.ndim == 3 else self.mask[..., None]) != 0
        if self.transform == "hadamard":
            return mask
        return mask | jnp.roll(mask[::-1, ::-1], (1, 1), (0, 1))


def sampling_mask(
    key: jax.Array, image_shape: tuple[int, int, int], rate: float = 0.75, transform: str = "fourier"
) -> jax.Array:
    """Leave out a share of the coefficients, the more likely the higher their frequency.

    Photographs have nearly all of their contrast at low frequencies: chosen evenly, coefficients would miss it.

    Args:
      key: Chooses the coefficients.
      image_shape: (H, W, C).
      rate: Share of coefficients left out, in [0, 1]; rounded to whole ones. "fourier" gets some of them back, as the
        frequencies k and -k are measured together.
      transform: "fourier" or "hadamard"; frequencies of the latter are numbers of sign changes.

    Returns:
      (H, W, 1), float32, 1 where a coefficient is measured.

    Raises:
      ValueError: If `rate` is outside [0, 1], or there is no such transform.
    """
    _checks.within("rate", rate, 0.0, 1.0)
    _checks.one_of("transform", transform, tuple(_TRANSFORMS))
    height, width, _ = _checks.image_shape("image_shape", image_shape)
    rows, columns = (_FREQUENCIES[transform](n) for n in (height, width))
    distance = np.hypot(rows[:, None] / height, columns[None] / width)
    # The largest of Gumbel draws plus log-weights are a draw without replacement (Gumbel top-k).
    scores = jax.random.gumbel(key, (height, width)) - 2.0 * jnp.log(jnp.asarray(distance, jnp.float32) + 0.02)
    kept = height * width - round(rate * height * width)
    order = jnp.argsort(-scores.ravel())
    return jnp.zeros(height * width).at[order[:kept]].set(1.0).reshape(height, width, 1).astype(jnp.float32)


def _sign_changes(size: int) -> np.ndarray:
    """Of each row of Sylvester's matrix: the bit-reversed row's number, decoded from Gray's code."""
    bits = max(size.bit_length() - 1, 0)
    numbers = np.array([int(f"{row:0{max(bits, 1)}b}"[::-1], 2) for row in range(size)])
    shift = 1
    while shift < size:
        numbers = numbers ^ (numbers >> shift)
        shift *= 2
    return numbers / 2.0


_FREQUENCIES: dict[str, Callable[[int], np.ndarray]] = {
    "fourier": lambda n: np.abs(np.fft.fftfreq(n) * n),
    "hadamard": _sign_changes,
}
