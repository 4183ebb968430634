"""Folders of clean pictures, as the benchmarks that restore photographs take them."""

import argparse
import hashlib
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

import jaxrestore as jr
from jaxrestore import images

# Those that need nothing but pictures; the others' weights are not part of this library.
TASKS = tuple(name for name, definition in jr.TASKS.items() if "weights" not in definition.options)


class Photographs(NamedTuple):
    """Pictures of one shape."""

    paths: list[pathlib.Path]
    stack: np.ndarray  # (N, H, W, 3), float32 in [-1, 1]

    @property
    def facts(self) -> dict[str, Any]:
        """What a cell that is made of these pictures states of them."""
        return {"shape": list(self.stack.shape), "files_sha256": files_sha256(self.paths)}


def files_sha256(paths: Iterable[pathlib.Path]) -> str:
    """Of the bytes: pixels after a colour profile differ by a rounding from processor to processor."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def add_options(parser: argparse.ArgumentParser, *, size: int | None) -> None:
    """The folder, and which part of it is used; `size` is the default side, None takes pictures whole."""
    parser.add_argument("folder", type=pathlib.Path, help="clean pictures")
    parser.add_argument("--size", type=int, default=size, help="use the pictures' centres of so many pixels each way")
    parser.add_argument("--pictures", type=int, help="take only the first so many")


def load(options: argparse.Namespace) -> Photographs:
    """The pictures that `add_options` names; those smaller than `--size` are left out.

    Raises:
      SystemExit: If none is left, or they are of several shapes; with the mend.
    """
    paths, stack = [], []
    for path in images.find(options.folder):
        picture = images.load(path)
        if options.size is not None:
            try:
                picture = images.centre(picture, options.size)
            except images.ImageError:  # too small
                continue
        paths.append(path)
        stack.append(picture)
        if len(stack) == options.pictures:
            break
    if not stack:
        raise SystemExit(f"no picture of {options.folder} has {options.size} pixels each way; lower --size")
    if len({picture.shape for picture in stack}) > 1:
        raise SystemExit(f"{options.folder} holds pictures of several shapes; give --size")
    return Photographs(paths, np.stack(stack))
