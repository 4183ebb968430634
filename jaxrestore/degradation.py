"""The measurement model: an operator and noise."""

import jax

from jaxrestore import _checks
from jaxrestore._pytree import pytree
from jaxrestore.noise import Noise
from jaxrestore.operators import Operator
from jaxrestore.operators._base import relevant


@pytree
class Degradation:
    """y = noise(A(x)): what samplers invert.

    Raises:
      TypeError: If the operator is callable but no pytree, such as a plain function.
    """

    operator: Operator  # A, from `jaxrestore.operators` or of your own
    noise: Noise  # such as `GaussianNoise(0.01)`, on the scale of the measurement

    def __post_init__(self) -> None:
        # Placeholders that JAX rebuilds pytrees with are not callable, or stand inside an operator that is.
        if callable(self.operator) and jax.tree_util.all_leaves([self.operator]):
            raise _checks.InputTypeError(
                f"operator is a {type(self.operator).__name__}, expected a pytree; make it of a function with "
                "jaxrestore.operators.Linear or Nonlinear, or derive it from jaxrestore.operators.OperatorBase"
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images."""
        return self.operator.image_shape

    @property
    def measurement_shape(self) -> tuple[int, ...]:
        """Shape of the measurement of one image."""
        return self.operator.measurement_shape

    def relevant(self, y: jax.Array) -> jax.Array:
        """A measurement without what its operator does not measure: pixels under a mask are whatever a file has there.

        Operators have a method `relevant` where there is such a thing. Samplers are given what it returns.
        """
        return relevant(self.operator, y)

    def measure(self, key: jax.Array, x: jax.Array) -> jax.Array:
        """A noisy measurement of one image (H, W, C).

        Raises:
          ValueError: If `x` does not have the operator's image shape.
        """
        return self.noise(key, self.operator(x))
