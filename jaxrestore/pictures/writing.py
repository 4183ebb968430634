"""From pixels to the bytes of a file."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrestore.pictures import deep_png, deep_tiff
from jaxrestore.pictures.picture import ImageError, Picture, laid_on_white, to_levels

_JPEG, _TIFF = (".jpg", ".jpeg"), (".tif", ".tiff")
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    **{suffix: {"format": "JPEG", "quality": 95, "subsampling": 0} for suffix in _JPEG},
    **{suffix: {"format": "TIFF"} for suffix in _TIFF},
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "lossless": True},
}
SUFFIXES = (".png", *_JPEG, ".webp", *_TIFF)
_LONGEST_SIDE: Mapping[str, int] = {".webp": 16383, **dict.fromkeys(_JPEG, 65500)}  # WebP's header; libjpeg
# Bytes of a file for each byte of its pixels. What compresses is guessed low: no photograph needs less.
_LEAST_SHARE: Mapping[str, float] = {
    **dict.fromkeys(_JPEG, 0.05),
    **dict.fromkeys(_TIFF, 1.0),
    ".png": 0.2,
    ".webp": 0.1,
}


def check_sides(name: str, suffix: str, shape: Sequence[int]) -> None:
    """Raise `ImageError` if a file of a format cannot hold a picture of (H, W, ...)."""
    longest = _LONGEST_SIDE.get(suffix)
    if longest is not None and max(shape[:2]) > longest:
        raise ImageError(
            f"{name} would have {shape[0]}x{shape[1]} pixels, and {suffix} holds at most {longest} a side; "
            "write .png or .tif"
        )


def least_size(suffix: str, shape: Sequence[int], depth: int) -> int:
    """Bytes that a file of a picture (H, W, C) takes at least, if it is a photograph."""
    depth = depth if suffix in (".png", *_TIFF) else 8
    return int(_LEAST_SHARE[suffix] * math.prod(shape) * depth / 8)


def encode(suffix: str, picture: Picture) -> bytes:
    """A file of the format that the suffix names, with what the format can hold of the picture.

    PNG and TIFF keep 16 bits; all but JPEG keep transparency, which JPEG shows on white; WebP has colour only.
    """
    pixels, alpha = picture.pixels, picture.alpha
    if alpha is not None and suffix in _JPEG:
        pixels, alpha = laid_on_white(pixels, alpha), None
    depth = picture.depth if suffix in (".png", *_TIFF) else 8
    if depth == 16 and suffix in _TIFF and alpha is not None and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)  # grey with transparency at 16 bits is a TIFF that few programs open
    if alpha is not None:
        pixels = np.concatenate([pixels, 2.0 * alpha - 1.0], axis=2)
    levels = to_levels(pixels, depth)
    if depth == 16:
        deep = deep_png if suffix == ".png" else deep_tiff
        return deep.encode(levels, picture.resolution, picture.texts)
    return _encode_by_pillow(suffix, levels, picture)


def _encode_by_pillow(suffix: str, levels: np.ndarray, picture: Picture) -> bytes:
    from PIL import Image, PngImagePlugin

    options = dict(_OPTIONS[suffix])
    if suffix == ".png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        for keyword, text in picture.texts.items():
            options["pnginfo"].add_text(keyword, text)
    else:
        options["exif"] = _exif(suffix, picture)
    if picture.resolution is not None:
        options["dpi"] = picture.resolution
    file = io.BytesIO()
    Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels).save(file, **options)
    return file.getvalue()


def _exif(suffix: str, picture: Picture) -> Any:
    """The picture's texts as EXIF, and in WebP, which has no other place for it, its resolution."""
    from PIL import Image

    exif = Image.Exif()
    for keyword, tag in deep_tiff.TEXT_TAGS.items():
        if keyword in picture.texts:
            exif[tag] = picture.texts[keyword]
    if suffix == ".webp" and picture.resolution is not None:
        exif[282], exif[283], exif[296] = *picture.resolution, 2  # to the right, down, in inches
    return exif
