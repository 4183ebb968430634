"""Blur that differs from place to place: of a lens towards its corners, of depth, of a camera that turns."""

import jax

from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.operators.convolution import check_sides, convolve


@pytree
class SpaceVaryingBlur(OperatorBase):
    """A sum of convolutions, each weighted at every pixel of its output; reflected borders.

    Where one weight is 1, the pixel is that of the image convolved with its kernel, as by `Convolution`; in between,
    kernels are interpolated.

    Raises:
      ValueError: When called, if the shapes do not fit, or kernels are not (odd, odd) or larger than the reflection
        allows.

    References:
      Nagy & O'Leary, Restoring images degraded by spatially variant blur, SIAM Journal on Scientific Computing 1998.
    """

    image_shape: tuple[int, int, int] = static()
    kernels: jax.Array  # (N, K, K'), K and K' odd; each sums to 1 to keep the brightness
    weights: jax.Array  # (N, H, W); sum to 1 at each pixel to keep the brightness

    def __post_init__(self) -> None:
        set_shape(self)

    def _apply(self, x: jax.Array) -> jax.Array:
        kernels, weights = tuple(self.kernels.shape), tuple(self.weights.shape)
        if len(kernels) != 3:
            raise ValueError(f"kernels has shape {kernels}, expected (number, odd, odd), e.g. (4, 9, 9)")
        check_sides("kernels", kernels, self.image_shape, "reflect")
        expected = (kernels[0], *self.image_shape[:2])
        if weights != expected:
            raise ValueError(f"weights has shape {weights}, expected {expected}: one image (H, W) for each kernel")
        blurred = convolve(x, self.kernels, "reflect")  # (N, H, W, C)
        return (self.weights[..., None].astype(x.dtype) * blurred).sum(0)
