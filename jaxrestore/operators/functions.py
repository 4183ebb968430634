"""Operators from functions: the user's own measurement without a class."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrestore import _checks
from jaxrestore.operators._base import OperatorBase

_T = TypeVar("_T")

# Shares of the values' norm. A function may compute in bfloat16, whose rounding is 0.2 to 0.4 % of each number. Zero
# times anything is exactly zero in any precision, so A(0) need not be given that much: a function that cancels, like
# g(x + 1) - g(1), leaves float32's rounding of a sum at most.
_LINEAR_WITHIN = 1e-2
_ZERO_WITHIN = 1e-5
_MEND = "use jaxrestore.operators.Nonlinear"


def _pytree_of_function(cls: type[_T]) -> type[_T]:
    """Make a frozen dataclass and register it: the arrays are subtrees, function and shape are the structure.

    The constructor takes the arrays one by one, so JAX cannot rebuild by it as it does other operators. It also checks
    their values, which placeholders do not have.
    """
    cls = dataclasses.dataclass(frozen=True, eq=False, init=False)(cls)

    def flatten_with_keys(operator: Any) -> tuple[Any, Any]:
        return ((jax.tree_util.GetAttrKey("arrays"), operator.arrays),), (operator.function, operator.image_shape)

    def flatten(operator: Any) -> tuple[Any, Any]:
        return (operator.arrays,), (operator.function, operator.image_shape)

    def unflatten(structure: Any, children: Any) -> Any:
        operator = object.__new__(cls)
        _store(operator, *structure, *children)
        return operator

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def _store(operator: Any, function: Any, image_shape: Any, arrays: Any) -> None:
    for name, value in (("function", function), ("image_shape", image_shape), ("arrays", arrays)):
        object.__setattr__(operator, name, value)


@_pytree_of_function
class Linear(OperatorBase):
    """A linear measurement from a JAX function: `function(x, *arrays)` for one image x (H, W, C).

    Its adjoint is made by transposition, its inverses by conjugate gradients. What distinguishes one measurement from
    the next (a mask, a kernel) is best given as arrays: operators of the same function then share compiled programs,
    and can be vmapped over. Arrays that the function captures work too, but they are written into the program, which
    is compiled anew for every new closure or lambda. Settings that determine shapes must be captured.

    At construction, unless arrays are being traced, four evaluations at random images find functions that are not
    linear.

    Args:
      function: Takes an image (H, W, C) and the arrays, returns one real array of the image's dtype, of any shape.
      image_shape: (H, W, C).
      *arrays: Arrays, or pytrees of them.

    Raises:
      ValueError: If the function is not linear, does not take such an image, or returns anything but one array of the
        image's dtype.
      TypeError: If `function` is no function, or an argument after `image_shape` is no array.

    Example:
      >>> def coded_exposure(x, code):
      ...     return (x * code).sum(-1)
      >>> camera = jr.operators.Linear(coded_exposure, (8, 8, 3), jnp.array([1.0, 0.0, 1.0]))
      >>> camera.measurement_shape, camera.adjoint(jnp.ones((8, 8))).shape
      ((8, 8), (8, 8, 3))
    """

    function: Callable[..., jax.Array]
    image_shape: tuple[int, int, int]
    arrays: tuple[Any, ...]

    def __init__(self, function: Callable[..., jax.Array], image_shape: tuple[int, int, int], *arrays: Any) -> None:
        _construct(self, function, image_shape, arrays)
        _check_linear(self)

    def _apply(self, x: jax.Array) -> jax.Array:
        return self.function(x, *_no_wider(x, self.arrays))


@_pytree_of_function
class Nonlinear(OperatorBase):
    """A differentiable measurement from a JAX function: `function(x, *arrays)` for one image x (H, W, C).

    Like `Linear`, but nothing is asked of the function except a gradient. Affine functions belong here.

    Args:
      function: Takes an image (H, W, C) and the arrays, returns one real array of the image's dtype, of any shape.
      image_shape: (H, W, C).
      *arrays: Arrays, or pytrees of them.

    Raises:
      ValueError: If the function does not take such an image, or returns anything but one array of the image's dtype.
      TypeError: If `function` is no function, or an argument after `image_shape` is no array.

    Example:
      >>> film = jr.operators.Nonlinear(lambda x, contrast: jnp.tanh(contrast * x), (8, 8, 3), 2.0)
      >>> film.linear, film(jnp.zeros((8, 8, 3))).shape
      (False, (8, 8, 3))
    """

    linear: ClassVar[bool] = False

    function: Callable[..., jax.Array]
    image_shape: tuple[int, int, int]
    arrays: tuple[Any, ...]

    def __init__(self, function: Callable[..., jax.Array], image_shape: tuple[int, int, int], *arrays: Any) -> None:
        _construct(self, function, image_shape, arrays)

    def _apply(self, x: jax.Array) -> jax.Array:
        return self.function(x, *_no_wider(x, self.arrays))


def _construct(operator: Any, function: Any, image_shape: Any, arrays: Any) -> None:
    """Store the checked arguments."""
    if not callable(function):
        raise _checks.InputTypeError(f"function is a {type(function).__name__}, expected a function of an image")
    try:
        hash(function)
    except TypeError:
        raise _checks.InputTypeError(
            f"{_name(function)} does not hash, expected a function that jit can reuse programs for; "
            "give what it holds as arrays"
        ) from None
    for leaf in jax.tree.leaves(arrays):
        if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, int, float, complex)):
            raise _checks.InputTypeError(
                f"{_name(function)} is given {leaf!r}, expected arrays; let the function capture other settings"
            )
    arrays = jax.tree.map(jnp.asarray, arrays)
    _store(operator, function, _checks.image_shape("image_shape", image_shape), arrays)
    _check_output(operator)


def _no_wider(x: jax.Array, arrays: Any) -> Any:
    """The arrays, real ones of more precision than the image in its own: under `jax_enable_x64` NumPy's are float64."""

    def narrowed(array: Any) -> Any:
        wider = jnp.issubdtype(array.dtype, jnp.floating) and jnp.promote_types(array.dtype, x.dtype) != x.dtype
        return array.astype(x.dtype) if wider else array

    return jax.tree.map(narrowed, arrays)


