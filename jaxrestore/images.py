"""Pictures on disk and in memory: 8-bit files, and float32 arrays in [-1, 1]."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrestore import _checks
from jaxrestore.storage.files import replacing

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


class ImageError(ValueError):
    """A picture cannot be read or written."""


def from_uint8(pixels: np.ndarray) -> np.ndarray:
    """8-bit values 0 to 255 as float32 in [-1, 1]."""
    if pixels.dtype != np.uint8:
        raise _checks.InputTypeError(f"pixels has dtype {pixels.dtype}, expected uint8")
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Values in [-1, 1], clipped and rounded to 8 bits."""
    return np.round((np.clip(np.asarray(image, np.float32), -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)


def load(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture as RGB, turned as its camera asks, transparency laid on white.

    Returns:
      (H, W, 3), float32 in [-1, 1].

    Raises:
      ImageError: If the file is missing or no picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture = ImageOps.exif_transpose(picture)
            if picture.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
                raise ImageError(f"{path} has {picture.mode} pixels, expected 8 bits a channel; convert it first")
            if picture.has_transparency_data:
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
            return from_uint8(np.asarray(picture.convert("RGB")))
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} cannot be read as a picture ({error})") from error


def save(path: str | os.PathLike[str], image: np.ndarray, *, overwrite: bool = False) -> pathlib.Path:
    """Write an image; the file appears whole or not at all.

    Args:
      path: The suffix chooses the format: PNG, JPEG (quality 95), WebP (lossless) or TIFF.
      image: (H, W, 3), or (H, W, 1) for grey; float in [-1, 1] (clipped) or uint8.
      overwrite: Replace an existing file.

    Raises:
      ImageError: If the suffix is unknown, or the array is no picture.
      FileExistsError: If the file exists and `overwrite` is False.
    """
    from PIL import Image

    path = pathlib.Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{path.name} has suffix {path.suffix!r}, expected one of {', '.join(SUFFIXES)}")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name or allow overwriting (--force)")
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ImageError(f"image has shape {image.shape}, expected (H, W, 3) or (H, W, 1)")
    pixels = image if image.dtype == np.uint8 else to_uint8(image)
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    options: dict[str, dict[str, Any]] = {
        ".jpg": {"quality": 95, "subsampling": 0},
        ".jpeg": {"quality": 95, "subsampling": 0},
    }
    options[".webp"] = {"lossless": True}
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, **options.get(path.suffix.lower(), {}))
    return path


def find(folder: str | os.PathLike[str], *, suffixes: Sequence[str] = SUFFIXES) -> list[pathlib.Path]:
    """The pictures of a folder (not of its subfolders), sorted by name.

    Hidden files are left out, and the masks, kernels and deviations that the commands write beside results.

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
        and not p.stem.endswith((".mask", ".kernel", ".std"))
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
