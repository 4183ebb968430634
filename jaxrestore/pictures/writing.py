"""From pixels to the bytes of a file."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxrestore.pictures import deep_png, deep_tiff
from jaxrestore.pictures.picture import Picture, laid_on_white, to_levels

_JPEG, _TIFF = (".jpg", ".jpeg"), (".tif", ".tiff")
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    **{suffix: {"format": "JPEG", "quality": 95, "subsampling": 0} for suffix in _JPEG},
    **{suffix: {"format": "TIFF"} for suffix in _TIFF},
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "lossless": True},
}
SUFFIXES = (".png", *_JPEG, ".webp", *_TIFF)


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
