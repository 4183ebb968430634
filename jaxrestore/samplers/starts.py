"""Where samplers start from."""

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore.degradation import Degradation
from jaxrestore.operators import Composed, CompressedSensing, Enlarged, Operator, PhaseRetrieval
from jaxrestore.operators.enlarged import reduce
from jaxrestore.samplers._recipes import remembered

FirstImage = Callable[[Degradation, jax.Array], jax.Array]  # (degradation, y) -> (H, W, C), which noise is added to


class Start(Protocol):
    """x_T of a DDPM process whose noisiest level is abar."""

    def __call__(
        self, key: jax.Array, degradation: Degradation, y: jax.Array, abar: jax.typing.ArrayLike, /
    ) -> jax.Array: ...


def noise_start(key: jax.Array, degradation: Degradation, y: jax.Array, abar: jax.typing.ArrayLike) -> jax.Array:
    """x_T ~ N(0, I)."""
    return jax.random.normal(key, degradation.image_shape, y.dtype)


def aligned_start(key: jax.Array, degradation: Degradation, y: jax.Array, abar: jax.typing.ArrayLike) -> jax.Array:
    """x_T = sqrt(abar_T) U(y) + sqrt(1 - abar_T) n: the measurement's low frequencies under the usual noise.

    U repeats pixels where y is a smaller image, is the identity where it has the image's shape, and reduces y where the
    image is on a coarser grid; where y is no image (Fourier amplitudes, coefficients of a transform), the start is
    plain noise.

    References:
      Wu et al., Diffusion Posterior Proximal Sampling for Image Restoration, ACM MM 2024 (arXiv 2402.16907), aligned
      initialisation.
    """
    noise = jax.random.normal(key, degradation.image_shape, y.dtype)
    upsampled = upsample(degradation, y)
    return noise if upsampled is None else _mixed(upsampled, noise, abar)


@remembered
def image_start(image: FirstImage) -> Start:
    """x_T = sqrt(abar_T) x + sqrt(1 - abar_T) n: an image under the noise of the first level.

    For schedules that begin where the image still shows through, such as the rest of a run that began elsewhere.
    """

    def start(key: jax.Array, degradation: Degradation, y: jax.Array, abar: jax.typing.ArrayLike) -> jax.Array:
        noise = jax.random.normal(key, degradation.image_shape, y.dtype)
        return _mixed(first_image(image, degradation, y), noise, abar)

    return start


def _mixed(image: jax.Array, noise: jax.Array, abar: jax.typing.ArrayLike) -> jax.Array:
    """An image under noise."""
    share = like(noise, abar)
    return jnp.sqrt(share) * image + jnp.sqrt(1.0 - share) * noise


def upsample(degradation: Degradation, y: jax.Array) -> jax.Array | None:
    """The measurement as an image, its pixels repeated, or reduced where a coarser grid is asked for.

    None where it is no image.
    """
    height, width, channels = degradation.image_shape
    operator = degradation.operator
    if _measures_coefficients(operator) or y.ndim != 3 or y.shape[2] not in (1, channels):
        return None
    if height % y.shape[0] or width % y.shape[1]:
        if not isinstance(operator, Enlarged):
            return None
        fine = upsample(Degradation(operator.operator, degradation.noise), y)
        return None if fine is None else reduce(fine, operator.factor)
    return jnp.broadcast_to(y.repeat(height // y.shape[0], 0).repeat(width // y.shape[1], 1), degradation.image_shape)


def _measures_coefficients(operator: Operator) -> bool:
    """Whether a measurement is of a transform of the image, and no image though it may have the shape of one."""
    if isinstance(operator, Composed):
        return _measures_coefficients(operator.inner) or _measures_coefficients(operator.outer)
    if isinstance(operator, Enlarged):
        return _measures_coefficients(operator.operator)
    return isinstance(operator, CompressedSensing | PhaseRetrieval)


def first_image(image: FirstImage, degradation: Degradation, y: jax.Array) -> jax.Array:
    """What an image to start from is for a measurement, in the dtype of the run.

    Raises:
      ValueError: If it is not (H, W, C).
    """
    x = jnp.asarray(image(degradation, y), y.dtype)
    _checks.array("the image to start from", x, degradation.image_shape)
    return x
