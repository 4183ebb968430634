"""Argument checks shared by the public functions: the value, what was expected, how to mend it.

Everything here looks at Python values, shapes and dtypes only, so it runs while tracing and costs nothing in the
compiled program. Values of traced arrays are never inspected.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

LARGEST_COUNT = 1_000_000  # of steps: far more than any method has use for, and small tables yet


class InputTypeError(TypeError):
    """A caller's mistake: the command line tells it in one line, where any other `TypeError` is a fault of its own."""


def _concrete(name: str, value: Any) -> np.ndarray | None:
    """`value`, of real numbers, as a NumPy array; None while it is being traced."""
    if isinstance(value, Tracer):
        return None
    array = np.asarray(value)
    if not any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        raise InputTypeError(f"{name} is {value!r}, expected a number")
    return array


def at_least(name: str, value: int, minimum: int) -> None:
    """Raise unless `value` is a Python integer (a count) not below `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputTypeError(f"{name} is {value!r}, expected a Python integer: counts fix the compiled program")
    if value < minimum:
        raise ValueError(f"{name} is {value}, expected at least {minimum}")


def countable(name: str, value: int) -> None:
    """Raise if a count is so large that tables of its length would fill the memory: it is a mistake."""
    if value > LARGEST_COUNT:
        raise ValueError(f"{name} is {value}, expected at most {LARGEST_COUNT}")


def positive(name: str, value: jax.typing.ArrayLike) -> None:
    """Raise if a concrete `value` is not finite and above zero."""
    concrete = _concrete(name, value)
    if concrete is not None and not (np.isfinite(concrete).all() and (concrete > 0).all()):
        raise ValueError(f"{name} is {value}, expected a finite number above 0")


def not_negative(name: str, value: jax.typing.ArrayLike) -> None:
    """Raise if a concrete `value` is not finite or below zero."""
    within(name, value, 0.0, np.inf)


def within(name: str, value: jax.typing.ArrayLike, low: float, high: float) -> None:
    """Raise if a concrete `value` is not finite or outside [low, high]."""
    concrete = _concrete(name, value)
    if concrete is not None and not (
        np.isfinite(concrete).all() and (concrete >= low).all() and (concrete <= high).all()
    ):
        raise ValueError(f"{name} is {value}, expected a finite number in [{low:g}, {high:g}]")


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(map(repr, allowed))}")


def known(owner: str, kind: str, names: Iterable[str], allowed: Sequence[str]) -> None:
    """Raise unless all of `names`, the keywords given to `owner`, are among `allowed`."""
    if unknown := set(names) - set(allowed):
        raise InputTypeError(
            f"{owner} has no {kind} {', '.join(sorted(unknown))}; it takes {', '.join(allowed) or 'none'}"
        )


def image_shape(name: str, value: Sequence[int]) -> tuple[int, int, int]:
    """`value` as a tuple (H, W, C) of positive Python integers; raises when it is none."""
    shape = tuple(value) if isinstance(value, Iterable) else ()
    if len(shape) != 3 or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        raise ValueError(f"{name} is {value!r}, expected (height, width, channels), e.g. (256, 256, 3)")
    return (int(shape[0]), int(shape[1]), int(shape[2]))


def array(name: str, value: jax.Array, shape: tuple[int, ...]) -> None:
    """Raise unless `value` is a real floating array of exactly `shape`."""
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        raise InputTypeError(f"{name} is a {type(value).__name__}, expected an array of shape {shape}")
    if tuple(value.shape) != tuple(shape):
        batched = len(value.shape) == len(shape) + 1 and tuple(value.shape[1:]) == tuple(shape)
        mend = "; for a batch use jaxrestore.restore or jax.vmap" if batched else ""
        raise ValueError(f"{name} has shape {tuple(value.shape)}, expected {tuple(shape)}{mend}")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise InputTypeError(
            f"{name} has dtype {value.dtype}, expected float32 in [-1, 1]; "
            "for 8-bit pictures use jaxrestore.images.from_uint8"
        )


def image_pair(a: jax.Array, b: jax.Array) -> None:
    """Raise unless both are real floating images (H, W, C) of one shape."""
    if len(getattr(a, "shape", ())) != 3:
        raise ValueError(
            f"a has shape {getattr(a, 'shape', None)}, expected one image (H, W, C); for a batch use jax.vmap"
        )
    array("a", a, a.shape)
    array("b", b, a.shape)
