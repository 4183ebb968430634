"""Searching a sampler's settings: many settings as one batch of one compiled program.

Settings that may be traced (step sizes, momentum, weights) are vmapped like images; only those that fix the program,
such as the number of steps, cost a compilation of their own.
"""

import inspect
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks, credible, evaluation, memory, methods, metrics, stopping
from jaxrestore.credible import Calibration
from jaxrestore.degradation import Degradation
from jaxrestore.evaluation import Scores
from jaxrestore.methods import METHODS
from jaxrestore.priors._base import Prior
from jaxrestore.samplers import Sampler
from jaxrestore.storage.files import replacing

METRICS = ("lpips", "psnr", "ssim")
_KIND = "jaxrestore settings"
STATED_FOR = (
    f"settings that depend on the size of the image are stated for {methods.REFERENCE_SIDE} pixels a side, those that "
    "depend on the operator's norm for the usual options of the task"
)
_POWERS = range(-3, 7)  # published weights are for large networks; small ones want far more


class Trial(NamedTuple):
    settings: dict[str, Any]  # keyword arguments of the sampler's factory
    scores: Scores  # mean over the pictures; NaN where a run diverged


def traceable(factory: Callable[..., Sampler]) -> set[str]:
    """Names of the settings that may be traced, told by their annotation `ArrayLike`."""
    kinds = (jax.typing.ArrayLike, jax.typing.ArrayLike | None)
    return {name for name, p in inspect.signature(factory).parameters.items() if p.annotation in kinds}


def tune(
    factory: Callable[..., Sampler],
    prior: Prior,
    degradation: Degradation,
    truths: np.ndarray,
    grid: Mapping[str, Sequence[Any]] | None = None,
    *,
    key: jax.Array,
    fixed: Mapping[str, Any] | None = None,
    metric: str = "lpips",
    batch_size: int | None = None,
    report: Callable[[int, int], Any] | None = None,
) -> list[Trial]:
    """Degrade and restore pictures with every combination of some settings.

    All settings see the same measurements and the same keys.

    Args:
      factory: Makes the sampler, e.g. `jaxrestore.spgd`, or a function with its signature (`functools.wraps`).
      prior: What images look like.
      degradation: What to undo.
      truths: (N, H, W, C) in [-1, 1].
      grid: Name of a setting to its values. None searches the weight of the measurement (`Method.weight`), at powers
        of two around its default: what an operator or a prior of your own changes most.
      key: Draws the noise of the measurements and all of the samplers' randomness.
      fixed: The other settings.
      metric: What orders the result: "lpips" (variant "alex", smaller is better), "psnr" or "ssim".
      batch_size: Restorations on the device at a time, over pictures and settings alike; None takes 4 on processors and
        16 elsewhere.
      report: Called with the number of finished restorations and of all, after each batch.

    Returns:
      All trials, the best first; those that diverged last.

    Raises:
      ValueError: If the grid is empty, names no setting of the factory, or a setting is out of range; or there is none,
        and the factory is no method's that has a weight.

    Example:
      For an operator and a prior of your own; two lines are all there is to it.

      >>> shape = (32, 32, 3)
      >>> smooth = jr.priors.GaussianMixture(jnp.ones(1), jnp.zeros((1, *shape)), jnp.full((1, 3072), 0.1))
      >>> camera = jr.Degradation(jr.operators.Linear(lambda x: x[::2] + x[1::2], shape), jr.GaussianNoise(0.1))
      >>> truths = np.asarray(smooth.sample(key))[None]
      >>> fixed = {"num_steps": 5}
      >>> trials = jr.tuning.tune(jr.dps, smooth, camera, truths, key=key, metric="psnr", fixed=fixed)
      >>> sampler = jr.dps(**trials[0].settings)
      >>> len(trials), sampler.num_steps
      (10, 5)
    """
    grid = _around_weight(factory) if grid is None else grid
    _checks.one_of("metric", metric, METRICS)
    batch_size = memory.usual_batch(jax.devices()[0]) if batch_size is None else batch_size
    _checks.at_least("batch_size", batch_size, 1)
    known = set(inspect.signature(factory).parameters)
    unknown = (set(grid) | set(fixed or {})) - known
    if unknown or not grid or not all(len(v) for v in grid.values()):
        raise ValueError(
            f"the grid has {', '.join(sorted(unknown)) or 'no values'}; expected values for some of "
            f"{', '.join(sorted(known))}"
        )
    for combination in _combinations(grid):  # every value is checked before anything is computed
        factory(**{**(fixed or {}), **combination})
    key_noise, key_sampler = jax.random.split(key)
    ys = evaluation.measure(degradation, truths, key_noise)
    # None is no number: settings that may be None fix the program where the grid has it.
    traced = [name for name in grid if name in traceable(factory) and all(v is not None for v in grid[name])]
    static = {name: values for name, values in grid.items() if name not in traced}
    asked = list(itertools.product(*(grid[name] for name in traced)))
    values = np.array(asked, np.float32)  # (K, traced)
    jobs = np.array([(k, i) for k in range(len(values)) for i in range(len(truths))])
    programs = list(_combinations(static))
    lpips = metrics.load_lpips()
    total, done, trials = len(programs) * len(jobs), 0, []
    for chosen in programs:
        program = _program(factory, {**(fixed or {}), **chosen}, traced)
        scores = np.zeros((len(values), len(truths), len(Scores._fields)))
        size = min(batch_size, len(jobs))
        for start in range(0, len(jobs), size):
            stopping.check()
            job = jobs[start : start + size]
            filled = np.concatenate([job, np.repeat(job[-1:], size - len(job), 0)])
            results = program(
                jnp.asarray(values[filled[:, 0]]),
                jax.vmap(lambda i: jax.random.fold_in(key_sampler, i))(filled[:, 1]),
                prior,
                degradation,
                jnp.asarray(ys[filled[:, 1]]),
                jnp.asarray(truths[filled[:, 1]]),
                lpips,
            )
            scores[job[:, 0], job[:, 1]] = np.stack(results, 1)[: len(job)]
            done += len(job)
            if report is not None:
                report(done, total)
        for row, score in zip(asked, scores.mean(1), strict=True):
            settings = {**chosen, **dict(zip(traced, row, strict=True))}
            trials.append(Trial({**(fixed or {}), **settings}, Scores(*map(float, score))))
    sign = 1.0 if metric == "lpips" else -1.0
    return sorted(trials, key=lambda t: np.nan_to_num(sign * getattr(t.scores, metric), nan=np.inf))


