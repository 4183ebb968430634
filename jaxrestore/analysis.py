"""What happens inside a run: the angles by which SPGD's paper explains instability, for any sampler that reports them.

Three angles at each step: between the descent along the likelihood and the denoising direction (conflict, near or
above 90 degrees), between the likelihood gradients of successive steps, and between successive denoising directions
(jumps).
"""

import csv
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior
from jaxrestore.samplers import Sampler, adaptive_directional_momentum, dps, spgd
from jaxrestore.storage.files import replacing

CURVES = {
    "angle_likelihood_denoising": "likelihood against denoising",
    "angle_likelihood": "successive likelihood gradients",
    "angle_denoising": "successive denoising directions",
}


class Curves(NamedTuple):
    """The diagnostics of one run; each (num_steps,), float32; angles in degrees, NaN where there is no step before."""

    angle_likelihood_denoising: np.ndarray
    angle_likelihood: np.ndarray
    angle_denoising: np.ndarray
    residual: np.ndarray  # ||y - A(x0)||_2


def _spgd_variants(num_steps: int, warmup_steps: int, step_size: float, **settings: Any) -> dict[str, Sampler]:
    return {
        label: spgd(num_steps=num_steps, learning_rate=step_size, warmup_steps=warmup, momentum=momentum, **settings)
        for label, warmup, momentum in (
            ("spgd", warmup_steps, 0.9),
            ("spgd, no momentum", warmup_steps, 0.0),
            # Momentum restarts at every level: without warm-up there is nothing for it to smooth.
            ("spgd, no warm-up", 1, 0.0),
        )
    }


def _dps_variants(num_steps: int, warmup_steps: int, step_size: float, **settings: Any) -> dict[str, Sampler]:
    smoothed = adaptive_directional_momentum(0.9)
    # With warm-up the step is shared among the evaluations, so that variants move the image equally far.
    return {
        label: dps(num_steps=num_steps, scale=step_size / warmup, warmup_steps=warmup, transform=transform, **settings)
        for label, warmup, transform in (
            ("dps", 1, None),
            ("dps, momentum", 1, smoothed),
            ("dps, warm-up", warmup_steps, None),
            ("dps, both", warmup_steps, smoothed),
        )
    }


VARIANTS: Mapping[str, Callable[..., dict[str, Sampler]]] = {"spgd": _spgd_variants, "dps": _dps_variants}


def variants(method: str, num_steps: int, warmup_steps: int, step_size: float, **settings: Any) -> dict[str, Sampler]:
    """SPGD or DPS with and without warm-up and momentum.

    Args:
      method: One of `VARIANTS`.
      num_steps: Noise levels.
      warmup_steps: Likelihood steps at each level, of the variants with warm-up.
      step_size: SPGD's learning rate or DPS's scale.
      **settings: Further keyword arguments of the factory.

    Returns:
      {"spgd": ..., "spgd, no momentum": ..., ...}; what is called like the method is SPGD's paper or plain DPS.

    Raises:
      ValueError: If the method has no such variants.
    """
    if method not in VARIANTS:
        raise ValueError(
            f"method is {method!r}, expected {' or '.join(VARIANTS)}: the others have no warm-up or momentum to leave "
            "out"
        )
    return VARIANTS[method](num_steps, warmup_steps, step_size, **settings)


def curves(
    sampler: Sampler, key: jax.Array, prior: Prior, degradation: Degradation, y: jax.Array
) -> tuple[np.ndarray, Curves]:
    """Run a sampler on one measurement and keep its diagnostics.

    Returns:
      The image (H, W, C) and the curves.

    Raises:
      ValueError: If the sampler does not report the angles.
    """
    run = jax.jit(sampler.sample)
    info = run.eval_shape(key, prior, degradation, y).info  # traced once, for the run too
    missing = [name for name in CURVES if not hasattr(info, name)]
    if missing:
        raise ValueError(f"{type(info).__name__} has no {missing[0]}: this sampler takes no likelihood gradients")
    result = run(key, prior, degradation, y)
    radians = [np.asarray(getattr(result.info, name)) for name in CURVES]
    angles = [np.where(a < 0, np.nan, np.degrees(a)) for a in radians]  # -1: there is no angle
    return np.asarray(result.image), Curves(angles[0], angles[1], angles[2], np.asarray(result.info.residual))


def write_csv(path: str | os.PathLike[str], curves_by_label: Mapping[str, Curves]) -> None:
    """One row for each variant and step."""
    with replacing(pathlib.Path(path)) as temporary, open(temporary, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["variant", "step", *Curves._fields])
        for label, run in curves_by_label.items():
            table.writerows([label, i, *(f"{v:.6g}" for v in row)] for i, row in enumerate(zip(*run, strict=True)))


def draw(path: str | os.PathLike[str], curves_by_label: Mapping[str, Curves], *, title: str = "") -> None:
    """The three angles over the steps, one panel each, one line a variant.

    Raises:
      ModuleNotFoundError: Without matplotlib (extra `plot`).
    """
    from matplotlib.figure import Figure

    groups: dict[str, list[str]] = {}
    for label in curves_by_label:
        groups.setdefault(label.split(",")[0], []).append(label)
    figure = Figure(figsize=(4.6 * len(CURVES), 3.4 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), len(CURVES), squeeze=False, sharey=True)
    for row, labels in zip(axes, groups.values(), strict=True):
        _draw_row(row, labels, curves_by_label)
    figure.suptitle(title)
    with replacing(pathlib.Path(path)) as temporary:
        figure.savefig(temporary, dpi=110, format=pathlib.Path(path).suffix[1:])


def _draw_row(axes, labels: Sequence[str], curves_by_label: Mapping[str, Curves]) -> None:
    for axis, (name, description) in zip(axes, CURVES.items(), strict=True):
        for label in labels:
            axis.plot(getattr(curves_by_label[label], name), label=label, linewidth=1.2)
        axis.axhline(90, color="grey", linewidth=0.6)
        axis.set(title=description, xlabel="step", ylim=(0, 180), yticks=range(0, 181, 30))
    axes[0].set_ylabel("degrees")
    axes[-1].legend(fontsize=8)
