"""TIFF with 16 bits a channel and several channels: Pillow reads such files at 8 bits and writes none."""

import io
import struct
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

# Tags of TIFF 6.0, by their names there.
_IMAGE_WIDTH, _IMAGE_LENGTH, _BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES_PER_PIXEL, _ROWS_PER_STRIP, _STRIP_BYTE_COUNTS = 273, 277, 278, 279
_X_RESOLUTION, _Y_RESOLUTION, _PLANAR, _RESOLUTION_UNIT = 282, 283, 284, 296
_PREDICTOR, _TILE_WIDTH, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 317, 322, 338, 339
TEXT_TAGS = {"Description": 270, "Author": 315, "Copyright": 33432}  # by PNG's keywords; EXIF has the same tags

_SHORT, _LONG = 3, 4  # types of a tag's value
_RGB, _DEFLATE, _HORIZONTAL, _INCHES = 2, 8, 2, 2


def is_deep(tags: Mapping[int, Any]) -> bool:
    """Whether a file's tags say 16 bits in each of several channels."""
    bits = tags.get(_BITS_PER_SAMPLE, (1,))
    return len(bits) > 1 and max(bits) > 8


def decode(data: bytes, tags: Mapping[int, Any]) -> np.ndarray | None:
    """The levels (H, W, C), uint16, a fourth channel being alpha. None if they are kept in a way unknown here.

    Pillow decompresses the file for us: it is given a copy whose tags tell of a grey picture of C times the width.
    """
    from PIL import Image

    channels = tags.get(_SAMPLES_PER_PIXEL, 1)
    extra = tags.get(_EXTRA_SAMPLES, (2,) * (channels - 3))
    known = (
        data[:4] in (b"II*\0", b"MM\0*")
        and set(tags[_BITS_PER_SAMPLE]) == {16}
        and set(tags.get(_SAMPLE_FORMAT, (1,))) == {1}
        and tags.get(_PHOTOMETRIC) == _RGB
        and tags.get(_PLANAR, 1) == 1
        and tags.get(_PREDICTOR, 1) in (1, _HORIZONTAL)
        and (channels == 3 or (channels == 4 and tuple(extra) == (2,)))
    )
    if not known:
        return None
    with warnings.catch_warnings():
        # The picture's own size was looked at when it was opened; this one is larger in name only.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(_told_as_grey(data, channels))) as wide:
                levels = np.asarray(wide).astype(np.uint16)
        except Image.DecompressionBombError:
            return None
    levels = levels.reshape(levels.shape[0], -1, channels)
    if tags.get(_PREDICTOR, 1) == 1:
        return levels
    tile = tags.get(_TILE_WIDTH, levels.shape[1])  # each tile's rows begin anew
    starts = range(0, levels.shape[1], tile)
    return np.concatenate([levels[:, x : x + tile].cumsum(1, dtype=np.uint16) for x in starts], axis=1)


def _told_as_grey(data: bytes, channels: int) -> bytes:
    """A copy of a file, its first directory saying that the channels are grey pixels beside each other."""
    order = "<" if data[:2] == b"II" else ">"
    (place,) = struct.unpack(f"{order}I", data[4:8])
    (count,) = struct.unpack(f"{order}H", data[place : place + 2])
    replaced = {_BITS_PER_SAMPLE: 16, _SAMPLES_PER_PIXEL: 1, _PHOTOMETRIC: 1, _PREDICTOR: 1}
    entries = []
    for start in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind = struct.unpack(f"{order}HH", data[start : start + 4])
        entry = data[start : start + 12]
        if tag in (_IMAGE_WIDTH, _TILE_WIDTH):
            code = "H" if kind == _SHORT else "I"
            (width,) = struct.unpack_from(f"{order}{code}", entry, 8)
            entry = struct.pack(f"{order}HHII", tag, _LONG, 1, width * channels)
        elif tag in replaced:
            entry = struct.pack(f"{order}HHIHH", tag, _SHORT, 1, replaced[tag], 0)
        if tag not in (_EXTRA_SAMPLES, _SAMPLE_FORMAT, 274):  # 274 is the orientation, which is the caller's work
            entries.append(entry)
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:place] + directory + data[place + len(directory) :]


def encode(levels: np.ndarray, resolution: tuple[float, float] | None, texts: Mapping[str, str]) -> bytes:
    """A file of levels (H, W, C), uint16, C being 1, 3, or 4 with alpha; Deflate, as Pillow's readers know it."""
    from PIL import TiffImagePlugin

    height, width, channels = levels.shape
    differences = np.diff(levels, axis=1, prepend=np.zeros((height, 1, channels), np.uint16))
    packed = zlib.compress(differences.astype("<u2").tobytes(), 6)
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[_IMAGE_WIDTH], directory[_IMAGE_LENGTH] = width, height
    directory[_BITS_PER_SAMPLE], directory[_SAMPLES_PER_PIXEL] = (16,) * channels, channels
    directory[_COMPRESSION], directory[_PREDICTOR] = _DEFLATE, _HORIZONTAL
    directory[_PHOTOMETRIC], directory[_PLANAR] = 1 if channels == 1 else _RGB, 1
    if channels == 4:
        directory[_EXTRA_SAMPLES] = 2
    if resolution is not None:
        directory[_X_RESOLUTION], directory[_Y_RESOLUTION] = resolution
        directory[_RESOLUTION_UNIT] = _INCHES
    for keyword, tag in TEXT_TAGS.items():
        if keyword in texts:
            directory[tag] = texts[keyword]
    directory[_ROWS_PER_STRIP], directory[_STRIP_BYTE_COUNTS] = height, len(packed)
    directory[_STRIP_OFFSETS] = 0  # counted from the directory's end, where Pillow expects the pixels
    return b"II*\0" + struct.pack("<I", 8) + directory.tobytes(8) + packed
