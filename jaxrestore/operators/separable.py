"""Blur by the same few taps along both axes, with a decomposition whatever the boundary."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.operators.convolution import check_reach
from jaxrestore.operators.spectral import SVD, separable_svd

BOUNDARIES = ("zero", "reflect", "circular")


def correlation_matrix(size: int, taps: Sequence[float] | np.ndarray, boundary: str) -> np.ndarray:
    """Correlation with an odd number of taps along one axis, under one of `BOUNDARIES`: (size, size), float64."""
    reach = len(taps) // 2
    columns = np.arange(size)[:, None] + np.arange(-reach, reach + 1)
    weights = np.broadcast_to(np.asarray(taps, np.float64), columns.shape)
    if boundary == "zero":
        weights = np.where((columns >= 0) & (columns < size), weights, 0.0)
        columns = np.clip(columns, 0, size - 1)
    elif boundary == "reflect":
        columns = np.abs(columns)
        columns = np.minimum(columns, 2 * (size - 1) - columns)
    else:
        columns = np.mod(columns, size)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], columns), weights)
    return matrix


@pytree
class SeparableBlur(OperatorBase):
    """Correlation of each channel with `taps` along the rows and along the columns: two banded matrices.

    With a border of zeros it is the blur of DDRM's and DDNM's codes.

    Raises:
      ValueError: If there is no such boundary, or the taps are of an even number, or more than a reflection allows.

    Example:
      >>> blur = jr.operators.SeparableBlur((3, 3, 1), (0.25, 0.5, 0.25), "zero")
      >>> blur(jnp.ones((3, 3, 1)))[..., 0].round(4).tolist()
      [[0.5625, 0.75, 0.5625], [0.75, 1.0, 0.75], [0.5625, 0.75, 0.5625]]
    """

    image_shape: tuple[int, int, int] = static()
    taps: tuple[float, ...] = static()  # an odd number of them; they sum to 1 to keep the brightness
    boundary: str = static(default="zero")  # or "reflect" (the border pixel is not repeated), or "circular"

    def __post_init__(self) -> None:
        set_shape(self)
        # Of an array jit could not tell whether it is that of an earlier program.
        object.__setattr__(self, "taps", tuple(float(tap) for tap in self.taps))
        _checks.one_of("boundary", self.boundary, BOUNDARIES)
        if len(self.taps) % 2 == 0:
            raise ValueError(f"taps are {len(self.taps)}, expected an odd number: an even kernel has no centre")
        if self.boundary != "zero":
            check_reach(*self.image_shape[:2], (len(self.taps), len(self.taps)))

    def svd(self) -> SVD:
        """The decomposition, made from those of the two axes."""
        rows, columns = self._matrices()
        return separable_svd(rows, columns, self.image_shape)

    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        height, width, _ = self.image_shape
        return (
            correlation_matrix(height, self.taps, self.boundary),
            correlation_matrix(width, self.taps, self.boundary),
        )

    def _apply(self, x: jax.Array) -> jax.Array:
        rows, columns = (jnp.asarray(m, x.dtype) for m in self._matrices())
        return jnp.einsum("ih,hwc,jw->ijc", rows, x, columns, precision="highest")