def _around_weight(factory: Callable[..., Sampler]) -> dict[str, list[float]]:
    """The weight of the measurement at powers of two around its default."""
    for method in METHODS.values():
        if method.factory is factory and method.weight is not None:
            return {method.weight: [method.defaults[method.weight] * 2.0**k for k in _POWERS]}
    raise ValueError(
        f"{factory.__name__} has no weight of the measurement to search; give a grid of some of "
        f"{', '.join(inspect.signature(factory).parameters)}"
    )


def _combinations(grid: Mapping[str, Sequence[Any]]):
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _program(factory: Callable[..., Sampler], settings: Mapping[str, Any], traced: Sequence[str]):
    """The jitted map from a batch of (settings, key, measurement, truth) to scores."""

    def one(values, key, prior, degradation, y, truth, lpips):
        sampler = factory(**{**settings, **dict(zip(traced, values, strict=True))})
        restored = sampler.sample(key, prior, degradation, y).image
        # What is not finite must not be clipped into a picture: its scores are NaN, and come last.
        image = jnp.where(jnp.isfinite(restored).all(), jnp.clip(restored, -1.0, 1.0), jnp.nan)
        return evaluation.compare(image, truth, lpips)

    return jax.jit(jax.vmap(one, in_axes=(0, 0, None, None, 0, 0, None)))


def check_storable(settings: Mapping[str, Any]) -> None:
    """Raise, before any computing, if a file cannot hold settings.

    Raises:
      TypeError: If one of them is neither a number nor a name.
    """
    for name, value in settings.items():
        if not _is_plain(value):
            raise _checks.InputTypeError(
                f"{name} is {getattr(value, '__name__', repr(value))}, which a file cannot hold: expected a number or "
                "a name; take settings without it, such as 'photo'"
            )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | np.generic)


def save_settings(
    path: str | os.PathLike[str], task: str, method: str, settings: Mapping[str, Any], **more: Any
) -> None:
    """Write settings as a file that `load_settings` and the command line read; `more` is kept beside them."""
    plain = {name: v.item() if isinstance(v, np.generic) else v for name, v in settings.items()}
    content = {"kind": _KIND, "task": task, "method": method, "settings": plain, **more}
    with replacing(pathlib.Path(path)) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def load_settings(path: str | os.PathLike[str], task: str, method: str) -> dict[str, Any]:
    """Read settings for a task and method.

    Raises:
      ValueError: If the file cannot be read, holds settings for something else, or such as the method cannot take.
    """
    return _read(path, task, method)["settings"]


def load_calibration(
    path: str | os.PathLike[str], task: str, method: str, conditions: Mapping[str, Any]
) -> Calibration | None:
    """Read the calibration of a settings file that `jaxrestore calibrate` has written; None if it holds none.

    Args:
      path: The file.
      task: That it shall be for.
      method: That it shall be for.
      conditions: All else that the deviations depend on, as the file names it: noise, options, prior, ...

    Raises:
      ValueError: If the file cannot be read, or was calibrated for something else.
    """
    content = _read(path, task, method)
    if "calibration" not in content:
        return None
    for name, asked in conditions.items():
        if content.get(name) != asked:
            raise ValueError(
                f"the calibration of {path} is for {name} {content.get(name)}, and not for {asked}: deviations would "
                "be scaled wrongly; calibrate for what you restore"
            )
    return credible.from_json(content["calibration"])


def _read(path: str | os.PathLike[str], task: str, method: str) -> dict[str, Any]:
    """A settings file for a task and method, checked."""
    try:
        content = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"settings {path} cannot be read ({error})") from error
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise ValueError(f"{path} holds no settings; expected a file written by `jaxrestore tune`")
    if missing := {"task", "method", "settings"} - set(content):
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}; write it again with `jaxrestore tune`")
    if (content["task"], content["method"]) != (task, method):
        raise ValueError(
            f"{path} holds settings of {content['method']} for {content['task']}, expected those of {method} for {task}"
        )
    settings = content["settings"]
    try:
        if not all(map(_is_plain, settings.values())):
            raise ValueError("a value is neither a number nor a name")
        _ = methods.get(method).build(**settings)  # which looks at every value
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(
            f"{path} holds no settings of {method} ({error}); write it again with `jaxrestore tune`, or mend that value"
        ) from error
    return content
