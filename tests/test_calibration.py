"""Calibrated deviations hold on pictures that they were not learnt on."""

import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import isotropic

import jaxrestore as jr
from jaxrestore import calibration, coverage, credible, evaluation, tuning

SHAPE, NOISE, VARIANCE = (4, 4, 1), 0.5, 0.25
KEY = jax.random.key(0)
PRIOR = isotropic(SHAPE, variance=VARIANCE)
DEGRADATION = jr.Degradation(jr.operators.Denoising(SHAPE), jr.GaussianNoise(NOISE))
TRUTHS = np.asarray(jax.vmap(PRIOR.sample)(jax.random.split(jax.random.key(7), 500)))
OPTIONS = {"num_samples": 32, "batch_size": 2000}


class State(NamedTuple):
    x: jax.Array
    x0: jax.Array
    index: jax.Array
    key: jax.Array


def exact(width=1.0):
    """Samples of the exact posterior, or some whose spread is `width` times as large."""
    shrink = VARIANCE / (VARIANCE + NOISE**2)

    def init(key, prior, degradation, y):
        return State(jnp.zeros(SHAPE), jnp.zeros(SHAPE), jnp.int32(0), key)

    def step(state, prior, degradation, y):
        x = shrink * y + width * jnp.sqrt(shrink) * NOISE * jax.random.normal(state.key, SHAPE)
        return State(x, x, state.index + 1, state.key), ()

    return jr.Sampler(init, step, 1)


RIGHT, HALVED = exact(), exact(0.5)


@pytest.fixture(scope="module")
def calibrations():
    """Learnt on 300 pictures."""
    return [jr.calibrate(s, PRIOR, DEGRADATION, TRUTHS[:300], key=KEY, **OPTIONS) for s in (RIGHT, HALVED)]


def test_exact_samples_need_the_scale_that_their_number_asks_for(calibrations):
    """Between mean and truth lie sqrt(1 + 1/32) deviations, and 32 samples do not know the deviation itself."""
    expected = coverage.gaussian_multiple(credible.ONE_DEVIATION, 32)
    assert expected == pytest.approx(1.03, abs=0.01)
    assert calibrations[0].scale == pytest.approx(expected, rel=0.04)


def test_the_scale_of_a_halved_spread_is_twice_that(calibrations):
    right, halved = calibrations
    assert halved.scale == pytest.approx(2 * right.scale, rel=0.05)
    assert halved.scale == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize(("sampler", "index"), [(RIGHT, 0), (HALVED, 1)])
def test_held_out_pictures_are_covered_as_they_should_be(calibrations, sampler, index):
    options = {**OPTIONS, "key": jax.random.key(1), "levels": (0.5, 0.9, 0.95)}
    reached = calibration.held_out(calibrations[index], sampler, PRIOR, DEGRADATION, TRUTHS[300:], **options)
    assert set(reached.intervals) == set(reached.guaranteed) == {0.5, 0.9, 0.95}
    for level, share in (*reached.intervals.items(), *reached.guaranteed.items()):
        assert share == pytest.approx(level, abs=0.03)
    np.testing.assert_allclose(reached.within, [0.683, 0.954, 0.997], atol=0.03)


def test_the_guarantee_holds_on_average_however_few_pictures_there_are():
    """Of pictures whose errors are all one, very different, number: 2000 times 9 pictures, and a tenth."""
    errors = np.random.default_rng(0).standard_cauchy((2000, 10, 1)).__abs__()
    covered = []
    for known in errors:
        learnt = credible.from_deviations(known[:9], 8)
        covered.append(known[9, 0] <= learnt.factor(0.8) * learnt.scale)
    assert np.mean(covered) >= 0.8 - 3 * np.sqrt(0.16 / 2000)
    assert np.mean(covered) <= 0.9 + 0.03  # at most one rank more, of ten


def test_stored_digits_are_rounded_so_that_what_decides_is_within():
    away = np.random.default_rng(1).uniform(0.1, 9, 199)
    stored = np.array(credible.from_deviations(away[None], 8).multiples)
    assert (stored >= np.sort(away)).all()
    np.testing.assert_allclose(stored, np.sort(away), rtol=2e-5)


