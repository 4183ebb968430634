import numpy as np
import pytest
from PIL import Image

from jaxrestore import images

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".tiff"])
def test_lossless_round_trip(tmp_path, suffix):
    path = images.save(tmp_path / f"a{suffix}", images.from_uint8(PIXELS))
    np.testing.assert_array_equal(images.to_uint8(images.load(path)), PIXELS)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_grey_is_written_and_read_back_as_rgb(tmp_path, suffix):
    grey = images.from_uint8(PIXELS[..., :1])
    read = images.load(images.save(tmp_path / f"a{suffix}", grey))
    np.testing.assert_array_equal(read, np.broadcast_to(grey, PIXELS.shape))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        *(((9, 7), float), ((9, 7, 2), float), ((1, 9, 7, 3), float)),
        *(((9, 7, 3), np.uint16), ((9, 7, 3), int), ((9, 7, 3), bool)),
    ],
)
def test_arrays_that_are_no_picture_are_refused(tmp_path, shape, dtype):
    with pytest.raises(images.ImageError, match="expected"):
        images.save(tmp_path / "a.png", np.zeros(shape, dtype))
    assert not list(tmp_path.iterdir())


def test_jpeg_round_trip_is_close(tmp_path):
    smooth = np.linspace(-1, 1, 32 * 32 * 3, dtype=np.float32).reshape(32, 32, 3)
    np.testing.assert_allclose(images.load(images.save(tmp_path / "a.jpg", smooth)), smooth, atol=0.05)


def test_all_eight_bit_values_survive():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(images.to_uint8(images.from_uint8(values)), values)
    assert images.from_uint8(values).min() == -1
    assert images.from_uint8(values).max() == 1


def test_grey_palette_and_transparent_pictures_become_rgb(tmp_path):
    Image.fromarray(PIXELS).convert("L").save(tmp_path / "grey.png")
    Image.fromarray(PIXELS).convert("P").save(tmp_path / "palette.png")
    Image.new("RGBA", (4, 3), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert images.load(tmp_path / "grey.png").shape == (9, 7, 3)
    assert images.load(tmp_path / "palette.png").shape == (9, 7, 3)
    np.testing.assert_array_equal(images.load(tmp_path / "clear.png"), np.ones((3, 4, 3)))


def test_a_camera_s_orientation_is_followed(tmp_path):
    picture = Image.fromarray(PIXELS)
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture.save(tmp_path / "turned.png", exif=exif)
    assert images.load(tmp_path / "turned.png").shape == (7, 9, 3)


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="--force"):
        images.save(path, PIXELS)
    assert path.read_text() == "mine"
    images.save(path, PIXELS, overwrite=True)
    assert images.load(path).shape == (9, 7, 3)


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    def fail_half_way(picture, file, **options):
        file.write(b"half a picture")
        raise OSError("no space left")

    path = images.save(tmp_path / "a.png", PIXELS)
    monkeypatch.setattr(Image.Image, "save", fail_half_way)
    with pytest.raises(OSError, match="no space"):
        images.save(path, PIXELS, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(images.to_uint8(images.load(path)), PIXELS)


@pytest.mark.parametrize("content", [b"", b"no picture", PIXELS.tobytes()])
def test_what_is_no_picture_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(images.ImageError, match=r"a\.png cannot be read as a picture"):
        images.load(tmp_path / "a.png")


def test_a_truncated_picture_is_refused(tmp_path):
    path = images.save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(images.ImageError, match="cannot be read"):
        images.load(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(images.ImageError, match="does not exist"):
        images.load(tmp_path / "nothing.png")
    with pytest.raises(images.ImageError, match="holds no picture"):
        images.find(tmp_path)
    with pytest.raises(images.ImageError, match="is a folder, expected one picture"):
        images.load(tmp_path)
    with pytest.raises(images.ImageError, match="suffix '.gif'"):
        images.save(tmp_path / "a.gif", PIXELS)
