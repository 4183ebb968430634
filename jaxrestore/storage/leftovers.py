"""Temporary files of runs that were killed: named so that a later run can tell, and removed by it.

A name says which process made the file: the machine (with its boot and its numbering of processes), the process, and
when that process started. A file of this machine is a leftover when no such process lives any more, or its number is
another process's by now. Whether processes of other machines live, nobody here can tell: their files are leftovers when
nothing has been written to them for a day, where a write takes minutes at most.
"""

import functools
import os
import pathlib
import platform
import re
import shutil
import time
import zlib

_MARK = re.compile(r"\.jaxrestore-([0-9a-f]{8})-(\d+)-(\d+)-")
_OLD = re.compile(r"[^.]*\.(.+)-old")  # after the mark: what has made room for a new folder of the name in brackets
_DAY = 86400.0  # seconds


def prefix() -> str:
    """What the names of this process's temporary files begin with; hidden."""
    return f".jaxrestore-{_machine()}-{os.getpid()}-{_started(os.getpid())}-"


def sweep(folder: pathlib.Path) -> None:
    """Remove the leftovers in a folder; what cannot be removed stays.

    A folder of weights that had made room for a new one, which then never came, is put back.
    """
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(".jaxrestore-")]
    except OSError:
        return
    for name in names:
        path, mark = folder / name, _MARK.match(name)
        if mark is None or not _is_dead(path, mark):
            continue
        old = _OLD.fullmatch(name, mark.end())
        try:
            if old is not None and not (folder / old[1]).exists():
                path.rename(folder / old[1])
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError:  # perhaps another run sweeps, too
            continue


@functools.cache
def sweep_once(folder: pathlib.Path) -> None:
    """`sweep`, the first time that this process is about to write into a folder."""
    sweep(folder)


def _is_dead(path: pathlib.Path, mark: re.Match[str]) -> bool:
    """Whether the run that made a file has ended."""
    machine, process, started = mark[1], int(mark[2]), int(mark[3])
    if machine == _machine() and os.name == "posix":
        return not _lives(process) or _started(process) != started
    try:
        return time.time() - path.lstat().st_mtime > _DAY
    except OSError:
        return False


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it lives, and is another user's; or is no number of a process
        return True
    return True


@functools.cache
def _machine() -> str:
    """Eight digits: the machine since it was started, and among which processes this one is counted."""
    words = [platform.node()]
    for read in (
        lambda: pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(),
        lambda: os.readlink("/proc/self/ns/pid"),
    ):
        try:
            words.append(read())
        except OSError:  # no Linux
            continue
    return f"{zlib.crc32(' '.join(words).encode()):08x}"


def _started(process: int) -> int:
    """When a process started, in ticks since the machine did; 0 where the system does not tell."""
    try:
        status = pathlib.Path(f"/proc/{process}/stat").read_text()
        return int(status.rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0
