"""Signals with independent steps on a grid of values, the second family of `benchmarks.posterior`: they have edges.

Four kinds of steps: Gaussian, Laplace, Cauchy (Student's t with one degree of freedom), and mostly-zero Laplace, that
is piecewise constant, at 64 samples and at 256. Of the tasks, hidden samples and noise have exact posteriors by
recursions over the chain; blur has a reference by Gibbs sampling, whose R-hat is stated. Samples are moved to the
nearest grid values, where the signals are known to be; distances are in root mean squared deviations of the posterior.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks._several_sizes import SeveralSizes
from benchmarks._truths import NUM_TRUTHS, Problem, Sizes, Truth
from jaxrestore.priors import markov
from jaxrestore.priors.markov_gibbs import gibbs, r_hat

GRID = np.linspace(-1, 1, 41)
STEPS = {
    "gaussian": markov.gaussian_steps(GRID, 0.1),
    "laplace": markov.laplace_steps(GRID, 0.08),
    "cauchy": markov.student_steps(GRID, 0.02, 1.0),
    "sparse": markov.sparse_steps(GRID, 0.4, 0.06),
}
TASKS = ("mask", "noise", "blur")
HIDDEN = 0.5  # share of the samples under a mask
# At noise below a grid step Gibbs's chains hardly move between signals of constant pieces: there is no reference.
NOISE = 0.1
SIZES = Sizes(64, 32, 32, (0,), (1, 2, 3))
NUM_DRAWS = 2 * SIZES.samples + NUM_TRUTHS
KEPT = 4  # draws of each of Gibbs's chains; R-hat looks at all
CHAINS = {"num_chains": NUM_DRAWS // KEPT, "num_samples": 4 * KEPT, "burn_in": 300, "thin": 20}


def prior_of(kind: str, length: int) -> SeveralSizes:
    """Signals, and every second sample of them, which is a chain too: of two steps at a time."""
    prior = markov.MarkovChainPrior.from_steps(length, GRID, STEPS[kind])
    steps = np.exp(STEPS[kind])
    with np.errstate(divide="ignore"):
        coarse = markov.MarkovChainPrior.from_steps(length // 2, GRID, np.log(steps @ steps))
    return SeveralSizes((prior, coarse))


def operator_of(task: str, length: int, seed: int) -> Any:
    """What is measured of a signal."""
    shape = (length, 1, 1)
    if task == "mask":
        return jr.operators.Inpainting(jr.operators.random_mask(jax.random.key(1000 + seed), shape, HIDDEN), 1)
    if task == "blur":
        kernel = np.exp(-0.5 * np.square(np.arange(-4, 5) / 1.5))
        return jr.operators.Convolution(shape, jnp.asarray(kernel / kernel.sum(), jnp.float32)[:, None])
    return jr.operators.Denoising(shape)


@functools.lru_cache(maxsize=8)  # the seeds of one problem
def known(seed: int, kind: str, length: int, task: str, noise: float) -> Truth:
    """A problem with exact samples of its posterior, or Gibbs's."""
    priors = prior_of(kind, length)
    prior = priors.priors[0]
    degradation = jr.Degradation(operator_of(task, length, seed), jr.GaussianNoise(jnp.float32(noise)))
    key_image, key_noise, key_draws = jax.random.split(jax.random.key(seed), 3)
    y = degradation.measure(key_noise, _sample(key_image, prior))
    if task == "blur":
        chains = _gibbs(key_draws, prior, degradation, y, **CHAINS)
        mean, facts = np.asarray(chains.mean((0, 1))).ravel(), {"r_hat": float(r_hat(chains).max())}
        drawn = np.asarray(chains).reshape(-1, length)
    else:
        mean, draws = _recursions(jax.random.split(key_draws, NUM_DRAWS), prior, degradation, y)
        mean, facts, drawn = np.asarray(mean).ravel(), {}, np.asarray(draws).reshape(-1, length)
    # Chains are independent, their draws are not: each of the three sets has chains of its own.
    exact, again, truths = np.split(drawn, [SIZES.samples, 2 * SIZES.samples])

    def as_signals(samples: np.ndarray) -> jax.Array:
        return jnp.asarray(samples).reshape(-1, length, 1, 1)

    def log_density(samples: np.ndarray) -> np.ndarray:
        return np.asarray(_log_joint(as_signals(samples), prior, degradation, y))

    def stored(samples: np.ndarray) -> np.ndarray:
        return np.asarray(_nearest(as_signals(samples), prior)).reshape(samples.shape)

    unit = float(np.sqrt(np.mean(np.concatenate([exact, truths]).var(0))))
    return Truth(priors, degradation, y, mean, exact, again, truths, log_density, unit, stored, facts)


_gibbs = jax.jit(gibbs, static_argnames=tuple(CHAINS))
_sample = jax.jit(lambda key, prior: prior.sample(key))
_nearest = jax.jit(lambda samples, prior: jax.vmap(prior.nearest)(samples))


@jax.jit
def _recursions(keys, prior, degradation, y):
    posterior = prior.posterior(degradation, y)
    return posterior.mean(), jax.vmap(posterior.sample)(keys)


@jax.jit
def _log_joint(samples, prior, degradation, y):
    def one(x):
        misfit = (degradation.operator(x) - y) / degradation.noise.std
        return prior.log_probability(x) - 0.5 * jnp.sum(jnp.square(misfit))

    return jax.vmap(one)(samples)


def problems() -> dict[str, Problem]:
    """By label, kind-length-task/noise."""
    labels = [(kind, 64, task) for kind in reversed(STEPS) for task in TASKS] + [("sparse", 256, "mask")]
    return {
        f"{kind}-{length}-{task}/{NOISE:g}": Problem(
            "Markov chains", functools.partial(known, kind=kind, length=length, task=task, noise=NOISE), SIZES
        )
        for kind, length, task in labels
    }
