"""Colour profiles: what they say is converted to sRGB, which the priors know and which files without a profile mean."""

import io
import struct
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxrestore.pictures.picture import LARGEST, ImageError

if TYPE_CHECKING:
    from PIL import Image

Curve = Callable[[np.ndarray], np.ndarray]  # levels in [0, 1] -> light in [0, 1]

# sRGB's primaries under the white of profiles, D50 (IEC 61966-2-1, adapted after Bradford).
SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_SAME = 0.75 / 255  # profiles that change no colour by more are sRGB, whoever wrote them


class Shaper(NamedTuple):
    """A profile that is a curve a channel and the colours of its primaries, as those of cameras and screens are."""

    curves: tuple[Curve, ...]
    to_linear_srgb: np.ndarray  # (C, C)

    def to_srgb(self, levels: np.ndarray, depth: int) -> np.ndarray:
        """Whole numbers (..., C) as float32 in [-1, 1], in sRGB; colours outside of sRGB are clipped."""
        shades = np.linspace(0.0, 1.0, LARGEST[depth] + 1)
        light = np.stack(
            [curve(shades).astype(np.float32)[levels[..., c]] for c, curve in enumerate(self.curves)], axis=-1
        )
        light = np.clip(light @ self.to_linear_srgb.T.astype(np.float32), 0.0, 1.0)
        return 2.0 * encoded(light) - np.float32(1.0)

    def is_srgb(self) -> bool:
        """Whether it leaves colours as they are."""
        axis = np.arange(0, 256, 15)
        levels = np.stack(np.meshgrid(*(axis,) * len(self.curves), indexing="ij"), axis=-1)
        return bool(np.abs((self.to_srgb(levels, 8) + 1.0) / 2.0 - levels / 255).max() < _SAME)


def encoded(light: np.ndarray) -> np.ndarray:
    """Light in [0, 1] as sRGB's values in [0, 1]."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def shaper(profile: bytes) -> Shaper | None:
    """What a profile says, or None if it is built of tables, or damaged."""
    try:
        count, tags = struct.unpack(">I", profile[128:132])[0], {}
        for i in range(min(count, 100)):
            name, start, size = struct.unpack(">4sII", profile[132 + 12 * i : 144 + 12 * i])
            tags[name] = profile[start : start + size]
        if b"A2B0" in tags or profile[20:24] != b"XYZ ":
            return None
        if profile[16:20] == b"GRAY":
            return Shaper((_curve(tags[b"kTRC"]),), np.ones((1, 1)))
        if profile[16:20] != b"RGB ":
            return None
        primaries = [_numbers(tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        curves = tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
        return Shaper(curves, np.linalg.inv(SRGB_TO_XYZ) @ np.stack(primaries, axis=1))
    except (KeyError, ValueError, ZeroDivisionError, struct.error):
        return None


def _numbers(data: bytes) -> np.ndarray:
    """Numbers of 16 bits before and 16 after the point."""
    return np.frombuffer(data, ">i4") / 65536


def _curve(tag: bytes) -> Curve:
    """A tone curve: a table, a power, or a power with a straight foot (ICC.1:2022, 10.6 and 10.18)."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack(">I", tag[8:12])
        table = np.frombuffer(tag[12 : 12 + 2 * count], ">u2", count)
        if count <= 1:
            power = float(table[0]) / 256 if count else 1.0
            return lambda v: v**power
        return lambda v: np.interp(v, np.linspace(0.0, 1.0, count), table / 65535)
    if tag[:4] != b"para":
        raise ValueError(f"tone curve of type {tag[:4]!r}")
    (kind,) = struct.unpack(">H", tag[8:10])
    given = _numbers(tag[12 : 12 + 4 * (1, 3, 4, 5, 7)[min(kind, 4)]]).tolist()
    g, a, b, c, d, e, f = (*given, *(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)[len(given) :])
    if kind in (1, 2):  # straight, at the height c, below -b / a
        c, d, e, f = 0.0, -b / a, c, c
    return lambda v: np.where(v >= d, np.maximum(a * v + b, 0.0) ** g + e, c * v + f)


def converted(picture: "Image.Image", profile: bytes, path: object) -> "Image.Image":
    """A picture of 8 bits with a profile built of tables, in sRGB.

    Raises:
      ImageError: If Pillow was built without LittleCMS.
    """
    from PIL import ImageCms, features

    if not features.check("littlecms2"):
        raise ImageError(
            f"{path} has a colour profile built of tables, and this Pillow was built without LittleCMS, which reads "
            "those; expected a Pillow with it (its wheels have it), or a picture converted to sRGB"
        )
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        result = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        warnings.warn(f"{path}: its colour profile is damaged or of another kind ({error}); ignored", stacklevel=4)
        return picture
    return picture if result is None else result
