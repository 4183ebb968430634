"""Do samplers sample? Every method against exact posteriors of Gaussian mixtures.

`python -m benchmarks.posterior [--dimensions 8 80 800] [--noises 0.01 0.1 1.0] [--minutes M]`. Resumable: finished
cells are read back from the result file. Prints a Markdown table and draws the plot beside the result.

The problems are those of Cardoso et al. (MCGDiff, arXiv 2308.07983), which Boys et al. (TMPD) and others use too: 25
components with unit covariance and means on a grid of spacing 8, repeated over the dimensions, with random weights, and
a random linear measurement of 4 numbers, here with the largest singular value 1. All lengths are divided by 20, which
brings the data into [-1, 1], where samplers expect images; noises are stated before that division.

Each method's most important setting is chosen among a few values on two problems and then used on three others.
"""

import argparse
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _run
from jaxrestore.tasks import METHODS

SCALE = 1 / 20  # of the published units
MEASURED = 4
NUM_SAMPLES = {8: 500, 80: 500, 800: 100}  # by dimension
NUM_SLICES = 500
TUNING_PROBLEMS, PROBLEMS = (0, 10), (1, 2, 3)  # seeds


class Method(NamedTuple):
    sampler: str  # of `jaxrestore.tasks.METHODS`
    setting: str  # the one that is chosen
    values: tuple[float, ...]  # to choose from
    settings: Mapping[str, Any]  # the others
    tied: Callable[[Any], Mapping[str, Any]] = lambda value: {}  # those that move with it

    def build(self, value: Any) -> jr.Sampler:
        """The sampler with a value of the setting."""
        return METHODS[self.sampler](**self.settings, **self.tied(value), **{self.setting: value})

    @property
    def evaluations(self) -> int:
        """Of the network; what MMPS's inner solver adds is not counted."""
        return _run.network_evaluations(self.sampler, self.settings)


