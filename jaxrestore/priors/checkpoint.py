"""Priors on disk: an Orbax checkpoint beside a JSON file that says what it is.

A prior is a folder with `prior.json` (format version, network configuration, parametrization, checksum) and `params/`
(Orbax). It is written under a temporary name and renamed when complete, so a folder that exists is whole.
"""

import dataclasses
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

from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import NetworkPrior, Params, abstract_params

FORMAT = "jaxrestore-prior"
VERSION = 1
BUNDLED = pathlib.Path(__file__).parent / "bundled"


class PriorError(ValueError):
    """A prior's folder is missing, damaged, or of another format."""


def bundled_priors() -> list[str]:
    """Names of the priors inside the package."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/prior.json"))


def checksum(params: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all parameters, in order of their names."""
    digest = hashlib.sha256()
    for name in sorted(params):
        value = np.ascontiguousarray(params[name])
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(value.view(np.uint8).data)
    return digest.hexdigest()


def save_prior(
    path: str | os.PathLike[str],
    prior: NetworkPrior,
    *,
    info: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Write a prior as a folder that `load_prior` reads; dtypes are kept.

    Args:
      path: Folder to create.
      prior: What to save. A class label is not saved: choose one after loading, with `dataclasses.replace`.
      info: JSON-serialisable notes kept in `prior.json` (source, licence, training settings).
      overwrite: Replace an existing folder; it stays until the new one is complete.

    Returns:
      The folder.

    Raises:
      FileExistsError: If `path` exists and `overwrite` is False.
      PriorError: If the parameters do not belong to the configuration, or some are not finite.
    """
    import orbax.checkpoint as ocp  # 1 s to import, needed here only

    path = pathlib.Path(path).absolute()
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; remove it or choose another name")
    params = {name: np.asarray(a) for name, a in prior.params.items()}
    _check_params(params, prior.config, str(path))
    header = {
        "format": FORMAT,
        "version": VERSION,
        "parametrization": prior.parametrization,
        "config": dataclasses.asdict(prior.config),
        "sha256": checksum(params),
        "info": info or {},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    old = temporary.with_name(temporary.name + "-old")
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(temporary / "params", params)
        (temporary / "prior.json").write_text(json.dumps(header, indent=2) + "\n")
        temporary.chmod(0o755)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
    return path


def load_prior(name: str | os.PathLike[str], *, dtype: str | None = None, remat: bool = False) -> NetworkPrior:
    """Load a bundled prior by name, or any prior from its folder.

    Args:
      name: "photo" (bundled), or a folder written by `save_prior`, `jaxrestore train` or `convert_weights`.
      dtype: Compute dtype of the network, "float32", "bfloat16" or "float16"; None keeps the stored configuration's.
        Parameters are held in float32 either way.
      remat: Recompute blocks in the backward pass, for less memory.

    Raises:
      PriorError: If there is no such prior, its version is unknown, or its parameters are damaged; the text lists what
        differs.
    """
    import orbax.checkpoint as ocp

    path = BUNDLED / name if isinstance(name, str) and name in bundled_priors() else pathlib.Path(name).absolute()
    header = read_header(path)
    config = UNetConfig(**header["config"])
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            stored = checkpointer.metadata(path / "params").item_metadata
            target = {key: np.empty(value.shape, value.dtype) for key, value in dict(stored).items()}
            params = checkpointer.restore(path / "params", target)
    except Exception as error:  # Orbax and TensorStore raise many kinds; all mean that the files cannot be read
        raise PriorError(f"{path / 'params'} cannot be read ({error}); copy or convert the prior again") from error
    params = {key: np.asarray(value) for key, value in params.items()}
    _check_params(params, config, str(path))
    if checksum(params) != header["sha256"]:
        raise PriorError(f"{path} is damaged: its parameters do not have the recorded checksum; copy it again")
    config = dataclasses.replace(config, dtype=dtype or config.dtype, remat=remat)
    leaves: Params = {key: jnp.asarray(value, jnp.float32) for key, value in params.items()}
    return NetworkPrior(leaves, config=config, parametrization=header["parametrization"])


def read_header(path: pathlib.Path) -> dict[str, Any]:
    """The checked content of `prior.json`.

    Raises:
      PriorError: If the file is missing, is no JSON, or has another format or version.
    """
    file = path / "prior.json"
    if not file.is_file():
        known = ", ".join(bundled_priors()) or "none"
        raise PriorError(f"{path} holds no prior (no prior.json); bundled priors: {known}")
    try:
        header = json.loads(file.read_text())
        if header["format"] != FORMAT:
            raise PriorError(f"{file} has format {header['format']!r}, expected {FORMAT!r}")
        if header["version"] != VERSION:
            raise PriorError(f"{file} has version {header['version']}, this release reads {VERSION}; update jaxrestore")
        if missing := {"config", "parametrization", "sha256"} - set(header):
            raise PriorError(f"{file} lacks {sorted(missing)}; write the prior again")
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise PriorError(f"{file} is no prior description ({error!r})") from error
    return header


def _check_params(params: dict[str, np.ndarray], config: UNetConfig, where: str) -> None:
    """Raise a `PriorError` that lists missing, unexpected, misshapen and non-finite parameters."""
    expected = abstract_params(config)
    problems = [f"missing {name}" for name in sorted(set(expected) - set(params))]
    problems += [f"unexpected {name}" for name in sorted(set(params) - set(expected))]
    for name in sorted(set(params) & set(expected)):
        if tuple(params[name].shape) != expected[name].shape:
            problems.append(f"{name} has shape {tuple(params[name].shape)}, expected {expected[name].shape}")
        elif not np.isfinite(np.asarray(params[name], np.float32)).all():
            problems.append(f"{name} has values that are not finite")
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise PriorError(f"the parameters of {where} do not fit its configuration: {shown}")


def cast_params(params: Params, dtype: jax.typing.DTypeLike) -> Params:
    """Parameters stored in another floating dtype, e.g. "float16" to halve a checkpoint."""
    return {name: jnp.asarray(a, dtype) for name, a in params.items()}
