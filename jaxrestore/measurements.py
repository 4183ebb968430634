"""Stacks of measurements: arrays, and what is read when it is needed."""

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np

from jaxrestore import _checks
from jaxrestore.samplers._base import run_dtype


class Stack(Protocol):
    """Measurements one after another: an array, a memory map, or what reads each from its file when it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # (N, *measurement_shape)
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...  # one measurement, float32


def check(ys: Stack, shape: tuple[int, ...]) -> None:
    """Raise unless `ys` is a stack of measurements of a shape; those of an array are looked at, and must be finite."""
    if not hasattr(ys, "shape") or len(ys.shape) != len(shape) + 1:
        raise ValueError(
            f"ys has shape {getattr(ys, 'shape', None)}, expected (N, {', '.join(map(str, shape))})"
            "; for one measurement use ys[None]"
        )
    if len(ys) == 0:
        raise ValueError("ys holds no measurement")
    if not is_array(ys):
        return  # each is looked at when it is read
    _checks.array("one measurement of ys", ys[0], shape)
    if not all(np.isfinite(np.asarray(ys[i])).all() for i in range(len(ys))):
        raise ValueError("ys has values that are not finite")


def read(ys: Stack, rows: Sequence[int] | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The measurements of some rows, (len(rows), *shape), in the dtype of a run; one that follows itself is read once.

    Raises:
      ValueError: If one of a stack that is no array has another shape, or is not finite.
      TypeError: If it is no floating array.
    """
    y = np.empty((len(rows), *shape), dtype(ys))
    for place, row in enumerate(rows):
        if place and row == rows[place - 1]:
            y[place] = y[place - 1]
            continue
        one = ys[int(row)]
        if not is_array(ys):
            _checks.array(f"measurement {row} of ys", one, shape)
            if not np.isfinite(one).all():
                raise ValueError(f"measurement {row} of ys has values that are not finite")
        y[place] = one
    return y


def dtype(ys: Stack) -> Any:
    """Of a run on them: that of an array, at least float32; a stack that is none holds float32."""
    return run_dtype(ys) if is_array(ys) else np.float32


def is_array(ys: Any) -> bool:
    """Whether a stack is in memory as a whole."""
    return isinstance(ys, jax.Array | np.ndarray)
