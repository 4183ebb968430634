"""`jaxrestore restore`: files in, files out, one picture at a time."""

import re

import numpy as np
import pytest
from cli_words import PHOTO, fast, with_settings
from conftest import by_default, isotropic

import jaxrestore as jr
from jaxrestore import images
from jaxrestore.cli import _stored
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


@pytest.mark.slow
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


@pytest.mark.parametrize("method", by_default(["dpps", "dps"], []))
def test_every_method_restores(run, tmp_path, prior, method):
    images.save(tmp_path / "in.png", PHOTO)
    words = ["restore", "in.png", "-o", "out.png", "--task", "denoising"]
    code, _, err = run(*words, *with_settings(prior, method, num_steps=2))
    assert (code, "set scale, take the paper's settings 'published'" in err) == (1, True)
    assert run(*words, *with_settings(prior, method, num_steps=2, scale=1.0, mean_of=2))[0] == 0
    assert images.load(tmp_path / "out.png").shape == PHOTO.shape


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_picture_that_diverges_is_named_and_the_others_are_written(run, tmp_path, prior):
    (tmp_path / "in").mkdir()
    for name, y in {"a": PHOTO, "b": np.full_like(PHOTO, 1e38), "c": PHOTO[:20], "d": PHOTO}.items():
        np.save(tmp_path / "in" / f"{name}.npy", y)
    words = ["restore", "in", "-o", "out", "--task", "denoising", "--samples", 2]
    code, out, err = run(*words, *with_settings(prior, num_steps=3, warmup_steps=1, learning_rate=1e-3))
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


@pytest.fixture
def folder(tmp_path):
    """Five pictures, the third of another shape."""
    rng = np.random.default_rng(0)
    for i in range(5):
        images.save(tmp_path / "in" / f"{i}.png", rng.uniform(-1, 1, (8, 12 if i == 2 else 8, 3)).astype(np.float32))
    return tmp_path / "in"


def pixels(folder):
    return {path.name: images.load(path) for path in images.find(folder)}


@pytest.mark.slow
def test_shares_and_remainders_give_the_whole_to_the_last_bit(run, tmp_path, prior, folder):
    """Of four pictures of one shape two are done at a time: no share, and no rest, has as many."""
    words = ["restore", "in", "--task", "denoising", "--batch-size", 3, *fast(prior)]
    assert run(*words, "-o", "alone")[0] == 0
    alone = pixels("alone")
    assert run(*words, "-o", "shared", "--share", "1/2")[0] == 0
    assert sorted(pixels("shared")) == ["1.png", "3.png"]
    assert run(*words, "-o", "shared", "--share", "0/2")[0] == 0
    (tmp_path / "shared" / "4.png").unlink()
    code, out, _ = run(*words, "-o", "shared", "--skip-existing")
    assert (code, out.count("residual")) == (0, 1)
    shared = pixels("shared")
    assert sorted(shared) == sorted(alone)
    for name, x in alone.items():
        np.testing.assert_array_equal(shared[name], x)


@pytest.mark.slow
def test_what_another_process_writes_meanwhile_is_left_alone(run, tmp_path, prior, folder, monkeypatch):
    from jaxrestore.cli import restore as module

    def save_and_meet(job, *arguments):
        line = save(job, *arguments)
        if job.index == 0:  # the other process is faster by the next batch, and by a picture of it
            for name in ("1.png", "4.png"):
                (tmp_path / "out" / name).write_bytes(b"another's")
        return line

    save = module._save
    monkeypatch.setattr(module, "_save", save_and_meet)
    words = ["restore", "in", "-o", "out", "--task", "denoising", "--batch-size", 2, "--skip-existing", *fast(prior)]
    code, out, _ = run(*words)
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()] == [
        "out/0.png", "out/1.png is there now", "out/3.png", "out/2.png",
    ]  # fmt: skip
    assert (tmp_path / "out" / "1.png").read_bytes() == (tmp_path / "out" / "4.png").read_bytes() == b"another's"


@pytest.mark.slow
def test_an_estimate_says_what_the_run_would_cost_and_writes_nothing(run, tmp_path, prior, folder):
    code, out, _ = run(
        "restore",
        "in",
        "-o",
        "out",
        "--task",
        "denoising",
        "--estimate",
        "--samples",
        2,
        "--batch-size",
        3,
        *with_settings(prior, num_steps=3, warmup_steps=1, learning_rate=1e-3),
    )
    assert code == 0
    first, cost, memory, times, second, *_ = out.splitlines()
    assert (first, second) == ("4 pictures of 8x8, 2 samples each", "1 pictures of 12x8, 2 samples each")
    assert re.fullmatch(r"  a picture: \d+ network evaluations and \d+ gradients, \S+ [MG]FLOP", cost)
    assert re.fullmatch(r"  3 at a time: \S+ [MG]iB of memory a picture, \S+ [MG]iB in all.*", memory)
    assert re.search(
        r"3 at a time take \S+ s to begin and \S+ s a step; \d+ steps to come take about \S+ seconds in all$", times
    )
    assert not (tmp_path / "out").exists()


def test_a_folder_is_never_held_as_a_whole(folder):
    read = []

    def one(path):
        read.append(path.name)
        picture = images.read(path)
        return picture.on_white(), picture

    stack = _stored.Measurements([folder / f"{i}.png" for i in (0, 1, 3)], (8, 8, 3), one)
    assert (stack.shape, len(stack), read) == ((3, 8, 8, 3), 3, [])
    np.testing.assert_array_equal(stack[1], images.load(folder / "1.png"))
    assert read == ["1.png"]
    like = stack.take_like(1)
    assert like.pixels.size == 0
    assert (like.depth, like.mode) == (8, "colour")
    with pytest.raises(KeyError):
        stack.take_like(1)
    images.save(folder / "0.png", np.zeros((9, 9, 3), np.float32), overwrite=True)
    with pytest.raises(ValueError, match=r"0\.png has changed"):
        stack[0]


def test_pictures_of_one_shape_are_counted_by_their_headers(folder):
    paths = images.find(folder)
    kinds = {"0.png": "a", "1.png": "b"}

    def drawn(path):
        return kinds.get(path.name)

    assert [_stored.count_alike(paths, path, lambda path: None) for path in paths] == [4, 4, 1, 4, 4]
    assert [_stored.count_alike(paths, path, drawn) for path in paths] == [1, 1, 1, 2, 2]
    (folder / "5.png").write_bytes(b"no picture")
    assert _stored.count_alike(images.find(folder), paths[0], lambda path: None) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--share", "2/2"), "'2/2' names no share; expected 'auto', or I/N with I below N"),
        (("--share", "0/2", "--distributed", "auto"), "--share and --distributed both say which share"),
    ],
)
def test_shares_that_there_are_not_are_refused(run, prior, folder, words, message):
    code, _, err = run("restore", "in", "-o", "out", "--task", "denoising", *fast(prior), *words)
    assert code != 0
    assert message in err
