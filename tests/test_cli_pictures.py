"""The command line keeps of a picture what its user expects to find again."""

import errno
import os

import numpy as np
import pytest
from cli_words import PHOTO, fast
from PIL import Image

from jaxrestore import images

pytest_plugins = ["cli_fixtures"]

GREY = PHOTO[:16, :16, :1]
COLOUR = PHOTO[:16, :16]
HALF = np.repeat(np.linspace(0, 1, 16, dtype=np.float32)[:, None, None], 16, axis=1)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("pixels", [GREY, COLOUR])
@pytest.mark.parametrize("alpha", [None, HALF])
def test_a_restored_picture_has_the_depth_channels_and_transparency_of_its_source(
    run, tmp_path, prior, depth, pixels, alpha
):
    mode = "grey" if pixels is GREY else "colour"
    like = images.Picture(pixels, alpha, depth, mode, (300.0, 300.0), {"Author": "A. Photographer"})
    images.write(tmp_path / "in.png", pixels, like=like)
    code, _, error = run("restore", "in.png", "-o", "out.png", "--task", "denoising", *fast(prior))
    assert code == 0, error
    out = images.read(tmp_path / "out.png")
    assert (out.depth, out.mode, out.pixels.shape) == (depth, mode, pixels.shape)
    assert out.texts == like.texts
    assert out.resolution == pytest.approx(like.resolution, rel=1e-4)
    if alpha is None:
        assert out.alpha is None
    else:
        np.testing.assert_allclose(out.alpha, alpha, atol=1 / 255)


def test_transparency_is_cut_with_its_picture(run, tmp_path, prior):
    pixels, alpha = PHOTO[:20, :17], np.repeat(np.linspace(0, 1, 20, dtype=np.float32)[:, None, None], 17, axis=1)
    images.write(tmp_path / "in.png", pixels, like=images.Picture(pixels, alpha, 16))
    assert run("restore", "in.png", "-o", "out.png", "--task", "jpeg", *fast(prior))[0] == 0
    out = images.read(tmp_path / "out.png")
    assert out.pixels.shape == (16, 16, 3)
    np.testing.assert_allclose(out.alpha, alpha[:16, :16], atol=1e-4)


@pytest.mark.slow
def test_a_jpeg_file_tells_its_quality_unless_it_is_given(run, tmp_path, prior):
    for name, quality in {"a.jpg": 30, "b.jpg": 60}.items():
        picture = Image.fromarray(images.to_uint8(COLOUR))
        (tmp_path / "in").mkdir(exist_ok=True)
        picture.save(tmp_path / "in" / name, quality=quality, subsampling=0)
    words = ["--task", "jpeg", "--prior", prior, "--method", "ddnm", "--set", "num_steps=2", "--quiet"]
    code, _, error = run("restore", "in", "-o", "out", *words)
    assert code == 0, error
    assert "a.jpg: quality=30, as the file tells" in error
    assert "b.jpg: quality=60, as the file tells" in error
    code, _, error = run("restore", "in", "-o", "given", *words, "--option", "quality=60")
    assert (code, "quality" in error) == (0, False)
    told, given = ([images.load(tmp_path / f / n) for n in ("a.jpg", "b.jpg")] for f in ("out", "given"))
    assert np.abs(told[0] - given[0]).max() > 2 / 255  # of another quality
    np.testing.assert_allclose(told[1], given[1], atol=4 / 255)


def test_a_grey_picture_is_coloured(run, tmp_path, prior):
    images.save(tmp_path / "in.png", GREY)
    assert run("restore", "in.png", "-o", "out.png", "--task", "colorization", *fast(prior))[0] == 0
    assert images.read(tmp_path / "out.png").mode == "colour"


def test_inpainting_fills_transparent_holes_in(run, tmp_path, prior):
    holes = np.ones((16, 16, 1), np.float32)
    holes[4:9, 3:7] = 0
    images.write(tmp_path / "in.png", COLOUR, like=images.Picture(COLOUR, holes))
    words = ["--task", "inpainting_box", "--mask", "in.png"]
    code, _, error = run("restore", "in.png", "-o", "out.png", *words, *fast(prior))
    assert code == 0, error
    assert images.read(tmp_path / "out.png").alpha is None
    np.testing.assert_array_equal(images.load_mask(tmp_path / "in.png", (16, 16)), holes)


@pytest.mark.parametrize(
    ("kernel", "code", "message"),
    [
        (np.ones((3, 5)), 0, ""),
        (np.ones((4, 5)), 1, "k.npy has 4x5 pixels, expected odd sides"),
        (np.ones((41, 41)), 1, "a kernel of 41x41 reaches beyond the reflection of a 16x16 image"),
    ],
)
def test_kernels_may_be_arrays(run, tmp_path, kernel, code, message):
    images.save(tmp_path / "in.png", COLOUR)
    np.save(tmp_path / "k.npy", kernel)
    words = ["degrade", "in.png", "-o", "out.png", "--task", "motion_deblur", "--noise", 0, "--kernel", "k.npy"]
    done, _, error = run(*words)
    assert done == code
    assert message in error
    assert (tmp_path / "out.png").exists() == (code == 0)


def test_a_full_disk_keeps_the_old_result_and_is_told_in_one_line(run, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    images.save(tmp_path / "in.png", COLOUR)
    (tmp_path / "out.jpg").write_bytes(b"the old file")
    monkeypatch.setattr(os, "fsync", full)
    code, _, error = run("degrade", "in.png", "-o", "out.jpg", "--force", "--task", "denoising")
    assert code == 1
    assert error.startswith("error: out.jpg needs ")
    assert error.count("\n") == 1
    assert (tmp_path / "out.jpg").read_bytes() == b"the old file"
    assert len(list(tmp_path.iterdir())) == 2
