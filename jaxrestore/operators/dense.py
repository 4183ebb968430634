"""Any linear measurement of a small image, as a matrix."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase
from jaxrestore.operators.spectral import SVD


@pytree
class LinearMap(OperatorBase):
    """y = M vec(x), for compressed sensing and for studies with known answers; see `LinearMap.from_matrix`."""

    matrix: jax.Array  # (m, H W C), m <= H W C
    left: jax.Array  # (m, m), U of the decomposition
    values: jax.Array  # (m,)
    right: jax.Array  # (H W C, H W C), V^T
    image_shape: tuple[int, int, int] = static()

    @classmethod
    def from_matrix(cls, image_shape: tuple[int, int, int], matrix: jax.typing.ArrayLike) -> "LinearMap":
        """The map with its decomposition, computed once in float64.

        Args:
          image_shape: (H, W, C) of the image.
          matrix: (m, H W C), m at most H W C; acts on the image flattened row by row, channels last.

        Raises:
          ValueError: If the shapes do not fit.
        """
        shape = _checks.image_shape("image_shape", image_shape)
        dense, size = np.asarray(matrix, np.float64), int(np.prod(shape))
        if dense.ndim != 2 or dense.shape[1] != size or not 0 < len(dense) <= size:
            raise ValueError(f"matrix has shape {dense.shape}, expected (m, {size}) with 0 < m <= {size}")
        arrays = (dense, *np.linalg.svd(dense, full_matrices=True))
        return cls(*(jnp.asarray(a) for a in arrays), image_shape=shape)

    def svd(self) -> SVD:
        """The stored one; coefficients are vectors (H W C,)."""
        unmeasured = len(self.right) - len(self.values)
        return SVD(
            jnp.pad(self.values, (0, unmeasured)),
            lambda x: self._times(self.right, x.ravel()),
            lambda c: self._times(self.right.T, c).reshape(self.image_shape),
            lambda y: jnp.pad(self._times(self.left.T, y), (0, unmeasured)),
        )

    def _apply(self, x: jax.Array) -> jax.Array:
        return self._times(self.matrix, x.ravel())

    @staticmethod
    def _times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
        return jnp.matmul(like(vector, matrix), vector, precision="highest")
