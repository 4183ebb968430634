"""Reading checkpoints without executing anything in them.

A PyTorch checkpoint is a pickle, and a pickle is a program. Only two readers are used: safetensors, which holds data
alone, and `torch.load(weights_only=True)`, which builds tensors and plain containers and refuses all else. Files are
mapped into memory rather than read, so a checkpoint that is renamed and transposed is never held twice.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
# Where training codes put the weights inside a checkpoint; moving averages first, as published samples use them.
CONTAINERS = ("ema", "params_ema", "state_dict", "model", "params")


class ConversionError(ValueError):
    """A checkpoint is unreadable, unsafe, or not what the format says; the text names what differs."""


def read_state(path: pathlib.Path, *, container: str | None = None) -> Arrays:
    """The tensors of a `.safetensors` file or a PyTorch checkpoint (`.pt`, `.pth`, `.bin`, `.ckpt`).

    Args:
      path: File.
      container: Entry that holds the weights where a checkpoint has several, e.g. "ema"; None takes
        the first of `CONTAINERS` that is there.

    Returns:
      Name -> array in PyTorch's layout; read-only views of the mapped file where the format allows it.

    Raises:
      ConversionError: If the file is missing, truncated, holds code, or holds no tensors.
    """
    if not path.is_file():
        raise ConversionError(f"{path} is no file; expected a checkpoint (.pt, .pth, .bin, .ckpt or .safetensors)")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state = _unpack(content, container, path)
    arrays = {name.removeprefix("module."): _numpy(value) for name, value in state.items()}
    if not arrays:
        raise ConversionError(f"{path} holds no tensors")
    return arrays


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
      ConversionError: If the file is missing or holds none.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise ConversionError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConversionError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def _read_safetensors(path: pathlib.Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise _missing_packages("safetensors and torch") from error
    try:
        return load_file(path)  # through torch: NumPy has no bfloat16 of its own
    except (SafetensorError, OSError, ValueError) as error:
        raise ConversionError(f"{path} is no whole safetensors file ({error}); download it again") from error


def _read_torch(path: pathlib.Path) -> Any:
    import pickle

    try:
        import torch
    except ImportError as error:
        raise _missing_packages("torch") from error
    # Only the zip format of PyTorch 1.6 and later can be mapped; older files are read.
    with path.open("rb") as file:
        mapped = file.read(4) == b"PK\x03\x04"
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        # The reader stops at the first name that is no tensor's, or at an instruction that tensors never need.
        lines = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in lines if "GLOBAL" in line or "operand" in line), None)
        if reason is None:
            raise ConversionError(f"{path} is damaged or no PyTorch checkpoint; download it again") from error
        raise ConversionError(
            f"{path} is refused: it holds more than tensors and would execute code when loaded ({reason}). "
            "Where you trust its source, load it there once and save only the state dict with safetensors"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ConversionError(f"{path} is damaged or no PyTorch checkpoint ({reason}); download it again") from error


def _missing_packages(names: str) -> ConversionError:
    return ConversionError(f"reading this file needs {names}: pip install 'jaxrestore[convert]'")


def _unpack(content: Any, container: str | None, path: pathlib.Path) -> Mapping[str, Any]:
    """The mapping of names to tensors inside whatever a training code saved."""
    if not isinstance(content, Mapping):
        raise ConversionError(f"{path} holds a {type(content).__name__}, expected a mapping of names to tensors")
    if container is not None:
        if not isinstance(content.get(container), Mapping):
            names = ", ".join(repr(name) for name, value in content.items() if isinstance(value, Mapping)) or "none"
            raise ConversionError(f"{path} has no container {container!r}; there are: {names}")
        content = content[container]
    elif not any(_is_tensor(value) for value in content.values()):
        found = [name for name in CONTAINERS if isinstance(content.get(name), Mapping)]
        if not found:
            raise ConversionError(f"{path} holds no tensors; its entries are {', '.join(map(repr, content)) or 'none'}")
        content = content[found[0]]
    return {str(name): value for name, value in content.items() if _is_tensor(value)}


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "numel") and hasattr(value, "dtype")


def _numpy(tensor: Any) -> np.ndarray:
    import ml_dtypes
    import torch

    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()
