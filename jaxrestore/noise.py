"""Measurement noise.

Methods that ask how noisy a measurement is want one standard deviation. `GaussianNoise` and `JPEGNoise` have one. The
others, whose strength differs from pixel to pixel, are refused unless the sampler is given `noise_std`; their
`equivalent_std(y)` is what to give.

Strengths are checked when noise is drawn, and raise `ValueError` if they are concrete and out of range.
"""

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.operators.jpeg import JPEG


@runtime_checkable
class Noise(Protocol):
    """A pytree that draws a noisy measurement."""

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array: ...


@pytree
class NoNoise:
    """The measurement as it is."""

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array:
        return y


@pytree
class GaussianNoise:
    """y + std n."""

    std: jax.typing.ArrayLike  # on the [-1, 1] scale: twice what it is on [0, 1]; not negative

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array:
        _checks.not_negative("std", self.std)
        return y + like(y, self.std) * jax.random.normal(key, y.shape, y.dtype)


@pytree
class JPEGNoise:
    """The picture after JPEG, as noise of a `DecodedJPEG`: rounding of each cosine coefficient to its step.

    Nothing is drawn. Its deviation is that of rounding, 12^-1/2 steps, in the coordinates of the operator's
    decomposition; quality and subsampling are the operator's.
    """

    quality: int = static(default=10)
    subsampling: bool = static(default=False)

    @property
    def std(self) -> float:
        """In quantisation steps."""
        return 12**-0.5

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array:
        height, width, channels = y.shape
        return JPEG((height, width, channels), self.quality, self.subsampling)(y)


@pytree
class PoissonNoise:
    """Photon counts: with m = (y + 1) / 2, counts k ~ Poisson(255 rate m), then 2 k / (255 rate) - 1.

    Brighter pixels are noisier. Negative intensities count as 0, and the result is clipped to [-1, 1] as in DPS.
    """

    rate: jax.typing.ArrayLike  # photons for each of 255 grey levels; positive, smaller is noisier

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array:
        _checks.positive("rate", self.rate)
        photons = 255.0 * like(y, self.rate)
        counts = jax.random.poisson(key, jnp.clip((y + 1.0) / 2.0, 0.0) * photons)
        return jnp.clip(2.0 * counts.astype(y.dtype) / photons - 1.0, -1.0, 1.0)

    def equivalent_std(self, y: jax.Array) -> jax.Array:
        """The deviation of Gaussian noise of the same mean variance, estimated from a measurement."""
        return jnp.sqrt(jnp.mean(_photon_variance(y, 255.0 * like(y, self.rate))))


@pytree
class PoissonGaussianNoise:
    """A camera's noise: photon counts of `PoissonNoise`, and the Gaussian noise of reading them out. Not clipped.

    References:
      Foi et al., Practical Poissonian-Gaussian Noise Modeling and Fitting for Single-Image Raw-Data, IEEE Transactions
      on Image Processing 2008.
    """

    rate: jax.typing.ArrayLike  # photons for each of 255 grey levels; positive, smaller is noisier
    std: jax.typing.ArrayLike  # of the read-out, on the [-1, 1] scale; not negative

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array:
        _checks.positive("rate", self.rate)
        _checks.not_negative("std", self.std)
        key_photons, key_readout = jax.random.split(key)
        photons = 255.0 * like(y, self.rate)
        counts = jax.random.poisson(key_photons, jnp.clip((y + 1.0) / 2.0, 0.0) * photons)
        readout = like(y, self.std) * jax.random.normal(key_readout, y.shape, y.dtype)
        return 2.0 * counts.astype(y.dtype) / photons - 1.0 + readout

    def equivalent_std(self, y: jax.Array) -> jax.Array:
        """The deviation of Gaussian noise of the same mean variance, estimated from a measurement."""
        photons = _photon_variance(y, 255.0 * like(y, self.rate))
        return jnp.sqrt(jnp.mean(photons) + jnp.square(like(y, self.std)))


@pytree
class SaltAndPepperNoise:
    """Pixels replaced by black or white, either with probability rate / 2, in all channels alike.

    No sampler hears of it. What is left at -1 or 1 is best taken for missing: see the example.

    Example:
      >>> y = jr.SaltAndPepperNoise(0.2)(key, jnp.zeros((8, 8, 3)))
      >>> known = jr.Degradation(jr.operators.Inpainting((jnp.abs(y) < 1).all(-1)), jr.NoNoise())
      >>> 0 < float(known.operator.mask.mean()) < 1
      True
    """

    rate: jax.typing.ArrayLike  # share of the pixels, in [0, 1]

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array:
        _checks.within("rate", self.rate, 0.0, 1.0)
        draw = jax.random.uniform(key, (*y.shape[:-1], 1), y.dtype)
        rate = like(y, self.rate)
        return jnp.where(draw < rate / 2, -1.0, jnp.where(draw < rate, 1.0, y)).astype(y.dtype)

    def equivalent_std(self, y: jax.Array) -> jax.Array:
        """The deviation of Gaussian noise of the same mean variance, if the picture were as the measurement is."""
        return jnp.sqrt(like(y, self.rate) * jnp.mean(1.0 + jnp.square(y)))


@pytree
class SpeckleNoise:
    """Multiplied intensities, as in ultrasound and radar: with m = (y + 1) / 2, m (1 + std n); brighter is noisier."""

    std: jax.typing.ArrayLike  # relative to the intensity; not negative

    def __call__(self, key: jax.Array, y: jax.Array) -> jax.Array:
        _checks.not_negative("std", self.std)
        return y + (y + 1.0) * like(y, self.std) * jax.random.normal(key, y.shape, y.dtype)

    def equivalent_std(self, y: jax.Array) -> jax.Array:
        """The deviation of Gaussian noise of the same mean variance, estimated from a measurement."""
        squared = jnp.square(like(y, self.std))
        # The measured intensities' mean square exceeds the true ones' by the noise itself.
        return jnp.sqrt(squared / (1.0 + squared) * jnp.mean(jnp.square(y + 1.0)))


def _photon_variance(y: jax.Array, photons: jax.Array) -> jax.Array:
    """Of 2 k / photons - 1 for counts k, estimated from the measurement."""
    return 2.0 * jnp.maximum(y + 1.0, 0.0) / photons
