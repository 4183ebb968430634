"""Pictures on disk and in memory: files of 8 or 16 bits, and float32 arrays in [-1, 1]."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxrestore import _checks
from jaxrestore.pictures.masks import load_kernel, load_mask
from jaxrestore.pictures.picture import ImageError, Picture, from_levels, to_levels
from jaxrestore.pictures.reading import read
from jaxrestore.pictures.writing import SUFFIXES, check_sides, encode
from jaxrestore.storage.files import write_whole

__all__ = (
    "SUFFIXES",
    "ImageError",
    "Picture",
    "centre",
    "crop_to_multiple",
    "find",
    "from_uint8",
    "load",
    "load_kernel",
    "load_mask",
    "read",
    "resize",
    "save",
    "to_uint8",
    "write",
)


def from_uint8(pixels: np.ndarray) -> np.ndarray:
    """8-bit values 0 to 255 as float32 in [-1, 1]."""
    if pixels.dtype != np.uint8:
        raise _checks.InputTypeError(f"pixels has dtype {pixels.dtype}, expected uint8")
    return from_levels(pixels, 8)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Values in [-1, 1], clipped and rounded to 8 bits."""
    return to_levels(image, 8)


def load(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture as RGB in sRGB, turned as its camera asks, transparency laid on white.

    `read` tells more of the file: its depth, transparency, resolution and texts.

    Returns:
      (H, W, 3), float32 in [-1, 1].

    Raises:
      ImageError: If the file is missing or no picture, or holds several frames or pages.
    """
    return read(path).on_white()


def save(path: str | os.PathLike[str], image: np.ndarray, *, overwrite: bool = False) -> pathlib.Path:
    """Write an image at 8 bits; the file appears whole or not at all.

    Args:
      path: The suffix chooses the format: PNG, JPEG (quality 95), WebP (lossless) or TIFF.
      image: (H, W, 3), or (H, W, 1) for grey; float in [-1, 1] (clipped) or uint8.
      overwrite: Replace an existing file.

    Raises:
      ImageError: If the suffix is unknown, or the array is no picture.
      FileExistsError: If the file exists and `overwrite` is False.
      OSError: If there is no room for it.
    """
    return _write(path, Picture(_pixels(image)), overwrite)


def write(path: str | os.PathLike[str], image: np.ndarray, *, like: Picture, overwrite: bool = False) -> pathlib.Path:
    """Write an image as the picture that it was made from is kept; the file appears whole or not at all.

    Kept are, where the format has them: 16 bits (PNG and TIFF), one channel in place of three where `like` is grey,
    transparency (enlarged or reduced to the image's size; JPEG shows it on white), resolution and texts.

    Args:
      path: As in `save`.
      image: As in `save`.
      like: What `read` returned; `dataclasses.replace(like, alpha=None)` leaves transparency out.
      overwrite: Replace an existing file.

    Raises:
      ImageError, FileExistsError, OSError: As in `save`.
    """
    pixels = _pixels(image)
    if like.mode == "grey":
        pixels = pixels.mean(axis=2, keepdims=True)
    alpha = like.alpha
    if alpha is not None and alpha.shape[:2] != pixels.shape[:2]:
        alpha = _resized(alpha[..., 0], pixels.shape)
    picture = Picture(pixels, alpha, like.depth, like.mode, like.resolution, like.texts)
    return _write(path, picture, overwrite)


def _pixels(image: np.ndarray) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ImageError(f"image has shape {image.shape}, expected (H, W, 3) or (H, W, 1)")
    if image.dtype.kind in "iub" and image.dtype != np.uint8:  # all but 0 would be white
        raise ImageError(f"image has dtype {image.dtype}, expected uint8, or numbers with a point in [-1, 1]")
    return from_levels(image, 8) if image.dtype == np.uint8 else np.asarray(image, np.float32)


def _resized(alpha: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Alpha (H, W) as (height, width, 1), in [0, 1]."""
    from PIL import Image

    picture = Image.fromarray(alpha).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(picture), 0.0, 1.0)[..., None]


def _write(path: str | os.PathLike[str], picture: Picture, overwrite: bool) -> pathlib.Path:
    path = pathlib.Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{path.name} has suffix {path.suffix!r}, expected one of {', '.join(SUFFIXES)}")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name or allow overwriting (--force)")
    check_sides(path.name, path.suffix.lower(), picture.pixels.shape)
    write_whole(path, encode(path.suffix.lower(), picture))
    return path


def find(folder: str | os.PathLike[str], *, suffixes: Sequence[str] = SUFFIXES) -> list[pathlib.Path]:
    """The pictures of a folder (not of its subfolders), sorted by name.

    Hidden files are left out, and the masks, kernels, codes and deviations that the commands write beside results.

    Raises:
      ImageError: If the folder is missing or holds none.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder} is no folder")
    pictures = sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in suffixes
        and not p.name.startswith(".")
        and not p.stem.endswith((".mask", ".kernel", ".code", ".std"))
    )
    if not pictures:
        raise ImageError(f"{folder} holds no picture ({', '.join(suffixes)})")
    return pictures


def centre(image: np.ndarray, size: int | None = None) -> np.ndarray:
    """The central square of an image (H, W, C), of `size` pixels a side or as large as fits.

    Raises:
      ImageError: If the image is smaller.
    """
    side = min(image.shape[:2]) if size is None else size
    if min(image.shape[:2]) < side:
        raise ImageError(f"the picture has {image.shape[0]}x{image.shape[1]} pixels, expected at least {side} each way")
    top, left = ((n - side) // 2 for n in image.shape[:2])
    return image[top : top + side, left : left + side]


def crop_to_multiple(image: np.ndarray, multiple: int) -> np.ndarray:
    """An image without the lower and right border that would keep its sides from being multiples of `multiple`.

    Raises:
      ImageError: If the image is smaller.
    """
    height, width = (n - n % multiple for n in image.shape[:2])
    if not height or not width:
        raise ImageError(
            f"the picture has {image.shape[0]}x{image.shape[1]} pixels and is smaller than {multiple}, of which its "
            "sides must be multiples"
        )
    return image[:height, :width]


def resize(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """An image (H, W, 3) in [-1, 1] at another (height, width), Lanczos with antialiasing."""
    from PIL import Image

    picture = Image.fromarray(to_uint8(image)).resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    return from_uint8(np.asarray(picture))
