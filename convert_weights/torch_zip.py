"""PyTorch checkpoints since 1.6, read with NumPy alone: a zip of one pickle, `data.pkl`, and of the storages' bytes.

Storages are stored uncompressed, so they are mapped into memory rather than read. PyTorch does not look at the zip's
checksums when it loads a file; here they are checked first, so that a damaged file is found before it is converted.
"""

import io
import pathlib
import struct
import zipfile
from typing import Any

import numpy as np

from convert_weights.arrays import ConversionError, mapped, values
from convert_weights.pickles import RECORDS, Dtype, TensorReader, load

_MAGIC = b"PK\x03\x04"
_CHUNK = 2**20
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a member: its last fields are the lengths of its name and of what follows


class _Members:
    """The members of a checkpoint's zip, whole as far as their checksums tell."""

    def __init__(self, path: pathlib.Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except Exception as error:  # a damaged directory raises almost anything
            reason = f"{type(error).__name__}: {error}"
            raise ConversionError(
                f"{path} is damaged or no PyTorch checkpoint ({reason}); download it again"
            ) from error
        self._path, self._bytes = path, mapped(path)
        self._infos = {info.filename: info for info in self._archive.infolist()}
        pickles = [name for name in self._infos if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(self._infos) != len(self._archive.infolist()):
            raise ConversionError(
                f"{path} is damaged or no PyTorch checkpoint: a zip with {len(pickles)} members data.pkl, expected one "
                "and no name twice"
            )
        self._root = pickles[0].removesuffix("data.pkl")

    def __enter__(self) -> "_Members":
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def __contains__(self, name: str) -> bool:
        return self._root + name in self._infos

    def check(self) -> None:
        """Read everything once.

        Raises:
          ConversionError: If a member does not have its recorded length and checksum; the text names it.
        """
        for name, info in self._infos.items():
            try:
                with self._archive.open(info) as member:
                    size = sum(len(chunk) for chunk in iter(lambda: member.read(_CHUNK), b""))
                if size != info.file_size or (info.compress_type == zipfile.ZIP_STORED and size != info.compress_size):
                    raise zipfile.BadZipFile(f"{size} bytes, {info.file_size} recorded")
            except Exception as error:  # whatever damage makes of a header or of compressed bytes
                mend = "download it again"
                if not any(info.CRC for info in self._infos.values()):
                    mend = (
                        "it was saved without checksums: set_crc32_options(True) of torch.serialization, and save again"
                    )
                raise ConversionError(f"{self._path} is damaged at its member {name!r} ({error}); {mend}") from error

    def read(self, name: str) -> np.ndarray:
        """The bytes of a member: those of the mapped file where they are not compressed.

        Raises:
          ConversionError: If there is none of that name.
        """
        info = self._infos.get(self._root + name)
        if info is None:
            raise ConversionError(f"refused: it lacks the member {self._root + name!r}")
        if info.compress_type != zipfile.ZIP_STORED:
            return np.frombuffer(self._archive.read(info), np.uint8)
        header = info.header_offset
        start = header + 30 + sum(_LOCAL_HEADER.unpack(self._bytes[header : header + 30].tobytes()))
        return self._bytes[start : start + info.file_size]

    def byteorder(self) -> str:
        """Of all values, "little" or "big"; files of before PyTorch 2.1 do not tell, and are little."""
        order = self.read("byteorder").tobytes().decode("ascii", "replace") if "byteorder" in self else "little"
        if order not in ("little", "big"):
            raise ConversionError(f"{self._path} has byteorder {order!r}, expected 'little' or 'big'")
        return order


class _Reader(TensorReader):
    """Reads `data.pkl`, whose tensors refer to other members of the zip."""

    def __init__(self, members: _Members) -> None:
        super().__init__(io.BytesIO(members.read("data.pkl").tobytes()), RECORDS)
        self.members, self.byteorder = members, members.byteorder()

    def persistent_load(self, pid: Any) -> np.ndarray:
        """The values of a storage: ("storage", its type, its member, its device, its length)."""
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage" or not isinstance(pid[1], Dtype):
            raise ConversionError(f"refused: the pickle refers to {pid!r}, expected a storage")
        _, (dtype,), key, _, count = pid
        raw = self.members.read(f"data/{key}")
        if type(count) is not int or not 0 <= count * dtype.itemsize <= raw.size:
            raise ConversionError(f"refused: storage {key!r} has {raw.size} bytes, expected {count} times {dtype}")
        return values(raw[: count * dtype.itemsize], dtype, self.byteorder)


def is_zip(path: pathlib.Path) -> bool:
    """Whether a file begins as those of PyTorch 1.6 and later do."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_zip(path: pathlib.Path) -> Any:
    """What was saved, with tensors as read-only arrays over the mapped file.

    Raises:
      ConversionError: If a member is missing or damaged, or the pickle asks for more than tensors and plain data.
    """
    with _Members(path) as members:
        members.check()
        if "constants.pkl" in members:
            raise ConversionError(
                f"{path} is a TorchScript archive, which holds a program; load it with torch.jit.load where you trust "
                "it, and save its state_dict()"
            )
        return load(_Reader(members), f"{path} is ")
