"""`jaxrestore evaluate`, `tune` and `analyze`: pictures whose truth is known."""

import json

import numpy as np
import pytest
from cli_words import PHOTO, fast, with_settings
from test_metrics import random_weights

import jaxrestore as jr
from jaxrestore import evaluation, images, tuning
from jaxrestore.evaluation import Scores
from jaxrestore.methods import METHODS
from jaxrestore.metrics.perceptual import save_lpips
from jaxrestore.restore import Divergence

pytest_plugins = ["cli_fixtures"]


@pytest.mark.slow
def test_evaluate_prints_and_writes_scores(run, tmp_path, prior):
    images.save(tmp_path / "in" / "a.png", PHOTO)
    like = images.Picture(PHOTO[:, :32], depth=16, resolution=(300.0, 300.0))
    images.write(tmp_path / "in" / "b.png", PHOTO[:, :32], like=like)
    words = ["evaluate", "in", "-o", "scores.json", "--save", "out", "--task", "gaussian_deblur"]
    words += ["--option", "kernel_size=9", "--samples", 2, "--self-ensemble", 2]
    code, out, err = run(*words, *with_settings(prior, "dps", num_steps=3, mean_of=2), "--settings", "photo")
    assert code == 0, err
    assert "mean" in out
    report = json.loads((tmp_path / "scores.json").read_text())
    assert [picture["picture"] for picture in report["pictures"]] == ["a.png", "b.png"]
    assert set(report["mean"]["restored"]) == {"psnr", "ssim", "lpips"}
    assert report["lpips_variant"] == "alex"
    assert "LPIPS (alex) simple" in out
    assert report["environment"]["versions"]["jax"]
    restored = images.load(tmp_path / "out" / "a.png")
    np.testing.assert_allclose(
        jr.metrics.psnr(restored, images.from_uint8(images.to_uint8(PHOTO))),
        report["pictures"][0]["restored"]["psnr"],
        rtol=1e-3,
    )
    kept = images.read(tmp_path / "out" / "b.png")
    assert (kept.depth, kept.resolution) == (16, pytest.approx((300.0, 300.0), rel=1e-4))
    # What was used, given or not: the task's noise and options, and settings and cost for each shape.
    assert report["noise_std"] == 0.01
    assert report["options"] == {"kernel_size": 9, "std": 3.0, "boundary": "reflect", "kernel": None}
    assert [entry["shape"] for entry in report["shapes"]] == [[32, 40, 3], [32, 32, 3]]
    for entry in report["shapes"]:
        side = np.sqrt(entry["shape"][0] * entry["shape"][1])
        scale = pytest.approx(13.0 * side / 256)
        assert entry["settings"] == {"num_steps": 3, "scale": scale, "warmup_steps": 1, "grids": 1, "mean_of": 2}
        assert entry["evaluations_per_picture"] == {"forward": 3 * 2 * 2 * 2, "gradients": 3 * 2 * 2 * 2}


@pytest.mark.slow
def test_the_lpips_of_the_papers_is_reported_by_its_name(run, tmp_path, prior):
    """With random VGG16 weights: the figures are those of the variant that is asked for, and table and file say which."""
    images.save(tmp_path / "in" / "a.png", PHOTO)
    save_lpips(tmp_path / "vgg", "vgg", random_weights("vgg"))
    words = ["evaluate", "in", "--task", "denoising", *fast(prior)]
    code, out, err = run(*words, "--lpips", "piq", "--lpips-weights", "vgg", "-o", "piq.json", "--save", "out")
    assert code == 0, err
    assert "LPIPS (piq) restored" in out
    report = json.loads((tmp_path / "piq.json").read_text())
    assert report["lpips_variant"] == "piq"
    restored = images.load(tmp_path / "out" / "a.png")
    by_variant = [evaluation.score(restored, PHOTO, lpips=evaluation.perceptual("piq", tmp_path / "vgg")).lpips]
    by_variant.append(evaluation.score(restored, PHOTO).lpips)
    assert report["pictures"][0]["restored"]["lpips"] == pytest.approx(by_variant[0], rel=1e-4)
    assert by_variant[0] != pytest.approx(by_variant[1], rel=0.01)
    for given, wrong in ((["--lpips", "vgg"], "is not bundled"), (["--lpips-weights", "vgg"], "is not what vgg holds")):
        code, _, err = run(*words, *given)
        assert code != 0
        assert wrong in err
        assert "give --lpips-weights FOLDER, written by `python -m convert_weights lpips" in err


