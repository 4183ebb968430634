"""Pickles of plain data, read without executing them.

A pickle asks its reader to import names and to call them. This reader imports nothing: a few names that stand for
arrays are rebuilt, classes of networks become inert records of what was stored, and any other name is refused.
"""

import collections
import io
import pathlib
import pickle
from typing import Any

import numpy as np
from numpy._core import multiarray

from convert_weights.reading import ConversionError

_ARRAYS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    **{
        (module, name): getattr(multiarray, name)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    },
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class Record:
    """Stands for an object whose class is not loaded: the arguments and the state that the pickle has for it."""

    path: str  # qualified name of its class
    arguments: tuple[Any, ...]
    state: Any
    items: dict[Any, Any]

    def __new__(cls, *arguments: Any) -> "Record":
        self = super().__new__(cls)  # pickles make objects without calling __init__
        self.arguments, self.state, self.items = arguments, {}, {}
        return self

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, records: tuple[str, ...]) -> None:
        super().__init__(file)
        self.records = records

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ARRAYS:
            return _ARRAYS[module, name]
        if self.records and module.startswith("torch.storage") and name == "_load_from_bytes":
            return _storage
        if self.records and (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if self.records and (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if f"{module}.{name}".startswith(self.records):
            return type(name, (Record,), {"path": f"{module}.{name}"})
        raise ConversionError(f"refused: the pickle asks for {module}.{name}, which is no data and would execute code")

    def persistent_load(self, pid: Any) -> Any:
        raise ConversionError(f"refused: the pickle refers to an object outside itself ({pid!r})")


def _storage(data: bytes) -> np.ndarray:
    """The values of a PyTorch storage, itself a small checkpoint inside the pickle."""
    import torch

    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return torch.tensor([], dtype=storage.dtype).set_(storage).numpy()


def _tensor(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> np.ndarray:
    """An array from a storage's values, offset, shape and strides (in values)."""
    end = offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if all(size) else offset
    if offset < 0 or min(stride, default=0) < 0 or end > storage.size:
        raise ConversionError("refused: a tensor of the pickle reaches beyond its storage")
    strides = tuple(s * storage.itemsize for s in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)


def read_pickle(source: pathlib.Path | bytes, *, records: tuple[str, ...] = ()) -> Any:
    """The content of a pickle of plain containers and arrays.

    Args:
      source: File, or the pickle itself.
      records: Beginnings of qualified class names whose objects become `Record`s; with any, PyTorch tensors are read
        too, as arrays.

    Raises:
      ConversionError: If it is truncated, or asks for anything else.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    try:
        return _Reader(io.BytesIO(data), records).load()
    except ConversionError as error:
        where = "" if isinstance(source, bytes) else f"{source} is "
        raise ConversionError(f"{where}{error}") from None
    except Exception as error:  # a damaged pickle raises almost anything
        raise ConversionError(f"the pickle is damaged ({type(error).__name__}: {error}); download it again") from error
