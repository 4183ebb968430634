"""`jaxrestore calibrate`, and `restore --save-std` with what it has learnt."""

import json

import numpy as np
import pytest
from cli_words import PHOTO
from PIL import Image

from jaxrestore import images

pytest_plugins = ["cli_fixtures"]


@pytest.fixture
def words(prior, tmp_path):
    for folder, count in (("photos", 2), ("others", 1)):
        for i in range(count):
            images.save(tmp_path / folder / f"{i}.png", np.roll(PHOTO, 5 * i + len(folder), 0))
    method = ["--method", "ddrm", "--prior", prior, "--quiet", "--samples", 3]
    return ["--task", "denoising", *method]


@pytest.mark.slow
def test_restore_uses_what_was_calibrated(run, tmp_path, words):
    learn = ["calibrate", "--data", "photos", "--size", 32, "-o", "sure.json", "--set", "num_steps=4", *words]
    code, out, error = run(*learn, "--held-out", "others")
    assert code == 0, error
    assert "2 pictures: deviations are to be multiplied by" in out
    assert "50% of the pixels, guaranteed: mean +- " in out
    assert "90% of the pixels, on average: mean +- " in out
    assert "90% of the pixels, guaranteed" not in out
    stored = json.loads((tmp_path / "sure.json").read_text())
    assert stored["calibration"]["num_samples"] == 3
    assert len(stored["held_out"]["within"]) == 3
    assert stored["settings"]["num_steps"] == 4
    assert "sure.json exists" in run(*learn)[2]

    restore = ["restore", "photos/0.png", "--save-std", *words]
    assert run(*restore, "-o", "plain.png", "--set", "num_steps=4")[0] == 0
    code, out, error = run(*restore, "-o", "sure.png", "--settings", "sure.json")
    assert code == 0, error
    scale = stored["calibration"]["scale"]
    assert f"calibrated by {scale:.2f}" in out
    plain, sure = (np.load(tmp_path / f"{name}.std.npy") for name in ("plain", "sure"))
    np.testing.assert_allclose(sure, scale * plain, rtol=2e-2)

    # What it was not calibrated for is refused, before anything is computed.
    other = [*restore, "-o", "z.png", "--settings", "sure.json"]
    assert "is for noise_std 0.2, and not for 0.1" in run(*other, "--noise", 0.1)[2]
    assert "is for samples 3, and not for 4" in run(*other, "--samples", 4)[2]
    assert "--set changes what sure.json was calibrated with" in run(*other, "--set", "num_steps=5")[2]


@pytest.mark.slow
def test_what_was_learnt_is_kept_when_the_held_out_pictures_fail(run, tmp_path, words, monkeypatch):
    def fails(*args, **kwargs):
        raise MemoryError("no room")

    monkeypatch.setattr("jaxrestore.cli.calibrate.reach", fails)
    learn = ["calibrate", "--data", "photos", "--size", 32, "-o", "sure.json", "--set", "num_steps=4", *words]
    assert run(*learn, "--held-out", "others")[0] != 0
    stored = json.loads((tmp_path / "sure.json").read_text())
    assert stored["held_out"] is None
    assert stored["calibration"]["num_pictures"] == 2


@pytest.mark.slow
def test_a_calibration_is_for_the_quality_that_each_file_tells(run, tmp_path, prior, words):
    words = ["--task", "jpeg", *words[2:]]
    learn = ["calibrate", "--data", "photos", "--size", 32, "-o", "sure.json", "--option", "quality=30"]
    assert run(*learn, "--set", "num_steps=4", *words)[0] == 0
    picture = Image.fromarray(np.uint8(127.5 * (PHOTO[:32, :32] + 1)))
    for quality in (30, 60):
        picture.save(tmp_path / f"{quality}.jpg", quality=quality, subsampling=0)
    restore = ["--save-std", "--settings", "sure.json", *words]
    code, _, error = run("restore", "30.jpg", "-o", "a.png", *restore)
    assert code == 0, error
    code, _, error = run("restore", "60.jpg", "-o", "b.png", *restore)
    assert code != 0
    assert "sure.json is for options" in error
    assert not (tmp_path / "b.png").exists()


def test_what_cannot_be_calibrated_is_refused(run, tmp_path, words):
    learn = ["calibrate", "--data", "photos", "--size", 32, "-o", "sure.json", *words]
    assert "sure has suffix '', expected .json" in run(*learn, "-o", "sure")[2]
    assert "calibrate needs --samples of at least 2" in run(*learn, "--samples", 1)[2]
    assert "give it other pictures than --data" in run(*learn, "--held-out", tmp_path / "photos")[2]
    assert "gone is no folder" in run(*learn, "--held-out", "gone")[2]
