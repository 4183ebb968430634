"""Do samplers sample, and how sure may one be? Every method against posteriors that are known exactly.

    python -m benchmarks.posterior [--quick] [--problems '80/*' 'sparse-64-*'] [--methods spgd dpps]

Two families: Gaussian mixtures under random linear measurements (labels dimension/noise), and Markov chains, signals
with edges under masks, noise and blur (kind-length-task/noise); `_mixtures.py` and `_chains.py` describe them. For each
problem and method the distance to exact samples; how often the true signal lies within the central 50, 90 and 99 %
intervals of the samples, coordinate by coordinate, and within the 90 % region of highest density; the error of the mean
over that of the posterior's; the ratio of the spreads. Given the measurement the true signal is distributed as exact
samples are, so the coverage is an average over many of these. Exact samples go through the same code, as "exact".

Each method's most important setting is chosen among a few values by the distance on other problems than those that are
reported. Tables and plots are printed and drawn at the end, as `python -m benchmarks.render` does.
"""

import argparse
import fnmatch
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _cells, _chains, _mixtures, _run, _truths, render
from benchmarks._truths import MEASURES, Problem, Truth
from benchmarks.compared import COMPARED, EXACT

PROBLEMS: dict[str, Problem] = {**_mixtures.problems(), **_chains.problems()}
QUICK = ("8/0.1", "sparse-64-mask/0.1")  # one of each family
DEFAULT = [EXACT, *(name for name, compared in COMPARED.items() if compared.by_default)]


def facts_of(method: str, problem: Problem) -> dict[str, Any]:
    """What a cell is made of."""
    sizes = problem.sizes
    facts = {"family": problem.family, "samples": sizes.samples, "truths": _truths.NUM_TRUTHS}
    facts |= {"problem_seeds": sizes.seeds, "dtype": "float32"}
    if method == EXACT:
        return facts
    compared = COMPARED[method]
    tuned = {"setting": compared.setting, "values": compared.values, "tuning_seeds": sizes.tuning_seeds}
    return {**facts, **tuned, "tuning_samples": sizes.tuning_samples, "settings": dict(compared.settings)}


@functools.lru_cache(maxsize=32)  # so that problems of one shape share a program
def _program(method: str) -> Callable[..., jax.Array]:
    """The jitted map from a block of keys to samples."""

    @jax.jit
    def run(value, keys, prior, degradation, y):
        sample = COMPARED[method].build(value).sample
        return jax.vmap(lambda key: sample(key, prior, degradation, y).image)(keys)

    return run


def samples_of(method: str, value: float | None, truth: Truth, seed: int, count: int, block: int) -> np.ndarray:
    """So many samples (count, D) of a method, in blocks of chains that run side by side."""
    keys = jax.random.split(jax.random.key(seed + 1000), count)
    traced = None if value is None else jnp.float32(value)
    blocks = [
        _program(method)(traced, keys[i : i + block], truth.prior, truth.degradation, truth.y)
        for i in range(0, count, block)
    ]
    return np.concatenate(blocks).reshape(count, -1)


def measure(method: str, problem: Problem) -> dict[str, Any]:
    """Choose the setting on some problems, average over others."""
    compared, sizes = COMPARED[method], problem.sizes

    def tried(value: float | None) -> float:
        distances = []
        for seed in sizes.tuning_seeds:
            truth = problem.known(seed)
            samples = samples_of(method, value, truth, seed, sizes.tuning_samples, sizes.block)
            distances.append(_truths.distance(samples, truth))
        return float(np.mean(distances))

    started = time.perf_counter()
    best = min(compared.values, key=tried if len(compared.values) > 1 else lambda value: 0.0)
    scores = []
    for seed in sizes.seeds:
        truth = problem.known(seed)
        samples = samples_of(method, best, truth, seed, sizes.samples, sizes.block)
        scores.append(_truths.compare(samples, truth))
    seconds = time.perf_counter() - started
    return {"value": best, "evaluations": compared.evaluations._asdict(), **_mean(scores), "seconds": seconds}


def measure_exact(problem: Problem) -> dict[str, Any]:
    """What exact samples score: the best that anything can, and how far from right chance alone leads."""
    truths = [problem.known(seed) for seed in problem.sizes.seeds]
    facts = {name: max(truth.facts[name] for truth in truths) for name in truths[0].facts}
    return {**_mean([_truths.compare(truth.again, truth) for truth in truths]), **facts}


def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float | None]:
    """Means over problems; None, for JSON has no word for it, where a sample is not finite."""
    means = {name: float(np.mean([s[name] for s in scores])) for name in MEASURES}
    return {name: mean if math.isfinite(mean) else None for name, mean in means.items()}


def chosen(arguments: argparse.Namespace) -> list[str]:
    """Labels of the problems that are asked for.

    Raises:
      SystemExit: If a pattern names none.
    """
    patterns = QUICK if arguments.quick else arguments.problems
    for pattern in patterns:
        if not fnmatch.filter(PROBLEMS, pattern):
            raise SystemExit(f"no problem is called {pattern}; expected some of {', '.join(PROBLEMS)}")
    return [label for label in PROBLEMS if any(fnmatch.fnmatch(label, pattern) for pattern in patterns)]


def main() -> None:
    """Measure the cells that are due, then print the tables and draw the plots."""
    parser = _run.parser(__doc__)
    parser.add_argument("--problems", nargs="+", default=["*"], metavar="PATTERN", help=f"of {', '.join(PROBLEMS)}")
    parser.add_argument("--quick", action="store_true", help=f"only {' and '.join(QUICK)}: some minutes")
    parser.add_argument("--methods", nargs="+", default=DEFAULT, choices=[EXACT, *COMPARED])
    _cells.add_options(parser)
    arguments = parser.parse_args()
    cells = _cells.Cells("posterior", arguments)
    for label in chosen(arguments):
        problem = PROBLEMS[label]
        for method in arguments.methods:
            cell_label, facts = f"{label}/{method}", facts_of(method, problem)
            if not cells.due(cell_label, facts, results=MEASURES):
                continue
            operator = problem.known(problem.sizes.seeds[0]).degradation.operator
            if method != EXACT and COMPARED[method].refusal(operator):
                continue
            cell = measure_exact(problem) if method == EXACT else measure(method, problem)
            cells.write({cell_label: {**facts, **cell}})
            told = ", ".join(f"{name} {'-' if cell[name] is None else format(cell[name], '.3f')}" for name in MEASURES)
            print(f"{cell_label} ({cell.get('value')}, {cell.get('seconds', 0):.0f} s): {told}", flush=True)
    if cells.path.exists():
        render.render(cells.path)


if __name__ == "__main__":
    main()
