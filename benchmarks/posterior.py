"""Do samplers sample? Every method against exact posteriors of Gaussian mixtures.

    python -m benchmarks.posterior [--dimensions 8 80 800] [--noises 0.01 0.1 1.0] [--methods spgd dpps]

Table and plot are printed and drawn at the end, as `python -m benchmarks.render` does.

The problems are those of Cardoso et al. (MCGDiff, arXiv 2308.07983), which Boys et al. (TMPD) and others use too: 25
components with unit covariance and means on a grid of spacing 8, repeated over the dimensions, with random weights, and
a random linear measurement of 4 numbers, here with the largest singular value 1. All lengths are divided by 20, which
brings the data into [-1, 1], where samplers expect images; noises are stated before that division.

Each method's most important setting is chosen among a few values on two problems and then used on three others.
"""

import functools
import itertools
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _cells, _run, render
from benchmarks.compared import COMPARED, EXACT

SCALE = 1 / 20  # of the published units
MEASURED = 4  # numbers in a measurement
NUM_SAMPLES = {8: 500, 80: 500, 800: 100}  # by dimension
NUM_SLICES = 500
TUNING_PROBLEMS, PROBLEMS = (0, 10), (1, 2, 3)  # seeds


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


def sliced_wasserstein(a: np.ndarray, b: np.ndarray, *, slices: int = NUM_SLICES) -> float:
    """Root mean squared 1-D Wasserstein-2 distance over random directions; a and b (N, D)."""
    directions = np.random.default_rng(0).standard_normal((a.shape[1], slices))
    directions /= np.linalg.norm(directions, axis=0)
    projected = [np.sort(s.astype(np.float64) @ directions, 0) for s in (a, b)]
    return float(np.sqrt(np.mean(np.square(projected[0] - projected[1]))))


def compare(samples: np.ndarray, exact: np.ndarray, posterior: jr.priors.GaussianMixture) -> dict[str, float]:
    """Distances of samples (N, D) from exact ones and from the exact moments, in the published units."""
    if not np.isfinite(samples).all():
        return dict.fromkeys(("sliced_wasserstein", "mean_error", "covariance_error", "spread"), float("inf"))
    covariance = np.asarray(posterior.covariance(), np.float64)
    sampled = np.cov(samples.T.astype(np.float64))
    mean = np.asarray(posterior.mean()).ravel()
    return {
        "sliced_wasserstein": sliced_wasserstein(samples, exact) / SCALE,
        "mean_error": float(np.sqrt(np.mean(np.square(samples.mean(0) - mean)))) / SCALE,
        "covariance_error": float(np.linalg.norm(sampled - covariance) / np.linalg.norm(covariance)),
        "spread": float(np.sqrt(np.trace(sampled) / np.trace(covariance))),
    }


class Truth(NamedTuple):
    """What is known exactly about a problem."""

    prior: jr.priors.GaussianMixture
    degradation: jr.Degradation
    y: jax.Array
    posterior: jr.priors.GaussianMixture
    exact: tuple[np.ndarray, np.ndarray]  # two independent sets of samples of the posterior, each (N, D)


@functools.lru_cache(maxsize=len(TUNING_PROBLEMS + PROBLEMS))  # those of one dimension and noise
def known_truth(seed: int, dimension: int, noise: float, num_samples: int) -> Truth:
    """A problem with its exact posterior and samples of that."""
    prior, degradation, y = problem(seed, dimension, noise)
    posterior = prior.posterior(degradation, y)

    @jax.jit
    def sample(keys):
        return jax.lax.map(posterior.sample, keys, batch_size=50)

    def drawn(seed: int) -> np.ndarray:
        return np.asarray(sample(jax.random.split(jax.random.key(seed), num_samples))).reshape(num_samples, -1)

    return Truth(prior, degradation, y, posterior, (drawn(100), drawn(101)))


def facts_of(method: str, dimension: int) -> dict[str, Any]:
    """What a cell is made of."""
    problems = {"samples": NUM_SAMPLES[dimension], "problem_seeds": PROBLEMS, "dtype": "float32"}
    if method == EXACT:
        return problems
    compared = COMPARED[method]
    tuned = {"setting": compared.setting, "values": compared.values, "tuning_seeds": TUNING_PROBLEMS}
    return {**problems, **tuned, "settings": dict(compared.settings)}


def measure(method: str, dimension: int, noise: float) -> dict[str, Any]:
    """Choose the setting on some problems, average over others."""
    compared = COMPARED[method]

    @jax.jit
    def run(value, keys, prior, degradation, y):
        sample = compared.build(value).sample
        return jax.lax.map(lambda key: sample(key, prior, degradation, y).image, keys, batch_size=100)

    def score(value: float, seed: int) -> dict[str, float]:
        truth = known_truth(seed, dimension, noise, NUM_SAMPLES[dimension])
        keys = jax.random.split(jax.random.key(seed + 1000), NUM_SAMPLES[dimension])
        images = run(jnp.float32(value), keys, truth.prior, truth.degradation, truth.y)
        return compare(np.asarray(images).reshape(len(keys), -1), truth.exact[0], truth.posterior)

    started = time.perf_counter()
    distances = {
        value: np.mean([score(value, seed)["sliced_wasserstein"] for seed in TUNING_PROBLEMS])
        for value in compared.values
    }
    best = min(distances, key=lambda value: distances[value])
    scores = [score(best, seed) for seed in PROBLEMS]
    return {
        "value": best,
        "evaluations": compared.evaluations._asdict(),
        **_mean(scores),
        "seconds": time.perf_counter() - started,
    }


def measure_floor(dimension: int, noise: float) -> dict[str, Any]:
    """What exact samples score against each other: the best that anything can."""
    truths = [known_truth(seed, dimension, noise, NUM_SAMPLES[dimension]) for seed in PROBLEMS]
    scores = [compare(truth.exact[1], truth.exact[0], truth.posterior) for truth in truths]
    return _mean(scores)


def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}


def main() -> None:
    """Measure the cells that are due, then print the table and draw the plot."""
    parser = _run.parser(__doc__)
    parser.add_argument("--dimensions", nargs="+", type=int, default=list(NUM_SAMPLES), choices=list(NUM_SAMPLES))
    parser.add_argument("--noises", nargs="+", type=float, default=[0.01, 0.1, 1.0])
    parser.add_argument("--methods", nargs="+", default=[EXACT, *COMPARED], choices=[EXACT, *COMPARED])
    _cells.add_options(parser)
    arguments = parser.parse_args()
    cells = _cells.Cells("posterior", arguments)
    for dimension, noise, method in itertools.product(arguments.dimensions, arguments.noises, arguments.methods):
        label, facts = f"{dimension}/{noise:g}/{method}", facts_of(method, dimension)
        if cells.due(label, facts):
            cell = measure_floor(dimension, noise) if method == EXACT else measure(method, dimension, noise)
            cells.write({label: {**facts, **cell}})
            setting = "" if method == EXACT else f" with {facts['setting']} {cell['value']}"
            print(f"{label}: distance {cell['sliced_wasserstein']:.3f}{setting}", flush=True)
    if cells.path.exists():
        render.render(cells.path)


if __name__ == "__main__":
    main()