def test_what_few_pictures_cannot_guarantee_is_refused_with_their_number():
    few = credible.from_deviations(np.random.default_rng(0).uniform(size=(5, 100)), 8)
    with pytest.raises(ValueError, match="level is 0.9, which 5 pictures cannot tell; it takes 10"):
        few.factor(0.9)
    assert credible.from_deviations(np.random.default_rng(0).uniform(size=(10, 100)), 8).factor(0.9) > 0
    with pytest.raises(ValueError, match="expected a level below 0.995"):
        few.factor(0.999)
    reached = calibration.held_out(
        few._replace(num_samples=32), RIGHT, PRIOR, DEGRADATION, TRUTHS[:2], key=KEY, levels=(0.5, 0.9)
    )
    assert set(reached.intervals) == {0.5, 0.9}
    assert set(reached.guaranteed) == {0.5}
    assert few.factor(0.5, guaranteed=False) <= few.factor(0.5)
    assert few.factor(0.9, guaranteed=False) * few.scale == pytest.approx(0.9, abs=0.05)


def test_statistics_are_scaled_for_the_same_number_of_samples_only(calibrations):
    run = {"key": KEY, "num_samples": 32}
    ys = TRUTHS[:3]
    plain = jr.posterior_statistics(HALVED, PRIOR, DEGRADATION, ys, quantiles=(0.1, 0.9), **run)
    scaled = jr.posterior_statistics(HALVED, PRIOR, DEGRADATION, ys, calibration=calibrations[1], **run)
    np.testing.assert_allclose(scaled.std, calibrations[1].scale * plain.std, rtol=1e-5)
    np.testing.assert_array_equal(scaled.mean, plain.mean)
    assert plain.quantiles.shape == (3, 2, *SHAPE)
    assert (plain.quantiles[:, 0] < plain.quantiles[:, 1]).all()
    with pytest.raises(ValueError, match="num_samples is 8, expected 32, with which deviations were calibrated"):
        jr.posterior_statistics(HALVED, PRIOR, DEGRADATION, ys, key=KEY, calibration=calibrations[1])
    with pytest.raises(ValueError, match=r"quantiles is \(5,\), expected numbers between 0 and 1"):
        jr.posterior_statistics(HALVED, PRIOR, DEGRADATION, ys, key=KEY, quantiles=(5,))


def test_pictures_are_measured_each_by_its_own_degradation():
    masks = jnp.stack([jnp.zeros(SHAPE), jnp.ones(SHAPE)])
    noises = jr.GaussianNoise(jnp.array([0.0, 1.0]))
    own = jr.Degradation(jr.operators.Inpainting(masks, channels=1), noises)
    ys = evaluation.measure_for({"batched_degradation": True}, own, TRUTHS[:2], KEY)
    np.testing.assert_array_equal(ys[0], 0.0)
    noise = jax.random.normal(jax.random.fold_in(KEY, 1), SHAPE)
    np.testing.assert_allclose(ys[1], TRUTHS[1] + noise, atol=1e-6)


def test_samples_that_do_not_vary_cannot_be_calibrated():
    with pytest.raises(ValueError, match=r"samples are all alike at 100.0% of the pixels"):
        jr.calibrate(exact(0.0), PRIOR, DEGRADATION, TRUTHS[:3], key=KEY, num_samples=2)
    with pytest.raises(ValueError, match="right to the last digit at most pixels"):
        credible.from_deviations(np.zeros((3, 4)), 8)


def test_calibrations_are_stored_in_settings_files(calibrations, tmp_path):
    file, conditions = tmp_path / "sure.json", {"noise_std": 0.5, "samples": 32}
    stored = credible.to_json(calibrations[1])
    tuning.save_settings(file, "denoising", "dps", {"scale": 2.0}, calibration=stored, **conditions)
    assert tuning.load_settings(file, "denoising", "dps") == {"scale": 2.0}
    assert tuning.load_calibration(file, "denoising", "dps", conditions) == calibrations[1]
    with pytest.raises(ValueError, match="is for noise_std 0.5, and not for 0.1"):
        tuning.load_calibration(file, "denoising", "dps", {"noise_std": 0.1})
    tuning.save_settings(file, "denoising", "dps", {"scale": 2.0})
    assert tuning.load_calibration(file, "denoising", "dps", conditions) is None
    for wrong in (
        {},
        {**stored, "multiples": [1.0]},
        {**stored, "multiples": stored["multiples"][::-1]},
        {**stored, "num_samples": float("inf")},
        {**stored, "num_pictures": 0},
    ):
        with pytest.raises(ValueError, match="the calibration"):
            credible.from_json(json.loads(json.dumps(wrong)))
