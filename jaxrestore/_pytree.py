"""Frozen dataclasses that JAX treats as pytrees."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

_T = TypeVar("_T")


def static(**kwargs: Any) -> Any:
    """A field that is part of the structure, not a leaf: shapes, factors, flags. Must be hashable."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, static))
def pytree(cls: type[_T]) -> type[_T]:
    """Make a frozen dataclass and register it: fields are leaves (or subtrees) unless marked `static()`.

    Arrays are compared by identity only, so equality and hashing are those of the object.
    """
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, eq=False)(cls))
