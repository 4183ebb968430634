"""Several devices and several machines: who holds what, and who restores which pictures."""

import math
import os
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Item = TypeVar("Item")

# Where launchers say which process this is, and of how many.
_LAUNCHERS = (
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
)
_ROOM = 0.5  # share of a device's memory that parameters may take; activations need the rest


def batch_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh with one axis, "batch", over the given devices or all of this process."""
    return Mesh(np.array(jax.local_devices() if devices is None else devices), ("batch",))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """All arrays whole on every device."""
    return jax.device_put(tree, NamedSharding(_automatic(mesh), PartitionSpec()))


def split_batch(tree: Any, mesh: Mesh) -> Any:
    """The leading axis of all arrays spread over all devices, whose number must divide it."""
    return jax.device_put(tree, NamedSharding(_automatic(mesh), PartitionSpec(mesh.axis_names)))


def split_params(tree: Any, mesh: Mesh) -> Any:
    """Matrices and kernels spread over all devices along their longest axis that the devices' number divides.

    Other arrays, vectors among them, are whole on every device. At rest a device holds its part of a large network;
    the compiler gathers what a layer needs when it needs it ("fully sharded data parallel": Zhao et al. 2023, arXiv
    2304.11277; "ZeRO-3": Rajbhandari et al. 2020, arXiv 1910.02054), on CPU for the whole network at once.
    """
    mesh = _automatic(mesh)

    def sharding(array: jax.Array) -> NamedSharding:
        able = [i for i, n in enumerate(array.shape) if n % mesh.size == 0]
        axes: list[Any] = [None] * array.ndim
        if able and array.ndim > 1:
            axes[max(able, key=lambda i: array.shape[i])] = mesh.axis_names
        return NamedSharding(mesh, PartitionSpec(*axes))

    return jax.device_put(tree, jax.tree.map(sharding, tree))


def place_prior(prior: Any, mesh: Mesh) -> Any:
    """The prior whole on every device, or spread where it would fill more than half of one.

    What `split_params` or `replicate` has put on the mesh's devices already stays as it is.
    """
    leaves = [a for a in jax.tree.leaves(prior) if isinstance(a, jax.Array)]
    if leaves and all(a.sharding.device_set == set(mesh.devices.flat) for a in leaves):
        return prior
    size = sum(math.prod(a.shape) * a.dtype.itemsize for a in leaves)
    limit = (mesh.devices.flat[0].memory_stats() or {}).get("bytes_limit", math.inf)
    return split_params(prior, mesh) if size > _ROOM * limit else replicate(prior, mesh)


def share(items: Sequence[Item], process: int | None = None, count: int | None = None) -> list[Item]:
    """Every `count`-th item: the part of this process, or of another.

    The shares do not depend on what is done already, so processes that start at different times never meet.

    Args:
      items: The same in all processes.
      process: Number of the process; None takes `jax.process_index()`.
      count: Number of processes; None takes `jax.process_count()`.

    Raises:
      ValueError: If there is no process of that number.
    """
    process = jax.process_index() if process is None else process
    count = jax.process_count() if count is None else count
    if not 0 <= process < count:
        raise ValueError(f"process is {process}, expected one of {count}, counted from 0")
    return list(items[process::count])


def place(where: str) -> tuple[int, int]:
    """Which process this is, and of how many; they need not know of each other, so one that never starts stops nobody.

    Args:
      where: "I/N", process I of N, counted from 0; or "auto" where SLURM, Open MPI or MPICH says it.

    Raises:
      ValueError: If `where` is neither, or nothing says it.

    Example:
      >>> jr.parallel.place("0/4")
      (0, 4)
    """
    if where == "auto":
        for process, count in _LAUNCHERS:
            if process in os.environ and count in os.environ:
                where = f"{os.environ[process]}/{os.environ[count]}"
                break
        else:
            known = ", ".join(process for process, _ in _LAUNCHERS)
            raise ValueError(f"none of {known} is set, which would say which share is meant; write I/N, e.g. 0/4")
    match = re.fullmatch(r"(\d+)/(\d+)", where)
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError(f"{where!r} names no share; expected 'auto', or I/N with I below N, e.g. 0/4 to 3/4")
    return int(match[1]), int(match[2])


def local_mesh() -> Mesh | None:
    """`batch_mesh` over this process's devices, or None where there is only one."""
    return batch_mesh() if jax.local_device_count() > 1 else None


def join(where: str) -> None:
    """Become one of several processes, by `jax.distributed.initialize`; before anything else of JAX is used.

    Args:
      where: "auto" where the cluster says it (SLURM, Open MPI, Kubernetes, TPU pods), else "I/N@HOST:PORT": process I
        of N, with process 0 listening at HOST:PORT.

    Raises:
      ValueError: If `where` is neither.
      RuntimeError: If the other processes do not answer.
    """
    if where == "auto":
        jax.distributed.initialize()
        return
    match = re.fullmatch(r"(\d+)/(\d+)@(.+:\d+)", where)
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError(
            f"{where!r} names no process; expected 'auto', or I/N@HOST:PORT with I below N, e.g. 0/2@10.0.0.1:1234"
        )
    jax.distributed.initialize(match[3], int(match[2]), int(match[1]))


def _automatic(mesh: Mesh) -> Mesh:
    """The mesh with axes whose shardings the compiler chooses, whatever theirs were."""
    return Mesh(mesh.devices, mesh.axis_names)