def test_a_picture_that_diverges_is_left_out_of_the_means(run, tmp_path, prior, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        images.save(tmp_path / "in" / name, PHOTO)
    evaluate = evaluation.evaluate

    def with_failure(*args, **kwargs):
        result = evaluate(*args, **kwargs)
        scores = [result.scores[0], Scores(*[float("nan")] * 3), result.scores[2]]
        return result._replace(scores=scores, divergences=[Divergence(1, 0, 2)])

    monkeypatch.setattr(evaluation, "evaluate", with_failure)
    code, out, err = run("evaluate", "in", "-o", "e.json", "--save", "out", "--task", "denoising", *fast(prior))
    assert code == 1
    assert "failed" in next(line for line in out.splitlines() if "b.png" in line)
    assert err.startswith("error: 1 of 3 pictures failed")
    assert "b.png: diverged, posterior sample 0 at step 2; it has no result" in err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    report = json.loads((tmp_path / "e.json").read_text())
    first, failed, last = report["pictures"]
    assert failed["restored"] == {"psnr": None, "ssim": None, "lpips": None}
    for kind in ("restored", "simple"):
        assert report["mean"][kind]["psnr"] == pytest.approx((first[kind]["psnr"] + last[kind]["psnr"]) / 2)


@pytest.mark.slow
def test_a_folder_is_evaluated_by_turns_as_it_is_at_once(run, tmp_path, prior, monkeypatch):
    for i, name in enumerate(("a.png", "b.png", "c.png")):
        images.save(tmp_path / "in" / name, np.roll(PHOTO, i))
    stacks, evaluated = [], evaluation.evaluate

    def evaluate(sampler, prior, degradation, truths, **options):
        stacks.append(len(truths))
        return evaluated(sampler, prior, degradation, truths, **options)

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    words = ["evaluate", "in", "--task", "denoising", "--batch-size", 1, *fast(prior)]
    assert run(*words, "-o", "whole.json", "--save", "whole")[0] == 0
    monkeypatch.setattr("jaxrestore.cli.evaluate._PICTURES", 2)
    assert run(*words, "-o", "turns.json", "--save", "turns")[0] == 0
    assert stacks == [3, 2, 1]
    whole, turns = (json.loads((tmp_path / f).read_text())["pictures"] for f in ("whole.json", "turns.json"))
    assert [p["restored"] for p in turns] == [p["restored"] for p in whole]
    for name in ("a.png", "c.png"):
        assert (tmp_path / "turns" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_tune_says_which_settings_of_the_grid_change_nothing(run, tmp_path, prior):
    images.save(tmp_path / "photos" / "a.png", PHOTO)
    words = ["tune", "--data", "photos", "--size", 32, "-o", "best.json", "--task", "denoising", "--metric", "psnr"]
    words += ["--grid", "momentum=0.1,0.9", "--grid", "learning_rate=0.001"]
    code, _, error = run(*words, *with_settings(prior, num_steps=2, warmup_steps=1))
    assert code == 0, error
    assert "--grid momentum changes nothing of spgd for denoising" in error
    assert "--grid learning_rate" not in error


def test_settings_of_several_grids_are_tuned(run, tmp_path, prior, monkeypatch):
    """What all methods share, as the bundled prior's settings of the default method have it, is no argument of one."""

    def program(factory, settings, traced):
        assert factory(**settings).num_steps == METHODS["pspgd"].build(**settings, grids=2).num_steps
        return lambda values, *_: [values[:, 0]] * 3

    monkeypatch.setattr(tuning, "_program", program)
    images.save(tmp_path / "photos" / "a.png", PHOTO)
    words = ["tune", "--data", "photos", "--size", 32, "-o", "best.json", "--task", "denoising", "--metric", "psnr"]
    words += ["--grid", "learning_rate=0.5,1", *with_settings(prior, "pspgd"), "--settings", "photo"]
    code, _, error = run(*words)
    assert code == 0, error
    settings = json.loads((tmp_path / "best.json").read_text())["settings"]
    assert settings == {"evaluations": 12, "grids": 2, "sigma_max": 5.0, "learning_rate": 1.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grid", "scale=1", "-o", "best"], "best has suffix '', expected .json"),
        (["--grid", "scale"], "--grid scale has no values"),
        (["--grid", "scale=1..3:0"], "--grid scale=1..3:0 has no values"),
        (["--grid", "scale=-1..3:2"], "'-1..3:2' is no range"),
        (["--grid", "scale=1", "--grid", "scale=2"], "--grid scale is given twice"),
        (["--grid", "scale=1", "--set", "scale=2"], "--set and --grid both say what scale is"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_any_computing(run, words, message):
    code, _, error = run("tune", "--data", ".", "-o", "best.json", "--task", "denoising", "--method", "dps", *words)
    assert code in (1, 2)
    assert message in error
    assert "warning" not in error


def test_evaluate_ends_although_every_picture_diverges(run, tmp_path, prior):
    images.save(tmp_path / "in" / "a.png", PHOTO)
    words = ["evaluate", "in", "-o", "e.json", "--task", "denoising"]
    code, _, err = run(*words, *with_settings(prior, num_steps=3, warmup_steps=1, learning_rate=1e30))
    assert code == 1
    assert "a.png: diverged, posterior sample 0 at step " in err
    assert json.loads((tmp_path / "e.json").read_text())["mean"]["restored"]["psnr"] is None


@pytest.mark.slow
def test_tuned_settings_are_used_by_restore_and_evaluate(run, tmp_path, prior):
    (tmp_path / "photos").mkdir()
    images.save(tmp_path / "photos" / "a.png", PHOTO)
    task = ["--task", "denoising", "--method", "dps", "--prior", prior, "--quiet"]
    tune = ["tune", "--data", "photos", "--size", 32, "-o", "best.json", *task, "--set", "num_steps=4"]
    code, _out, error = run(*tune, "--set", "mean_of=2", "--grid", "scale=0.01..0.1:2", "--metric", "psnr")
    assert code == 0, error
    stored = json.loads((tmp_path / "best.json").read_text())
    best, worse = stored["trials"]
    assert best["scores"]["psnr"] > worse["scores"]["psnr"]
    # Stored for 256x256; the gradient of a norm does not grow with the picture, so the step has to.
    assert stored["settings"] == {"num_steps": 4, "scale": pytest.approx(8 * best["settings"]["scale"]), "mean_of": 2}
    assert stored["noise_std"] == 0.2
    assert run("evaluate", "photos", "-o", "e.json", *task, "--settings", "best.json")[0] == 0
    used = json.loads((tmp_path / "e.json").read_text())["shapes"][0]["settings"]
    assert used["scale"] == pytest.approx(stored["settings"]["scale"] * np.sqrt(32 * 40) / 256)
    assert used["mean_of"] == 2
    assert run("restore", "photos/a.png", "-o", "b.png", *task, "--settings", "best.json")[0] == 0
    words = ["restore", "photos/a.png", "-o", "c.png", "--task", "denoising", "--settings", "best.json"]
    assert "expected those of reddiff" in run(*words, *fast(prior))[2]
    assert "best.json exists" in run(*tune, "--grid", "scale=0.01")[2]
    assert (
        "a.png: the picture has 32x40 pixels, expected at least 64"
        in run(*tune, "--grid", "scale=1", "--size", 64, "--force")[2]
    )
    assert "num_steps is 'few', expected a whole number" in run(*tune, "--grid", "num_steps=few", "--force")[2]


@pytest.mark.slow
def test_analyze_draws_and_tabulates_the_angles(run, tmp_path, prior):
    pytest.importorskip("matplotlib")
    images.save(tmp_path / "a.png", PHOTO)
    words = ["analyze", "a.png", "--task", "denoising", "--prior", prior, "--size", 32, "--steps", 3]
    code, out, error = run(*words, "--method", "spgd")
    assert code == 0, error
    assert "spgd, no warm-up" in out
    assert len((tmp_path / "angles.csv").read_text().splitlines()) == 1 + 3 * 3
    assert images.load(tmp_path / "angles.png").shape[1] > 500
    assert "angles.png exists" in run(*words)[2]
