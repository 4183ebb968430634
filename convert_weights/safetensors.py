"""Safetensors files, read with NumPy alone: a JSON header, which says where each tensor's bytes lie, and the bytes.

The format has no checksums. What its header promises is held against the file: tensors fill it without gap or overlap.
"""

import json
import math
import pathlib
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from convert_weights.arrays import BFLOAT16, Arrays, ConversionError, mapped, values

_DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": BFLOAT16,
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
_LONGEST_HEADER = 100_000_000  # bytes, the format's own limit


class _Damaged(Exception):
    """The header is none, or contradicts the file."""


def read_safetensors(path: pathlib.Path) -> Arrays:
    """Name -> read-only array over the mapped file.

    Raises:
      ConversionError: If the file is truncated, its header is none or promises what the file does not hold, or a tensor
        has a dtype without a counterpart.
    """
    data = mapped(path)
    try:
        entries, start = _header(data)
        if unknown := {f"{name} {entry.dtype}" for name, entry in entries.items() if entry.dtype not in _DTYPES}:
            raise ConversionError(f"{path} is refused: {min(unknown)} is not read, expected {', '.join(_DTYPES)}")
        return _tensors(entries, data[start:])
    except _Damaged as error:
        raise ConversionError(f"{path} is no whole safetensors file ({error}); download it again") from error


class _Entry(NamedTuple):
    """What the header says of a tensor."""

    dtype: str
    shape: list[int]
    begin: int  # of its bytes, behind the header
    end: int


def _header(data: np.ndarray) -> tuple[dict[str, _Entry], int]:
    """The header's entries, and where the tensors' bytes begin."""
    length = int.from_bytes(data[:8].tobytes(), "little")
    if data.size < 8 or length > min(_LONGEST_HEADER, data.size - 8):
        raise _Damaged(f"the file has {data.size} bytes, and its header {length}")
    try:
        content = json.loads(data[8 : 8 + length].tobytes().decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _Damaged(f"its header is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise _Damaged(f"its header is a {type(content).__name__}, expected a JSON object")
    return {name: _entry(name, entry) for name, entry in content.items() if name != "__metadata__"}, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise _Damaged("its header names a tensor twice")
    return entries


def _entry(name: str, value: Any) -> _Entry:
    fields = value if isinstance(value, dict) else {}
    shape, offsets = fields.get("shape"), fields.get("data_offsets")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise _Damaged(f"{name} has shape {shape!r} and data_offsets {offsets!r}, expected lists of numbers")
    return _Entry(str(fields.get("dtype")), shape, *offsets)


def _are_counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _tensors(entries: dict[str, _Entry], data: np.ndarray) -> Arrays:
    """The arrays, which fill `data` one behind the other."""
    position = 0
    arrays = {}
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        dtype, size = _DTYPES[entry.dtype], entry.end - entry.begin
        if entry.begin != position or entry.end > data.size:
            raise _Damaged(f"{name} has bytes {entry.begin} to {entry.end}, expected {position} to {data.size} at most")
        if size != math.prod(entry.shape) * dtype.itemsize:
            raise _Damaged(f"{name} has {size} bytes, expected {entry.dtype} of shape {entry.shape}")
        try:
            arrays[name] = values(data[entry.begin : entry.end], dtype, "little").reshape(entry.shape)
        except (ValueError, OverflowError) as error:  # empty, with an axis longer than there can be
            raise _Damaged(f"{name} has shape {entry.shape}: {error}") from error
        position = entry.end
    if position != data.size:
        raise _Damaged(f"its tensors end at byte {position} of {data.size}")
    return {name: arrays[name] for name in entries}
