"""Gaussian and motion blur with reflected borders."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.operators.convolution import check_kernel, check_reach, convolve
from jaxrestore.operators.separable import correlation_matrix
from jaxrestore.operators.spectral import SVD, separable_svd


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
        kernel, (height, width, _) = gaussian_kernel(self.kernel_size, self.std), self.image_shape
        return correlation_matrix(height, kernel, "reflect"), correlation_matrix(width, kernel, "reflect")

    def _apply(self, x: jax.Array) -> jax.Array:
        rows, columns = (jnp.asarray(m, x.dtype) for m in self._matrices())
        return jnp.einsum("ih,hwc,jw->ijc", rows, x, columns, precision="highest")


@pytree
class MotionBlur(OperatorBase):
    """Convolution of each channel with one kernel, reflected borders: a bright pixel becomes the kernel.

    That is what a measured point spread function says, and what tools that estimate kernels or deconvolve mean by one.
    PyTorch's `conv2d`, and so the published codes of DPS and SPGD, correlate: their kernels are turned by 180 degrees,
    `kernel[::-1, ::-1]`. Other borders are those of `Convolution`.

    Raises:
      ValueError: When called, if `kernel` is not (odd, odd) or larger than the reflection allows.

    Example:
      >>> shift = jnp.zeros((3, 3)).at[1, 2].set(1.0)  # to the right by one pixel
      >>> shifted = jr.operators.MotionBlur((2, 4, 1), shift)(jnp.tile(jnp.arange(4.0), (2, 1))[..., None])
      >>> shifted[0].round().astype(int).ravel().tolist()
      [1, 0, 1, 2]
    """

    image_shape: tuple[int, int, int] = static()
    kernel: jax.Array  # (K, K'), both odd; sums to 1 to keep the brightness. See `motion_kernel`

    def __post_init__(self) -> None:
        set_shape(self)

    def _apply(self, x: jax.Array) -> jax.Array:
        check_kernel(self.kernel, self.image_shape, "reflect")
        return convolve(x, self.kernel, "reflect")
