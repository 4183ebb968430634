"""Samplers against an exact posterior: one Gaussian, a linear measurement, Gaussian noise.

None of the three methods is told how noisy the measurement is: DPS and DPPS step along the gradient of the residual's
norm, SPGD along that of its square with a fixed learning rate. All of them end near the data. Where the noise is small
against the prior that is nearly the posterior; where it is not, they are overconfident and follow the noise. Both are
stated here with figures: a mean within a tenth of the prior's error and 70 to 110 % of the spread in the first case, a
mean off by a fifth of the noise or more and less than 70 % of the spread in the second.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import by_default

import jaxrestore as jr

SHAPE, DIM, NUM = (4, 4, 1), 16, 1000
PLACES = np.stack(np.meshgrid(range(4), range(4), indexing="ij"), -1).reshape(-1, 2)
DISTANCE = np.square(PLACES[:, None] - PLACES[None]).sum(-1)
PRIOR = jr.priors.GaussianMixture.from_covariances(
    [1.0], np.full((1, *SHAPE), 0.2), 0.25 * np.exp(-DISTANCE / 4.5)[None] + 1e-4 * np.eye(DIM)
)
# Not `PRIOR.sample`: some eigenvalues of this covariance are equal, so its eigenvectors, and what a key draws with them,
# may differ between processes. Cholesky's factor is unique.
TRUTH = 0.2 + (
    np.linalg.cholesky(0.25 * np.exp(-DISTANCE / 4.5) + 1e-4 * np.eye(DIM))
    @ np.asarray(jax.random.normal(jax.random.key(5), DIM))
).reshape(SHAPE).astype(jnp.float32)
EVERY_OTHER_PIXEL = jnp.asarray((np.arange(DIM) % 2 == 0).reshape(SHAPE), jnp.float32)
SAMPLERS = {
    "spgd": jr.spgd(num_steps=100, warmup_steps=5, learning_rate=0.1, sigma_min=0.02),
    "dps": jr.dps(num_steps=200, scale=0.3),
    "dpps": jr.dpps(num_steps=200, scale=0.3, n_max=20),
}


def compare(sampler, noise_std, *, wrap=lambda operator: operator):
    """Root mean squared errors of samples' mean and prior's, and the samples' spread over the posterior's.

    The sampler is given the operator as `wrap` makes it.
    """
    degradation = jr.Degradation(jr.operators.Inpainting(EVERY_OTHER_PIXEL, 1), jr.GaussianNoise(noise_std))
    told = jr.Degradation(wrap(degradation.operator), degradation.noise)
    y = degradation.measure(jax.random.key(6), TRUTH)
    posterior = PRIOR.posterior(degradation, y)
    sample = jax.jit(jax.vmap(lambda key: sampler.sample(key, PRIOR, told, y).image))
    images = sample(jax.random.split(jax.random.key(0), NUM))
    error = jnp.sqrt(jnp.mean(jnp.square(images.mean(0) - posterior.mean())))
    error_of_prior = jnp.sqrt(jnp.mean(jnp.square(PRIOR.mean() - posterior.mean())))
    spread = jnp.sqrt(jnp.mean(images.var(0)) / (jnp.trace(posterior.covariance()) / DIM))
    return float(error), float(error_of_prior), float(spread)


@pytest.mark.parametrize("name", by_default(SAMPLERS, ("spgd", "dps")))
def test_with_little_noise_the_samples_are_nearly_the_posterior_s(name):
    error, error_of_prior, spread = compare(SAMPLERS[name], noise_std=0.1)
    assert error < 0.2 * error_of_prior
    assert 0.7 < spread < 1.1


@pytest.mark.parametrize("name", by_default(SAMPLERS, ("spgd", "dps")))
def test_with_much_noise_the_samples_follow_it_and_are_too_sure(name):
    error, _, spread = compare(SAMPLERS[name], noise_std=0.3)
    assert error > 0.06
    assert spread < 0.7


@pytest.mark.parametrize("name", SAMPLERS)
def test_spread_does_not_depend_on_the_noise_that_the_methods_do_not_know(name):
    """The same measurement under two noise models: the samplers cannot tell them apart."""
    y = jax.random.normal(jax.random.key(0), SHAPE)
    images = [
        jax.jit(SAMPLERS[name].sample)(
            jax.random.key(1), PRIOR, jr.Degradation(jr.operators.Denoising(SHAPE), jr.GaussianNoise(std)), y
        ).image
        for std in (0.01, 1.0)
    ]
    np.testing.assert_array_equal(*images)


def test_pixels_that_were_not_measured_follow_the_prior():
    """Independent pixels: the likelihood says nothing about the hidden ones, so SPGD must sample their prior.

    What is left is the Euler error of 100 steps of the probability flow, under 3 % of the spread, and the standard error.
    """
    prior = jr.priors.GaussianMixture(jnp.ones(1), jnp.full((1, *SHAPE), 0.2), jnp.full((1, DIM), 0.25))
    degradation = jr.Degradation(jr.operators.Inpainting(EVERY_OTHER_PIXEL, 1), jr.GaussianNoise(0.05))
    y = degradation.measure(jax.random.key(1), prior.sample(jax.random.key(2)))
    sampler = jr.spgd(num_steps=100, warmup_steps=2, learning_rate=0.1, momentum=0.0, sigma_min=0.02)
    keys = jax.random.split(jax.random.key(0), 4000)
    images = jax.jit(jax.vmap(lambda key: sampler.sample(key, prior, degradation, y).image))(keys)
    hidden = np.asarray(images)[:, np.asarray(EVERY_OTHER_PIXEL) == 0]
    np.testing.assert_allclose(hidden.mean(), 0.2, atol=5 * 0.5 / np.sqrt(hidden.size))
    np.testing.assert_allclose(hidden.std(), 0.5, rtol=0.05)
