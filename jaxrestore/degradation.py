"""The measurement model: an operator and noise."""

import jax

from jaxrestore._pytree import pytree
from jaxrestore.noise import Noise
from jaxrestore.operators import Operator


@pytree
class Degradation:
    """y = noise(A(x)): what samplers invert."""

    operator: Operator
    noise: Noise

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images."""
        return self.operator.image_shape

    @property
    def measurement_shape(self) -> tuple[int, ...]:
        """Shape of the measurement of one image."""
        return self.operator.measurement_shape

    def measure(self, key: jax.Array, x: jax.Array) -> jax.Array:
        """A noisy measurement of one image (H, W, C).

        Raises:
          ValueError: If `x` does not have the operator's image shape.
        """
        return self.noise(key, self.operator(x))
