"""Pickles of plain data and of tensors, read without executing them.

A pickle asks its reader to import names and to call them. This reader imports nothing: a few names that stand for
arrays are rebuilt, classes that hold settings or networks become inert records of what was stored, and any other name
is refused.
"""

import io
import pathlib
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy._core import multiarray

from convert_weights.arrays import BFLOAT16, ConversionError, strided, values

_ARRAYS = {
    **{
        (module, name): getattr(multiarray, name)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    },
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
_DTYPES = {  # PyTorch's name -> that of its storages, and NumPy's dtype
    "float64": ("DoubleStorage", np.dtype(np.float64)),
    "float32": ("FloatStorage", np.dtype(np.float32)),
    "float16": ("HalfStorage", np.dtype(np.float16)),
    "bfloat16": ("BFloat16Storage", BFLOAT16),
    "int64": ("LongStorage", np.dtype(np.int64)),
    "int32": ("IntStorage", np.dtype(np.int32)),
    "int16": ("ShortStorage", np.dtype(np.int16)),
    "int8": ("CharStorage", np.dtype(np.int8)),
    "uint8": ("ByteStorage", np.dtype(np.uint8)),
    "uint16": (None, np.dtype(np.uint16)),
    "uint32": (None, np.dtype(np.uint32)),
    "uint64": (None, np.dtype(np.uint64)),
    "bool": ("BoolStorage", np.dtype(np.bool_)),
    "complex64": ("ComplexFloatStorage", np.dtype(np.complex64)),
    "complex128": ("ComplexDoubleStorage", np.dtype(np.complex128)),
}
_VALUES = ("bool", "bytes", "complex", "float", "int", "object", "slice", "str")
_CONTAINERS = ("dict", "frozenset", "list", "set", "tuple")
# What training codes save beside the weights: settings, counters, states of optimisers. Kept as inert records.
RECORDS = (
    "argparse.Namespace",
    "collections.",
    "datetime.",
    "lightning.",
    "lightning_fabric.",
    "omegaconf.",
    "pathlib.",
    "pytorch_lightning.",
    "torch.Size",
    "torch.Tensor",
    "torch.device",
    "torch.nn.",
    "torch.optim.",
    "types.SimpleNamespace",
    "typing.",
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _VALUES + _CONTAINERS),
)
_UNSUPPORTED = {  # words for what PyTorch rebuilds by functions of these names
    "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_sparse_csr_tensor": "a sparse tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor without values (device meta)",
    "_rebuild_wrapper_subclass": "a tensor of a class of its own",
}


class Dtype(NamedTuple):
    """Stands for one of PyTorch's dtypes, or for its storages; immutable, unlike what a pickle could alter."""

    dtype: np.dtype


class Record:
    """Stands for an object whose class is not loaded: the arguments and the state that the pickle has for it."""

    path: str  # qualified name of its class
    arguments: tuple[Any, ...]
    state: Any
    items: dict[Any, Any]
    elements: list[Any]

    def __new__(cls, *arguments: Any) -> "Record":
        self = super().__new__(cls)  # pickles make objects without calling __init__
        self.arguments, self.state, self.items, self.elements = arguments, {}, {}, []
        return self

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        self.elements.append(value)


class OrderedMapping(dict[Any, Any]):
    """Stands for an OrderedDict. PyTorch hangs the versions of modules on those of its state dicts: left aside."""

    def __setstate__(self, state: Any) -> None:
        pass


class Reader(pickle.Unpickler):
    """Reads plain data, and records of the classes that it is told of.

    Args:
      file: To read from.
      records: Qualified class names, or their beginnings up to a dot, whose objects become `Record`s.
    """

    def __init__(self, file: Any, records: tuple[str, ...] = ()) -> None:
        super().__init__(file)
        self.exact = {name for name in records if not name.endswith(".")}
        self.beginnings = tuple(name for name in records if name.endswith("."))

    def find_class(self, module: str, name: str) -> Any:
        path = f"{module}.{name}"
        if (module, name) in _ARRAYS:
            return _ARRAYS[module, name]
        if path == "collections.OrderedDict":
            return OrderedMapping
        if path == "_codecs.encode":  # how old pickle protocols write bytes
            return self.encode
        if path in self.exact or path.startswith(self.beginnings):
            return type(name, (Record,), {"path": path})
        raise ConversionError(
            f"refused: it holds more than tensors: {path}, which is no data and would execute code when loaded; "
            "where you trust its source, load it there once and save only the state dict"
        )

    def persistent_load(self, pid: Any) -> Any:
        raise ConversionError(f"refused: the pickle refers to an object outside itself ({pid!r})")

    # Methods, not functions: a pickle can set the attributes of a function that it is given.
    def encode(self, text: str, encoding: str) -> bytes:
        return text.encode({"latin1": "latin1"}[encoding])


