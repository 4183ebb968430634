"""Pictures of 16 bits a channel, read and written to the last bit."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxrestore import images
from jaxrestore.pictures import deep_png, deep_tiff

DEEP = np.random.default_rng(0).integers(0, 65536, (9, 7, 4), np.uint16)
TINY = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_bit_of_a_deep_png_is_read(channels):
    levels = DEEP[..., :channels]
    np.testing.assert_array_equal(deep_png.decode(deep_png.encode(levels, None, {})), levels)


def with_filters(levels, kinds):
    """A PNG whose rows have these filters, written from the specification's formulas one byte at a time."""
    height, width, channels = levels.shape
    pixel, rows = 2 * channels, levels.astype(">u2").tobytes()
    stride, lines = width * pixel, b""
    for y in range(height):
        lines += bytes([kinds[y]])
        for x in range(stride):
            left = rows[y * stride + x - pixel] if x >= pixel else 0
            upper = rows[(y - 1) * stride + x] if y else 0
            corner = rows[(y - 1) * stride + x - pixel] if y and x >= pixel else 0
            estimate = left + upper - corner
            paeth = min((left, upper, corner), key=lambda value: abs(estimate - value))
            predicted = (0, left, upper, (left + upper) // 2, paeth)[kinds[y]]
            lines += bytes([(rows[y * stride + x] - predicted) % 256])
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(lines))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [*chunks, (b"IEND", b"")]
    )


@given(st.lists(st.integers(0, 4), min_size=9, max_size=9))
def test_all_filters_of_png_are_undone(kinds):
    np.testing.assert_array_equal(deep_png.decode(with_filters(DEEP[..., :3], kinds)), DEEP[..., :3])


@pytest.mark.parametrize("change", [lambda d: d[:300], lambda d: d[:200] + b"\0\1\2\3" + d[204:]])
def test_a_cut_or_damaged_deep_png_is_refused(tmp_path, change):
    data = deep_png.encode(np.concatenate([DEEP[..., :3]] * 4), None, {})
    (tmp_path / "a.png").write_bytes(change(data))
    with pytest.raises(images.ImageError, match=r"a\.png cannot be read as a picture"):
        images.read(tmp_path / "a.png")


def test_what_cannot_be_read_at_sixteen_bits_is_said_to_be_read_at_eight(tmp_path):
    data = bytearray(with_filters(np.full((1, 1, 3), 0x8000, np.uint16), [0]))
    data[28] = 1  # interlaced, which of one pixel changes nothing
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.warns(UserWarning, match="read at 8 bits only"):
        picture = images.read(tmp_path / "a.png")
    assert picture.depth == 8
    assert images.to_uint8(picture.pixels).tolist() == [[[128, 128, 128]]]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_bit_of_a_deep_tiff_is_read(tmp_path, channels):
    (tmp_path / "a.tif").write_bytes(deep_tiff.encode(DEEP[..., :channels], None, {}))
    picture = images.read(tmp_path / "a.tif")
    assert picture.depth == 16
    np.testing.assert_array_equal(np.round((picture.pixels + 1.0) * 32767.5), DEEP[..., : min(channels, 3)])


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"tile": (16, 16), "compression": "zlib", "predictor": 2},
        {"rowsperstrip": 2},
    ],
)
def test_deep_tiffs_of_other_programs_are_read(tmp_path, byteorder, options):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", DEEP[..., :3], photometric="rgb", byteorder=byteorder, **options)
    picture = images.read(tmp_path / "a.tif")
    assert picture.depth == 16
    np.testing.assert_array_equal(np.round((picture.pixels + 1.0) * 32767.5), DEEP[..., :3])


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
def test_deep_tiffs_are_read_in_the_compressions_that_pillow_knows(tmp_path, compression):
    # Pillow writes no deep colours: a grey picture of three times the width gets a directory that tells of colour.
    file = io.BytesIO()
    Image.fromarray(DEEP[..., :3].reshape(9, 21)).save(file, "TIFF", compression=compression)
    data = file.getvalue()
    (place,) = struct.unpack_from("<I", data, 4)
    starts = range(place + 2, place + 2 + 12 * struct.unpack_from("<H", data, place)[0], 12)
    entries = {struct.unpack_from("<H", data, start)[0]: data[start : start + 12] for start in starts}
    values = {256: (4, 1, 7), 258: (3, 3, len(data)), 262: (3, 1, 2), 277: (3, 1, 3)}
    entries |= {tag: struct.pack("<HHII", tag, *value) for tag, value in values.items()}
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    bits = struct.pack("<3H", 16, 16, 16)
    header = data[:4] + struct.pack("<I", len(data) + len(bits))
    (tmp_path / "a.tif").write_bytes(header + data[8:] + bits + directory)
    picture = images.read(tmp_path / "a.tif")
    assert picture.depth == 16
    np.testing.assert_array_equal(np.round((picture.pixels + 1.0) * 32767.5), DEEP[..., :3])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_deep_pictures_are_turned_as_pillow_turns_shallow_ones(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(TINY).save(tmp_path / f"shallow{name}", exif=exif)
    deep = TINY.astype(np.uint16) * 257
    if name == "a.png":
        data, body = deep_png.encode(deep, None, {}), exif.tobytes()[6:]
        chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
        (tmp_path / name).write_bytes(data[:33] + chunk + data[33:])
    else:
        tifffile = pytest.importorskip("tifffile")
        tifffile.imwrite(tmp_path / name, deep, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    picture = images.read(tmp_path / name)
    assert picture.depth == 16
    np.testing.assert_array_equal(
        images.to_uint8(picture.pixels), images.to_uint8(images.read(tmp_path / f"shallow{name}").pixels)
    )


def test_the_one_transparent_colour_of_a_deep_png_is_transparent(tmp_path):
    levels = np.full((2, 3, 1), 1000, np.uint16)
    levels[0, 0] = 7
    Image.fromarray(levels[..., 0]).save(tmp_path / "a.png", transparency=7)
    alpha = images.read(tmp_path / "a.png").alpha
    np.testing.assert_array_equal(alpha[..., 0], [[0, 1, 1], [1, 1, 1]])


def test_a_tiff_whose_second_page_has_no_size_is_refused(tmp_path):
    data = deep_tiff.encode(DEEP[..., :3], None, {})
    following = 8 + 2 + 12 * struct.unpack_from("<H", data, 8)[0]  # where the next page's directory is named
    data = data[:following] + struct.pack("<I", len(data)) + data[following + 4 :]
    (tmp_path / "a.tif").write_bytes(data + struct.pack("<HHHIII", 1, 305, 3, 1, 0, 0))
    with pytest.raises(images.ImageError, match=r"a\.tif cannot be read as a picture"):
        images.read(tmp_path / "a.tif")
