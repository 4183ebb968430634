"""JPEG compression, differentiable."""

import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.operators.spectral import SVD

# ITU-T T.81, tables K.1 (luminance) and K.2 (chrominance): quantisation steps at quality 50.
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMINANCE = np.full((8, 8), 99)
_CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
# JFIF: Y, Cb and Cr of R, G and B; Cb and Cr are 0 for grey here, 128 in the file.
_FROM_RGB = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])


def quantisation_tables(quality: int) -> np.ndarray:
    """Quantisation steps (8, 8, 3) of Y, Cb and Cr at a quality of 1 to 100, scaled as libjpeg does."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = np.stack([_LUMINANCE, _CHROMINANCE, _CHROMINANCE], -1)
    return np.clip((steps * scale + 50) // 100, 1, 255)


def _cosines() -> np.ndarray:
    """The orthonormal discrete cosine transform of 8 samples, (8, 8), float64."""
    k, n = np.mgrid[:8, :8]
    basis = np.cos((2 * n + 1) * k * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)
    return basis


def _round(x: jax.Array) -> jax.Array:
    """Rounded to integers, with the gradient of the identity: that of rounding is zero, and would teach nothing."""
    return x + jax.lax.stop_gradient(jnp.round(x) - x)


@pytree
class JPEG(OperatorBase):
    """What is left of a picture after JPEG: colours as Y, Cb, Cr, cosine transforms of 8x8 blocks, quantised.

    Chrominance is kept at full resolution (4:4:4) or at half of it in both directions (4:2:0, as cameras do), averaged
    over 2x2 pixels and repeated. The gradient passes the roundings as if they were not there ("straight through").

    Raises:
      ValueError: If the image has other than three channels, a side is no multiple of 8 (16 for 4:2:0), or `quality` is
        out of range.

    References:
      ITU-T T.81 (the standard and its example tables); Bengio et al. 2013 (arXiv 1308.3432) for the gradient.
    """

    linear: ClassVar[bool] = False

    image_shape: tuple[int, int, int] = static()
    quality: int = static(default=10)  # 1 to 100, as libjpeg counts
    subsampling: bool = static(default=False)  # 4:2:0

    def __post_init__(self) -> None:
        set_shape(self)
        _check(self.image_shape, self.quality, self.multiple)

    @property
    def multiple(self) -> int:
        """What the sides must be multiples of, in pixels."""
        return _unit(self.subsampling)

    def _apply(self, x: jax.Array) -> jax.Array:
        colours = jnp.asarray(_FROM_RGB, x.dtype)
        # Levels 0 to 255 less 128, as the standard shifts them before the transform.
        planes = jnp.einsum("dc,hwc->hwd", colours, 127.5 * x, precision="highest")
        planes = planes - jnp.asarray([0.5, 0.0, 0.0], x.dtype)
        tables = jnp.asarray(quantisation_tables(self.quality), x.dtype)
        luminance = _quantise(planes[..., :1], tables[..., :1])
        chrominance = planes[..., 1:]
        if self.subsampling:
            chrominance = _quantise(_halve(chrominance), tables[..., 1:]).repeat(2, 0).repeat(2, 1)
        else:
            chrominance = _quantise(chrominance, tables[..., 1:])
        decoded = jnp.concatenate([luminance + 0.5, chrominance], -1)
        back = jnp.asarray(np.linalg.inv(_FROM_RGB), x.dtype)
        return jnp.clip(jnp.einsum("cd,hwd->hwc", back, decoded, precision="highest") / 127.5, -1.0, 1.0)


def _unit(subsampling: bool) -> int:
    """Side of the pixels that are transformed together."""
    return 16 if subsampling else 8


def _check(image_shape: tuple[int, int, int], quality: int, multiple: int) -> None:
    _checks.at_least("quality", quality, 1)
    _checks.within("quality", quality, 1, 100)
    height, width, channels = image_shape
    if channels != 3:
        raise ValueError(f"image_shape is {image_shape}, expected three channels")
    if height % multiple or width % multiple:
        raise ValueError(
            f"image_shape is {image_shape}, expected sides that are multiples of {multiple}; crop the "
            f"image to {height - height % multiple}x{width - width % multiple}"
        )


def _halve(planes: jax.Array) -> jax.Array:
    """Means over 2x2 pixels."""
    height, width, channels = planes.shape
    return planes.reshape(height // 2, 2, width // 2, 2, channels).mean((1, 3))


def _quantise(planes: jax.Array, steps: jax.Array) -> jax.Array:
    """Planes (H, W, C) with the cosine transforms of their blocks rounded to multiples of `steps` (8, 8, C)."""
    height, width, channels = planes.shape
    basis = jnp.asarray(_cosines(), planes.dtype)
    blocks = planes.reshape(height // 8, 8, width // 8, 8, channels)
    coefficients = jnp.einsum("ki,lj,aibjc->akblc", basis, basis, blocks, precision="highest")
    steps = steps[None, :, None]
    rounded = _round(coefficients / steps) * steps
    return jnp.einsum("ki,lj,akblc->aibjc", basis, basis, rounded, precision="highest").reshape(planes.shape)


@functools.lru_cache(maxsize=16)
def coefficient_map(quality: int, subsampling: bool) -> np.ndarray:
    """The linear part of a file: pixels of one unit (8x8, or 16x16 for 4:2:0; three channels, flattened) to its cosine
    coefficients in quantisation steps, (192, 192) or (384, 768), float64.
    """
    side, tables, basis = _unit(subsampling), quantisation_tables(quality), _cosines()
    pixels = np.eye(3 * side**2).reshape(-1, side, side, 3)
    planes = np.einsum("dc,nhwc->dnhw", _FROM_RGB, 127.5 * pixels)
    columns = []
    for i, plane in enumerate(planes):
        halved = plane.reshape(len(plane), 8, 2, 8, 2).mean((2, 4)) if subsampling and i else plane
        blocks = halved.reshape(len(halved), halved.shape[1] // 8, 8, halved.shape[2] // 8, 8)
        coefficients = np.einsum("ki,lj,naibj->nabkl", basis, basis, blocks) / tables[..., i]
        columns.append(coefficients.reshape(len(coefficients), -1))
    return np.concatenate(columns, 1).T


@functools.lru_cache(maxsize=16)
def _decomposed(quality: int, subsampling: bool) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and right singular vectors of `coefficient_map`."""
    _, values, right = np.linalg.svd(coefficient_map(quality, subsampling))
    return np.pad(values, (0, len(right) - len(values))), right


