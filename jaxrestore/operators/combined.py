"""Operators made of operators: one after another, and several of one image."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._pytree import pytree
from jaxrestore.operators._base import Operator, OperatorBase, relevant


@pytree
class Composed(OperatorBase):
    """A(B(x)); `outer @ inner` in short, or `inner | outer`. Linear if both are.

    Raises:
      ValueError: When called, if the inner operator does not measure what the outer one takes.

    Example:
      >>> camera = jr.operators.SuperResolution((8, 8, 3), 2) @ jr.operators.GaussianBlur((8, 8, 3), 5, 1.0)
      >>> camera.linear, camera.measurement_shape
      (True, (4, 4, 3))
    """

    outer: Operator  # A
    inner: Operator  # B

    @property
    def linear(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]  of the parts, not of the class
        """Whether both are."""
        return self.outer.linear and self.inner.linear

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The inner operator's."""
        return self.inner.image_shape

    def relevant(self, y: jax.Array) -> jax.Array:
        """What the outer operator does not measure is left out."""
        return relevant(self.outer, y)

    def _apply(self, x: jax.Array) -> jax.Array:
        measured, expected = tuple(self.inner.measurement_shape), tuple(self.outer.image_shape)
        if measured != expected:
            raise ValueError(
                f"{type(self.inner).__name__} measures {measured}, expected {expected}, the image shape of "
                f"{type(self.outer).__name__}, which is applied to it"
            )
        return self.outer(self.inner(x))


@pytree
class Stacked(OperatorBase):
    """Several measurements of one image, flattened into one vector (M,) in their order. Linear if all are.

    A degradation's noise is then that of the whole vector. Where its strength differs, measure in units of it: compose
    each operator with a division by its own standard deviation, and take 1 for the noise's.

    Raises:
      ValueError: When used, if there are no operators, or they take images of different shapes.

    Example:
      >>> shape = (8, 8, 3)
      >>> views = jr.operators.Stacked((jr.operators.SuperResolution(shape, 4), jr.operators.Colorization(shape)))
      >>> small, grey = views.split(views(jnp.ones(shape)))
      >>> views.measurement_shape, small.shape, grey.shape
      ((76,), (2, 2, 3), (8, 8, 1))
    """

    operators: tuple[Operator, ...]

    @property
    def linear(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]  of the parts, not of the class
        """Whether all are."""
        return all(operator.linear for operator in self.operators)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """That of all."""
        shapes = [operator.image_shape for operator in self.operators]
        if len(set(shapes)) != 1:
            raise ValueError(
                f"the operators take images of shapes {shapes}, expected one shape of at least one operator"
            )
        return shapes[0]

    def split(self, y: jax.Array) -> tuple[jax.Array, ...]:
        """The measurements that a vector (M,) is made of, each in its own shape.

        Raises:
          ValueError: If `y` does not have the shape (M,).
        """
        _checks.array("y", y, self.measurement_shape)
        shapes = [operator.measurement_shape for operator in self.operators]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        pieces = jnp.split(y, ends[:-1])
        return tuple(piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True))

    def relevant(self, y: jax.Array) -> jax.Array:
        """What the operators do not measure is left out, of each one's part."""
        parts = zip(self.operators, self.split(y), strict=True)
        return jnp.concatenate([relevant(operator, part).ravel() for operator, part in parts])

    def _apply(self, x: jax.Array) -> jax.Array:
        return jnp.concatenate([operator(x).ravel() for operator in self.operators])
