"""Files and folders that are being written: what must not be left behind when the program is stopped."""

import contextlib
import pathlib
import shutil
import threading
from collections.abc import Callable, Iterator

_paths: set[pathlib.Path] = set()
_lock = threading.RLock()


@contextlib.contextmanager
def owned(make: Callable[[], str]) -> Iterator[pathlib.Path]:
    """A new file or folder, whose name `make` returns, that `remove_all` removes while the block runs."""
    with _lock:
        path = pathlib.Path(make())
        _paths.add(path)
    try:
        yield path
    finally:
        with _lock:
            _paths.discard(path)


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """Renames that belong together: `remove_all`, and so the end of the program, waits for them."""
    with _lock:
        yield


def remove_all() -> None:
    """Remove what is being written; the last thing that a program does, for no further file can be begun after it."""
    _lock.acquire()  # never released
    for path in _paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