def _name(function: Any) -> str:
    return f"function {getattr(function, '__name__', type(function).__name__)}"


def _check_output(operator: Linear | Nonlinear) -> None:
    """Raise unless the function makes one array of the image's dtype from an image."""
    name, image = _name(operator.function), operator._image()
    try:
        output = jax.eval_shape(operator._apply, image)
    except Exception as error:  # whatever the user's function raises
        raise ValueError(
            f"{name} does not take an image of shape {image.shape} and {len(operator.arrays)} arrays while JAX traces "
            f"it; expected a JAX function of one image (H, W, C). It says: {_first_line(error)}"
        ) from error
    if not isinstance(output, jax.ShapeDtypeStruct):
        raise ValueError(
            f"{name} returns a {type(output).__name__}, expected one array; flatten and concatenate several, "
            "or use jaxrestore.operators.Stacked"
        )
    if output.dtype != image.dtype:
        raise ValueError(
            f"{name} returns {output.dtype} for an image in {image.dtype}, expected {image.dtype}; convert it with "
            "astype, and stack the real and imaginary part of complex numbers"
        )


def _check_linear(operator: Linear) -> None:
    """Raise unless A(0) = 0, A(a x + b y) = a A(x) + b A(y), and JAX has a transpose; the latter only while tracing."""
    name = _name(operator.function)
    if (errors := _linearity_errors(operator)) is not None:
        at_zero, of_sums = errors
        if not at_zero <= _ZERO_WITHIN:  # so written, not-a-number is refused
            raise ValueError(
                f"{name} is not linear: ||A(0)|| is {at_zero:.2g} of ||A(x)||, expected 0; {_MEND}, or subtract A(0)"
            )
        if not of_sums <= _LINEAR_WITHIN:
            raise ValueError(
                f"{name} is not linear: A(a x + b y) differs from a A(x) + b A(y) by {100 * of_sums:.2g} %, "
                f"expected at most {100 * _LINEAR_WITHIN:g} %; {_MEND}"
            )
    try:
        measurement = jax.ShapeDtypeStruct(operator.measurement_shape, jnp.float32)
        _ = jax.eval_shape(jax.linear_transpose(operator._apply, operator._image()), measurement)
    except Exception as error:  # JAX raises assertions, values and missing implementations alike
        raise ValueError(
            f"{name} cannot be transposed, expected a function that JAX can see to be linear; {_MEND}. "
            f"JAX says: {_first_line(error)}"
        ) from error


def _linearity_errors(operator: Linear) -> tuple[float, float] | None:
    """Norms of A(0) and of A(a x + b y) - a A(x) - b A(y) relative to the values'; None while tracing."""
    x, y = jax.random.normal(jax.random.key(0), (2, *operator.image_shape), jnp.float32)
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((x, operator.arrays))):
        return None
    a, b = 0.6, -1.7  # no powers of two, by which rounding would be the same on both sides
    apply = jax.jit(operator.function)
    images = (jnp.zeros_like(x), x, y, a * x + b * y)
    values = [apply(image, *_no_wider(image, operator.arrays)) for image in images]
    if any(isinstance(value, Tracer) for value in values):  # the function captures a traced array
        return None
    at_zero, first, second, both = (np.asarray(value, np.float64) for value in values)
    size = max(np.linalg.norm(first), np.linalg.norm(second)) or 1.0  # of the zero map, errors are absolute
    difference = both - a * first - b * second
    return float(np.linalg.norm(at_zero) / size), float(np.linalg.norm(difference) / size)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
