"""What can be known of files before the hours of computing that they are for: whether they can be written at all."""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable

from jaxrestore.storage.files import NoRoomError

_LONGEST_NAME = 255  # bytes, where the system does not tell


def check_writable(paths: Iterable[pathlib.Path]) -> None:
    """Raise unless files of these names could be written; folders that are missing would be made.

    Raises:
      OSError: If a name is too long, a folder stands there, or nothing can be written into its folder.
    """
    folders = set()
    for path in paths:
        _check_names(path)
        if os.path.isdir(path):
            raise IsADirectoryError(f"{path} is a folder, and cannot be replaced by a file; choose another name")
        folders.add(path.parent)
    for folder in {_nearest(folder) for folder in folders}:
        _check_folder(folder)


def check_room(folder: pathlib.Path, size: int, what: str) -> None:
    """Raise `NoRoomError` if a folder's disk has fewer than `size` bytes left for something; quotas are not known."""
    try:
        free = shutil.disk_usage(_nearest(folder)).free
    except OSError:  # some file systems do not tell
        return
    if free < size:
        raise NoRoomError(
            f"{what} needs about {_readable(size)}, and {folder} has room for {_readable(free)}; nothing was written: "
            "free some room, or choose another folder"
        )


def _readable(size: int) -> str:
    unit, name = next((u, n) for u, n in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes")) if size >= u or u == 1)
    return f"{size / unit:.3g} {name}"


def _nearest(folder: pathlib.Path) -> pathlib.Path:
    """The folder, or the nearest above it that is there."""
    folder = folder.absolute()
    return next((above for above in (folder, *folder.parents) if os.path.lexists(above)), folder)


def _check_names(path: pathlib.Path) -> None:
    path = path.absolute()
    try:
        longest, whole = (os.pathconf(_nearest(path.parent), name) for name in ("PC_NAME_MAX", "PC_PATH_MAX"))
    except (AttributeError, OSError, ValueError):
        longest, whole = _LONGEST_NAME, 4096
    for text, limit in (*((part, longest) for part in path.parts[1:]), (str(path), whole - 1)):
        if (length := len(os.fsencode(text))) > limit:
            raise OSError(f"the name {text[:40]}... has {length} bytes, expected at most {limit}; choose a shorter one")


def _check_folder(folder: pathlib.Path) -> None:
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, expected a folder to write into; choose another name")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"nothing can be written into {folder} ({error.strerror or error}); choose another folder, or make this "
            "one writable"
        ) from error
