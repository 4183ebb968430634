"""Convolution with any kernel under three kinds of boundary."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.operators.spectral import SVD

_PADDING = {"circular": "wrap", "zero": "constant", "reflect": "reflect"}  # boundary -> mode of `jnp.pad`


def convolve(x: jax.Array, kernel: jax.Array, boundary: str) -> jax.Array:
    """Each channel of an image (H, W, C) convolved with kernels (..., K, K'), of odd sides; (..., H, W, C), by FFT."""
    down, right = kernel.shape[-2] // 2, kernel.shape[-1] // 2
    padded = jnp.pad(x, ((down, down), (right, right), (0, 0)), mode=_PADDING[boundary])
    # A circular convolution of the padded image: the last H x W outputs do not wrap.
    size = padded.shape[:2]
    spectrum = jnp.fft.rfft2(padded, axes=(0, 1))
    response = jnp.fft.rfft2(kernel.astype(x.dtype), s=size)
    blurred = jnp.fft.irfft2(spectrum * response[..., None], s=size, axes=(-3, -2))
    return blurred[..., 2 * down :, 2 * right :, :].astype(x.dtype)


def check_reach(height: int, width: int, sizes: tuple[int, int]) -> None:
    """Reflection needs more pixels than the kernel reaches beyond the border."""
    if sizes[0] // 2 >= height or sizes[1] // 2 >= width:
        raise ValueError(
            f"a kernel of {sizes[0]}x{sizes[1]} reaches beyond the reflection of a {height}x{width} image; "
            f"expected at most {2 * height - 1}x{2 * width - 1}"
        )


def check_sides(name: str, shape: tuple[int, ...], image_shape: tuple[int, int, int], boundary: str) -> None:
    """Raise unless the last two sides of a kernel's shape are odd and no longer than a reflection allows."""
    if shape[-2] % 2 == 0 or shape[-1] % 2 == 0:
        raise ValueError(f"{name} has shape {shape}, expected odd sides: an even kernel has no centre")
    if boundary == "reflect":
        check_reach(*image_shape[:2], (shape[-2], shape[-1]))


def check_kernel(kernel: jax.Array, image_shape: tuple[int, int, int], boundary: str) -> None:
    """Raise unless an array is one kernel (odd, odd) that a reflection allows."""
    shape = tuple(kernel.shape)
    if len(shape) != 2:
        raise ValueError(f"kernel has shape {shape}, expected (odd, odd), e.g. (61, 61)")
    check_sides("kernel", shape, image_shape, boundary)


@pytree
class Convolution(OperatorBase):
    """Convolution of each channel with one kernel, as a point spread function: a bright pixel becomes the kernel.

    `MotionBlur` is its form with reflected borders. Only a circular boundary, where the opposite border follows, has a
    decomposition, and so the methods that need one.

    Raises:
      ValueError: If there is no such boundary; when called, if `kernel` is not (odd, odd), or larger than a reflection
        allows.

    Example:
      >>> shift = jnp.zeros((3, 3)).at[1, 2].set(1.0)  # to the right by one pixel
      >>> shifted = jr.operators.Convolution((1, 4, 1), shift)(jnp.arange(4.0).reshape(1, 4, 1))
      >>> shifted.round().astype(int).ravel().tolist()
      [3, 0, 1, 2]
    """

    image_shape: tuple[int, int, int] = static()
    kernel: jax.Array  # (K, K'), both odd; sums to 1 to keep the brightness
    boundary: str = static(default="circular")  # or "zero", or "reflect" (the border pixel is not repeated)

    def __post_init__(self) -> None:
        set_shape(self)
        _checks.one_of("boundary", self.boundary, tuple(_PADDING))

    @property
    def svd(self) -> Callable[[], SVD]:
        """The Fourier decomposition, of a circular boundary only."""
        if self.boundary != "circular":  # to `hasattr`, by which operators with a decomposition are known, it has none
            raise AttributeError(f"boundary is {self.boundary!r}; only a circular convolution has the method svd")
        return self._fourier

    def _fourier(self) -> SVD:
        """A = P |A|, where |A| multiplies spectra by amplitudes of the response and P by its phases.

        The right singular vectors are those of the Hartley transform, the real part of a Fourier transform minus its
        imaginary part: real, orthogonal, and its own inverse. |A| is diagonal in it because the amplitudes of a real
        kernel are even. U is P V.
        """
        height, width, _ = self.image_shape
        exact = jnp.promote_types(self.kernel.dtype, jnp.float32)
        point = jnp.zeros((height, width, 1), exact).at[0, 0].set(1.0)
        response = jnp.fft.fft2(self._apply(point), axes=(0, 1))
        values = jnp.abs(response)
        # Of an amplitude that is rounding alone the phase is arbitrary; `SVD.nonzero` leaves such frequencies out.
        phases = jnp.where(values > 0, response / jnp.where(values > 0, values, 1.0), 1.0)

        def spectrum(x: jax.Array) -> jax.Array:
            return jnp.fft.fft2(x, axes=(0, 1), norm="ortho")

        def hartley(x: jax.Array) -> jax.Array:
            return spectrum(x).real - spectrum(x).imag

        def measured(y: jax.Array) -> jax.Array:
            frequencies = spectrum(y)
            turned = jnp.conj(phases).astype(frequencies.dtype) * frequencies
            return turned.real - turned.imag

        return SVD(values, hartley, hartley, measured)

    def _apply(self, x: jax.Array) -> jax.Array:
        check_kernel(self.kernel, self.image_shape, self.boundary)
        return convolve(x, self.kernel, self.boundary)
