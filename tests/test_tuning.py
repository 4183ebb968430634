import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import isotropic

import jaxrestore as jr
from jaxrestore import evaluation, tuning

SHAPE = (32, 32, 3)
KEY = jax.random.key(0)
PRIOR = isotropic(SHAPE)
DEGRADATION = jr.Degradation(jr.operators.Denoising(SHAPE), jr.GaussianNoise(0.2))
TRUTHS = np.asarray(0.3 * jax.random.normal(KEY, (2, *SHAPE)))
FIXED = {"num_steps": 4, "warmup_steps": 2, "sigma_max": 5.0}


def test_what_may_be_traced_is_told_by_the_annotations():
    assert tuning.traceable(jr.spgd) == {"learning_rate", "lr_min_ratio", "momentum"}
    assert tuning.traceable(jr.dps) == {"scale"}
    assert tuning.traceable(jr.diffpir) == {"strength", "zeta", "noise_std"}


@pytest.mark.slow
def test_every_trial_is_what_the_sampler_alone_gives():
    """Settings that are vmapped, settings that are compiled, and batches that mix pictures and settings."""
    grid = {"learning_rate": [0.05, 0.2, 0.1], "num_steps": [3, 4]}
    reports = []
    trials = tuning.tune(
        jr.spgd,
        PRIOR,
        DEGRADATION,
        TRUTHS,
        grid,
        key=KEY,
        fixed=FIXED,
        metric="psnr",
        batch_size=4,
        report=lambda *n: reports.append(n),
    )
    assert len(trials) == 6
    assert reports[-1] == (12, 12)
    assert [t.scores.psnr for t in trials] == sorted((t.scores.psnr for t in trials), reverse=True)
    key_noise, key_sampler = jax.random.split(KEY)
    ys = evaluation.measure(DEGRADATION, TRUTHS, key_noise)
    for trial in trials[::5]:
        sample = jax.jit(jr.spgd(**trial.settings).sample)
        images = [
            sample(jax.random.fold_in(key_sampler, i), PRIOR, DEGRADATION, jnp.asarray(ys[i])).image for i in range(2)
        ]
        psnr = np.mean([jr.metrics.psnr(jnp.clip(a, -1, 1), t) for a, t in zip(images, TRUTHS, strict=True)])
        np.testing.assert_allclose(trial.scores.psnr, psnr, rtol=1e-4)


def test_an_image_that_became_infinite_is_not_taken_for_a_clipped_one():
    trials = tuning.tune(jr.dps, PRIOR, DEGRADATION, TRUTHS, {"scale": [1e38, 0.1]}, key=KEY, fixed={"num_steps": 3})
    assert trials[0].settings["scale"] == pytest.approx(0.1)
    assert np.isnan(trials[1].scores.psnr)


def test_what_diverges_comes_last():
    trials = tuning.tune(
        jr.spgd, PRIOR, DEGRADATION, TRUTHS, {"learning_rate": [1e30, 0.1]}, key=KEY, fixed=FIXED, metric="psnr"
    )
    assert trials[0].settings["learning_rate"] == pytest.approx(0.1)
    assert not np.isfinite(trials[1].scores.psnr)


def test_none_among_the_values_stays_none(monkeypatch):
    """DDPG's deterministic form is zeta=None."""
    monkeypatch.setattr(tuning, "_program", lambda *_: lambda values, *_: 3 * [np.zeros(len(values))])
    trials = tuning.tune(jr.ddpg, PRIOR, DEGRADATION, TRUTHS, {"zeta": [None, 0.5], "gamma": [4.0]}, key=KEY)
    assert [trial.settings for trial in trials] == [{"zeta": None, "gamma": 4.0}, {"zeta": 0.5, "gamma": 4.0}]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "the grid has no values"),
        ({"learning_rate": []}, "the grid has no values"),
        ({"speed": [1.0]}, "the grid has speed; expected values for some of learning_rate"),
        ({"momentum": [0.5, 2.0]}, "beta is 2.0"),
    ],
)
def test_bad_grids_are_refused_before_anything_runs(grid, message):
    with pytest.raises(ValueError, match=message):
        tuning.tune(jr.spgd, PRIOR, DEGRADATION, TRUTHS, grid, key=KEY)


def test_settings_files_round_trip_and_are_checked(tmp_path):
    file = tmp_path / "best.json"
    tuning.save_settings(file, "denoising", "dps", {"scale": np.float32(2.0), "num_steps": np.int64(5)}, note="x")
    assert tuning.load_settings(file, "denoising", "dps") == {"scale": 2.0, "num_steps": 5}
    with pytest.raises(ValueError, match="holds settings of dps for denoising, expected those of spgd for denoising"):
        tuning.load_settings(file, "denoising", "spgd")
    file.write_text(json.dumps({"settings": {}}))
    with pytest.raises(ValueError, match="holds no settings; expected a file written by `jaxrestore tune`"):
        tuning.load_settings(file, "denoising", "dps")
    with pytest.raises(ValueError, match="cannot be read"):
        tuning.load_settings(tmp_path / "none.json", "denoising", "dps")


def test_settings_that_no_file_can_hold_are_refused_before_anything_runs():
    tuning.check_storable({"num_steps": 3, "solver": "cg", "noise_std": None, "scale": np.float32(0.5)})
    with pytest.raises(TypeError, match="start is noise_start, which a file cannot hold"):
        tuning.check_storable({"num_steps": 3, "start": jr.samplers.noise_start})


def test_without_a_grid_the_weight_of_the_measurement_is_searched(monkeypatch):
    monkeypatch.setattr(tuning, "_POWERS", [-1, 3])
    trials = tuning.tune(jr.dps, PRIOR, DEGRADATION, TRUTHS, key=KEY, fixed={"num_steps": 3})
    assert sorted(trial.settings["scale"] for trial in trials) == [0.5, 8.0]
    with pytest.raises(ValueError, match="ddnm has no weight of the measurement to search; give a grid of some of num"):
        tuning.tune(jr.ddnm, PRIOR, DEGRADATION, TRUTHS, key=KEY)
