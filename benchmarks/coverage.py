"""May a spread be believed on photographs? Coverage of every method and task over a folder of clean pictures.

    python -m benchmarks.coverage FOLDER [--size 64] [--samples 8] [--tasks denoising] [--methods spgd dpps]

Each picture is degraded and restored several times; then one counts the pixels whose truth lies within mean +- k
standard deviations of the samples, for k of 1 to 3, in all and by the distance to the nearest edge, and within the
intervals that would hold a given share if the samples were exact and the posterior Gaussian
(`jaxrestore.coverage.gaussian_share` knows how few samples there are).

How much of what is missing comes from the prior being another than the world? The same is done with pictures drawn from
the prior itself: there the prior is the world, and what is missing is the sampler's fault. With R^2 the mean squared
error over the mean variance (times 1 + 1/S), the share of the photographs' squared error that the prior is to blame for
is 1 - R_draws^2 / R_photographs^2, if the sampler errs by the same factor on both. Draws are made by the prior's own
probability flow (Karras et al. 2022, algorithm 1, Heun's method). The share is negative where the sampler does worse on
draws than on photographs.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _cells, _photographs, _run, quality, render
from jaxrestore import coverage, evaluation, methods, scale, schedules
from jaxrestore.methods import METHODS
from jaxrestore.priors import Prior

MULTIPLES = (1, 2, 3)
LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))  # of the reliability plot
EDGE = 0.2  # change of brightness from pixel to pixel, of [-1, 1], from which on there is an edge
DISTANCES = {"on edges": (0, 0), "1 to 2 pixels": (1, 2), "3 to 7 pixels": (3, 7), "further": (8, 8)}
DRAWING_STEPS = 40


class Counted(NamedTuple):
    """What was found on a stack of pictures."""

    within: list[float | None]  # shares of the pixels, for each of `MULTIPLES`; None where all pictures diverged
    by_distance: dict[str, dict[str, Any]]  # {"pixels": their share, "within": as above}, for each of `DISTANCES`
    reliability: list[float | None]  # for each of `LEVELS`
    ratio: float | None  # R: root of the mean squared error over the mean variance times 1 + 1/S; 1 is right
    diverged: int  # pictures that are left out


def edge_distance(image: np.ndarray) -> np.ndarray:
    """Steps (also diagonal ones) from each pixel (H, W) to the nearest edge of an image (H, W, C); 8 for 8 and more."""
    grey = np.pad(image.mean(2), 1, mode="edge")
    change = np.hypot(grey[2:, 1:-1] - grey[:-2, 1:-1], grey[1:-1, 2:] - grey[1:-1, :-2]) / 2
    near, distance = change > EDGE, np.full(change.shape, 8)
    for steps in range(8):
        distance[near & (distance == 8)] = steps
        padded = np.pad(near, 1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
        near = windows.any((2, 3))
    return distance


def count(truths: np.ndarray, statistics: jr.PosteriorStatistics, num_samples: int) -> Counted:
    """Compare mean and deviation with truths (N, H, W, C); those of diverged pictures are NaN, and not counted."""
    finite = np.isfinite(statistics.mean).all((1, 2, 3)) & np.isfinite(statistics.std).all((1, 2, 3))
    if not finite.any():
        nothing: list[float | None] = [None] * len(MULTIPLES)
        nowhere = {name: {"pixels": None, "within": nothing} for name in DISTANCES}
        return Counted(nothing, nowhere, [None] * len(LEVELS), None, len(truths))
    truths, mean, std = (a[finite] for a in (truths, statistics.mean, statistics.std))
    away = coverage.deviations(mean, std, truths)
    distance = np.stack([edge_distance(truth) for truth in truths])
    by_distance = {}
    for name, (low, high) in DISTANCES.items():
        chosen = (distance >= low) & (distance <= high)
        within = [float(np.mean(away[chosen] <= k)) if chosen.any() else None for k in MULTIPLES]
        by_distance[name] = {"pixels": float(chosen.mean()), "within": within}
    multiples = [coverage.gaussian_multiple(level, num_samples) for level in LEVELS]
    variance = (1 + 1 / num_samples) * np.mean(np.square(std, dtype=np.float64))
    return Counted(
        [float(np.mean(away <= k)) for k in MULTIPLES],
        by_distance,
        [float(np.mean(away <= multiple)) for multiple in multiples],
        float(np.sqrt(np.mean(np.square(truths - mean, dtype=np.float64)) / variance)),
        int((~finite).sum()),
    )


def draw(prior: Prior, shape: tuple[int, int, int], number: int, *, key: jax.Array) -> np.ndarray:
    """Pictures (number, H, W, C) of the prior, clipped to [-1, 1]."""
    sigmas = jnp.asarray(schedules.edm(DRAWING_STEPS, sigma_max=80.0, sigma_min=0.02), jnp.float32)

    @jax.jit
    def one(key: jax.Array, prior: Prior) -> jax.Array:
        def slope(x: jax.Array, sigma: jax.Array) -> jax.Array:
            return (x - prior.denoise(x, sigma)) / sigma

        def step(x: jax.Array, levels: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            sigma, following = levels
            first = slope(x, sigma)
            there = x + (following - sigma) * first
            second = slope(there, following)
            return x + (following - sigma) * 0.5 * (first + second), None

        x = sigmas[0] * jax.random.normal(key, shape)
        x, _ = jax.lax.scan(step, x, (sigmas[:-2], sigmas[1:-1]))
        return prior.denoise(x, sigmas[-2])  # the step to 0, where there is no slope

    return np.stack([np.clip(one(k, prior), -1.0, 1.0) for k in jax.random.split(key, number)])


def measure(
    task: jr.Task, method: str, prior: Prior, truths: np.ndarray, *, num_samples: int, batch_size: int
) -> Counted:
    """Degrade, restore and count."""
    key_noise, key_sampler = jax.random.split(jax.random.key(0))
    ys = evaluation.measure(task.degradation, truths, key_noise)
    options = {"num_samples": num_samples, "batch_size": batch_size, "progress": True}
    try:
        sampler = task.sampler(method)
        with scale.made_of(truths):
            statistics = jr.posterior_statistics(sampler, prior, task.degradation, ys, key=key_sampler, **options)
    except jr.DivergenceError as error:
        statistics = error.result
    return count(truths, statistics, num_samples)


def prior_share(photographs: float | None, draws: float | None) -> float | None:
    """The share of the photographs' squared error that the prior is to blame for, from both ratios R."""
    if photographs is None or draws is None:
        return None
    return 1 - (draws / photographs) ** 2


