"""Checkpoints of every kind as names and arrays, without executing anything in them.

Files are mapped into memory rather than read, so a checkpoint that is renamed and transposed is never held twice.
"""

import json
import pathlib
import re
from typing import Any

from convert_weights.arrays import Arrays as Arrays
from convert_weights.arrays import ConversionError as ConversionError
from convert_weights.containers import Weights, find_weights
from convert_weights.pickles import read_pickle
from convert_weights.safetensors import read_safetensors
from convert_weights.torch_legacy import is_legacy, read_legacy
from convert_weights.torch_zip import is_zip, read_zip


def read_weights(path: pathlib.Path, *, container: str | None = None) -> Weights:
    """The weights in a checkpoint: `.safetensors`, PyTorch (`.pt`, `.pth`, `.bin`, `.ckpt`), or an index of shards.

    Args:
      path: File.
      container: Entry that holds the weights where a checkpoint has several, e.g. "ema"; None takes the moving average
        where there is one.

    Returns:
      Name -> array in PyTorch's layout, read-only views of the mapped file where the format allows it; and what was
      chosen.

    Raises:
      ConversionError: If the file is missing, damaged, holds code, or holds no tensors.
    """
    if not path.is_file():
        raise ConversionError(f"{path} is no file; expected a checkpoint (.pt, .pth, .bin, .ckpt or .safetensors)")
    weights = find_weights(_read(path), container, str(path))
    if not weights.state:
        raise ConversionError(f"{path} holds no tensors")
    if beside := _average_beside(path):
        note = f"beside it lies {beside}, a moving average: give that file to take it"
        weights = weights._replace(choice="; ".join(filter(None, (weights.choice, note))))
    return weights


def _average_beside(path: pathlib.Path) -> str | None:
    """The moving average that guided-diffusion's training saved with model000123.pt: ema_0.9999_000123.pt."""
    match = re.fullmatch(r"model(\d+)\.pt", path.name)
    found = [average.name for average in path.parent.glob(f"ema_*_{match[1]}.pt")] if match else []
    return max(found, key=len, default=None)  # of several, that of most nines: the slowest


def read_state(path: pathlib.Path, *, container: str | None = None) -> Arrays:
    """The arrays of `read_weights`."""
    return read_weights(path, container=container).state


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
      ConversionError: If the file is missing or holds none.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise ConversionError(f"{path} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConversionError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def _read(path: pathlib.Path) -> Any:
    if path.suffix == ".json":
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if is_zip(path):
        return read_zip(path)
    if is_legacy(path):
        return read_legacy(path)
    with path.open("rb") as file:
        if file.read(1) == b"\x80":  # an ordinary pickle, perhaps of arrays
            return read_pickle(path)
    raise ConversionError(f"{path} is damaged or no PyTorch checkpoint (it begins as none does); download it again")


def _read_shards(path: pathlib.Path) -> Any:
    """The tensors that an index spreads over files of its folder."""
    places = _read_index(path)
    shards: dict[str, Any] = {}
    for file in sorted(set(places.values())):
        if not (path.parent / file).is_file():
            raise ConversionError(f"{path.parent} lacks {file}, a shard that {path.name} names; download it")
        shards[file] = _read(path.parent / file)
    missing = [f"{name} in {file}" for name, file in places.items() if name not in shards[file]]
    if missing:
        raise ConversionError(f"{path} names tensors that are not there: {', '.join(missing[:8])}")
    return {name: shards[file][name] for name, file in places.items()}


def shard_names(path: pathlib.Path) -> list[str]:
    """The files of its folder that an index spreads tensors over.

    Raises:
      ConversionError: If it is no index, or names files elsewhere.
    """
    return sorted(set(_read_index(path).values()))


def _read_index(path: pathlib.Path) -> dict[str, str]:
    places = read_json(path).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise ConversionError(f"{path} has no weight_map of names to files: it is no index of a sharded checkpoint")
    for file in places.values():
        if pathlib.PurePath(file).name != file or file.endswith(".json"):
            raise ConversionError(f"{path} names the file {file!r}, expected a checkpoint in its own folder")
    return places
