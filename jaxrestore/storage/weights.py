"""Weights on disk: a folder with an Orbax checkpoint and a JSON file that says what it holds.

A folder has `KIND.json` (format, version, description, checksum) and `params/` (Orbax), where KIND is "prior", "blur",
"lpips" or "inception". It is written under a temporary name and renamed when complete, so a folder that exists is
whole.
"""

import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore.storage import before, leftovers

VERSION = 1


class WeightsError(ValueError):
    """A folder of weights is missing, damaged, or of another kind."""


def checksum(params: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all arrays, in order of their names."""
    digest = hashlib.sha256()
    for name in sorted(params):
        value = np.ascontiguousarray(params[name])
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def find_problems(params: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """What is missing, unexpected, misshapen or not finite among arrays; `expected` has shapes only."""
    problems = [f"missing {name}" for name in sorted(set(expected) - set(params))]
    problems += [f"unexpected {name}" for name in sorted(set(params) - set(expected))]
    for name in sorted(set(params) & set(expected)):
        if tuple(params[name].shape) != tuple(expected[name].shape):
            problems.append(f"{name} has shape {tuple(params[name].shape)}, expected {tuple(expected[name].shape)}")
        elif not is_finite(params[name]):
            problems.append(f"{name} has values that are not finite")
    return problems


def _check(params: Mapping[str, Any], expected: Mapping[str, Any], where: str, error: type[WeightsError]) -> None:
    if problems := find_problems(params, expected):
        raise error(f"the parameters of {where} do not fit its configuration: {summary(problems)}")


def is_finite(value: np.ndarray) -> bool:
    """Whether all values are finite, by the extremes: a mask of a large array would double its memory."""
    return value.size == 0 or bool(np.isfinite(np.float32(value.min())) and np.isfinite(np.float32(value.max())))


def summary(problems: list[str], limit: int = 8) -> str:
    """The first problems in one line."""
    return "; ".join(problems[:limit]) + (f"; and {len(problems) - limit} more" if len(problems) > limit else "")


def save(
    path: str | os.PathLike[str],
    kind: str,
    params: Mapping[str, Any],
    expected: Mapping[str, Any],
    description: Mapping[str, Any],
    *,
    overwrite: bool = False,
    error: type[WeightsError] = WeightsError,
) -> pathlib.Path:
    """Write a folder of weights; dtypes are kept. An existing folder stays until the new one is complete.

    Raises:
      FileExistsError: If `path` exists and `overwrite` is False.
      WeightsError: If the arrays do not have the names and shapes of `expected`, or some are not finite.
      OSError: If there is no room for them.
    """
    import orbax.checkpoint as ocp  # 1 s to import, needed here only

    refuse_existing(path, overwrite=overwrite)
    _check(params, expected, str(path), error)
    path = pathlib.Path(path).absolute()
    arrays = {name: np.asarray(a) for name, a in params.items()}
    header = {"format": f"jaxrestore-{kind}", "version": VERSION, **description, "sha256": checksum(arrays)}
    before.check_room(path.parent, sum(a.nbytes for a in arrays.values()), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    leftovers.sweep_once(path.parent)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=leftovers.prefix(), suffix=f".{path.name}", dir=path.parent))
    old = temporary.with_name(temporary.name + "-old")
    try:
        with ocp.Checkpointer(_writer()) as checkpointer:
            checkpointer.save(temporary / "params", args=ocp.args.PyTreeSave(arrays))
        # Orbax writes its path there: the temporary folder's, and no business of whoever gets the weights.
        (temporary / "params" / "commit_success.txt").write_text("complete\n")
        (temporary / f"{kind}.json").write_text(json.dumps(header, indent=2) + "\n")
        temporary.chmod(0o755)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
    return path


def _writer() -> Any:
    """Orbax's writer of plain arrays, which need not be copied since it is waited for: that halves the memory."""
    import orbax.checkpoint as ocp
    from orbax.checkpoint import type_handlers

    try:
        numpy = type_handlers.NumpyHandler(deepcopy_host_arrays=False)
    except TypeError:  # releases that always copy
        numpy = type_handlers.NumpyHandler()
    handlers = (np.ndarray, numpy), (jax.Array, type_handlers.ArrayHandler())  # without the second, Orbax warns
    return ocp.PyTreeCheckpointHandler(type_handler_registry=type_handlers.create_type_handler_registry(*handlers))


def refuse_existing(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Raise `FileExistsError` if `path` exists and may not be replaced."""
    if pathlib.Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path} exists; remove it or choose another name")


def read_header(
    path: pathlib.Path, kind: str, required: set[str], error: type[WeightsError] = WeightsError
) -> dict[str, Any]:
    """The checked content of `KIND.json`.

    Raises:
      WeightsError: If the file is missing, is no JSON, or has another format or version.
    """
    file, expected = path / f"{kind}.json", f"jaxrestore-{kind}"
    if not file.is_file():
        raise error(f"{path} holds no {kind} (no {file.name})")
    try:
        header = json.loads(file.read_text())
        if header["format"] != expected:
            raise error(f"{file} has format {header['format']!r}, expected {expected!r}")
        if header["version"] != VERSION:
            raise error(f"{file} has version {header['version']}, this release reads {VERSION}; update jaxrestore")
        if missing := {*required, "sha256"} - set(header):
            raise error(f"{file} lacks {sorted(missing)}; write the {kind} again")
    except (json.JSONDecodeError, KeyError, TypeError) as problem:
        raise error(f"{file} is no {kind} description ({problem!r})") from problem
    return header


def read_params(
    path: pathlib.Path, header: Mapping[str, Any], expected: Mapping[str, Any], error: type[WeightsError] = WeightsError
) -> dict[str, jax.Array]:
    """The arrays of a folder in float32, checked against the shapes of `expected` and the checksum of the header.

    Raises:
      WeightsError: If they cannot be read, or differ from what was written; the text lists what differs.
    """
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            stored = checkpointer.metadata(path / "params").item_metadata
            target = {key: np.empty(value.shape, value.dtype) for key, value in dict(stored).items()}
            params = checkpointer.restore(path / "params", target)
    except Exception as problem:  # Orbax and TensorStore raise many kinds; all mean that the files cannot be read
        raise error(f"{path / 'params'} cannot be read ({problem}); copy or convert it again") from problem
    params = {key: np.asarray(value) for key, value in params.items()}
    _check(params, expected, str(path), error)
    if checksum(params) != header["sha256"]:
        raise error(f"{path} is damaged: its parameters do not have the recorded checksum; copy it again")
    return {key: jnp.asarray(value, jnp.float32) for key, value in params.items()}