def main() -> None:
    """Measure the cells that are due, then print the table and draw the plots."""
    parser = _run.parser(__doc__)
    _photographs.add_options(parser, size=None)
    parser.add_argument("--samples", type=int, default=8, help="posterior samples of each picture, 2 or more")
    parser.add_argument("--draws", type=int, help="pictures drawn from the prior; as many as photographs by default")
    parser.add_argument("--tasks", nargs="+", default=_photographs.TASKS, choices=_photographs.TASKS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--batch-size", type=int, default=4)
    _cells.add_options(parser)
    arguments = parser.parse_args()
    if arguments.samples < 2:
        parser.error(f"--samples is {arguments.samples}, expected at least 2")

    photographs = _photographs.load(arguments)
    shape = photographs.stack.shape
    number = arguments.draws or len(photographs.stack)
    cells = _cells.Cells(f"coverage-{arguments.size}" if arguments.size else "coverage", arguments)
    prior = jr.load_prior("photo")
    drawn: np.ndarray | None = None
    for name in arguments.tasks:
        if not quality.suits(name, shape):
            continue
        task = jr.task(name, image_shape=shape[1:], key=jax.random.key(1))
        able = methods.able(task.degradation.operator)
        for method in [method for method in arguments.methods if method in able]:
            facts = {**quality.facts_of(task, method), **photographs.facts, "samples": arguments.samples}
            facts |= {"num_draws": number, "drawing_steps": DRAWING_STEPS, "dtype": prior.config.dtype}
            if not cells.due(f"{name}/{method}", facts):
                continue
            if drawn is None:
                drawn = draw(prior, shape[1:], number, key=jax.random.key(2))
            options = {"num_samples": arguments.samples, "batch_size": arguments.batch_size}
            found = {
                world: measure(task, method, prior, truths, **options)
                for world, truths in (("photographs", photographs.stack), ("draws", drawn))
            }
            cell = {
                "evaluations": methods.get(method).evaluations(task.for_method(method)).times(arguments.samples),
                "multiples": MULTIPLES,
                "expected": coverage.gaussian_share(MULTIPLES, arguments.samples).tolist(),
                "levels": LEVELS,
                **{world: counted._asdict() for world, counted in found.items()},
                "prior_share": prior_share(found["photographs"].ratio, found["draws"].ratio),
            }
            cell["evaluations"] = cell["evaluations"]._asdict()
            cells.write({f"{name}/{method}": {**facts, **cell}})
    if cells.path.exists():
        render.render(cells.path)


if __name__ == "__main__":
    main()
