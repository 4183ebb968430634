"""Super-resolution: antialiased down-sampling with one of four kernels."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.operators.spectral import SVD, separable_svd


def _keys_cubic(x: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel with a = -0.5 (Keys 1981), support [-2, 2]."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x**2 + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


# Weights of a sample at a distance in units of the coarse grid, all zero beyond 2.
_WEIGHTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bicubic": _keys_cubic,
    "bilinear": lambda x: np.maximum(1.0 - np.abs(x), 0.0),
    "gaussian": lambda x: np.where(np.abs(x) <= 2, np.exp(-0.5 * (x / 0.5) ** 2), 0.0),
    "average": lambda x: (np.abs(x) < 0.5) + 0.5 * (np.abs(x) == 0.5),
}
KERNELS = tuple(_WEIGHTS)


@functools.lru_cache(maxsize=64)
def reduction_matrix(size: int, factor: int, kernel: str = "bicubic") -> np.ndarray:
    """One axis of the down-sampling: (ceil(size / factor), size), float64, rows sum to 1.

    The kernel is stretched by `factor` against aliasing; samples beyond the border are those of the mirrored image.
    """
    centres = (np.arange(-(-size // factor)) + 0.5) * factor - 0.5
    first = np.floor(centres - 2 * factor).astype(int)
    columns = first[:, None] + np.arange(4 * factor + 2)
    weights = _WEIGHTS[kernel]((columns - centres[:, None]) / factor)
    weights /= weights.sum(1, keepdims=True)
    mirrored = np.mod(columns, 2 * size)
    mirrored = np.minimum(mirrored, 2 * size - 1 - mirrored)
    matrix = np.zeros((len(centres), size))
    np.add.at(matrix, (np.arange(len(centres))[:, None], mirrored), weights)
    return matrix


@pytree
class SuperResolution(OperatorBase):
    """Reduction by an integer factor, channel by channel; sides that it does not divide are rounded up.

    All kernels are separable and stretched by the factor, borders are mirrored. "bicubic": Keys's, as MATLAB's
    `imresize` and the published codes of DPS, DPPS and SPGD. "bilinear": a triangle of twice the factor. "gaussian": of
    standard deviation factor / 2. "average": the mean of each factor x factor block.

    Raises:
      ValueError: If `factor` is below 1, or `kernel` is unknown.
    """

    image_shape: tuple[int, int, int] = static()
    factor: int = static()
    kernel: str = static(default="bicubic")

    def __post_init__(self) -> None:
        set_shape(self)
        _checks.at_least("factor", self.factor, 1)
        _checks.one_of("kernel", self.kernel, KERNELS)

    def svd(self) -> SVD:
        """The decomposition, made from those of the two axes."""
        rows, columns = (reduction_matrix(n, self.factor, self.kernel) for n in self.image_shape[:2])
        return separable_svd(rows, columns, self.image_shape)

    def _apply(self, x: jax.Array) -> jax.Array:
        height, width, channels = self.image_shape
        factor = self.factor
        if self.kernel == "average" and not (height % factor or width % factor):
            return x.reshape(height // factor, factor, width // factor, factor, channels).mean((1, 3))
        rows, columns = (jnp.asarray(reduction_matrix(n, factor, self.kernel), x.dtype) for n in (height, width))
        # Full float32 products: on TPU and recent GPUs the default would round the weights to 10 or fewer bits.
        return jnp.einsum("ih,hwc,jw->ijc", rows, x, columns, precision="highest")
