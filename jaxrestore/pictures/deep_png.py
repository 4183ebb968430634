"""PNG with 16 bits a channel, in colour or with transparency: Pillow reads such files at 8 bits and writes none.

References:
  Portable Network Graphics (PNG) Specification, Third Edition, https://www.w3.org/TR/png-3/, whose terms are used here.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type
_COLOUR_TYPES = {channels: colour_type for colour_type, channels in _CHANNELS.items()}
_METRES_PER_INCH = 0.0254


def is_deep(data: bytes) -> bool:
    """Whether a file is a PNG of 16 bits a channel."""
    return data.startswith(_SIGNATURE) and data[12:16] == b"IHDR" and len(data) > 28 and data[24] == 16


def decode(data: bytes) -> np.ndarray | None:
    """The levels (H, W, C), uint16; two or four channels end with alpha. None if the file is interlaced.

    Raises:
      ValueError: If the file is cut or damaged.
    """
    width, height, _, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if interlace or colour_type not in _CHANNELS:
        return None
    pixel = 2 * _CHANNELS[colour_type]  # bytes
    expected = height * (1 + width * pixel)
    packed = b"".join(body for kind, body in _chunks(data) if kind == b"IDAT")
    try:
        # Bounded, so that a small file cannot ask for more memory than its size says.
        raw = zlib.decompressobj().decompress(packed, expected)
    except zlib.error as error:
        raise ValueError(f"damaged PNG data: {error}") from None
    if len(raw) != expected:
        raise ValueError(f"image file is truncated: {len(raw)} of {expected} bytes of pixels")
    lines = np.frombuffer(raw, np.uint8).reshape(height, -1)
    levels = _unfiltered(lines[:, 1:].reshape(height, width, pixel), lines[:, 0])
    return levels.view(">u2").astype(np.uint16)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def _unfiltered(filtered: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Bytes (H, W, bytes of a pixel) with the filters of their rows undone.

    A pixel needs its left, upper and upper left neighbours. All pixels of one anti-diagonal are undone at once, so that
    NumPy has work in every step: the array is sheared until its anti-diagonals are rows. What lies outside of the
    picture on the left stays 0 by itself, as the filters ask; what lies outside on the right is never used.
    """
    height, width, pixel = filtered.shape
    if kinds.max(initial=0) > 4:
        raise ValueError(f"damaged PNG data: a row has filter {kinds.max()}, expected 0 to 4")
    padded = np.zeros((height, width + height, pixel), np.uint8)
    padded[:, :width] = filtered
    shear = (height, width + height - 1, pixel)
    diagonals = np.ascontiguousarray(padded.reshape(-1)[: np.prod(shear)].reshape(shear).swapaxes(0, 1))
    is_sub, is_up, is_average, is_paeth = (kinds[:, None] == kind for kind in (1, 2, 3, 4))
    left, upper, corner = (np.zeros((height, pixel), np.int16) for _ in range(3))
    for diagonal in diagonals:
        predicted = np.where(is_sub, left, np.where(is_up, upper, np.where(is_average, (left + upper) >> 1, 0)))
        if is_paeth.any():
            predicted = np.where(is_paeth, _paeth(left, upper, corner), predicted)
        diagonal += predicted.astype(np.uint8)
        corner, left = upper, diagonal.astype(np.int16)
        upper = np.concatenate([np.zeros((1, pixel), np.int16), left[:-1]])
    straight = np.zeros(height * (width + height) * pixel, np.uint8)
    straight[: diagonals.size] = diagonals.swapaxes(0, 1).reshape(-1)
    return np.ascontiguousarray(straight.reshape(padded.shape)[:, :width])


def _paeth(left: np.ndarray, upper: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Of three neighbours the one nearest to left + upper - corner; ties go to the first."""
    to_left, to_upper = np.abs(upper - corner), np.abs(left - corner)
    to_corner = np.abs(left + upper - 2 * corner)
    nearest = np.where(to_upper <= to_corner, upper, corner)
    return np.where((to_left <= to_upper) & (to_left <= to_corner), left, nearest)


def encode(levels: np.ndarray, resolution: tuple[float, float] | None, texts: Mapping[str, str]) -> bytes:
    """A file of levels (H, W, C), uint16; two or four channels end with alpha."""
    height, width, channels = levels.shape
    current = levels.astype(">u2").view(np.uint8).reshape(height, width, 2 * channels).astype(np.int16)
    framed = np.pad(current, ((1, 0), (1, 0), (0, 0)))
    filtered = current - _paeth(framed[1:, :-1], framed[:-1, 1:], framed[:-1, :-1])
    lines = np.full((height, 1 + width * 2 * channels), 4, np.uint8)  # 4 says Paeth, which suits photographs
    lines[:, 1:] = filtered.astype(np.uint8).reshape(height, -1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0))]
    if resolution is not None:
        per_metre = (round(per_inch / _METRES_PER_INCH) for per_inch in resolution)
        chunks.append((b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    for keyword, text in texts.items():
        chunks.append((b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()))
    chunks += [(b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
