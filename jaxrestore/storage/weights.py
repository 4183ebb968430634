"""Weights on disk: a folder with an Orbax checkpoint and a JSON file that says what it holds.

A folder has `KIND.json` (format, version, description, checksums) and `params/` (Orbax), where KIND is "prior", "blur",
"lpips" or "inception". It is written under a temporary name and renamed when complete, so a folder that exists is
whole. One checksum is that of the arrays, the other that of the description, notes ("info") left out: those may be
edited. Older folders lack the second.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore.storage import before, leftovers, temporary

VERSION = 1
_SETTLING = 0.3  # seconds for reads of local files that are under way
_KINDS = ("prior", "blur", "lpips", "inception")
_DESCRIPTION_CHECKSUM = "description_sha256"


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


def _description_checksum(header: Mapping[str, Any]) -> str:
    """SHA-256 of a description, the checksum of the arrays included, whatever the order of its entries."""
    covered = {name: value for name, value in header.items() if name not in ("info", _DESCRIPTION_CHECKSUM)}
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()


def find_problems(params: Mapping[str, Any], expected: Mapping[str, Any], *, shapes_only: bool = False) -> list[str]:
    """What is missing, unexpected, misshapen or not finite among arrays; `expected` has shapes only.

    Args:
      params: Arrays, or their shapes.
      expected: Shapes.
      shapes_only: Do not look at values.
    """
    problems = [f"missing {name}" for name in sorted(set(expected) - set(params))]
    problems += [f"unexpected {name}" for name in sorted(set(params) - set(expected))]
    for name in sorted(set(params) & set(expected)):
        if tuple(params[name].shape) != tuple(expected[name].shape):
            problems.append(f"{name} has shape {tuple(params[name].shape)}, expected {tuple(expected[name].shape)}")
        elif not shapes_only and not is_finite(params[name]):
            problems.append(f"{name} has values that are not finite")
    return problems


def _check(problems: list[str], where: str, error: type[WeightsError]) -> None:
    if problems:
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
    _check(find_problems(params, expected), str(path), error)
    path = pathlib.Path(path).absolute()
    arrays = {name: np.asarray(a) for name, a in params.items()}
    header = {"format": f"jaxrestore-{kind}", "version": VERSION, **description, "sha256": checksum(arrays)}
    header[_DESCRIPTION_CHECKSUM] = _description_checksum(header)
    before.check_room(path.parent, sum(a.nbytes for a in arrays.values()), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    leftovers.sweep_once(path.parent)

    def make() -> str:
        return tempfile.mkdtemp(prefix=leftovers.prefix(), suffix=f".{path.name}", dir=path.parent)

    with temporary.owned(make) as folder:
        old = folder.with_name(folder.name + "-old")
        try:
            with ocp.Checkpointer(_writer()) as checkpointer:
                checkpointer.save(folder / "params", args=ocp.args.PyTreeSave(arrays))
            # Orbax writes its path there: the temporary folder's, and no business of whoever gets the weights.
            (folder / "params" / "commit_success.txt").write_text("complete\n")
            (folder / f"{kind}.json").write_text(json.dumps(header, indent=2) + "\n")
            folder.chmod(0o755)
            with temporary.undivided():
                if path.exists():
                    path.rename(old)
                folder.rename(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
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
    """Raise `FileExistsError` if `path` exists and may not be replaced; a folder of other things never may."""
    path = pathlib.Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; remove it or choose another name")
    if path.is_dir() and any(path.iterdir()) and not any((path / f"{kind}.json").is_file() for kind in _KINDS):
        raise FileExistsError(
            f"{path} is a folder of other things than weights, which would be lost; choose another name"
        )


def read_header(
    path: pathlib.Path, kind: str, required: set[str], error: type[WeightsError] = WeightsError
) -> dict[str, Any]:
    """The checked content of `KIND.json`.

    Raises:
      WeightsError: If the file is missing, is no JSON, has another format or version, or is not as it was written.
    """
    file, expected = path / f"{kind}.json", f"jaxrestore-{kind}"
    if not file.is_file():
        raise error(f"{path} holds no {kind} (no {file.name})")
    try:
        header = json.loads(file.read_text())
        form, version = header["format"], header["version"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as problem:
        raise error(f"{file} is no {kind} description ({problem!r}); copy or convert it again") from problem
    if form != expected:
        raise error(f"{file} has format {form!r}, expected {expected!r}")
    if version != VERSION:
        raise error(f"{file} has version {version}, this release reads {VERSION}; update jaxrestore")
    if missing := {*required, "sha256"} - set(header):
        raise error(f"{file} lacks {sorted(missing)}; write the {kind} again")
    if header.get(_DESCRIPTION_CHECKSUM, _description_checksum(header)) != _description_checksum(header):
        raise error(
            f"{file} is damaged or was edited: it does not have the recorded checksum; copy or convert it again (only "
            '"info" may be edited)'
        )
    return header


@contextlib.contextmanager
def understanding(path: pathlib.Path, kind: str, error: type[WeightsError] = WeightsError) -> Iterator[None]:
    """Make what a folder's description says; what that raises becomes one error that names the file.

    Raises:
      WeightsError: Then.
    """
    try:
        yield
    except WeightsError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, MemoryError) as problem:
        raise error(
            f"{path / kind}.json describes nothing that can be made ({problem}); copy or convert it again"
        ) from problem


def stored_shapes(path: pathlib.Path, error: type[WeightsError] = WeightsError) -> dict[str, Any]:
    """Shape and dtype of every array of a folder, without reading one.

    Raises:
      WeightsError: If they cannot be read.
    """
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            stored = checkpointer.metadata(path / "params").item_metadata
        return {key: jax.ShapeDtypeStruct(value.shape, value.dtype) for key, value in dict(stored).items()}
    except Exception as problem:  # Orbax and TensorStore raise many kinds; all mean that the files cannot be read
        _silence_futures()
        raise error(f"{path / 'params'} cannot be read ({problem}); copy or convert it again") from problem


def _silence_futures() -> None:
    """After the first of several reads has failed, wait for the others, which complain that nobody does any longer."""
    earlier = sys.unraisablehook

    def hook(told: Any) -> None:
        if not (isinstance(told.exc_value, RuntimeError) and "Event loop is closed" in str(told.exc_value)):
            earlier(told)

    sys.unraisablehook = hook
    time.sleep(_SETTLING)
    sys.unraisablehook = earlier


def read_params(
    path: pathlib.Path, header: Mapping[str, Any], expected: Mapping[str, Any], error: type[WeightsError] = WeightsError
) -> dict[str, jax.Array]:
    """The arrays of a folder in float32, checked against the shapes of `expected` and the checksum of the header.

    Raises:
      WeightsError: If they cannot be read, or differ from what was written; the text lists what differs.
    """
    import orbax.checkpoint as ocp

    stored = stored_shapes(path, error)
    _check(find_problems(stored, expected, shapes_only=True), str(path), error)
    try:
        target = {key: np.empty(value.shape, value.dtype) for key, value in stored.items()}
        with ocp.StandardCheckpointer() as checkpointer:
            params = checkpointer.restore(path / "params", target)
    except Exception as problem:  # as above
        _silence_futures()
        raise error(f"{path / 'params'} cannot be read ({problem}); copy or convert it again") from problem
    params = {key: np.asarray(value) for key, value in params.items()}
    _check(find_problems(params, expected), str(path), error)
    if checksum(params) != header["sha256"]:
        raise error(f"{path} is damaged: its parameters do not have the recorded checksum; copy it again")
    return {key: jnp.asarray(value, jnp.float32) for key, value in params.items()}
