"""Gaussian and motion blur with reflected borders."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.operators.spectral import SVD, separable_svd


def check_reach(height: int, width: int, sizes: tuple[int, int]) -> None:
    """Reflection needs more pixels than the kernel reaches beyond the border."""
    if sizes[0] // 2 >= height or sizes[1] // 2 >= width:
        raise ValueError(
            f"a kernel of {sizes[0]}x{sizes[1]} reaches beyond the reflection of a {height}x{width} image; "
            f"expected at most {2 * height - 1}x{2 * width - 1}"
        )


def gaussian_kernel(size: int, std: float) -> np.ndarray:
    """(size,), float64, sums to 1: a Gaussian cut at 4 standard deviations, what exceeds `size` folded back inside.

    The published codes draw their kernel by filtering a single bright pixel with SciPy, whence the cut and the fold.
    """
    reach = int(4.0 * std + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / std) ** 2)
    positions = np.mod(offsets + size // 2, 2 * size)
    kernel = np.zeros(size)
    np.add.at(kernel, np.minimum(positions, 2 * size - 1 - positions), weights / weights.sum())
    return kernel


@pytree
class GaussianBlur(OperatorBase):
    """Separable Gaussian blur, reflected borders: two banded matrices, one an axis.

    Raises:
      ValueError: If `kernel_size` is even or larger than the reflection allows, or `std` is not positive.
    """

    image_shape: tuple[int, int, int] = static()
    kernel_size: int = static(default=61)  # pixels, odd
    std: float = static(default=3.0)  # pixels

    def __post_init__(self) -> None:
        set_shape(self)
        _checks.at_least("kernel_size", self.kernel_size, 1)
        _checks.positive("std", self.std)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}, expected an odd number: an even kernel has no centre")
        check_reach(*self.image_shape[:2], (self.kernel_size, self.kernel_size))

    def svd(self) -> SVD:
        """The decomposition, made from those of the two axes."""
        rows, columns = self._matrices()
        return separable_svd(rows, columns, self.image_shape)

    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        kernel = gaussian_kernel(self.kernel_size, self.std)
        return (_reflected_matrix(self.image_shape[0], kernel), _reflected_matrix(self.image_shape[1], kernel))

    def _apply(self, x: jax.Array) -> jax.Array:
        rows, columns = (jnp.asarray(m, x.dtype) for m in self._matrices())
        return jnp.einsum("ih,hwc,jw->ijc", rows, x, columns, precision="highest")


def _reflected_matrix(size: int, kernel: np.ndarray) -> np.ndarray:
    """Correlation with `kernel` under reflection (the border pixel is not repeated), as a (size, size) matrix."""
    reach = len(kernel) // 2
    columns = np.arange(size)[:, None] + np.arange(-reach, reach + 1)
    columns = np.abs(columns)
    columns = np.minimum(columns, 2 * (size - 1) - columns)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], columns), np.broadcast_to(kernel, columns.shape))
    return matrix


@pytree
class MotionBlur(OperatorBase):
    """Correlation of each channel with one kernel (not flipped), reflected borders; by FFT.

    Raises:
      ValueError: When called, if `kernel` is not (odd, odd) or larger than the reflection allows.
    """

    image_shape: tuple[int, int, int] = static()
    kernel: jax.Array  # (K, K'), both odd; sums to 1 to keep the brightness. See `motion_kernel`

    def __post_init__(self) -> None:
        set_shape(self)

    def _apply(self, x: jax.Array) -> jax.Array:
        shape = tuple(self.kernel.shape)
        if len(shape) != 2 or shape[0] % 2 == 0 or shape[1] % 2 == 0:
            raise ValueError(f"kernel has shape {shape}, expected (odd, odd), e.g. (61, 61)")
        height, width, _ = self.image_shape
        check_reach(height, width, (shape[0], shape[1]))
        down, right = shape[0] // 2, shape[1] // 2
        padded = jnp.pad(x, ((down, down), (right, right), (0, 0)), mode="reflect")
        # A circular correlation of the padded image: the first H x W outputs do not wrap.
        size = padded.shape[:2]
        spectrum = jnp.fft.rfft2(padded, axes=(0, 1))
        response = jnp.conj(jnp.fft.rfft2(self.kernel.astype(x.dtype), s=size))
        blurred = jnp.fft.irfft2(spectrum * response[..., None], s=size, axes=(0, 1))
        return blurred[:height, :width].astype(x.dtype)
