"""Measurements on another scale than that of pictures in [-1, 1] are noticed."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import isotropic

import jaxrestore as jr
from jaxrestore import operators
from jaxrestore.scale import ScaleWarning, doubts

SHAPE = (12, 12, 3)
PICTURE = np.random.default_rng(0).uniform(-0.9, 0.9, SHAPE).astype(np.float32)  # half of it is dark
MASK = operators.random_mask(jax.random.key(0), SHAPE, 0.5)
SPECTRUM = operators.Linear(lambda x: jnp.fft.fft2(x, axes=(0, 1)).real, SHAPE)
OPERATORS = {
    "denoising": operators.Denoising(SHAPE),
    "super_resolution": operators.SuperResolution(SHAPE, 2),
    "blur": operators.GaussianBlur(SHAPE, 5, 1.0),
    "inpainting": operators.Inpainting(MASK),
    "colorization": operators.Colorization(SHAPE),
    "high_dynamic_range": operators.HighDynamicRange(SHAPE),
    "spectrum": SPECTRUM,
}
AMPLITUDES = operators.PhaseRetrieval(SHAPE, 2.0)


def measured(operator, picture, std=0.01):
    degradation = jr.Degradation(operator, jr.GaussianNoise(std))
    return degradation, np.asarray(degradation.measure(jax.random.key(1), jnp.asarray(picture)))


@pytest.mark.parametrize("name", [*OPERATORS, "amplitudes"])
@pytest.mark.parametrize("std", [0.01, 1.0])
def test_measurements_of_pictures_are_not_doubted(name, std):
    operator = {**OPERATORS, "amplitudes": AMPLITUDES}[name]
    degradation, y = measured(operator, PICTURE, std)
    assert doubts(degradation, [y, 0 * y]) == {}


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "spectrum"])
def test_pictures_from_zero_to_one_are_noticed(name):
    degradation, y = measured(OPERATORS[name], (PICTURE + 1.0) / 2.0, std=0.0)
    (reason,) = doubts(degradation, [y]).values()
    assert "nothing below 0" in reason


@pytest.mark.parametrize("name", [*OPERATORS, "amplitudes"])
def test_pictures_from_zero_to_two_hundred_and_fifty_five_are_noticed(name):
    operator = {**OPERATORS, "amplitudes": AMPLITUDES}[name]
    if not operator.linear:  # what clips is given levels by its users, not by the camera
        degradation, y = jr.Degradation(operator, jr.NoNoise()), 127.5 * (np.asarray(operator(PICTURE)) + 1.0)
    else:
        degradation, y = measured(operator, 127.5 * (PICTURE + 1.0))
    assert "levels from 0 to 255 are y / 127.5 - 1" in doubts(degradation, [y])[0]


def test_degradations_of_one_kind_share_the_programs_that_look_at_them():
    traced = []

    def seen(x, mask):
        traced.append(isinstance(x, jax.core.Tracer))
        return mask * x

    own = [jr.Degradation(operators.Nonlinear(seen, SHAPE, share * MASK), jr.NoNoise()) for share in (0.5, 1.0)]
    assert len(doubts(own[0], [np.abs(PICTURE)])) == 1
    before = len(traced)
    assert len(doubts(own[1], [np.abs(PICTURE)])) == 1
    assert len(traced) == before


@pytest.mark.slow
def test_the_library_warns_of_the_measurement():
    degradation, y = measured(OPERATORS["denoising"], PICTURE)
    ys = np.stack([y, y, y])

    def restored(ys, degradation, **options):
        sampler = jr.ddnm(num_steps=2)
        return jr.restore(sampler, isotropic(SHAPE), degradation, ys, key=jax.random.key(0), **options)

    with pytest.warns(ScaleWarning, match="measurement 1 of ys has nothing below 0"):
        restored(np.stack([y, (PICTURE + 1.0) / 2.0, y]), degradation)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored(ys, degradation)
    own = jr.Degradation(operators.Inpainting(jnp.stack([MASK] * 3)), jr.GaussianNoise(0.01))
    with pytest.warns(ScaleWarning, match="measurement 0 of ys has nothing below 0.*; so do 2 more"):
        restored(np.asarray(MASK * (PICTURE + 1.0) / 2.0)[None].repeat(3, 0), own, batched_degradation=True)


def test_what_the_library_measures_itself_is_not_doubted_unless_the_clean_pictures_are():
    degradation, _ = measured(OPERATORS["denoising"], PICTURE)
    truths = np.stack([PICTURE, np.full(SHAPE, 0.9, np.float32)])

    def calibrated(truths):
        options = {"key": jax.random.key(0), "num_samples": 2}
        jr.calibrate(jr.ddnm(num_steps=2), isotropic(SHAPE), degradation, truths, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("error", ScaleWarning)
        calibrated(truths)
    with pytest.warns(ScaleWarning, match="measurement 0 of ys has nothing below 0.*; so do 1 more"):
        calibrated((truths + 1.02) / 2.0)
