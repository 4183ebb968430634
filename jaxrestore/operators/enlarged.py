"""An operator seen from a coarser grid: its images are enlarged before it is applied."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._pytree import pytree, static
from jaxrestore.operators._base import Operator, relevant

_STD = 0.5  # standard deviation of photographs in [-1, 1]
_EXPONENT = 1.25  # of typical images: their Fourier amplitudes fall as frequency^-1.25, see `typical_image`


def enlarge(x: jax.Array, shape: tuple[int, int, int], factor: int) -> jax.Array:
    """An image on the grid that is `factor` times finer, bilinear, cut to `shape`."""
    height, width, channels = x.shape
    fine = jax.image.resize(x, (factor * height, factor * width, channels), "bilinear")
    return fine[: shape[0], : shape[1]]


def reduce(x: jax.Array, factor: int) -> jax.Array:
    """An image on the grid that is `factor` times coarser, bilinear with antialiasing; sides are rounded up."""
    height, width, channels = x.shape
    shape = (-(-height // factor), -(-width // factor), channels)
    padded = jnp.pad(x, ((0, factor * shape[0] - height), (0, factor * shape[1] - width), (0, 0)), mode="edge")
    return jax.image.resize(padded, shape, "bilinear", antialias=True)


@pytree
class Enlarged:
    """A(U x): the measurement of an image on a grid that is `factor` times coarser, enlarged bilinearly by U.

    `error` is the deviation of what such an image cannot express of a measurement (see `enlargement_error`): samplers
    that are told the noise count it as further noise, whoever told them.

    Raises:
      ValueError: If `factor` is below 1.
    """

    operator: Operator
    factor: int = static(default=2)
    error: jax.typing.ArrayLike = 0.0

    def __post_init__(self) -> None:
        _checks.at_least("factor", self.factor, 1)

    @property
    def linear(self) -> bool:
        """Whether the operator itself is."""
        return self.operator.linear

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Of the coarse image; sides are rounded up."""
        height, width, channels = self.operator.image_shape
        return (-(-height // self.factor), -(-width // self.factor), channels)

    @property
    def measurement_shape(self) -> tuple[int, ...]:
        """The operator's own."""
        return self.operator.measurement_shape

    @property
    def error_variance(self) -> jax.Array:
        """The square of the error, with that of a coarser grid inside."""
        inner = self.operator.error_variance if isinstance(self.operator, Enlarged) else 0.0
        return inner + jnp.square(self.error)

    def relevant(self, y: jax.Array) -> jax.Array:
        """What the operator inside does not measure is left out."""
        return relevant(self.operator, y)

    def __call__(self, x: jax.Array) -> jax.Array:
        """The measurement of one coarse image.

        Raises:
          ValueError: If `x` does not have the coarse image's shape.
        """
        _checks.array("x", x, self.image_shape)
        return self.operator(enlarge(x, self.operator.image_shape, self.factor))


def typical_image(shape: tuple[int, int, int]) -> np.ndarray:
    """A random image, always the same, with the power spectrum of photographs; (H, W, C), float32, grey.

    References:
      Field, Relations between the statistics of natural images and the response properties of cortical cells, JOSA A
      1987; Ruderman & Bialek, Statistics of natural images, Physical Review Letters 1994.
    """
    height, width, channels = shape
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequencies[0, 0] = np.inf
    white = np.fft.rfft2(np.random.default_rng(0).standard_normal((height, width)))
    grey = np.fft.irfft2(white * frequencies**-_EXPONENT, (height, width))
    return np.repeat((_STD / grey.std() * grey)[..., None], channels, 2).astype(np.float32)


def enlargement_error(operator: Operator, factor: int) -> jax.Array:
    """What a coarser grid cannot express: root mean square of A(x) - A(U D x) for a typical image x.

    D reduces and U enlarges. Entries of the measurement that show no difference (under a mask) are left out.
    """
    x = jnp.asarray(typical_image(operator.image_shape))
    coarse = enlarge(reduce(x, factor), operator.image_shape, factor)
    squares = jnp.square(operator(x) - operator(coarse))
    return jnp.sqrt(squares.sum() / jnp.maximum((squares > 0).sum(), 1))
