"""Super-resolution: antialiased bicubic down-sampling, or averages over blocks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.operators.spectral import SVD, separable_svd

KERNELS = ("bicubic", "average")


def _keys_cubic(x: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel with a = -0.5 (Keys 1981), support [-2, 2]."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x**2 + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


@functools.lru_cache(maxsize=64)
def bicubic_matrix(size: int, factor: int) -> np.ndarray:
    """One axis of the down-sampling: (size // factor, size), float64, rows sum to 1.

    The kernel is stretched by `factor` against aliasing; samples beyond the border are those of the mirrored image.
    """
    centres = (np.arange(size // factor) + 0.5) * factor - 0.5
    first = np.floor(centres - 2 * factor).astype(int)
    columns = first[:, None] + np.arange(4 * factor + 2)
    weights = _keys_cubic((columns - centres[:, None]) / factor)
    weights /= weights.sum(1, keepdims=True)
    mirrored = np.mod(columns, 2 * size)
    mirrored = np.minimum(mirrored, 2 * size - 1 - mirrored)
    matrix = np.zeros((size // factor, size))
    np.add.at(matrix, (np.arange(len(centres))[:, None], mirrored), weights)
    return matrix


@pytree
class SuperResolution(OperatorBase):
    """Reduction by an integer factor, channel by channel.

    "bicubic": separable, Keys kernel stretched by the factor, mirrored borders (as MATLAB's `imresize` and the
    published codes of DPS, DPPS and SPGD). "average": the mean of each factor x factor block.

    Raises:
      ValueError: If the factor does not divide the image's sides, or `kernel` is unknown.
    """

    image_shape: tuple[int, int, int] = static()
    factor: int = static()
    kernel: str = static(default="bicubic")

    def __post_init__(self) -> None:
        set_shape(self)
        _checks.at_least("factor", self.factor, 1)
        _checks.one_of("kernel", self.kernel, KERNELS)
        height, width, _ = self.image_shape
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"factor {self.factor} does not divide the image sides {height}x{width}; crop the image to "
                f"{height - height % self.factor}x{width - width % self.factor}"
            )

    def svd(self) -> SVD:
        """The decomposition, made from those of the two axes."""
        if self.kernel == "average":
            block = np.full((1, self.factor), 1.0 / self.factor)
            rows, columns = (np.kron(np.eye(n // self.factor), block) for n in self.image_shape[:2])
        else:
            rows, columns = (bicubic_matrix(n, self.factor) for n in self.image_shape[:2])
        return separable_svd(rows, columns, self.image_shape)

    def _apply(self, x: jax.Array) -> jax.Array:
        height, width, channels = self.image_shape
        factor = self.factor
        if self.kernel == "average":
            return x.reshape(height // factor, factor, width // factor, factor, channels).mean((1, 3))
        rows, columns = (jnp.asarray(bicubic_matrix(n, factor), x.dtype) for n in (height, width))
        # Full float32 products: on TPU and recent GPUs the default would round the weights to 10 or fewer bits.
        return jnp.einsum("ih,hwc,jw->ijc", rows, x, columns, precision="highest")
