"""Gaussian mixtures under random linear measurements, the first family of `benchmarks.posterior`.

The problems are those of Cardoso et al. (MCGDiff, arXiv 2308.07983), which Boys et al. (TMPD) and others use too: 25
components with unit covariance and means on a grid of spacing 8, repeated over the dimensions, with random weights, and
a random linear measurement of 4 numbers, here with the largest singular value 1. All lengths are divided by 20, which
brings the data into [-1, 1], where samplers expect images; noises are stated before that division, and distances too.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks._several_sizes import SeveralSizes
from benchmarks._truths import NUM_TRUTHS, Problem, Sizes, Truth

SCALE = 1 / 20  # of the published units
MEASURED = 4  # numbers in a measurement
SIZES = {  # by dimension
    8: Sizes(400, 200, 200, (0, 10), (1, 2, 3)),
    80: Sizes(200, 100, 100, (0, 10), (1, 2, 3)),
    800: Sizes(50, 50, 50, (0,), (1, 2, 3)),
}


def problem(seed: int, dimension: int, noise: float) -> tuple[jr.priors.GaussianMixture, jr.Degradation, jax.Array]:
    """A prior, a degradation and a measurement."""
    rng = np.random.default_rng((seed, dimension))
    shape = (dimension, 1, 1)
    grid = np.array([(8.0 * i, 8.0 * j) for i in range(-2, 3) for j in range(-2, 3)])
    means = SCALE * np.tile(grid, (1, dimension // 2))
    weights = rng.chisquare(1, len(grid))
    prior = jr.priors.GaussianMixture(
        jnp.asarray(weights / weights.sum(), jnp.float32),
        jnp.asarray(means.reshape(-1, *shape), jnp.float32),
        jnp.full((len(grid), dimension), SCALE**2, jnp.float32),
    )
    left, _, right = np.linalg.svd(rng.standard_normal((MEASURED, dimension)), full_matrices=False)
    values = rng.uniform(0.1, 1.0, MEASURED)
    operator = jr.operators.LinearMap.from_matrix(shape, left @ np.diag(values / values.max()) @ right)
    degradation = jr.Degradation(operator, jr.GaussianNoise(jnp.float32(SCALE * noise)))
    key_image, key_noise = jax.random.split(jax.random.key(seed))
    return prior, degradation, degradation.measure(key_noise, prior.sample(key_image))


def halved(prior: jr.priors.GaussianMixture) -> jr.priors.GaussianMixture:
    """The distribution of the means of neighbouring pairs, exactly; covariances are diagonal."""
    count, dimension = prior.variances.shape
    means = prior.means.reshape(count, dimension // 2, 2).mean(2).reshape(count, dimension // 2, 1, 1)
    return jr.priors.GaussianMixture(prior.weights, means, prior.variances.reshape(count, -1, 2).sum(2) / 4)


@functools.lru_cache(maxsize=8)  # the seeds of one problem
def known(seed: int, dimension: int, noise: float) -> Truth:
    """A problem with its exact posterior and samples of that."""
    prior, degradation, y = problem(seed, dimension, noise)
    posterior = prior.posterior(degradation, y)
    count = SIZES[dimension].samples
    drawn = _draw(jax.random.split(jax.random.key(100 + seed), 2 * count + NUM_TRUTHS), posterior)
    exact, again, truths = np.split(np.asarray(drawn).reshape(len(drawn), -1), [count, 2 * count])

    def log_density(samples: np.ndarray) -> np.ndarray:
        return np.asarray(_log_joint(jnp.asarray(samples).reshape(-1, dimension, 1, 1), prior, degradation, y))

    mean = np.asarray(posterior.mean()).ravel()
    sizes = SeveralSizes((prior, halved(prior)))
    return Truth(sizes, degradation, y, mean, exact, again, truths, log_density, SCALE)


@jax.jit
def _draw(keys, posterior):
    return jax.lax.map(posterior.sample, keys, batch_size=50)


@jax.jit
def _log_joint(samples, prior, degradation, y):
    def one(x):
        misfit = (degradation.operator(x) - y) / degradation.noise.std
        return prior.log_density(x) - 0.5 * jnp.sum(jnp.square(misfit))

    return jax.lax.map(one, samples, batch_size=50)


def problems() -> dict[str, Problem]:
    """By label, dimension/noise; those with more measure what few learn from."""
    labels = [(8, 0.1), (8, 1.0), (80, 0.1), (80, 1.0), (800, 0.1)]
    return {
        f"{dimension}/{noise:g}": Problem(
            "Gaussian mixtures", functools.partial(known, dimension=dimension, noise=noise), SIZES[dimension]
        )
        for dimension, noise in labels
    }
