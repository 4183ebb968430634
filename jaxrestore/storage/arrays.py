"""Arrays on disk, `.npy`, as other programs and damaged disks leave them."""

import os
import pathlib

import numpy as np

_KINDS = {"f": "real", "i": "whole", "u": "whole", "b": "true or false"}


class ArrayError(ValueError):
    """A file holds no array that can be used."""


def read(path: str | os.PathLike[str], *, kinds: str = "fiu", ndim: int | None = None) -> np.ndarray:
    """An array of finite numbers; nothing is allocated for what a damaged header says beyond the file's own size.

    Args:
      path: Of the file.
      kinds: Letters of NumPy's kinds of numbers that are meant: "f" real, "i" and "u" whole, "b" true or false.
      ndim: Number of axes that are meant, if they are to be checked.

    Raises:
      ArrayError: If the file is missing, damaged, holds something else, or values that are not finite.
    """
    path = pathlib.Path(path)
    mend = "write it again with numpy.save"
    try:
        # Mapped, for that compares the shape with the size of the file.
        mapped = np.load(path, allow_pickle=False, mmap_mode="r")
    except FileNotFoundError:
        raise ArrayError(f"{path} does not exist") from None
    except Exception as error:  # a damaged header raises almost anything, of the tokenizer too
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "pickle" in reason:  # NumPy's advice, to load it all the same, would run what is in it
            reason = "it is no .npy file, or holds Python objects"
        raise ArrayError(f"{path} cannot be read as an array ({reason}); {mend}") from error
    if not isinstance(mapped, np.ndarray):
        mapped.close()
        raise ArrayError(f"{path} holds several arrays, expected one; {mend}")
    if mapped.dtype.kind not in kinds or mapped.size == 0 or ndim not in (None, mapped.ndim):
        axes = "" if ndim is None else f" with {ndim} axes"
        expected = " or ".join(dict.fromkeys(_KINDS[kind] for kind in kinds))
        raise ArrayError(
            f"{path} holds {mapped.dtype} of shape {mapped.shape}, expected numbers ({expected}){axes}; {mend}"
        )
    array = np.array(mapped)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ArrayError(f"{path} has values that are not finite (NaN or infinite); replace them")
    return array
