"""PyTorch checkpoints of before 1.6, read with NumPy alone: five pickles in a row, and then the storages' bytes.

The pickles are a number, a version, facts of the machine, what was saved, and the names of the storages in the order in
which these follow, each behind its length. The format has no checksums, and values are little-endian on all machines.
"""

import hashlib
import io
import pathlib
import warnings
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np

from convert_weights.arrays import ConversionError, mapped, values
from convert_weights.pickles import RECORDS, Dtype, Reader, Record, TensorReader, load

_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that these files begin with, as pickles write it
_BEGINNING = (0x1950A86A20F9469CFC6C, 1001)  # that number, and the version of the format
_LENGTH = np.dtype("<i8")


class _Storage(NamedTuple):
    """What the pickle says of a storage."""

    key: str
    dtype: np.dtype
    count: int  # of values
    part: tuple[int, int] | None  # first value and number of a view, which PyTorch once knew


def _storage(pid: Any) -> _Storage:
    """("storage", its type, its name, its device, its length, the view of it that is meant)."""
    if isinstance(pid, tuple) and len(pid) == 6 and pid[0] == "storage" and isinstance(pid[1], Dtype):
        _, (dtype,), key, _, count, view = pid
        part = view[1:] if isinstance(view, tuple) and len(view) == 3 else None
        numbers = (count, *(part or ()))
        if isinstance(key, str) and all(type(n) is int and n >= 0 for n in numbers) and (part or view is None):
            return _Storage(key, dtype, count, part)
    raise ConversionError(f"refused: the pickle refers to {pid!r}, expected a storage")


class _Legacy(TensorReader):
    """Reads the pickle of what was saved; networks that were saved with their source code become records."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, RECORDS)

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module":
            if isinstance(pid[1], type) and issubclass(pid[1], Record):
                return pid[1]
            raise ConversionError(f"refused: the pickle refers to the class {pid[1]!r}")
        return self.storage(_storage(pid))

    def storage(self, described: _Storage) -> np.ndarray:
        raise NotImplementedError


class _Scout(_Legacy):
    """Notes the storages' types: where each lies follows from those before it, and is known behind the pickle only."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.found: dict[str, _Storage] = {}

    def storage(self, described: _Storage) -> np.ndarray:
        before = self.found.setdefault(described.key, described)
        if (before.dtype, before.count) != (described.dtype, described.count):
            raise ConversionError(f"refused: storage {described.key!r} is described in two ways")
        return np.empty(0, described.dtype)

    def tensor(self, *_: Any, **__: Any) -> np.ndarray:
        return np.empty(0)

    def tensor_of_dtype(self, *_: Any, **__: Any) -> np.ndarray:
        return np.empty(0)


class _Final(_Legacy):
    """Reads the same pickle again, with the storages."""

    def __init__(self, file: Any, storages: Mapping[str, np.ndarray]) -> None:
        super().__init__(file)
        self.storages = storages

    def storage(self, described: _Storage) -> np.ndarray:
        if described.key not in self.storages:
            raise ConversionError(f"refused: it lacks the storage {described.key!r}")
        start, count = described.part or (0, described.count)
        if start + count > described.count:
            raise ConversionError(f"refused: a view reaches beyond storage {described.key!r}")
        return self.storages[described.key][start : start + count]


def is_legacy(path: pathlib.Path) -> bool:
    """Whether a file begins as those of before PyTorch 1.6 do."""
    with path.open("rb") as file:
        return _MAGIC in file.read(32)  # behind the pickle protocol's number, and a frame in later protocols


def read_legacy(path: pathlib.Path) -> Any:
    """What was saved, with tensors as read-only arrays over the mapped file.

    Raises:
      ConversionError: If it is damaged, or asks for more than tensors and plain data.
    """
    with path.open("rb") as file:
        content = _read(file, mapped(path), f"{path} is ")
        _ = file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    warnings.warn(
        f"{path} is of before PyTorch 1.6, whose files carry no checksums: damage inside of it cannot be told; its "
        f"SHA-256 is {digest}, compare it with that of its source",
        stacklevel=2,
    )
    return content


def read_storage(data: bytes) -> np.ndarray:
    """The values of a storage that was saved alone, as tensors inside an ordinary pickle are.

    Raises:
      ConversionError: If it is damaged, or something else.
    """
    storage = _read(io.BytesIO(data), np.frombuffer(data, np.uint8), "a tensor inside the pickle is ")
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise ConversionError("refused: a tensor inside the pickle has something else than a storage")
    return storage


def _read(file: IO[bytes], raw: np.ndarray, where: str) -> Any:
    beginning = tuple(load(Reader(file), where) for _ in _BEGINNING)
    if beginning != _BEGINNING:
        raise ConversionError(f"{where}no PyTorch checkpoint: it begins with {beginning!r}, expected {_BEGINNING}")
    load(Reader(file), where)  # byte order and sizes of types of the machine that wrote it, which change nothing
    start = file.tell()
    scout = _Scout(file)
    load(scout, where)
    keys = load(Reader(file), where)
    storages = _located(keys, scout.found, raw, file.tell(), where)
    file.seek(start)
    return load(_Final(file, storages), where)


def _located(
    keys: Any, found: Mapping[str, _Storage], raw: np.ndarray, place: int, where: str
) -> dict[str, np.ndarray]:
    """The values of all storages, which begin at `place`, in the order of their names."""
    storages: dict[str, np.ndarray] = {}
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in found for key in keys):
        raise ConversionError(
            f"{where}no whole file: its list of storages names others than it uses; download it again"
        )
    for key in keys:
        _, dtype, count, _ = found[key]
        begin = place + _LENGTH.itemsize
        end = begin + count * dtype.itemsize
        if end > raw.size:
            raise ConversionError(f"{where}no whole file: it ends at byte {raw.size}, expected {end} at least")
        length = int(raw[place:begin].view(_LENGTH)[0]) if begin <= raw.size else None
        if length != count:
            raise ConversionError(f"{where}damaged: storage {key!r} has {length} values, expected {count}")
        storages[key] = values(raw[begin:end], dtype, "little")
        place = end
    return storages
