"""Colour, depth, transparency and what else a picture's file holds, read and written."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from jaxrestore import images
from jaxrestore.pictures import colour, deep_png

TINY = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
# CIE xy of the primaries, and the power of the tone curve.
SPACES = {
    "display_p3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), 2.2),
    "adobe_rgb": (((0.640, 0.330), (0.210, 0.710), (0.150, 0.060)), 563 / 256),
}


def adapted_primaries(primaries):
    """Columns X, Y, Z of the primaries with white at D65, adapted to D50 after Bradford."""
    xyz = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    d65, d50 = np.array([0.95047, 1.0, 1.08883]), np.array([0.96422, 1.0, 0.82521])
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapt = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ d65)) @ bradford
    return adapt @ (xyz * np.linalg.solve(xyz, d65))


def fixed(numbers):
    return struct.pack(f">{len(numbers)}i", *(round(65536 * n) for n in numbers))


def profile_of(tags, space=b"RGB "):
    """A profile of version 2 for screens, with the tags every one has."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed((0.96422, 1.0, 0.82521)),
        **tags,
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + fixed((0.96422, 1.0, 0.82491))
    return header.ljust(128, b"\0") + table + body


def matrix_profile(primaries, power):
    xyz = adapted_primaries(primaries)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(power * 256))
    tags = {bytes([c]) + b"TRC": curve for c in b"rgb"}
    tags |= {bytes([c]) + b"XYZ": b"XYZ " + bytes(4) + fixed(xyz[:, i]) for i, c in enumerate(b"rgb")}
    return profile_of(tags)


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_wide_colours_become_srgb_as_littlecms_says(tmp_path, space, name):
    profile = matrix_profile(*SPACES[space])
    picture = Image.fromarray(TINY)
    picture.save(tmp_path / name, icc_profile=profile, **({"lossless": True} if name == "a.webp" else {}))
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    expected = np.asarray(ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB")), int)
    read = images.to_uint8(images.load(tmp_path / name)).astype(int)
    # LittleCMS computes with 8 bits in and out: near black, where sRGB is straight, its tables are two levels off.
    assert np.abs(read - expected).max() <= 2
    assert np.abs(read - TINY).max() > 10


def test_sixteen_bits_are_converted_as_eight(tmp_path):
    profile = matrix_profile(*SPACES["display_p3"])
    Image.fromarray(TINY).save(tmp_path / "eight.png", icc_profile=profile)
    data = deep_png.encode(TINY.astype(np.uint16) * 257, None, {})
    packed = b"p3\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(packed)) + b"iCCP" + packed + struct.pack(">I", zlib.crc32(b"iCCP" + packed))
    (tmp_path / "deep.png").write_bytes(data[:33] + chunk + data[33:])  # after the header
    assert images.read(tmp_path / "deep.png").depth == 16
    np.testing.assert_allclose(images.load(tmp_path / "deep.png"), images.load(tmp_path / "eight.png"), atol=1e-5)


def test_what_is_srgb_already_is_left_alone(tmp_path):
    Image.fromarray(TINY).save(tmp_path / "a.png", icc_profile=srgb_profile())
    np.testing.assert_array_equal(images.to_uint8(images.load(tmp_path / "a.png")), TINY)
    shaper = colour.shaper(srgb_profile())
    assert shaper is not None
    assert shaper.is_srgb()


@pytest.mark.parametrize(
    "curve",
    [
        (3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
        (4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0),
        None,  # a table
    ],
)
def test_srgb_is_known_by_its_curve_however_it_is_written(curve):
    shades = np.linspace(0, 1, 1024)
    light = np.where(shades < 0.04045, shades / 12.92, ((shades + 0.055) / 1.055) ** 2.4)
    if curve is None:
        tag = b"curv" + bytes(4) + struct.pack(">I", 1024) + np.round(65535 * light).astype(">u2").tobytes()
    else:
        tag = b"para" + bytes(4) + struct.pack(">HH", curve[0], 0) + fixed(curve[1:])
    shaper = colour.shaper(profile_of({b"kTRC": tag}, space=b"GRAY"))
    assert shaper is not None
    assert shaper.is_srgb()


@pytest.mark.parametrize(
    ("curve", "light"),
    [
        ((0, 2.0), lambda v: v**2),
        ((1, 2.0, 2.0, -1.0), lambda v: np.maximum(2 * v - 1, 0) ** 2),
        ((2, 2.0, 1.0, -0.5, 0.1), lambda v: np.maximum(v - 0.5, 0) ** 2 + 0.1),
    ],
)
def test_curves_given_as_powers(curve, light):
    tag = b"para" + bytes(4) + struct.pack(">HH", curve[0], 0) + fixed(curve[1:])
    shaper = colour.shaper(profile_of({b"kTRC": tag}, space=b"GRAY"))
    levels = np.arange(256)[:, None]
    expected = 2 * colour.encoded(np.clip(light(levels / 255), 0, 1)) - 1
    np.testing.assert_allclose(shaper.to_srgb(levels, 8), expected, atol=1e-4)  # numbers of 16 bits after the point


def test_grey_with_a_tone_curve_becomes_srgb_s_grey(tmp_path):
    linear = profile_of({b"kTRC": b"curv" + bytes(4) + struct.pack(">I", 0)}, space=b"GRAY")
    Image.fromarray(TINY[..., 0]).save(tmp_path / "a.png", icc_profile=linear)
    picture = images.read(tmp_path / "a.png")
    assert picture.mode == "grey"
    np.testing.assert_allclose((picture.pixels[..., 0] + 1) / 2, colour.encoded(TINY[..., 0] / 255), atol=1e-5)


def test_profiles_of_tables_go_through_littlecms(tmp_path):
    lab = ImageCms.createProfile("LAB")
    light = TINY // 2 + 100
    picture = ImageCms.profileToProfile(Image.fromarray(light), ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    picture.save(tmp_path / "a.tif", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    # Eight bits of lightness and colour are fewer than eight of red, green and blue: some levels are lost.
    np.testing.assert_allclose(images.to_uint8(images.load(tmp_path / "a.tif")).astype(int), light, atol=6)


def test_tables_without_littlecms_are_refused_with_the_mend(tmp_path, monkeypatch):
    Image.new("CMYK", (3, 4)).save(tmp_path / "a.jpg", icc_profile=profile_of({}, space=b"CMYK"))
    monkeypatch.setattr("PIL.features.check", lambda feature: False)
    with pytest.raises(images.ImageError, match="without LittleCMS"):
        images.load(tmp_path / "a.jpg")


def test_a_damaged_profile_is_ignored_with_a_warning(tmp_path):
    Image.fromarray(TINY).save(tmp_path / "a.png", icc_profile=b"no profile")
    with pytest.warns(UserWarning, match="colour profile is damaged"):
        read = images.load(tmp_path / "a.png")
    np.testing.assert_array_equal(images.to_uint8(read), TINY)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif", "a.tif"])
def test_animations_and_pages_are_refused(tmp_path, name):
    frames = [Image.fromarray(TINY + 40 * i) for i in range(2)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(images.ImageError, match=rf"{name} holds 2 frames or pages, expected one picture"):
        images.load(tmp_path / name)


def test_a_camera_s_photograph_with_previews_is_the_photograph(tmp_path):
    photograph = Image.new("RGB", (16, 8), "white")
    photograph.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (4, 2))])
    np.testing.assert_array_equal(images.load(tmp_path / "a.jpg"), np.ones((8, 16, 3)))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_resolution_and_words_are_kept(tmp_path, name, depth):
    texts = {"Author": "A. Photographer", "Description": "A cup", "Copyright": "none"}
    like = images.Picture(np.zeros((4, 4, 3), np.float32), depth=depth, resolution=(300.0, 150.0), texts=texts)
    picture = images.read(images.write(tmp_path / name, like.pixels, like=like))
    assert picture.texts == texts
    np.testing.assert_allclose(picture.resolution, (300.0, 150.0), rtol=1e-4)  # PNG counts pixels per metre


def test_words_of_any_language_and_keyword_are_kept_in_png(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Comment", "Кофе")
    info.add_text("XML:com.adobe.xmp", "<edits/>")
    Image.fromarray(TINY).save(tmp_path / "in.png", pnginfo=info)
    like = images.read(tmp_path / "in.png")
    written = images.write(tmp_path / "out.png", TINY, like=like)
    assert images.read(written).texts == {"Comment": "Кофе"}


def test_transparency_is_enlarged_with_its_picture(tmp_path):
    alpha = np.ones((4, 4, 1), np.float32)
    alpha[:2] = 0.0
    like = images.Picture(np.zeros((4, 4, 3), np.float32), alpha)
    written = images.read(images.write(tmp_path / "a.png", np.zeros((8, 8, 3)), like=like)).alpha
    assert written.shape == (8, 8, 1)
    assert written[0].max() == 0.0
    assert written[-1].min() == 1.0


@given(
    mode=st.sampled_from(["grey", "colour"]),
    depth=st.sampled_from([8, 16]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    has_alpha=st.booleans(),
    suffix=st.sampled_from(images.SUFFIXES),
    restored_channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 9),
)
def test_what_is_written_is_what_a_user_expects(
    tmp_path_factory, mode, depth, height, width, has_alpha, suffix, restored_channels, seed
):
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(-1, 1, (height, width, 1 if mode == "grey" else 3)).astype(np.float32)
    alpha = rng.uniform(0, 1, (height, width, 1)).astype(np.float32) if has_alpha else None
    image = pixels if pixels.shape[2] == 3 else np.repeat(pixels, restored_channels, axis=2)
    like = images.Picture(pixels, alpha, depth, mode)
    path = tmp_path_factory.mktemp("written") / f"a{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = images.read(images.write(path, image, like=like))
    keeps_depth = suffix in (".png", ".tif", ".tiff")
    assert written.depth == (depth if keeps_depth else 8)
    assert written.pixels.shape[:2] == (height, width)
    assert written.pixels.dtype == np.float32
    # WebP knows colour only; a TIFF of deep grey with transparency would be read by few.
    becomes_colour = suffix == ".webp" or (has_alpha and depth == 16 and suffix in (".tif", ".tiff"))
    assert written.mode == ("colour" if becomes_colour else mode)
    assert (written.alpha is not None) == (has_alpha and suffix not in (".jpg", ".jpeg"))
    if suffix not in (".jpg", ".jpeg"):
        step = 2.0 / (65535 if written.depth == 16 else 255)
        visible = 1.0 if alpha is None else alpha > 0.01  # WebP drops the colours of what cannot be seen
        np.testing.assert_allclose(
            written.pixels * visible, np.broadcast_to(pixels, written.pixels.shape) * visible, atol=0.51 * step
        )
        if alpha is not None:
            np.testing.assert_allclose(written.alpha, alpha, atol=0.51 * step / 2)
