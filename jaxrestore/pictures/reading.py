"""From a file to a `Picture`."""

import io
import os
import pathlib
import struct
import warnings
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrestore.pictures import colour, deep_png, deep_tiff
from jaxrestore.pictures.picture import LARGEST, ImageError, Picture, from_levels

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 274, 282, 283, 296  # EXIF
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF
_UNREADABLE = ("I", "F")  # 32 bits: what their black and white are, no file says


def read(path: str | os.PathLike[str]) -> Picture:
    """Read a picture in sRGB, turned as its camera asks, at the depth of its file.

    Colour profiles are converted, colours outside of sRGB clipped. 16 bits are kept in grey and colour PNG and TIFF;
    where they cannot be (interlaced PNG, TIFF in planes or CMYK), a warning says that the picture is read at 8 bits.

    Raises:
      ImageError: If the file is missing or no picture, has pixels of 32 bits, or several frames or pages.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        data = pathlib.Path(path).read_bytes()
        with _opened(path, data) as picture:
            levels, depth = _decoded(path, data, picture)
            pixels, alpha = _separated(path, levels, depth, picture.info.get("icc_profile"))
            exif = picture.getexif()
            return Picture(
                pixels=pixels,
                alpha=alpha,
                depth=16 if depth == 16 else 8,
                mode="grey" if pixels.shape[2] == 1 else "colour",
                resolution=_resolution(picture.info, exif),
                texts=_texts(picture, exif),
            )
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise ImageError(f"{path} is a folder, expected one picture") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path} cannot be read as a picture (no kind of file that Pillow knows)") from None
    except (
        OSError,
        SyntaxError,
        EOFError,
        ValueError,
        TypeError,  # Pillow's word for damaged TIFF tags
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise ImageError(f"{path} cannot be read as a picture ({error})") from error


def _opened(path: object, data: bytes) -> "Image.Image":
    """The file's picture.

    MPO is what cameras and phones write as .jpg: the photograph first, then previews or brightness for screens.

    Raises:
      ImageError: If there are several pictures, none of which is the one that is meant.
    """
    from PIL import Image

    picture = Image.open(io.BytesIO(data))
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":
        raise ImageError(f"{path} holds {frames} frames or pages, expected one picture; save each as a file of its own")
    return picture


def _decoded(path: object, data: bytes, picture: "Image.Image") -> "tuple[np.ndarray | Image.Image, int]":
    """Levels (H, W, C) or a Pillow picture of 8 bits, turned upright, and their depth.

    Raises:
      ImageError: If the pixels have 32 bits.
    """
    from PIL import ImageOps

    if picture.mode in _UNREADABLE:
        raise ImageError(f"{path} has {picture.mode} pixels, expected 8 or 16 bits a channel; convert it first")
    tags: Mapping[int, Any] = getattr(picture, "tag_v2", {})
    orientation = picture.getexif().get(_ORIENTATION, 1)
    several = deep_png.is_deep(data) or deep_tiff.is_deep(tags)
    if picture.mode.startswith("I;16"):
        levels = np.asarray(ImageOps.exif_transpose(picture)).astype(np.uint16)[..., None]
        levels = LARGEST[16] - levels if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else levels
        return _with_alpha(levels, picture.info.get("transparency")), 16
    if several:
        levels = deep_png.decode(data) if deep_png.is_deep(data) else deep_tiff.decode(data, tags)
        if levels is not None:
            return _with_alpha(_turned(levels, orientation), picture.info.get("transparency")), 16
        warnings.warn(
            f"{path} has 16 bits a channel in a form that is read at 8 bits only; for all of them, save it as a PNG "
            "without interlacing, or as a TIFF in RGB without planes",
            stacklevel=3,
        )
    picture.load()
    return ImageOps.exif_transpose(picture), 8


def _with_alpha(levels: np.ndarray, transparent: int | tuple[int, ...] | None) -> np.ndarray:
    """Levels with a channel of alpha, if the file names the one colour that is transparent."""
    if transparent is None:
        return levels
    visible = (levels != np.asarray(transparent)).any(axis=2, keepdims=True)
    return np.concatenate([levels, LARGEST[16] * visible.astype(np.uint16)], axis=2)


def _turned(levels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) upright, as EXIF's orientation says."""
    if orientation in (5, 6, 7, 8):
        levels = levels.swapaxes(0, 1)
    down = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    right = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return levels[down, right]


def _separated(
    path: object, levels: "np.ndarray | Image.Image", depth: int, profile: bytes | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels (H, W, 1 or 3) in [-1, 1] in sRGB, and alpha (H, W, 1) in [0, 1]."""
    shaper = colour.shaper(profile) if profile else None
    if not isinstance(levels, np.ndarray):
        picture, alpha = _without_alpha(levels)
        if profile and shaper is None:
            picture = colour.converted(picture, profile, path)
        picture = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
        levels = np.asarray(picture)
        levels = levels if levels.ndim == 3 else levels[..., None]
    elif levels.shape[2] in (2, 4):
        levels, alpha = levels[..., :-1], levels[..., -1:]
    else:
        alpha = None
    if profile and shaper is None and depth == 16:
        warnings.warn(f"{path}: its colour profile, built of tables, is not applied to 16 bits", stacklevel=3)
    if shaper is not None and len(shaper.curves) == levels.shape[2] and not shaper.is_srgb():
        pixels = shaper.to_srgb(levels, depth)
    else:
        pixels = from_levels(levels, depth)
    return pixels, None if alpha is None else alpha.astype(np.float32) / np.float32(LARGEST[depth])


def _without_alpha(picture: "Image.Image") -> "tuple[Image.Image, np.ndarray | None]":
    """A picture of 8 bits without palette and transparency, and its alpha (H, W, 1)."""
    grey = picture.mode in ("1", "L", "LA", "La")
    alpha = None
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = np.asarray(picture.getchannel("A"))[..., None]
    if grey:
        return picture.convert("L"), alpha
    # CMYK and others keep their mode: a profile is for it.
    return picture.convert("RGB") if picture.mode in ("P", "PA", "RGBA", "RGBX") else picture, alpha


def _resolution(info: Mapping[Any, Any], exif: Mapping[int, Any]) -> tuple[float, float] | None:
    """Pixels per inch, or None where the file says none or nonsense."""
    given: tuple[Any, ...] = tuple(info.get("dpi", ()))
    if not given and exif.get(_RESOLUTION_UNIT, 2) == 2:
        given = (exif.get(_X_RESOLUTION), exif.get(_Y_RESOLUTION))
    try:
        right, down = (float(number) for number in given)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    # Pillow tells of TIFF files that say nothing as of one pixel per inch.
    return (right, down) if 1 < right < 1e6 and 1 < down < 1e6 else None


def _texts(picture: "Image.Image", exif: Mapping[int, Any]) -> dict[str, str]:
    """What the file says in words, without what tells of the file itself (thumbnails, edits)."""
    texts = {keyword: exif[tag] for keyword, tag in deep_tiff.TEXT_TAGS.items() if tag in exif}
    texts |= getattr(picture, "text", {})
    return {
        keyword: str(text).rstrip("\0")
        for keyword, text in texts.items()
        if isinstance(text, str) and text and not keyword.startswith(("Raw profile", "XML:"))
    }
