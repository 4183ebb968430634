"""Masks, kernels and codes: what a task draws at random for clean pictures, and must be told for those of its user.

`degrade` writes them beside its results, as NAME.mask.png and so on; `restore` takes them from there, or from a file
that its user names.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxrestore import images
from jaxrestore.cli import _files


class Drawn(NamedTuple):
    """How one kind is kept."""

    suffix: str
    load: Callable[[pathlib.Path, Sequence[int]], np.ndarray]  # for a picture of a shape
    save: Callable[[pathlib.Path, np.ndarray, bool], None]  # whether to replace an existing file


def _as_picture(depth: int) -> Callable[[pathlib.Path, np.ndarray, bool], None]:
    """A mask (H, W, 1) or kernel (K, K) as a grey picture, white where it is largest."""

    def save(path: pathlib.Path, values: np.ndarray, force: bool) -> None:
        values = np.asarray(values, np.float32)
        values = values if values.ndim == 3 else values[..., None]
        white = max(float(values.max()), np.finfo(np.float32).tiny)  # a mask may hide everything
        like = images.Picture(values, depth=16 if depth == 16 else 8, mode="grey")
        _ = images.write(path, 2.0 * values / white - 1.0, like=like, overwrite=force)

    return save


KINDS: Mapping[str, Drawn] = {
    "mask": Drawn(".png", images.load_mask, _as_picture(8)),
    # Long kernels are dim: at 8 bits their weights would be off by more than the noise that deblurring has to bear.
    "kernel": Drawn(".png", lambda path, shape: images.load_kernel(path), _as_picture(16)),
    "code": Drawn(
        ".npy",
        lambda path, shape: _files.read_array(path),
        lambda path, values, force: _files.save_array(path, np.asarray(values)),
    ),
}


def beside(picture: pathlib.Path, kind: str) -> pathlib.Path:
    """Where `degrade` writes what was drawn for a picture: NAME.mask.png, NAME.kernel.png, NAME.code.npy."""
    return picture.with_name(f"{picture.stem}.{kind}{KINDS[kind].suffix}")
