"""Folders of clean pictures, as the benchmarks that restore photographs take them."""

import argparse
import hashlib
import pathlib
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
        return {"shape": list(self.stack.shape), "pixels_sha256": hashlib.sha256(self.stack.tobytes()).hexdigest()}


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
