"""The angles of SPGD's paper: a plot, and a record of what the variants made of the photograph."""

import pathlib

import jax
import numpy as np

import jaxrestore as jr
from benchmarks import _metrics, networks
from benchmarks._photographs import Photographs
from jaxrestore import analysis, evaluation, methods
from jaxrestore.priors import NetworkPrior
from scripts.drawn import records

TASK = "gaussian_deblur"
STEPS, WARMUP_STEPS = 30, 5


def make(
    photograph: Photographs,
    prior: NetworkPrior,
    folder: pathlib.Path,
    *,
    steps: int = STEPS,
    warmup_steps: int = WARMUP_STEPS,
    again: bool = False,
) -> bool:
    """Restore one photograph with all variants of SPGD and DPS, draw their angles and write the record.

    Args:
      photograph: The first one is taken.
      prior: The bundled one.
      folder: Where `angles.png` and `angles.json` go.
      steps: Noise levels of every variant.
      warmup_steps: Likelihood steps at each level, of the variants with warm-up.
      again: Whether what is finished is made again.

    Returns:
      Whether there was something to do.
    """
    truth = photograph.stack[0]
    task = jr.task(TASK, image_shape=truth.shape, key=jax.random.key(1))  # the one of the benchmarks
    sizes = {
        name: methods.get(name).complete(task.for_method(name))[str(methods.get(name).weight)]
        for name in analysis.VARIANTS
    }
    facts = {
        "task": TASK,
        "noise_std": task.definition.noise_std,
        "photograph": photograph.paths[0].name,
        "steps": steps,
        "warmup_steps": warmup_steps,
        "step_sizes": sizes,
        **networks.photo_facts(),
        **photograph.facts,
        **_metrics.facts(evaluation.perceptual()),
        "dtype": prior.config.dtype,
    }
    picture, record = folder / "angles.png", folder / "angles.json"
    if not again and not records.due(record, picture, facts):
        return False
    key_noise, key = jax.random.split(jax.random.key(0))
    y = evaluation.measure(task.degradation, truth[None], key_noise)[0]
    curves, variants = {}, {}
    for name, size in sizes.items():
        for variant, sampler in analysis.variants(name, steps, warmup_steps, size).items():
            restored, curves[variant] = analysis.curves(sampler, key, prior, task.degradation, jax.numpy.asarray(y))
            scores = evaluation.score(restored, truth)
            means = {angle: round(float(np.nanmean(getattr(curves[variant], angle))), 1) for angle in analysis.CURVES}
            variants[variant] = {**means, "psnr": round(scores.psnr, 4), "lpips": round(scores.lpips, 4)}
            print(variant, variants[variant], flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    analysis.draw(picture, curves, title=f"{TASK}, {steps} steps, {truth.shape[0]}x{truth.shape[1]}")
    records.write_record(record, {**facts, "variants": variants})
    return True
