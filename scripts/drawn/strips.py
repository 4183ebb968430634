"""A strip for each method: one photograph, restored with several values of the settings that tell most."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _metrics
from benchmarks._photographs import Photographs
from benchmarks.quality import facts_of
from jaxrestore import evaluation, methods, tuning
from jaxrestore.priors import NetworkPrior
from scripts.drawn import records, sheets


@dataclasses.dataclass(frozen=True)
class Times:
    """Values of a setting as multiples of what the task has for it."""

    factors: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Strip:
    """What a method's strip shows."""

    task: str  # one whose measurements show the settings' effect
    rows: Mapping[str, Sequence[Any] | Times]  # setting -> its values; the other settings are the task's


STRIPS: Mapping[str, Strip] = {
    "spgd": Strip("gaussian_deblur", {"learning_rate": Times((0.05, 1, 4)), "warmup_steps": (1, 8, 32)}),
    "pspgd": Strip("super_resolution", {"evaluations": (4, 12, 32), "detail": (0.0, 0.5, 1.0)}),
    "dpps": Strip("super_resolution", {"scale": Times((0.1, 1, 4)), "n_max": (2, 10, 50)}),
    "pdpps": Strip("super_resolution", {"num_steps": (6, 12, 30), "n_max": (2, 10, 50)}),
    "dps": Strip("super_resolution", {"scale": Times((0.1, 1, 4))}),
    "diffpir": Strip("gaussian_deblur", {"strength": Times((0.1, 1, 10)), "zeta": (0.0, 0.3, 1.0)}),
    "ddnm": Strip("inpainting_random", {"eta": (0.0, 0.5, 1.0), "num_steps": (10, 50, 200)}),
    "ddpg": Strip("gaussian_deblur", {"gamma": (1.0, 8.0, 50.0), "zeta": (0.1, 0.5, 1.0)}),
    "ddrm": Strip("inpainting_random", {"eta": (0.0, 0.5, 1.0), "num_steps": (10, 20, 100)}),
    "pigdm": Strip("super_resolution", {"scale": (0.3, 1.0, 2.0), "num_steps": (10, 50)}),
    "mmps": Strip("gaussian_deblur", {"solver_steps": (1, 3)}),
    "daps": Strip("super_resolution", {"tau": Times((0.3, 1, 10)), "num_steps": (5, 15, 30)}),
    "reddiff": Strip("gaussian_deblur", {"strength": Times((0.1, 1, 10))}),
    "repaint": Strip("inpainting_random", {"jump_repeats": (1, 2, 5)}),
}


def make(
    method: str, photograph: Photographs, prior: NetworkPrior, folder: pathlib.Path, *, again: bool = False
) -> bool:
    """Restore one photograph with all settings of a method's strip, and write the strip and its record.

    Args:
      method: One of `STRIPS`.
      photograph: The first one is taken.
      prior: The bundled one.
      folder: Where `METHOD.jpg` and `METHOD.json` go.
      again: Whether what is finished is made again.

    Returns:
      Whether there was something to do.
    """
    strip, truth = STRIPS[method], photograph.stack[0]
    task = jr.task(strip.task, image_shape=truth.shape, key=jax.random.key(1))  # the one of the benchmarks
    facts = {
        "method": method,
        "task": strip.task,
        "noise_std": task.definition.noise_std,
        "photograph": photograph.paths[0].name,
        "values": {name: values_of(task, method, name) for name in strip.rows},
        **facts_of(task, method),
        **photograph.facts,
        **_metrics.facts(evaluation.perceptual()),
        "dtype": prior.config.dtype,
    }
    picture, record = folder / f"{method}.jpg", folder / f"{method}.json"
    if not again and not records.due(record, picture, facts):
        return False
    key_noise, key = jax.random.split(jax.random.key(0))
    y = evaluation.measure(task.degradation, truth[None], key_noise)[0]
    drawn, told = [], {}
    for name, restored in _restored(task, method, facts["values"], prior, key, y).items():
        scores = [evaluation.score(image, truth) for image in restored]
        told[name] = [
            {"value": value, "psnr": _number(s.psnr), "lpips": _number(s.lpips)}
            for value, s in zip(facts["values"][name], scores, strict=True)
        ]
        drawn.append(_row(task, name, truth, y, restored, told[name]))
    simple = task.simple_answer(y)
    plain = None if simple is None else evaluation.score(simple, truth)
    records.write_picture(picture, sheets.labelled(drawn))
    told_of_simple = None if plain is None else {"psnr": plain.psnr, "lpips": plain.lpips}
    records.write_record(record, {**facts, "rows": told, "simple": told_of_simple})
    return True


def values_of(task: jr.Task, method: str, name: str) -> list[Any]:
    """A setting's values on a strip."""
    values = STRIPS[method].rows[name]
    if isinstance(values, Times):
        own = methods.get(method).complete(task.for_method(method))[name]
        return [float(f"{factor * own:.3g}") for factor in values.factors]
    return [*values]


def _restored(
    task: jr.Task,
    method: str,
    values: Mapping[str, Sequence[Any]],
    prior: NetworkPrior,
    key: jax.Array,
    y: np.ndarray,
) -> dict[str, list[np.ndarray]]:
    """Setting -> the images (H, W, C) of its values; what several rows show is computed once."""
    row = methods.get(method)
    own = task.for_method(method)
    computed: dict[str, np.ndarray] = {}
    found: dict[str, list[np.ndarray]] = {}
    for name, chosen in values.items():
        traced = name in tuning.traceable(row.factory)
        program = _program(row, own, name) if traced else None
        found[name] = []
        for value in chosen:
            settings = row.complete({**own, name: value})
            place = repr(sorted(settings.items()))
            if place not in computed:
                run = _program(row, {**own, name: value}, None) if program is None else program
                image = run(jnp.float32(value), key, prior, task.degradation, jnp.asarray(y))
                computed[place] = np.asarray(image)
            found[name].append(computed[place])
    return found


def _program(row: jr.Method, settings: Mapping[str, Any], name: str | None) -> Callable[..., jax.Array]:
    """The compiled sampler; a setting that may be traced is an argument, so that its values share a program."""

    def run(value, key, prior, degradation, y):
        changed = {} if name is None else {name: value}
        return row.build(**{**settings, **changed}).sample(key, prior, degradation, y).image

    return jax.jit(run)


def _number(value: float) -> float | None:
    """None where a run diverged: NaN is no JSON."""
    return None if np.isnan(value) else round(value, 4)


def _row(
    task: jr.Task,
    name: str,
    truth: np.ndarray,
    y: np.ndarray,
    restored: Sequence[np.ndarray],
    told: Sequence[Mapping[str, Any]],
) -> list[tuple[np.ndarray, str]]:
    picture = sheets.measured(task, y)
    assert picture is not None  # strips show tasks whose measurements are pictures
    row = [(picture, "measured")]
    for image, cell in zip(restored, told, strict=True):
        scores = "diverged" if cell["psnr"] is None else f"{cell['psnr']:.1f} dB, {cell['lpips']:.3f}"
        row.append((image, f"{name}={cell['value']:g}\n{scores}"))
    return [*row, (truth, "original")]
