"""Whatever picture comes in, what comes out has the size, depth, channels and colours that its user expects."""

import io
import struct
import zlib

import numpy as np
import pytest
from cli_words import PHOTO
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from test_images_colour import SPACES, matrix_profile, srgb_profile

from jaxrestore import images
from jaxrestore.pictures import deep_png, deep_tiff

pytest_plugins = ["cli_fixtures"]

PROFILES = {"none": None, "srgb": srgb_profile(), **{name: matrix_profile(*space) for name, space in SPACES.items()}}
# Pillow's mode, or how many channels of 16 bits.
MODES = {"1": 1, "L": 1, "LA": 2, "P": 3, "RGB": 3, "RGBA": 4, "CMYK": 3, "deep 1": 1, "deep 2": 2, "deep 3": 3, "deep 4": 4}  # fmt: skip
DEEP = (".png", ".tif", ".tiff")


def deep_file(levels, profile):
    """A PNG of 16 bits with a colour profile."""
    data = deep_png.encode(levels, None, {})
    if profile is None:
        return data
    packed = b"test\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(packed)) + b"iCCP" + packed + struct.pack(">I", zlib.crc32(b"iCCP" + packed))
    return data[:33] + chunk + data[33:]  # after the header


def made(mode, sides, profile, rng):
    """A file, the colours (H, W, C) in 8 bits that it shows, and how opaque each pixel is in 8 bits, or None."""
    channels = MODES[mode]
    levels = rng.integers(0, 65536, (*sides, channels), np.uint16)
    shallow = np.round(levels / 257).astype(np.uint8)
    alpha = shallow[..., -1:] if channels in (2, 4) else None
    colours = shallow if alpha is None else shallow[..., :-1]
    if mode.startswith("deep"):
        return deep_file(levels, profile), colours, alpha
    picture = Image.fromarray(shallow[..., 0] if channels == 1 else shallow)
    if mode in ("1", "P", "CMYK"):
        picture = picture.convert(mode)
        colours = np.asarray(picture.convert("L" if mode == "1" else "RGB")).reshape(*sides, -1)
    file = io.BytesIO()
    picture.save(file, "TIFF" if mode == "CMYK" else "PNG", icc_profile=profile)
    return file.getvalue(), colours, alpha


def in_srgb(colours, profile):
    """What LittleCMS makes of colours with a profile."""
    if profile is None or colours.shape[2] == 1:
        return colours
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    picture = ImageCms.profileToProfile(Image.fromarray(colours), source, ImageCms.createProfile("sRGB"))
    return np.asarray(picture)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    mode=st.sampled_from(list(MODES)),
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    profile_name=st.sampled_from(list(PROFILES)),
    suffix=st.sampled_from(images.SUFFIXES),
    seed=st.integers(0, 99),
)
def test_size_depth_channels_and_colours_are_kept(run, tmp_path, mode, sides, profile_name, suffix, seed):
    # A profile for colours says nothing of grey or CMYK pictures, and files that have one there are broken.
    profile = PROFILES[profile_name] if mode in ("P", "RGB", "RGBA", "deep 3", "deep 4") else None
    data, colours, alpha = made(mode, sides, profile, np.random.default_rng(seed))
    (tmp_path / "in.picture").write_bytes(data)  # what a file is, its content says
    words = ["degrade", "in.picture", "-o", f"out{suffix}", "--force", "--task", "denoising", "--noise", 0]
    code, _, error = run(*words)
    assert code == 0, error
    out = images.read(tmp_path / f"out{suffix}")
    is_deep, has_alpha = mode.startswith("deep"), alpha is not None and suffix not in (".jpg", ".jpeg")
    assert out.pixels.shape[:2] == sides
    assert out.depth == (16 if is_deep and suffix in DEEP else 8)
    # WebP knows colour only; a TIFF of deep grey with transparency would be read by few.
    becomes_colour = suffix == ".webp" or (has_alpha and out.depth == 16 and suffix in (".tif", ".tiff"))
    assert out.mode == ("colour" if colours.shape[2] == 3 or becomes_colour else "grey")
    assert (out.alpha is not None) == has_alpha
    if out.alpha is not None:
        assert np.abs(images.to_uint8(2.0 * out.alpha - 1.0).astype(int) - alpha).max() <= 1
    if suffix not in (".jpg", ".jpeg"):  # whose colours are near the picture's where they do not change at each pixel
        visible = 1 if alpha is None else alpha > 2  # WebP drops the colours of what cannot be seen
        difference = images.to_uint8(out.pixels).astype(int) - in_srgb(colours, profile)
        # LittleCMS computes with 8 bits in and out, and what is deep was rounded for it.
        assert np.abs(difference * visible).max() <= (1 if profile is None else 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_bit_of_a_deep_picture_goes_through(run, tmp_path, suffix):
    levels = np.random.default_rng(0).integers(0, 65536, (9, 7, 3), np.uint16)
    (tmp_path / "in.tif").write_bytes(deep_tiff.encode(levels, None, {}))
    assert run("degrade", "in.tif", "-o", f"out{suffix}", "--task", "denoising", "--noise", 0)[0] == 0
    out = images.read(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(np.round((out.pixels + 1.0) * 32767.5), levels)


def test_a_degraded_grey_picture_has_the_noise_of_one_channel(run, tmp_path):
    grey = np.zeros((40, 40, 1), np.float32)
    images.write(tmp_path / "in.png", grey, like=images.Picture(grey, depth=16, mode="grey"))
    assert run("degrade", "in.png", "-o", "out.png", "--task", "denoising", "--noise", 0.2)[0] == 0
    out = images.read(tmp_path / "out.png")
    assert out.mode == "grey"
    # Four standard errors of a deviation estimated from 1600 numbers.
    assert out.pixels.std() == pytest.approx(0.2, rel=4 / np.sqrt(2 * 1600))


def test_transparency_is_reduced_with_its_picture(run, tmp_path):
    alpha = np.ones((16, 16, 1), np.float32)
    alpha[:8] = 0.0
    images.write(tmp_path / "in.png", PHOTO[:16, :16], like=images.Picture(PHOTO[:16, :16], alpha))
    assert run("degrade", "in.png", "-o", "out.png", "--task", "super_resolution")[0] == 0
    out = images.read(tmp_path / "out.png")
    assert out.pixels.shape == (4, 4, 3)
    assert out.alpha is not None
    assert out.alpha[0].max() < 0.1
    assert out.alpha[-1].min() > 0.9
