"""What an operator is."""

from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxrestore import _checks


@runtime_checkable
class Operator(Protocol):
    """The noiseless part A of a degradation: a pytree called on one image (H, W, C)."""

    linear: ClassVar[bool]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape (H, W, C) of the images it takes."""
        ...

    @property
    def measurement_shape(self) -> tuple[int, ...]:
        """Shape of what it returns."""
        ...

    def __call__(self, x: jax.Array) -> jax.Array: ...


Needs = Literal["any", "linear", "svd"]
NEEDS: dict[Needs, str] = {
    "any": "differentiable operator",
    "linear": "linear operator",
    "svd": "linear operator with a singular value decomposition",
}


def unmet(needs: Needs, operator: Operator) -> str | None:
    """Why an operator does not offer what is needed of it; None if it does."""
    if needs != "any" and not operator.linear:
        return f"{type(operator).__name__} is not linear"
    if needs == "svd" and not hasattr(operator, "svd"):
        return f"{type(operator).__name__} has no method svd"
    return None


class OperatorBase:
    """The argument check, the measurement's shape, and the adjoint of a linear operator by transposition.

    A subclass is a `flax.struct.dataclass` that sets `linear` and defines `image_shape` and `_apply`.
    """

    linear: ClassVar[bool] = True
    image_shape: Any  # (H, W, C): a static field, or a property where an array's shape determines it

    def __call__(self, x: jax.Array) -> jax.Array:
        """A(x) for one image (H, W, C).

        Raises:
          ValueError: If `x` does not have the operator's image shape.
          TypeError: If `x` is no floating array.
        """
        _checks.array("x", x, self.image_shape)
        return self._apply(x)

    @property
    def measurement_shape(self) -> tuple[int, ...]:
        return jax.eval_shape(self._apply, self._image()).shape

    def adjoint(self, y: jax.Array) -> jax.Array:
        """A* y, with <A x, y> = <x, A* y>, for one measurement.

        Raises:
          TypeError: If the operator is not linear.
          ValueError: If `y` does not have the measurement's shape.
        """
        if not self.linear:
            raise _checks.InputTypeError(f"{type(self).__name__} is not linear and has no adjoint; use jax.vjp")
        _checks.array("y", y, self.measurement_shape)
        (x,) = jax.linear_transpose(self._apply, self._image())(y)
        return x

    def _apply(self, x: jax.Array) -> jax.Array:
        raise NotImplementedError

    def _image(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.image_shape, jnp.float32)


def set_shape(operator: Any, name: str = "image_shape") -> None:
    """Store a checked tuple in a frozen dataclass: a list would not hash, and jit needs static fields to."""
    object.__setattr__(operator, name, _checks.image_shape(name, getattr(operator, name)))