_EDM = {"sigma_min": 0.005, "sigma_max": 20.0}
_SPGD = Method(
    "spgd",
    "learning_rate",
    (0.1, 0.3, 0.6, 0.9, 1.4, 1.9),  # stable below 2
    {"num_steps": 100, "warmup_steps": 5, **_EDM},
)
_SCALES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
COMPARED: dict[str, Method] = {
    "spgd": _SPGD,
    "spgd, no momentum": _SPGD._replace(settings={**_SPGD.settings, "momentum": 0.0}),
    "spgd, 20 warm-up steps": _SPGD._replace(settings={**_SPGD.settings, "warmup_steps": 20}),
    "dps": Method("dps", "scale", _SCALES, {"num_steps": 500}),
    "dpps": Method("dpps", "scale", _SCALES, {"num_steps": 500}),
    "diffpir": Method("diffpir", "strength", (0.01, 0.03, 0.1, 0.3, 1.0, 3.0), {"num_steps": 100, "zeta": 1.0}),
    "ddnm": Method("ddnm", "eta", (0.05, 0.1, 0.2, 0.5, 0.7, 1.0), {"num_steps": 100}),
    "ddrm": Method("ddrm", "eta", (0.2, 0.5, 0.7, 0.85, 1.0), {"num_steps": 100}),
    "pigdm": Method("pigdm", "scale", (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0), {"num_steps": 100}),
    "mmps": Method("mmps", "scale", (1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 6.0), {"num_steps": 100, "solver_steps": 4}),
    "daps": Method(
        "daps",
        "tau",
        (0.003, 0.01, 0.03, 0.1),
        {"num_steps": 200, "ode_steps": 5, "langevin_steps": 100, **_EDM},
        tied=lambda tau: {"learning_rate": tau**2},  # the published ratio
    ),
    "reddiff": Method(
        "reddiff", "strength", (0.003, 0.01, 0.03, 0.1, 0.25, 1.0), {"num_steps": 500, "learning_rate": 0.02}
    ),
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
    found = np.cov(samples.T.astype(np.float64))
    mean = np.asarray(posterior.mean()).ravel()
    return {
        "sliced_wasserstein": sliced_wasserstein(samples, exact) / SCALE,
        "mean_error": float(np.sqrt(np.mean(np.square(samples.mean(0) - mean)))) / SCALE,
        "covariance_error": float(np.linalg.norm(found - covariance) / np.linalg.norm(covariance)),
        "spread": float(np.sqrt(np.trace(found) / np.trace(covariance))),
    }


class Truth:
    """Exact posteriors and samples of them, computed once for each problem."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}

    def __call__(self, seed: int, dimension: int, noise: float):
        where = (seed, dimension, noise)
        if where not in self._kept:
            prior, degradation, y = problem(*where)
            posterior = prior.posterior(degradation, y)
            count = NUM_SAMPLES[dimension]
            sample = jax.jit(lambda keys: jax.lax.map(posterior.sample, keys, batch_size=50))
            exact = [
                np.asarray(sample(jax.random.split(jax.random.key(100 + i), count))).reshape(count, -1) for i in (0, 1)
            ]
            self._kept[where] = (prior, degradation, y, posterior, exact)
        return self._kept[where]


def measure(method: str, dimension: int, noise: float, truth: Truth) -> dict[str, Any]:
    """One cell: choose the setting on some problems, average over others."""
    chosen = COMPARED[method]

    @jax.jit
    def run(value, keys, prior, degradation, y):
        sample = chosen.build(value).sample
        return jax.lax.map(lambda key: sample(key, prior, degradation, y).image, keys, batch_size=100)

    def score(value: float, seed: int) -> dict[str, float]:
        prior, degradation, y, posterior, exact = truth(seed, dimension, noise)
        keys = jax.random.split(jax.random.key(seed + 1000), NUM_SAMPLES[dimension])
        images = np.asarray(run(jnp.float32(value), keys, prior, degradation, y)).reshape(len(keys), -1)
        return compare(images, exact[0], posterior)

    started = time.perf_counter()
    trials = {v: np.mean([score(v, seed)["sliced_wasserstein"] for seed in TUNING_PROBLEMS]) for v in chosen.values}
    best = min(trials, key=lambda v: trials[v])
    scores = [score(best, seed) for seed in PROBLEMS]
    return {
        "setting": chosen.setting,
        "value": best,
        "values": chosen.values,
        "evaluations": chosen.evaluations,
        **_mean(scores),
        "seconds": time.perf_counter() - started,
    }


def floor(dimension: int, noise: float, truth: Truth) -> dict[str, Any]:
    """What exact samples score against each other: the best that anything can."""
    scores = []
    for seed in PROBLEMS:
        _, _, _, posterior, (first, second) = truth(seed, dimension, noise)
        scores.append(compare(second, first, posterior))
    return {"setting": "", "value": None, "evaluations": 0, **_mean(scores), "seconds": 0.0}


def _is_measured(method: str, cell: dict[str, Any] | None) -> bool:
    """Whether a cell is there, and chosen among the values that are asked for now."""
    return cell is not None and (method == "exact" or tuple(cell["values"]) == COMPARED[method].values)


def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}


def main() -> None:
    """Measure what is missing, write after each cell, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", nargs="+", type=int, default=list(NUM_SAMPLES), choices=list(NUM_SAMPLES))
    parser.add_argument("--noises", nargs="+", type=float, default=[0.01, 0.1, 1.0])
    parser.add_argument("--methods", nargs="+", default=list(COMPARED), choices=list(COMPARED))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop before a new cell after this time")
    parser.add_argument("--again", action="store_true", help="measure finished cells again")
    arguments = parser.parse_args()
    file = _run.result_file("posterior")
    cells = {} if arguments.again else _run.read_cells("posterior")
    started, truth = time.monotonic(), Truth()
    for dimension in arguments.dimensions:
        for noise in arguments.noises:
            for method in ["exact", *arguments.methods]:
                label = f"{dimension}/{noise:g}/{method}"
                if _is_measured(method, cells.get(label)) or time.monotonic() - started > 60 * arguments.minutes:
                    continue
                exact = method == "exact"
                cell = floor(dimension, noise, truth) if exact else measure(method, dimension, noise, truth)
                cells[label] = cell
                print(f"{label}: {cell['setting']} {cell['value']}, {cell['sliced_wasserstein']:.3f}", flush=True)
                _run.write(
                    "posterior",
                    {"num_samples": NUM_SAMPLES, "problems": len(PROBLEMS), "dtype": "float32", "cells": cells},
                )
    print(table(cells))
    draw(cells, file.with_suffix(".png"))
    print(file)


def table(cells: dict[str, Any]) -> str:
    """Sliced Wasserstein distance by method, and the spread of the samples over the posterior's."""
    columns = sorted({tuple(label.split("/")[:2]) for label in cells}, key=lambda c: (int(c[0]), float(c[1])))
    methods = _methods(cells)
    head = " | ".join(f"D={d}, s={n}" for d, n in columns)
    lines = [f"| method | evaluations | {head} |", "|---|---|" + "---|" * len(columns)]
    for method in methods:
        found = [cells.get(f"{d}/{n}/{method}") for d, n in columns]
        shown = [f"{c['sliced_wasserstein']:.2f} ({c['spread']:.2f})" if c else "" for c in found]
        evaluations = next(c["evaluations"] for c in found if c) or ""
        lines.append(f"| {method} | {evaluations} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _methods(cells: dict[str, Any]) -> list[str]:
    """Those that have cells, in the order of the comparison."""
    measured = {label.split("/")[2] for label in cells}
    return [method for method in ("exact", *COMPARED) if method in measured]


def draw(cells: dict[str, Any], path: pathlib.Path) -> None:
    """The distances over the noise, one panel a dimension; needs matplotlib (extra `plot`)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    parts = [label.split("/") for label in cells]
    dimensions = sorted({int(p[0]) for p in parts})
    noises = sorted({float(p[1]) for p in parts})
    methods = _methods(cells)
    figure, axes = plt.subplots(1, len(dimensions), figsize=(4.2 * len(dimensions), 3.6), squeeze=False, sharey=True)
    for axis, dimension in zip(axes[0], dimensions, strict=True):
        for i, method in enumerate(methods):
            found = [cells.get(f"{dimension}/{n:g}/{method}", {}).get("sliced_wasserstein", np.nan) for n in noises]
            marker, line = ("o", "-") if i < 10 else ("s", "--")  # there are ten colours
            style: dict[str, Any] = {"color": f"C{i % 10}", "marker": marker, "linestyle": line}
            if method == "exact":
                style = {"color": "black", "linestyle": ":"}
            axis.plot(noises, found, label=method, **style)
        axis.set(xscale="log", yscale="log", title=f"{dimension} dimensions", xlabel="noise of the measurement")
    axes[0, 0].set_ylabel("sliced Wasserstein distance")
    axes[0, -1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
