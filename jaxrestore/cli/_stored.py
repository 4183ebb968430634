"""Measurements that lie in files until it is their batch's turn: a folder never is in memory as a whole."""

import dataclasses
import pathlib
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from jaxrestore import images

Read = Callable[[pathlib.Path], tuple[np.ndarray, images.Picture | None]]


class Measurements:
    """Those of pictures of one shape; a `jaxrestore.measurements.Stack`.

    What each result is to be kept like is remembered from the reading until it is taken, once.

    Args:
      sources: Their files.
      shape: Of each, (H, W, C).
      read: Reads one, and what its result is to be kept like. It has been called for each before: what it warned of
        then, and how a picture was cut, is not told again.
    """

    def __init__(self, sources: Sequence[pathlib.Path], shape: Sequence[int], read: Read) -> None:
        self.shape = (len(sources), *shape)
        self._sources, self._read = sources, read
        self._likes: dict[int, images.Picture | None] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, index: int) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y, like = self._read(self._sources[index])
        if y.shape != self.shape[1:]:
            raise ValueError(f"{self._sources[index]} has changed: it is {y.shape} now, {self.shape[1:]} before")
        self._likes[index] = without_pixels(like)
        return y

    def take_like(self, index: int) -> images.Picture | None:
        """What the result of a measurement that has been read is to be kept like."""
        return self._likes.pop(index)


def without_pixels(like: images.Picture | None, *, keep_alpha: bool = True) -> images.Picture | None:
    """What a result is to be kept like, without the pixels, which it does not need; alpha may be as large."""
    if like is None:
        return None
    return dataclasses.replace(like, pixels=np.empty((0, 0, 1), np.float32), alpha=like.alpha if keep_alpha else None)


def count_alike(paths: Iterable[pathlib.Path], first: pathlib.Path, made_as: Callable[[pathlib.Path], str]) -> int:
    """How many of a folder's pictures are restored with one of them, as far as their files' first bytes tell.

    It is the same in all processes and however much is done already, so that all of them run the same program.

    Args:
      paths: Of the folder.
      first: The one.
      made_as: What tells how a picture was measured from how others were.
    """
    asked = (_sides(first), made_as(first))
    return sum((_sides(path), made_as(path)) == asked for path in paths)


def _sides(path: pathlib.Path) -> tuple[int, ...] | None:
    """(height, width, ...) of what is seen, or None where the file does not tell."""
    from PIL import Image

    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False).shape
        with warnings.catch_warnings(), Image.open(path) as picture:
            warnings.simplefilter("ignore")
            width, height = picture.size
            return (width, height) if picture.getexif().get(274, 1) in (5, 6, 7, 8) else (height, width)
    except Exception:  # it will be named where it is read
        return None