class TensorReader(Reader):
    """Reads PyTorch tensors too, as arrays; subclasses say where their storages are."""

    byteorder = "little"

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" or module.startswith("torch."):
            rebuilt = self._torch(module, name)
            if rebuilt is not None:
                return rebuilt
            if f"{module}.{name}" not in self.exact and not f"{module}.{name}".startswith(self.beginnings):
                what = _UNSUPPORTED.get(name, "what no plain tensor needs")
                raise ConversionError(
                    f"refused: it holds {what} ({module}.{name}), expected dense tensors of {', '.join(_DTYPES)}; "
                    "convert and save it again where it was made"
                )
        return super().find_class(module, name)

    def _torch(self, module: str, name: str) -> Any:
        """What stands for one of PyTorch's names, or None."""
        functions: dict[tuple[str, str], Callable[..., Any]] = {
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("torch._utils", "_rebuild_tensor_v3"): self.tensor_of_dtype,
            ("torch._utils", "_rebuild_parameter"): self.parameter,
            ("torch._utils", "_rebuild_parameter_with_state"): self.parameter,
            ("torch._tensor", "_rebuild_from_type_v2"): self.with_attributes,
            ("torch.storage", "_load_from_bytes"): self.storage_from_bytes,
        }
        if (module, name) in functions:
            return functions[module, name]
        if name == "UntypedStorage":
            return Dtype(np.dtype(np.uint8))
        if module == "torch":
            return next((Dtype(dtype) for key, (kind, dtype) in _DTYPES.items() if name in (key, kind)), None)
        return None

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, grad=False, hooks=None, bits=None) -> Any:
        """A strided array; `bits` tell of conjugation or negation that PyTorch has put off."""
        if bits and any(bits.values()):
            raise ConversionError(f"refused: a tensor is stored before its {' and '.join(bits)}; save it resolved")
        return strided(storage, offset, tuple(size), tuple(stride))

    def tensor_of_dtype(
        self, storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Dtype, bits=None
    ) -> Any:
        """A strided array of a storage that is mere bytes."""
        return self.tensor(values(storage, dtype.dtype, self.byteorder), offset, size, stride, bits=bits)

    def parameter(self, data: Any, *_: Any) -> Any:
        return data

    def with_attributes(self, function: Callable[..., Any], kind: Any, arguments: Any, state: Any) -> Any:
        """A tensor on which somebody has hung attributes: what rebuilds it is among the functions here."""
        return function(*arguments)

    def storage_from_bytes(self, data: bytes) -> np.ndarray:
        """A storage that is a small checkpoint inside the pickle, in the format of before PyTorch 1.6."""
        from convert_weights.torch_legacy import read_storage  # which knows this module

        return read_storage(data)


def read_pickle(source: pathlib.Path | bytes, *, records: tuple[str, ...] = ()) -> Any:
    """The content of a pickle of plain containers and arrays.

    Args:
      source: File, or the pickle itself.
      records: Qualified class names, or their beginnings up to a dot, whose objects become `Record`s; with any,
        PyTorch tensors are read too, as arrays.

    Raises:
      ConversionError: If it is truncated, or asks for anything else.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    where = "" if isinstance(source, bytes) else f"{source} is "
    kind = TensorReader if records else Reader
    return load(kind(io.BytesIO(data), records), where)


def load(reader: Reader, where: str) -> Any:
    """What a reader reads; `where` begins the text of a refusal.

    Raises:
      ConversionError: If anything is wrong with it.
    """
    try:
        return reader.load()
    except ConversionError as error:
        raise ConversionError(f"{where}{error}" if str(error).startswith("refused") else str(error)) from None
    except Exception as error:  # a damaged pickle raises almost anything
        reason = f"{type(error).__name__}: {error}"
        raise ConversionError(f"{where}no whole file: the pickle is damaged ({reason}); download it again") from error
