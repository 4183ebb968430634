"""`jaxrestore restore`: files in, files out, one picture at a time."""

import numpy as np
import pytest
from cli_words import PHOTO, fast, with_settings
from conftest import isotropic

import jaxrestore as jr
from jaxrestore import images
from jaxrestore.cli.restore import _tiled

pytest_plugins = ["cli_fixtures"]


def test_samples_give_their_mean_and_deviation(run, tmp_path, prior):
    images.save(tmp_path / "y.png", PHOTO)
    words = ["restore", "y.png", "-o", "x.png", "--task", "denoising", "--samples", 3, "--save-std", *fast(prior)]
    code, out, _ = run(*words)
    assert code == 0
    assert "white in x.std.png is" in out
    std = np.load(tmp_path / "x.std.npy")
    assert std.shape == PHOTO.shape
    assert std.max() > 0
    np.testing.assert_allclose(
        images.load(tmp_path / "x.std.png"), np.clip(2 * std / np.percentile(std, 99) - 1, -1, 1), atol=1 / 127
    )
    assert images.find(tmp_path) == [tmp_path / "x.png", tmp_path / "y.png"]
    assert "y.png" not in run(*words)[2]
    assert "x.png exists" in run(*words)[2]
    assert "--save-std needs --samples of at least 2" in run(*words[:6], "--save-std")[2]


@pytest.mark.parametrize(
    ("asked", "shape", "tile"),
    [(None, (512, 512, 3), 0), (None, (8, 513, 3), 256), (0, (8, 513, 3), 0), (64, (32, 32, 3), 64)],
)
def test_large_pictures_are_seen_by_tiles_unless_asked_otherwise(asked, shape, tile):
    seen = _tiled(isotropic(), asked, shape)
    assert (seen.tile if isinstance(seen, jr.priors.TiledPrior) else 0) == tile


def test_tiles_and_mirror_images_go_to_the_prior(run, tmp_path, prior):
    images.save(tmp_path / "y.png", PHOTO)
    words = ["restore", "y.png", "--task", "denoising", *fast(prior)]
    variants = {"whole.png": [], "tiles.png": ["--tile", 8], "mirrored.png": ["--tile", 8, "--self-ensemble", 2]}
    for name, more in variants.items():
        assert run(*words, "-o", name, *more)[0] == 0
    whole, tiles, mirrored = (images.load(tmp_path / name) for name in variants)
    assert np.abs(whole - tiles).max() > 0
    assert np.abs(mirrored - tiles).max() > 0
    assert "tile is 4, expected at least 8" in run(*words, "-o", "z.png", "--tile", 4)[2]


@pytest.mark.parametrize("method", ["dpps", "dps"])
def test_every_method_restores(run, tmp_path, prior, method):
    images.save(tmp_path / "in.png", PHOTO)
    words = ["restore", "in.png", "-o", "out.png", "--task", "denoising"]
    assert run(*words, *with_settings(prior, method, num_steps=2, mean_of=2))[0] == 0
    assert images.load(tmp_path / "out.png").shape == PHOTO.shape


def test_repaint_fills_holes_in(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO)
    images.save(tmp_path / "in.mask.png", np.sign(PHOTO[..., :1]))
    words = ["restore", "in.png", "-o", "out.png", "--task", "inpainting_random"]
    settings = with_settings(prior, "repaint", num_steps=4, jump_length=2, jump_repeats=2)
    code, _, err = run(*words, *settings)
    assert code == 0, err
    assert images.load(tmp_path / "out.png").shape == PHOTO.shape


def test_pictures_are_cut_to_what_a_task_can_treat(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO[:21])
    words = ["restore", "in.png", "-o", "out.png", "--task", "jpeg"]
    code, _, err = run(*words, *with_settings(prior, "reddiff", num_steps=2))
    assert code == 0
    assert "in.png is cut to 16x40: sides must be multiples of 8" in err
    assert images.load(tmp_path / "out.png").shape == (16, 40, 3)


def test_a_folder_with_pictures_of_several_sizes(run, tmp_path, prior):
    for name, picture in {"a.png": PHOTO, "b.jpg": PHOTO[:20], "c.tif": PHOTO}.items():
        images.save(tmp_path / "in" / name, picture)
    command = ["restore", "in", "-o", "out", "--task", "denoising", *fast(prior)]
    assert run(*command)[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg", "c.tif"]
    code, _, err = run(*command)
    assert code == 1
    assert "exists; choose another name or add --force" in err
    (tmp_path / "out" / "a.png").unlink()
    before = (tmp_path / "out" / "c.tif").stat().st_mtime_ns
    code, out, _ = run(*command, "--skip-existing")
    assert code == 0
    assert "a.png" in out
    assert (tmp_path / "out" / "c.tif").stat().st_mtime_ns == before
    # Neither what is skipped nor the batch size changes a picture.
    restored = {p.name: images.load(p) for p in (tmp_path / "out").iterdir()}
    assert run(*command, "--force", "--batch-size", "1")[0] == 0
    for name in ("a.png", "c.tif"):
        np.testing.assert_allclose(images.load(tmp_path / "out" / name), restored[name], atol=2 / 255)


def test_restoring_twice_gives_the_same_picture(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO)
    for name in ("a.png", "b.png"):
        assert run("restore", "in.png", "-o", name, "--task", "denoising", "--seed", "5", *fast(prior))[0] == 0
    np.testing.assert_array_equal(images.load(tmp_path / "a.png"), images.load(tmp_path / "b.png"))


def test_a_picture_that_diverges_is_named_and_the_others_are_written(run, tmp_path, prior):
    (tmp_path / "in").mkdir()
    for name, y in {"a": PHOTO, "b": np.full_like(PHOTO, 1e38), "c": PHOTO[:20], "d": PHOTO}.items():
        np.save(tmp_path / "in" / f"{name}.npy", y)
    code, out, err = run("restore", "in", "-o", "out", "--task", "denoising", "--samples", 2, *fast(prior))
    assert code == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "c.png", "d.png"]
    assert all(name in out for name in ("a.png", "c.png", "d.png"))
    doubt, first, second = err.splitlines()
    assert doubt.startswith("warning: in/b.npy has values up to 1e+38")
    assert first.startswith("error: 1 of 4 pictures failed")
    assert first.endswith("lower learning_rate, e.g. --set learning_rate=...")
    assert "b.npy: diverged, posterior sample 0 at step " in second
    assert "posterior sample 1 at step " in second
    assert second.endswith("it has no result")
