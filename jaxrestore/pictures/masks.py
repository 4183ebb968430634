"""Masks and kernels as people make them."""

import os
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np

from jaxrestore.pictures.picture import LARGEST, ImageError, Picture
from jaxrestore.pictures.reading import read
from jaxrestore.storage import arrays

_DRAWN = 0.9  # share of black and white pixels that makes a picture with transparency a drawn mask
_SOFT = 0.05  # share of pixels between a quarter and three quarters of white that is worth a word
_NEAR = 0.02  # what counts as black or white, in parts of white


def load_mask(path: str | os.PathLike[str], shape: Sequence[int]) -> np.ndarray:
    """Read which pixels are known.

    White is known and black is missing; soft masks are rounded at the middle, since a pixel is measured or not.
    Files whose largest value is 1 hold 0 and 1. What is transparent is missing; of a photograph with transparent
    holes, rather than a drawing in black and white, all that is visible is known.

    Args:
      path: Any picture that `read` takes.
      shape: (H, W), or (H, W, C), of the picture that the mask is for.

    Returns:
      (H, W, 1), float32, 1 where the pixel is known and 0 where it is missing.

    Raises:
      ImageError: If the file is missing, no picture, or of another size.

    Warns:
      UserWarning: If all or no pixels are known, or many are grey.
    """
    picture = read(path)
    height, width = picture.pixels.shape[:2]
    if (height, width) != tuple(shape[:2]):
        raise ImageError(f"{path} has {height}x{width} pixels, expected the picture's {shape[0]}x{shape[1]}")
    light = _light(picture)
    known = light >= 0.5
    if picture.alpha is not None:
        visible = picture.alpha >= 0.5
        drawn = (light[visible] <= _NEAR) | (light[visible] >= 1.0 - _NEAR)
        is_photograph = not visible.all() and visible.any() and drawn.mean() < _DRAWN
        known = visible if is_photograph else known & visible
        light = picture.alpha if is_photograph else light * picture.alpha
    soft = float(np.mean((light > 0.25) & (light < 0.75)))
    if soft > _SOFT:
        _warn(f"{path} is grey in {soft:.0%} of its pixels; those rather white than black are taken as known")
    if known.all():
        _warn(f"{path} hides nothing: all pixels are known; expected black where pixels are missing")
    if not known.any():
        _warn(f"{path} hides everything: no pixel is known; expected white where pixels are known")
    return known.astype(np.float32)


def load_kernel(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a blur kernel from a picture (its brightness; transparent is 0) or from an array, `.npy`.

    Returns:
      (K, K'), float32, scaled to sum 1.

    Raises:
      ImageError: If the file cannot be read, a side is even, or the sum is not positive.
    """
    path = pathlib.Path(path)
    weights = _array(path) if path.suffix.lower() == ".npy" else _brightness(read(path))
    height, width = weights.shape
    if height % 2 == 0 or width % 2 == 0:
        mend = " and ".join(
            what
            for side, what in ((height, "a row of zeros (black) below"), (width, "a column of zeros at the right"))
            if side % 2 == 0
        )
        raise ImageError(
            f"{path} has {height}x{width} pixels, expected odd sides: an even kernel has no centre; add {mend}, or on "
            "the other side, whichever keeps the centre where it is meant"
        )
    total = weights.sum()
    if not np.isfinite(total) or total <= 0:
        why = "is all black" if not weights.any() else f"sums to {total:g}"
        raise ImageError(f"{path} {why}, expected a kernel with a positive sum, white where the blur is strongest")
    return (weights / total).astype(np.float32)


def _light(picture: Picture) -> np.ndarray:
    """(H, W, 1) in [0, 1]: brightness, or the values themselves in a file that knows 0 and 1 only."""
    light = (picture.pixels.mean(axis=2, keepdims=True) + 1.0) / 2.0
    largest = round(float(light.max()) * LARGEST[picture.depth])
    return light * LARGEST[picture.depth] if largest == 1 else light


def _brightness(picture: Picture) -> np.ndarray:
    """(H, W), float64 in [0, 1], 0 where the picture is transparent."""
    light = (picture.pixels.mean(axis=2, dtype=np.float64) + 1.0) / 2.0
    light[light < 0.5 / LARGEST[picture.depth]] = 0.0  # float32's black is not exactly 0 in colour pictures
    return light if picture.alpha is None else light * picture.alpha[..., 0]


def _array(path: pathlib.Path) -> np.ndarray:
    """(K, K'), float64, from an array of numbers with two axes longer than 1."""
    try:
        weights = arrays.read(path, kinds="fiub")
    except arrays.ArrayError as error:
        raise ImageError(str(error)) from error
    if weights.ndim == 3 and weights.shape[2] == 1:
        weights = weights[..., 0]
    if weights.ndim != 2:
        raise ImageError(f"{path} holds {weights.dtype} of shape {weights.shape}, expected numbers (height, width)")
    return weights.astype(np.float64)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)
