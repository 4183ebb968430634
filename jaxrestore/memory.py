"""How much memory devices have free, what a compiled program takes, and batches that fit."""

import contextlib
import math
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import jax

# Samples in a batch where none is asked for and memory allows them. Processors gain little from more: their cores are
# busy with one picture; on others a network of usual size is busy with so many pictures of 256x256.
_MOST = {"cpu": 4}
_MOST_ELSEWHERE = 16
_SHARE = 0.85  # of what is free: allocators need air, and compilers do not tell of all that their libraries take
_EXHAUSTED = "RESOURCE_EXHAUSTED"


class TooLarge(MemoryError):
    """A batch does not fit into a device's memory, by its program's analysis."""

    def __init__(self, needed: int, free: int) -> None:
        super().__init__(f"the batch needs {gigabytes(needed)} of memory, {gigabytes(free)} are free")
        self.needed, self.free = needed, free


def usual_batch(device: Any) -> int:
    """Samples in a batch on a device, if nothing is said and they fit."""
    return _MOST.get(device.platform, _MOST_ELSEWHERE)


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that memory could not be allocated, on a device or on the host."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        return _EXHAUSTED in str(error)
    return isinstance(error, MemoryError)


def free_bytes(device: Any) -> int | None:
    """Bytes that a device can still give; None where nobody tells.

    Processors share the machine's memory; it is what the system, the control groups of containers and the process's own
    limits leave.
    """
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    if device.platform != "cpu":
        return None
    known = [free for free in (_free_of_system(), *_free_of_groups(), _free_of_limits()) if free is not None]
    return max(0, min(known)) // jax.local_device_count("cpu") if known else None


def program_bytes(compiled: Any) -> int | None:
    """Bytes that running a compiled program takes on each device beside its arguments; None where nobody tells."""
    with contextlib.suppress(NotImplementedError, jax.errors.JaxRuntimeError):
        analysis = compiled.memory_analysis()
        if analysis is not None:
            return analysis.temp_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return None


def require_room(compiled: Any, device: Any) -> None:
    """Raise unless a program can be run with what the device has free.

    Raises:
      TooLarge: If it needs more, as far as is known.
    """
    needed, free = program_bytes(compiled), free_bytes(device)
    if needed is not None and free is not None and needed > _SHARE * free:
        raise TooLarge(needed, free)


def smaller(size: int, error: Exception, unit: int) -> int:
    """The batch size to go on with: half, and half again while the program's analysis says that it would not fit.

    Args:
      size: That was too large.
      error: What said so; any other is raised again.
      unit: The number of devices: sizes are multiples of it, and never smaller.

    Raises:
      MemoryError: If a smaller batch cannot be had.
    """
    if not is_exhausted(error):
        raise error
    if size == unit:
        raise MemoryError(
            f"there is not enough memory for one picture at a time ({str(error).splitlines()[0]}); show the prior "
            "tiles (--tile, jaxrestore.priors.TiledPrior), compute in bfloat16, or free some"
        ) from error
    halved = size // 2
    if isinstance(error, TooLarge):
        while halved > unit and error.needed * halved / size > _SHARE * error.free:
            halved //= 2
    found = max(unit, halved // unit * unit)
    if not isinstance(error, TooLarge):
        warnings.warn(f"{size} samples at a time do not fit into memory; going on with {found}", stacklevel=3)
    return found


def gigabytes(count: float) -> str:
    """A number of bytes for people."""
    return f"{count / 2**30:.2f} GiB" if count >= 0.01 * 2**30 else f"{count / 2**20:.2f} MiB"


def _free_of_system() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(value.split()[0])
    return None


def _free_of_groups(root: pathlib.Path = pathlib.Path("/sys/fs/cgroup")) -> Iterator[int]:
    """What the control groups of this process, of both versions, leave; without the pages that could be given back."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if not controllers:
                yield from _free_of_group(root, group, "memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                yield from _free_of_group(root / "memory", group, *names)


def _free_of_group(root: pathlib.Path, group: str, limit: str, usage: str, cached: str) -> Iterator[int]:
    # In a container the group's own folder is the root of what it sees, whatever its name outside.
    folder = root / group.lstrip("/")
    for place in (folder, *folder.parents):
        if place != root and root not in place.parents:
            return
        with contextlib.suppress(OSError, ValueError):
            text = (place / limit).read_text().strip()
            if text == "max":
                continue
            stat = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
            yield int(text) - int((place / usage).read_text()) + int(stat.get(cached, 0))


def _free_of_limits() -> int | None:
    """What `ulimit -v` leaves of the address space."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft not in (resource.RLIM_INFINITY, -1) and soft < math.inf:
            pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
            return soft - pages * resource.getpagesize()
    return None
