"""The samplers' parts combine: methods that no paper has, against closed forms and against what they are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import by_default
from test_closed_forms import EVERY_OTHER_PIXEL, PRIOR, SHAPE, TRUTH, compare

import jaxrestore as jr
from jaxrestore import samplers, schedules

KEY = jax.random.key(3)
SCHEDULE = schedules.ddpm(100)
DEGRADATION = jr.Degradation(jr.operators.Inpainting(EVERY_OTHER_PIXEL, 1), jr.GaussianNoise(0.1))
Y = DEGRADATION.measure(jax.random.key(6), TRUTH)
PIGDM = samplers.guided(
    samplers.pseudo_inverse_guidance(), SCHEDULE, weights=np.sqrt(SCHEDULE.abar * SCHEDULE.abar_previous)
)
COMBINATIONS = {
    "dps with warm-up and momentum": jr.dps(
        num_steps=100, scale=0.1, warmup_steps=3, transform=jr.adaptive_directional_momentum(0.9)
    ),
    "pigdm with the selection and start of dpps": samplers.ancestral(
        PIGDM, start=samplers.aligned_start, choose=samplers.best_of(SCHEDULE, 10)
    ),
    "ddnm with the selection of dpps": samplers.ancestral(
        samplers.null_space_process(SCHEDULE), choose=samplers.best_of(SCHEDULE, 10)
    ),
    "spgd with pseudo-inverse guidance": jr.spgd(
        num_steps=30,
        warmup_steps=2,
        learning_rate=0.5,
        lr_min_ratio=1.0,
        sigma_min=0.02,
        likelihood=samplers.pseudo_inverse_guidance(),
    ),
}


@pytest.mark.parametrize("name", by_default(COMBINATIONS, ["dps with warm-up and momentum"]))
def test_combinations_sample_near_the_posterior(name):
    error, error_of_prior, spread = compare(COMBINATIONS[name], noise_std=0.1)
    assert error < 0.25 * error_of_prior
    assert 0.6 < spread < 1.2


@pytest.mark.slow
def test_dps_and_dpps_differ_in_start_and_choice_alone():
    parts = samplers.guided(samplers.residual_norm, SCHEDULE, scale=0.3, clip=True)
    for whole, built in (
        (jr.dps(num_steps=100, scale=0.3), samplers.ancestral(parts)),
        (
            jr.dpps(num_steps=100, scale=0.3, n_max=10),
            samplers.ancestral(parts, start=samplers.aligned_start, choose=samplers.best_of(SCHEDULE, 10)),
        ),
    ):
        images = [jax.jit(s.sample)(KEY, PRIOR, DEGRADATION, Y).image for s in (whole, built)]
        np.testing.assert_array_equal(*images)


@pytest.mark.slow
def test_selection_brings_any_ancestral_sampler_nearer_to_the_measurement():
    """Of pigdm's draws the best of up to 50 leaves a smaller residual, on average over 64 keys."""

    def residual(choose):
        sample = jax.jit(jax.vmap(lambda k: samplers.ancestral(PIGDM, choose=choose).sample(k, PRIOR, DEGRADATION, Y)))
        return float(sample(jax.random.split(KEY, 64)).info.residual[:, 50:].mean())

    assert residual(samplers.best_of(SCHEDULE, 50)) < 0.95 * residual(samplers.single_draw)


def test_warm_up_without_momentum_moves_by_the_gradient_before_the_step():
    """Two warm-up steps by hand."""
    process = samplers.guided(samplers.residual_norm, SCHEDULE, scale=0.2, warmup_steps=2)
    plain = samplers.guided(samplers.residual_norm, SCHEDULE, scale=0.2)
    x, t = jax.random.normal(KEY, SHAPE), jnp.int32(40)
    step = lambda process, x: process.step(x, t, process.init(DEGRADATION, Y), PRIOR, DEGRADATION, Y)[0]  # noqa: E731
    moved = x - 0.2 * step(plain, x).gradient
    np.testing.assert_allclose(step(process, x).mean, step(plain, moved).mean, atol=1e-6)


def test_momentum_is_carried_from_step_to_step():
    beta = 0.9
    transform = jr.adaptive_directional_momentum(beta)
    process = samplers.guided(samplers.residual_norm, SCHEDULE, scale=0.2, transform=transform)
    plain = samplers.guided(samplers.residual_norm, SCHEDULE, scale=0.2)
    x, t = jax.random.normal(KEY, SHAPE), jnp.int32(40)
    first, memory = process.step(x, t, process.init(DEGRADATION, Y), PRIOR, DEGRADATION, Y)
    second, _ = process.step(first.mean, t, memory, PRIOR, DEGRADATION, Y)
    bare, _ = plain.step(first.mean, t, plain.init(DEGRADATION, Y), PRIOR, DEGRADATION, Y)
    smoothed, _ = transform.update(bare.gradient, memory)
    np.testing.assert_allclose(second.mean, bare.mean + 0.2 * (bare.gradient - smoothed), atol=1e-6)


def test_as_many_weights_as_steps_are_expected():
    for weights in (np.ones(99), np.ones((100, 1)), 1.0):
        with pytest.raises(ValueError, match=r"weights has shape .*, expected \(100,\), one for each step"):
            samplers.guided(samplers.residual_norm, SCHEDULE, weights=weights)


def test_recording_too_seldom_is_refused_before_anything_runs():
    def init(*_):
        raise AssertionError

    sampler = jr.ddnm(num_steps=4)._replace(init=init)
    for every in (0, 5):
        with pytest.raises(ValueError, match=f"record_every is {every}"):
            sampler.sample(KEY, PRIOR, DEGRADATION, Y, record_every=every)
