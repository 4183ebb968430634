import json

import numpy as np
import pytest
from conftest import DATA, isotropic, smallest_network

import jaxrestore as jr
from jaxrestore import cli, images
from jaxrestore.cli.restore import _tiled

PHOTO = np.random.default_rng(0).uniform(-0.9, 0.9, (32, 40, 3)).astype(np.float32)


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run the command in a folder of its own; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr("sys.argv", ["jaxrestore", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return jr.save_prior(tmp_path_factory.mktemp("priors") / "tiny", smallest_network())


def fast(prior):
    return [
        "--prior",
        prior,
        "--quiet",
        "--set",
        "num_steps=3",
        "--set",
        "warmup_steps=1",
        "--set",
        "learning_rate=1e-3",
    ]


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


def test_tuned_settings_are_used_by_restore_and_evaluate(run, tmp_path, prior):
    (tmp_path / "photos").mkdir()
    images.save(tmp_path / "photos" / "a.png", PHOTO)
    task = ["--task", "denoising", "--method", "dps", "--prior", prior, "--quiet"]
    tune = ["tune", "--data", "photos", "--size", 32, "-o", "best.json", *task, "--set", "num_steps=4"]
    code, _out, error = run(*tune, "--grid", "scale=0.01..0.1:2", "--metric", "psnr")
    assert code == 0, error
    stored = json.loads((tmp_path / "best.json").read_text())
    assert len(stored["trials"]) == 2
    best = max(stored["trials"], key=lambda t: t["scores"]["psnr"])
    # Stored for 256x256; the gradient of a norm does not grow with the picture, so the step has to.
    assert stored["settings"] == {"num_steps": 4, "scale": pytest.approx(8 * best["settings"]["scale"])}
    assert run("evaluate", "photos", "-o", "e.json", *task, "--settings", "best.json")[0] == 0
    used = json.loads((tmp_path / "e.json").read_text())["settings"]
    assert used["scale"] == pytest.approx(stored["settings"]["scale"] * np.sqrt(32 * 40) / 256)
    assert run("restore", "photos/a.png", "-o", "b.png", *task, "--settings", "best.json")[0] == 0
    assert (
        "expected those of spgd"
        in run(
            "restore", "photos/a.png", "-o", "c.png", *fast(prior), "--task", "denoising", "--settings", "best.json"
        )[2]
    )
    assert "best.json exists" in run(*tune, "--grid", "scale=0.01")[2]
    assert "expected at least 64" in run(*tune, "--grid", "scale=1", "--size", 64, "--force")[2]


def test_analyze_draws_and_tabulates_the_angles(run, tmp_path, prior):
    pytest.importorskip("matplotlib")
    images.save(tmp_path / "a.png", PHOTO)
    words = [
        "analyze",
        "a.png",
        "--task",
        "denoising",
        "--prior",
        prior,
        "--size",
        32,
        "--steps",
        3,
        "--method",
        "spgd",
    ]
    code, out, error = run(*words)
    assert code == 0, error
    assert "spgd, no warm-up" in out
    assert len((tmp_path / "angles.csv").read_text().splitlines()) == 1 + 3 * 3
    assert images.load(tmp_path / "angles.png").shape[1] > 500
    assert "angles.png exists" in run(*words)[2]


def test_degrade_then_restore_a_picture(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO)
    assert run("degrade", "in.png", "-o", "small.png", "--task", "super_resolution", "--option", "factor=2")[0] == 0
    assert images.load(tmp_path / "small.png").shape == (16, 20, 3)
    code, out, _ = run(
        "restore", "small.png", "-o", "large.webp", "--task", "super_resolution", "--option", "factor=2", *fast(prior)
    )
    assert code == 0
    assert "large.webp" in out
    assert images.load(tmp_path / "large.webp").shape == PHOTO.shape


@pytest.mark.parametrize(
    ("asked", "shape", "tile"),
    [(None, (512, 512, 3), 0), (None, (8, 513, 3), 256), (0, (8, 513, 3), 0), (64, (32, 32, 3), 64)],
)
def test_large_pictures_are_seen_by_tiles_unless_asked_otherwise(asked, shape, tile):
    seen = _tiled(isotropic(), asked, shape)
    assert (seen.tile if isinstance(seen, jr.priors.TiledPrior) else 0) == tile


def test_tiles_go_to_the_prior(run, tmp_path, prior):
    images.save(tmp_path / "y.png", PHOTO)
    words = ["restore", "y.png", "--task", "denoising", *fast(prior)]
    for name, tile in (("whole.png", 0), ("tiles.png", 8)):
        assert run(*words, "-o", name, "--tile", tile)[0] == 0
    assert np.abs(images.load(tmp_path / "whole.png") - images.load(tmp_path / "tiles.png")).max() > 0
    assert "tile is 4, expected at least 8" in run(*words, "-o", "z.png", "--tile", 4)[2]


@pytest.mark.parametrize("method", ["dpps", "dps"])
def test_every_method_restores(run, tmp_path, prior, method):
    images.save(tmp_path / "in.png", PHOTO)
    options = ["--prior", prior, "--quiet", "--set", "num_steps=2", "--method", method]
    assert run("restore", "in.png", "-o", "out.png", "--task", "denoising", *options)[0] == 0
    assert images.load(tmp_path / "out.png").shape == PHOTO.shape


def test_masks_and_kernels_are_written_and_read_back(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO)
    assert run("degrade", "in.png", "-o", "holes.png", "--task", "inpainting_random", "--seed", "3")[0] == 0
    mask = images.load(tmp_path / "holes.mask.png")[..., 0] > 0
    assert abs(mask.mean() - 0.2) < 0.001
    assert (
        run(
            "restore",
            "holes.png",
            "-o",
            "a.png",
            "--task",
            "inpainting_random",
            "--mask",
            "holes.mask.png",
            *fast(prior),
        )[0]
        == 0
    )
    assert (
        run("restore", "holes.png", "-o", "b.png", "--task", "inpainting_random", "--seed", "3", *fast(prior))[0] == 0
    )
    assert run("degrade", "in.png", "-o", "m.png", "--task", "motion_deblur", "--option", "kernel_size=9")[0] == 0
    kernel = images.load(tmp_path / "m.kernel.png")
    assert kernel.shape == (9, 9, 3)
    assert (
        run("restore", "m.png", "-o", "c.png", "--task", "motion_deblur", "--kernel", "m.kernel.png", *fast(prior))[0]
        == 0
    )


def test_a_grey_picture_is_coloured(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO)
    assert run("degrade", "in.png", "-o", "grey.png", "--task", "colorization")[0] == 0
    assert run("restore", "grey.png", "-o", "out.png", "--task", "colorization", *fast(prior))[0] == 0


def test_amplitudes_travel_as_arrays(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO[:, :32])
    assert run("degrade", "in.png", "-o", "y.npy", "--task", "phase_retrieval")[0] == 0
    assert np.load(tmp_path / "y.npy").shape == (48, 48, 3)
    code, _, _ = run("restore", "y.npy", "-o", "x.png", "--task", "phase_retrieval", "--samples", "2", *fast(prior))
    assert code == 0
    assert images.load(tmp_path / "x.png").shape == (32, 32, 3)


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


def test_evaluate_prints_and_writes_scores(run, tmp_path, prior):
    images.save(tmp_path / "in" / "a.png", PHOTO)
    code, out, _ = run("evaluate", "in", "-o", "scores.json", "--save", "out", "--task", "denoising", *fast(prior))
    assert code == 0
    assert "mean" in out
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["pictures"][0]["picture"] == "a.png"
    assert set(report["mean"]["restored"]) == {"psnr", "ssim", "lpips"}
    assert report["settings"]["num_steps"] == 3
    assert report["environment"]["versions"]["jax"]
    restored = images.load(tmp_path / "out" / "a.png")
    np.testing.assert_allclose(
        jr.metrics.psnr(restored, images.from_uint8(images.to_uint8(PHOTO))),
        report["mean"]["restored"]["psnr"],
        rtol=1e-3,
    )


def test_train_writes_a_prior_that_restores(run, tmp_path):
    images.save(tmp_path / "photos" / "a.png", PHOTO)
    words = ["train", "--data", "photos", "--run", "run", "--out", "prior", "--set", "num_steps=2", "--set", "crop_size=8", "--set", "batch_size=2", "--set", "scales=1.0,", "--network", "model_channels=32", "--network", "channel_mult=1,", "--validation", "photos"]  # fmt: skip
    code, out, err = run(*words)
    assert code == 0, err
    assert "M parameters" in out
    header = json.loads((tmp_path / "prior" / "prior.json").read_text())
    assert header["info"]["training"]["batch_size"] == 2
    assert set(header["info"]["validation_rmse"]) >= {"0.1", "1"}
    assert run(*words)[0] == 1  # the prior exists
    assert run(*words, "--force")[0] == 0
    images.save(tmp_path / "in.png", PHOTO)
    assert run("restore", "in.png", "-o", "out.png", "--task", "denoising", *fast("prior"))[0] == 0


def test_info_names_devices_versions_priors_and_tasks(run):
    code, out, _ = run("info")
    assert code == 0
    for word in ("jaxlib", "cpu", "photo", *jr.TASKS):
        assert word in out
    report = json.loads(run("info", "--json")[1])
    assert report["tasks"]["super_resolution"]["settings"]["published"]["spgd"]["learning_rate"] == 7.0
    assert "photo" in report["priors"]


@pytest.mark.parametrize("command", ["demo", "restore", "degrade", "evaluate", "train", "info"])
def test_help(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Usage: " in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["restore", "none.png", "-o", "o.png", "--task", "denoising"], "none.png does not exist"),
        (["restore", "text.png", "-o", "o.png", "--task", "denoising"], "text.png cannot be read as a picture"),
        (["restore", "in.png", "-o", "o.gif", "--task", "denoising"], "suffix '.gif'"),
        (["restore", "in.png", "-o", "o.png", "--task", "sharpen"], "'sharpen' is not one of"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--prior", "none"], "bundled priors"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--option", "factor"], "no NAME=VALUE"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--option", "factor=2"], "has no option factor"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--set", "magic=2"], "magic"),
        (["restore", "in.png", "-o", "o.png", "--task", "phase_retrieval"], "is no .npy file"),
        (["restore", "in.png", "-o", "in.png", "--task", "denoising"], "exists"),
        (["evaluate", "nowhere", "--task", "denoising"], "nowhere is no folder"),
        (["degrade", "in.png", "-o", "o.png", "--task", "super_resolution", "--option", "factor=100"], "smaller than"),
        (["demo", "--photo", "none.png"], "none.png does not exist"),
        (["fly"], "No such command"),
    ],
)
def test_bad_input_gives_one_clear_line_and_no_file(run, tmp_path, words, message):
    images.save(tmp_path / "in.png", PHOTO)
    (tmp_path / "text.png").write_text("no picture")
    before = sorted(p.name for p in tmp_path.iterdir())
    code, _, err = run(*words)
    assert code != 0
    assert message in err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith(("error", "Error"))]) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_divergence_is_one_line_that_names_the_picture(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO)
    words = [w.replace("1e-3", "1e30") if isinstance(w, str) else w for w in fast(prior)]
    code, _, err = run("restore", "in.png", "-o", "o.png", "--task", "denoising", *words)
    assert code == 1
    assert "in.png: " in err
    assert "--set learning_rate=" in err
    assert not (tmp_path / "o.png").exists()


