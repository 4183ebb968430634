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


def relevant(operator: Operator, y: jax.Array) -> jax.Array:
    """A measurement without what the operator does not measure, as its method `relevant` has it, if there is one."""
    method = getattr(operator, "relevant", None)
    return y if method is None else method(y)


class OperatorBase:
    """What operators inherit: the argument check, the measurement's shape, the adjoint by transposition, `@` and `|`.

    A subclass is a frozen dataclass registered as a pytree, e.g. by `flax.struct.dataclass`. It has `image_shape`, a
    static field or a property, and defines `_apply(x)`, a JAX function of one image (H, W, C) that returns one array
    of the image's dtype, whatever that of its own arrays. One that is not linear sets the class variable `linear` to
    False; one that knows its singular value decomposition has a method `svd()` that returns an `SVD`. What needs no
    parameters with names of their own is simpler as a `Linear` or a `Nonlinear`.

    Example:
      >>> import flax
      >>> @flax.struct.dataclass
      ... class Vignette(jr.operators.OperatorBase):
      ...     gains: jax.Array  # (H, W, 1)
      ...     image_shape: tuple[int, int, int] = flax.struct.field(pytree_node=False)
      ...
      ...     def _apply(self, x):
      ...         return self.gains * x
      >>> lens = Vignette(jnp.full((8, 8, 1), 0.5), (8, 8, 3))
      >>> jr.METHODS["ddnm"].refusal(lens) is None, lens.adjoint(lens(jnp.ones((8, 8, 3)))).shape
      (True, (8, 8, 3))
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

    def __matmul__(self, inner: Operator) -> "OperatorBase":
        """`outer @ inner`: the image is measured by `inner`, and what it measures by `outer`."""
        from jaxrestore.operators.combined import Composed  # it is an OperatorBase itself

        return Composed(self, inner) if isinstance(inner, Operator) else NotImplemented

    def __or__(self, following: Operator) -> "OperatorBase":
        """`first | following`, in the order in which the image meets them: what `following @ first` is."""
        from jaxrestore.operators.combined import Composed

        return Composed(following, self) if isinstance(following, Operator) else NotImplemented

    def adjoint(self, y: jax.Array) -> jax.Array:
        """A* y, with <A x, y> = <x, A* y>, for one measurement.

        Raises:
          TypeError: If the operator is not linear.
          ValueError: If `y` does not have the measurement's shape.
        """
        if not self.linear:
            raise _checks.InputTypeError(f"{type(self).__name__} is not linear and has no adjoint; use jax.vjp")
        _checks.array("y", y, self.measurement_shape)
        (x,) = jax.linear_transpose(self._apply, self._image(y.dtype))(y)
        return x

    def _apply(self, x: jax.Array) -> jax.Array:
        raise NotImplementedError

    def _image(self, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.image_shape, dtype)


def set_shape(operator: Any, name: str = "image_shape") -> None:
    """Store a checked tuple in a frozen dataclass: a list would not hash, and jit needs static fields to."""
    object.__setattr__(operator, name, _checks.image_shape(name, getattr(operator, name)))
