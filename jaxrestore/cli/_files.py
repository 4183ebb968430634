"""Pictures and measurements on disk: which files a command reads, and how."""

import dataclasses
import io
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from jaxrestore import images
from jaxrestore.storage import arrays
from jaxrestore.storage.files import write_whole
from jaxrestore.tasks import TaskDefinition


def inputs(path: pathlib.Path, suffixes: Sequence[str] = images.SUFFIXES) -> list[pathlib.Path]:
    """One file, or those of a folder."""
    if path.is_dir():
        return images.find(path, suffixes=suffixes)
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    return [path]


def read_clean(path: pathlib.Path, multiple: int, size: int | None = None) -> images.Picture:
    """A picture to degrade: its central square of `size` pixels, or all of it, cut to what a task can treat.

    Raises:
      ImageError: If it cannot be read, or is smaller than `size` or `multiple`.
    """
    picture = images.read(path)
    if size is not None:
        picture = cut(picture, lambda pixels: images.centre(pixels, size), path)
    return cut(picture, lambda pixels: images.crop_to_multiple(pixels, multiple), path)


def cut(picture: images.Picture, part: Callable[[np.ndarray], np.ndarray], path: pathlib.Path) -> images.Picture:
    """`Picture.cut`, with the file named where the picture is too small."""
    try:
        return picture.cut(part)
    except images.ImageError as error:
        raise images.ImageError(f"{path}: {error}") from None


def shown(picture: images.Picture, definition: TaskDefinition) -> tuple[np.ndarray, images.Picture]:
    """Colours (H, W, 3) of a picture that a task treats, and what its result is to be kept like.

    Transparency returns with the result, and the colours under it are as they are. Where a task fills in what is
    missing, what is transparent may be that: it is seen on white, and the result is opaque.
    """
    opaque = dataclasses.replace(picture, alpha=None)
    return (picture.on_white(), opaque) if definition.drawn == "mask" else (opaque.on_white(), picture)


def read_measurement(path: pathlib.Path, definition: TaskDefinition) -> tuple[np.ndarray, images.Picture | None]:
    """A measurement (H, W, C) of a task from a picture, or from an array (`.npy`) as `jaxrestore degrade` writes it.

    Returns:
      The measurement; and the picture that its restoration is to be kept like, None for arrays.

    Raises:
      ValueError: If it cannot be read, or holds what no measurement is.
    """
    if path.suffix.lower() == ".npy":
        return read_array(path), None
    if definition.stored == "array":
        raise ValueError(f"{path} is no .npy file; {definition.name} needs the array that `jaxrestore degrade` writes")
    y, like = shown(images.read(path), definition)
    if definition.stored == "grey":
        return y.mean(-1, keepdims=True), dataclasses.replace(like, mode="colour")
    return y, like


def read_array(path: pathlib.Path) -> np.ndarray:
    """An array (H, W, C) of finite numbers, as float32.

    Raises:
      ValueError: If the file holds something else.
    """
    y = arrays.read(path, ndim=3)
    with np.errstate(over="ignore"):
        single = y.astype(np.float32)
    if not np.isfinite(single).all():
        raise ValueError(
            f"{path} has values that are not finite in float32 (up to {np.abs(y).max():g}); scale them down"
        )
    return single


def save_result(path: pathlib.Path, image: np.ndarray, like: images.Picture | None, force: bool) -> None:
    """A picture, kept like the one that it was made from, or an array where the suffix says so."""
    if path.suffix.lower() == ".npy":
        save_array(path, image)
    elif like is None:
        _ = images.save(path, image, overwrite=force)
    else:
        _ = images.write(path, image, like=like, overwrite=force)


def save_array(path: pathlib.Path, array: np.ndarray) -> None:
    """An array as `.npy`, whole or not at all."""
    file = io.BytesIO()
    np.save(file, array)
    write_whole(path, file.getvalue())