def test_restoring_twice_gives_the_same_picture(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO)
    for name in ("a.png", "b.png"):
        assert run("restore", "in.png", "-o", name, "--task", "denoising", "--seed", "5", *fast(prior))[0] == 0
    np.testing.assert_array_equal(images.load(tmp_path / "a.png"), images.load(tmp_path / "b.png"))


def test_a_converted_checkpoint_restores_a_picture(run, tmp_path):
    torch = pytest.importorskip("torch")
    with np.load(DATA / "adm_tiny.npz") as state:
        torch.save({name: torch.from_numpy(value) for name, value in state.items()}, tmp_path / "adm.pt")
    code, _, errors = run("convert", "guided-diffusion", "adm.pt", "--num-head-channels", 16, "--out", "converted")
    assert (code, errors) == (0, "")
    images.save("blurred.png", PHOTO)
    words = ["restore", "blurred.png", "-o", "sharp.png", "--task", "gaussian_deblur", "--option", "kernel_size=9"]
    code, _, errors = run(*words, "--prior", "converted", "--set", "num_steps=2", "--quiet")
    assert code == 0, errors
    assert images.load("sharp.png").shape == PHOTO.shape
    code, _, errors = run("convert", "guided-diffusion", "adm.pt", "--out", "other")
    assert code == 1
    assert errors.startswith("error: the network has attention")
    assert errors.count("\n") == 1
