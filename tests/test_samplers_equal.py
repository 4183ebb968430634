"""Samplers of equal settings are equal, so that programs are shared, and can be pickled."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import isotropic

import jaxrestore as jr
from jaxrestore import samplers, schedules, streaming

SHAPE = (8, 8, 3)
STARTED = samplers.image_start(lambda degradation, y: y)
FINE = lambda start: jr.pspgd(evaluations=4, sigma_max=0.6, start=start)  # noqa: E731
MADE = {
    **{name: row.build for name, row in jr.METHODS.items()},
    "mean_of": lambda: jr.mean_of(jr.dps(num_steps=5), 2),
    "grids": lambda: jr.METHODS["pspgd"].build(grids=2, evaluations=8),
    "coarse_to_fine": lambda: jr.coarse_to_fine(jr.pspgd(evaluations=4), FINE),
    "schedule": lambda: jr.dpps(num_steps=schedules.ddpm(30, kind="cosine")),
    "array": lambda: jr.spgd(learning_rate=jnp.float32(0.5)),
    "transform": lambda: jr.dps(transform=jr.adaptive_directional_momentum(0.9)),
    "blocks": lambda: samplers.ancestral(
        samplers.guided(samplers.residual_norm, schedules.ddpm(5)), choose=samplers.best_of(schedules.ddpm(5), 4)
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_samplers_of_equal_settings_are_equal_and_hash_alike(name):
    first, second = MADE[name](), MADE[name]()
    assert first is not second
    assert first == second
    assert hash(first) == hash(second)
    assert first != jr.dps(num_steps=7)
    assert isinstance(first, jr.Sampler)


@pytest.mark.parametrize("name", [n for n in MADE if n != "coarse_to_fine"])  # whose function has no name to find it by
def test_samplers_can_be_pickled_and_copied(name):
    sampler = MADE[name]()
    assert pickle.loads(pickle.dumps(sampler)) == sampler
    assert copy.deepcopy(sampler) == sampler


def test_a_pickled_sampler_does_what_the_first_did():
    sampler = jr.METHODS["spgd"].build(num_steps=3, warmup_steps=1, learning_rate=0.1, mean_of=2)
    degradation = jr.Degradation(jr.operators.Denoising(SHAPE), jr.GaussianNoise(0.1))
    run = lambda s: jax.jit(s.sample)(jax.random.key(0), isotropic(SHAPE), degradation, jnp.ones(SHAPE)).image  # noqa: E731
    np.testing.assert_array_equal(run(pickle.loads(pickle.dumps(sampler))), run(sampler))


@pytest.mark.parametrize(
    "other",
    [
        jr.dps(num_steps=6),
        jr.dps(num_steps=5, scale=2.0),
        jr.dps(num_steps=5, transform=jr.adaptive_directional_momentum(0.5)),
        jr.dps(num_steps=schedules.ddpm(5, kind="cosine")),
        jr.dpps(num_steps=5),
        jr.mean_of(jr.dps(num_steps=5), 2),
        jr.Sampler(jr.dps(num_steps=5).init, lambda state, *_: (state, ()), 5),
    ],
)
def test_samplers_of_other_settings_are_not_equal(other):
    assert jr.dps(num_steps=5) != other


def test_functions_are_compared_by_identity_unless_they_were_made():
    assert jr.coarse_to_fine(jr.pspgd(), lambda start: FINE(start)) != jr.coarse_to_fine(jr.pspgd(), FINE)
    assert jr.spgd(start=lambda degradation, y: y) != jr.spgd(start=lambda degradation, y: y)
    assert jr.dpps(start=STARTED) == jr.dpps(start=STARTED)
    own = jr.Sampler(lambda *_: None, lambda *_: None, 3)
    assert own == own
    assert own != jr.Sampler(lambda *_: None, lambda *_: None, 3)


def test_traced_settings_are_compared_by_identity():
    @jax.jit
    def compare(a, b):
        return jnp.array([jr.dps(scale=a) == jr.dps(scale=a), jr.dps(scale=a) == jr.dps(scale=b)])

    assert compare(1.0, 1.0).tolist() == [True, False]


def test_restoring_with_a_new_but_equal_sampler_compiles_nothing():
    degradation = jr.Degradation(jr.operators.Denoising(SHAPE), jr.GaussianNoise(0.1))

    def restore(scale):
        sampler = jr.mean_of(jr.dps(num_steps=3, scale=scale), 2)
        return jr.restore(
            sampler, isotropic(SHAPE), degradation, np.ones((2, *SHAPE), np.float32), key=jax.random.key(0)
        )

    programs = lambda: [f._cache_size() for f in (streaming._start, streaming._advance, streaming._judge)]  # noqa: E731
    first, count = restore(0.5), programs()
    np.testing.assert_array_equal(restore(0.5), first)
    assert programs() == count
    restore(0.6)
    assert programs() != count