@pytree
class DecodedJPEG(OperatorBase):
    """The picture as it is, and a decomposition in which the error of a decoded JPEG file is white.

    What quantisation does to a picture is, to a linear method, noise: nearly uniform over half a step to both sides of
    each cosine coefficient, and independent from one to the next, so of deviation 12^-1/2 in steps (`JPEGNoise`). Steps
    differ a hundredfold between coefficients, and far more from pixels, which methods that ask for one deviation would
    not see. So the decomposition is that of pixels to coefficients in steps; what it takes apart, `y`, is still the
    decoded picture. Of halved chrominance the differences within 2x2 pixels have singular value 0.

    Raises:
      ValueError: As `JPEG`.

    References:
      Robertson & Stevenson, DCT quantization noise in compressed images, IEEE Transactions on Circuits and Systems for
      Video Technology 2005.

    Example:
      >>> opened = jr.Degradation(jr.operators.DecodedJPEG((16, 16, 3), 10), jr.JPEGNoise(10))
      >>> opened.measure(key, jnp.zeros((16, 16, 3))).shape, jr.METHODS["ddnm"].refusal(opened.operator) is None
      ((16, 16, 3), True)
    """

    image_shape: tuple[int, int, int] = static()
    quality: int = static(default=10)  # 1 to 100, as libjpeg counts
    subsampling: bool = static(default=False)  # 4:2:0

    def __post_init__(self) -> None:
        set_shape(self)
        _check(self.image_shape, self.quality, _unit(self.subsampling))

    def svd(self) -> SVD:
        """That of `coefficient_map` on each unit; coefficients have the shape (H / unit, W / unit, 3 unit^2)."""
        values, right = _decomposed(self.quality, self.subsampling)

        def analyze(x: jax.Array) -> jax.Array:
            return jnp.einsum("mn,abn->abm", like(x, right), self._units(x), precision="highest")

        def synthesize(c: jax.Array) -> jax.Array:
            side, (height, width, channels) = _unit(self.subsampling), self.image_shape
            units = jnp.einsum("mn,abm->abn", like(c, right), c, precision="highest")
            units = units.reshape(height // side, width // side, side, side, channels).swapaxes(1, 2)
            return units.reshape(self.image_shape)

        # U^T of the file's coefficients, which are those of its decoded picture.
        return SVD(jnp.asarray(values), analyze, synthesize, lambda y: like(y, values) * analyze(y))

    def _units(self, x: jax.Array) -> jax.Array:
        side, (height, width, channels) = _unit(self.subsampling), self.image_shape
        units = x.reshape(height // side, side, width // side, side, channels).swapaxes(1, 2)
        return units.reshape(height // side, width // side, -1)

    def _apply(self, x: jax.Array) -> jax.Array:
        return x
