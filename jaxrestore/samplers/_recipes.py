"""Functions that remember how they were made, so that samplers of equal settings are equal, and can be pickled."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.core import Tracer

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Made:
    """A function out of a factory, equal to every other that the same factory made of equal settings.

    Compiled programs are kept by the functions that they were made of, and a closure equals only itself: a service that
    makes a sampler for each request would compile for each. A closure cannot be pickled either; its recipe can.
    """

    def __init__(self, function: Callable[..., Any], factory: Callable[..., Any], settings: dict[str, Any], part: str):
        self._function, self._factory, self._settings, self._part = function, factory, settings, part
        _ = functools.update_wrapper(self, function, updated=())

    @functools.cached_property
    def _key(self) -> Any:
        return (self._factory, _key(self._settings), self._part)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Made) and self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self._factory, self._settings, self._part)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings.items())
        return f"{self._factory.__name__}({settings})" + (f".{self._part}" if self._part else "")


def remembered(factory: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a factory's functions compare by the factory and its settings.

    For factories that return a function or a `NamedTuple` of functions and counts, such as a `Sampler` or an optax
    transformation, and whose result follows from their arguments alone. Numbers and arrays among the arguments are
    compared by value, functions and traced arrays by identity. To be pickled, the factory must be found in its module
    by its name, and so must functions among the arguments.

    Example:
      >>> jr.dps(num_steps=20) == jr.dps(num_steps=20, scale=1.0), jr.dps(num_steps=20) == jr.dps(num_steps=30)
      (True, False)
      >>> @jr.samplers.remembered
      ... def short(num_steps):
      ...     return jr.ddrm(num_steps=num_steps, eta=1.0)
      >>> short(5) == short(5)
      True
    """
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        result: Any = factory(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        settings = dict(bound.arguments)
        if any(result is value for value in settings.values()):
            return result  # what was given, as it is
        if not hasattr(result, "_fields"):
            return Made(result, wrapper, settings, "")  # pyright: ignore[reportReturnType]  as good as the function
        parts = {name: getattr(result, name) for name in result._fields}
        return result._replace(
            **{name: Made(part, wrapper, settings, name) for name, part in parts.items() if callable(part)}
        )

    return wrapper


def _remade(factory: Callable[..., Any], settings: dict[str, Any], part: str) -> Any:
    """What pickle and copy build a `Made` by."""
    settings = dict(settings)
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            settings |= settings.pop(name)
    result = factory(**settings)
    return getattr(result, part) if part else result


def _key(value: Any) -> Any:
    """Something that hashes, equal for equal settings."""
    if isinstance(value, Tracer):
        return ("traced", id(value))
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        array: np.ndarray = np.array(value)
        return ("array", array.shape, str(array.dtype), array.tobytes())
    if isinstance(value, dict):
        return ("dict", tuple((name, _key(entry)) for name, entry in sorted(value.items())))
    if isinstance(value, tuple | list):
        return (type(value), *map(_key, value))
    if isinstance(value, functools.partial):
        return ("partial", value.func, _key(value.args), _key(value.keywords))
    if dataclasses.is_dataclass(value) and type(value).__eq__ is object.__eq__:  # of arrays, such as schedules
        return (type(value), *(_key(getattr(value, field.name)) for field in dataclasses.fields(value)))
    try:
        _ = hash(value)
    except TypeError:
        return ("object", id(value))
    return (type(value), value)
