"""What is known exactly about a problem of `benchmarks.posterior`, and how samples are held against it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxrestore as jr
from jaxrestore import coverage
from jaxrestore.priors import Prior

NUM_SLICES = 500
NUM_TRUTHS = 200  # exact samples that stand for what the signal may have been


class Sizes(NamedTuple):
    """How much is drawn."""

    samples: int  # of each problem, a multiple of `block`
    tuning_samples: int  # of each problem that settings are chosen on, a multiple of `block`
    block: int  # samples that are drawn together
    tuning_seeds: tuple[int, ...]
    seeds: tuple[int, ...]  # of the problems that are reported


class Truth(NamedTuple):
    """A problem with its exact posterior."""

    prior: Prior
    degradation: jr.Degradation
    y: jax.Array
    mean: np.ndarray  # (D,), of the posterior
    exact: np.ndarray  # (S, D), samples of the posterior, which others are compared with
    again: np.ndarray  # (S, D), a second set: what exact samples reach
    truths: np.ndarray  # (T, D), further ones; given y, the true signal is distributed as they are
    log_density: Callable[[np.ndarray], np.ndarray]  # (S, D) -> (S,), of the posterior up to a constant
    unit: float  # in which distances are stated
    stored: Callable[[np.ndarray], np.ndarray] = lambda samples: samples  # (S, D), as the signals can be
    facts: Mapping[str, Any] = {}  # what else is to be told, such as R-hat


class Problem(NamedTuple):
    """Problems of one kind, one for each seed."""

    family: str
    known: Callable[[int], Truth]  # of a seed
    sizes: Sizes


def sliced_wasserstein(a: np.ndarray, b: np.ndarray, *, slices: int = NUM_SLICES) -> float:
    """Root mean squared 1-D Wasserstein-2 distance over random directions; a and b (N, D)."""
    directions = np.random.default_rng(0).standard_normal((a.shape[1], slices))
    directions /= np.linalg.norm(directions, axis=0)
    projected = [np.sort(s.astype(np.float64) @ directions, 0) for s in (a, b)]
    return float(np.sqrt(np.mean(np.square(projected[0] - projected[1]))))


def distance(samples: np.ndarray, truth: Truth) -> float:
    """Of samples (S, D) from as many exact ones; infinite if one is not finite."""
    if not np.isfinite(samples).all():
        return float("inf")
    return sliced_wasserstein(truth.stored(samples), truth.exact[: len(samples)]) / truth.unit


def compare(samples: np.ndarray, truth: Truth) -> dict[str, float]:
    """All measures of samples (S, D); see `jaxrestore.coverage`. Infinite or NaN if one is not finite."""
    if not np.isfinite(samples).all():
        return {name: float("inf" if name == "sliced_wasserstein" else "nan") for name in MEASURES}
    samples = truth.stored(samples)
    intervals = coverage.interval_coverage(samples, truth.truths)
    densities = coverage.density_coverage(truth.log_density(samples), truth.log_density(truth.truths), (0.9,))
    return {
        "sliced_wasserstein": distance(samples, truth),
        **{name: float(share.mean()) for name, share in zip(INTERVALS, intervals, strict=True)},
        "density_90": float(densities[0]),
        "error_ratio": float(coverage.error_ratio(samples.mean(0), truth.mean, truth.truths)),
        "spread": coverage.spread_ratio(samples, np.concatenate([truth.exact, truth.truths])),
    }


INTERVALS = ("interval_50", "interval_90", "interval_99")  # `jaxrestore.coverage.LEVELS`
MEASURES = ("sliced_wasserstein", *INTERVALS, "density_90", "error_ratio", "spread")
