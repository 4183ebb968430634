"""What all readers share: arrays over the bytes of a file, and the error that they raise."""

import math
import pathlib
import sys
from typing import Any

import ml_dtypes
import numpy as np

Arrays = dict[str, np.ndarray]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)  # NumPy has none of its own
# A view may repeat values without storing them (`expand`), so that a few bytes could stand for any amount of memory.
# Weights repeat none; what does, such as a buffer of ones, is small.
MOST_REPEATED = 2**20


class ConversionError(ValueError):
    """A checkpoint is unreadable, unsafe, or not what the format says; the text names what differs."""


def is_real(array: np.ndarray) -> bool:
    """Whether an array has floating-point numbers, as weights do."""
    return array.dtype.kind == "f" or array.dtype == BFLOAT16


def mapped(path: pathlib.Path) -> np.ndarray:
    """The bytes of a file, mapped: pages are read when they are used, and dropped when memory is short."""
    if path.stat().st_size == 0:  # cannot be mapped
        return np.empty(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, "r"))


def values(raw: np.ndarray, dtype: np.dtype, byteorder: str) -> np.ndarray:
    """Bytes as values of `dtype`: a view, or a copy where the file has the other byte order or no alignment."""
    array = raw[: raw.size - raw.size % dtype.itemsize].view(dtype)
    if byteorder != sys.byteorder and dtype.itemsize > 1:
        return array.byteswap()
    return array if array.flags.aligned else array.copy()


def strided(storage: Any, offset: Any, size: Any, stride: Any) -> np.ndarray:
    """A read-only view of a storage's values, as PyTorch describes a tensor.

    Args:
      storage: One-dimensional array.
      offset: Index of the first value.
      size: Of each axis.
      stride: Of each axis, in values; zero repeats a value.

    Raises:
      ConversionError: If the numbers are none, or reach beyond the storage.
    """
    numbers = (offset, *size, *stride)
    if not isinstance(storage, np.ndarray) or storage.ndim != 1 or len(size) != len(stride):
        raise ConversionError("refused: a tensor is described by something else than a storage, a shape and strides")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ConversionError(f"refused: a tensor has offset {offset}, shape {size} and strides {stride}")
    end = offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if all(size) else offset
    if end > storage.size:
        raise ConversionError("refused: a tensor reaches beyond its storage")
    if math.prod(size) > max(storage.size, MOST_REPEATED):
        raise ConversionError(f"refused: a tensor of shape {size} repeats the {storage.size} values of its storage")
    steps = tuple(s * storage.itemsize for s in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)
