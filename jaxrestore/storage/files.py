"""Files that appear whole or not at all."""

import contextlib
import errno
import os
import pathlib
import tempfile
from collections.abc import Iterator

from jaxrestore.storage import leftovers, temporary

NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # error numbers of a disk that is full, for all or for this user


class NoRoomError(OSError):
    """A file does not fit on its disk, or is larger than files may be."""


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary file beside `path`, of the same suffix, that takes its place when the block ends without an error.

    What runs that were killed have left in the folder is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    leftovers.sweep_once(path.parent)

    def make() -> str:
        handle, name = tempfile.mkstemp(prefix=leftovers.prefix(), suffix=path.suffix, dir=path.parent)
        os.close(handle)
        return name

    with temporary.owned(make) as written:
        try:
            yield written
            umask = os.umask(0)
            os.umask(umask)
            with temporary.undivided():
                written.chmod(0o666 & ~umask)  # mkstemp's files are private; what a user asked for is an ordinary file
                written.replace(path)
        finally:
            written.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Hold other processes off while the block runs: they wait at their own `locked(path)`.

    The file stays. Where the system or its file system knows no such locks (Windows, some network drives), nobody
    waits: what is written there must be safe without.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file gives the lock back


def write_whole(path: pathlib.Path, data: bytes) -> None:
    """Write bytes; on a full disk, or one that reports it late, the file stays what it was.

    Encoders that write to files themselves may take a write that was cut short for a whole one; Python's files do not.

    Raises:
      NoRoomError: If there is no room; the message names the file and the room that it needs.
    """
    try:
        with replacing(path) as written, open(written, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # some file systems tell here only that there is no room
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise NoRoomError(
            f"{path} needs {len(data)} bytes, and there is no room for them ({error.strerror}); "
            "nothing was written: free some room, or choose another folder"
        ) from error
