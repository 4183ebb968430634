"""PyTorch checkpoints of before 1.6: pickles and bytes in turn. Only these are read by PyTorch itself.

`torch.load(weights_only=True)` builds tensors and plain containers and refuses all else. The format has no checksums.
"""

import io
import pathlib
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np

from convert_weights.arrays import BFLOAT16, ConversionError

_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that these files begin with, as pickles write it


def is_legacy(path: pathlib.Path) -> bool:
    """Whether a file begins as those of before PyTorch 1.6 do."""
    with path.open("rb") as file:
        return _MAGIC in file.read(32)  # behind the pickle protocol's number, and a frame in later protocols


def read_legacy(path: pathlib.Path) -> Any:
    """What was saved, with tensors as arrays.

    Raises:
      ConversionError: If PyTorch is missing, or refuses the file.
    """
    torch = _torch(f"{path} is of before PyTorch 1.6")
    try:
        return _plain(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        # The reader stops at the first name that is no tensor's, or at an instruction that tensors never need.
        lines = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in lines if "GLOBAL" in line or "operand" in line), None)
        if reason is None:
            raise ConversionError(f"{path} is damaged or no PyTorch checkpoint; download it again") from error
        raise ConversionError(
            f"{path} is refused: it holds more than tensors and would execute code when loaded ({reason}); "
            "where you trust its source, load it there once and save only the state dict"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ConversionError(f"{path} is damaged or no PyTorch checkpoint ({reason}); download it again") from error


def read_storage(data: bytes) -> np.ndarray:
    """The values of a storage that was saved alone, as tensors inside an ordinary pickle are.

    Raises:
      ConversionError: If PyTorch is missing.
    """
    torch = _torch("the pickle holds tensors in the format of before PyTorch 1.6")
    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return _array(torch.tensor([], dtype=storage.dtype).set_(storage))


def _torch(reason: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ConversionError(
            f"{reason}, which only PyTorch reads: pip install 'jaxrestore[convert]', or load and save it again with a "
            "later PyTorch"
        ) from error
    return torch


def _plain(value: Any) -> Any:
    """Containers with arrays in the place of tensors."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return _array(value) if hasattr(value, "numel") and hasattr(value, "detach") else value


def _array(tensor: Any) -> np.ndarray:
    import torch

    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy()
