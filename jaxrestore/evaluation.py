"""Degrade, restore, compare: how well a sampler does on pictures whose truth is known."""

import importlib.metadata
import os
import pathlib
import platform
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import images, metrics, scale
from jaxrestore.degradation import Degradation
from jaxrestore.metrics.perceptual import weights_for
from jaxrestore.priors._base import Prior
from jaxrestore.restore import Divergence, StreamOptions, best_samples, each_sample
from jaxrestore.samplers import Sampler
from jaxrestore.streaming import degradation_axes, restore_batches


class Perceptual(NamedTuple):
    """The LPIPS that is reported: a variant, without which a figure means nothing, and its weights."""

    variant: str  # see `jaxrestore.metrics.lpips`
    params: metrics.LPIPSParams

    @property
    def title(self) -> str:
        """What tables call it."""
        return lpips_title(self.variant)


def lpips_title(variant: str) -> str:
    """What tables call a variant of LPIPS."""
    return f"LPIPS ({variant})"


def perceptual(variant: str = "alex", weights: str | os.PathLike[str] | None = None) -> Perceptual:
    """A variant of LPIPS with its weights.

    Args:
      variant: "alex", "vgg" or "piq".
      weights: Folder written by `python -m convert_weights lpips`; None takes the bundled ones of "alex".

    Raises:
      ValueError: If the variant is unknown, has no bundled weights, or the folder's are those of another network.
      jaxrestore.WeightsError: If the folder holds none, or is damaged.
    """
    return Perceptual(variant, weights_for(variant, None if weights is None else metrics.load_lpips(weights)))


class Scores(NamedTuple):
    """How near one picture is to the truth, both rounded to 8 bits."""

    psnr: float  # dB
    ssim: float
    lpips: float  # smaller is better; of grey pictures, shown to it in three equal channels


class Evaluation(NamedTuple):
    """What came of degrading and restoring a stack of pictures of one shape."""

    measurements: np.ndarray  # (N, ...), what was restored
    restored: np.ndarray  # (N, H, W, C), in [-1, 1]; NaN where the run diverged
    scores: list[Scores]  # NaN where the run diverged
    seconds: float  # for all pictures, compilation included
    divergences: list[Divergence]  # samples whose states stopped being finite


def score(restored: np.ndarray, truth: np.ndarray, *, lpips: Perceptual | None = None) -> Scores:
    """Compare a picture with the truth as both would be stored, in 8 bits; NaN if the picture is not finite.

    Args:
      restored: (H, W, C), colour or grey.
      truth: Of the same shape, in [-1, 1].
      lpips: The variant to report, from `perceptual`; None is "alex".
    """
    lpips = perceptual() if lpips is None else lpips
    if not np.isfinite(restored).all():
        return Scores(*[float("nan")] * len(Scores._fields))
    pair = [jnp.asarray(images.from_uint8(images.to_uint8(a))) for a in (restored, truth)]
    return Scores(*(float(v) for v in _compare(*pair, lpips.params, lpips.variant)))


def compare(
    a: jax.Array, b: jax.Array, params: metrics.LPIPSParams, variant: str = "alex"
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What `Scores` holds, of two images (H, W, C) as they are: pure, with LPIPS's weights as an argument."""
    seen_a, seen_b = (jnp.repeat(x, 3, axis=2) if x.shape[2] == 1 else x for x in (a, b))
    return metrics.psnr(a, b), metrics.ssim(a, b), metrics.lpips(seen_a, seen_b, params, variant=variant)


_compare = jax.jit(compare, static_argnums=3)


def check_scorable(shape: Sequence[int]) -> None:
    """Raise, before any computing, if pictures (H, W, C) are too small for one of the scores.

    Raises:
      ValueError: If they are.
    """
    picture = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
    try:
        jax.eval_shape(compare, picture, picture, metrics.load_lpips())
    except ValueError as error:
        raise ValueError(f"pictures of {shape[0]}x{shape[1]} pixels cannot be scored: {error}") from None


def measure(
    degradation: Degradation,
    truths: np.ndarray,
    key: jax.Array,
    indices: Sequence[int] | None = None,
    *,
    batched: bool = False,
) -> np.ndarray:
    """Measurements of a stack of pictures (N, H, W, C), each with its own noise: that of its place, or of its index.

    `batched` says that each picture has a degradation of its own, as `batched_degradation` of `restore_batches` does.
    """
    numbers = jnp.arange(len(truths)) if indices is None else jnp.asarray(indices)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers)

    def one(degradation: Degradation, key: jax.Array, x: jax.Array) -> jax.Array:
        return degradation.measure(key, x)

    each = jax.vmap(one, in_axes=(degradation_axes(degradation, batched), 0, 0))
    return np.asarray(jax.jit(lambda keys, x: each(degradation, keys, x))(keys, jnp.asarray(truths)))


def measure_for(options: StreamOptions, degradation: Degradation, truths: np.ndarray, key: jax.Array) -> np.ndarray:
    """What `measure` makes for a run of `restore_batches` with such options."""
    batched = options.get("batched_degradation", False)
    return measure(degradation, truths, key, options.get("indices"), batched=batched)


def evaluate(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    truths: np.ndarray,
    *,
    key: jax.Array,
    lpips: Perceptual | None = None,
    **options: Unpack[StreamOptions],
) -> Evaluation:
    """Degrade and restore pictures, and score the results.

    Args:
      sampler: The method.
      prior: What images look like.
      degradation: What to undo.
      truths: (N, H, W, C) in [-1, 1].
      key: Draws the noise of the measurements and all of the sampler's randomness.
      lpips: The variant to report, from `perceptual`; None is "alex".
      **options: Those of `jaxrestore.restore_batches`; of several posterior samples the one with the smallest residual
        counts.

    Returns:
      Measurements, restored pictures, clipped to [-1, 1], and their scores; what diverged is NaN, and raises nothing.

    Raises:
      ValueError: If the pictures are too small to be scored, or an argument does not fit.
    """
    check_scorable(truths.shape[1:])
    key_noise, key_sampler = jax.random.split(key)
    ys = measure_for(options, degradation, truths, key_noise)
    restored = np.full(truths.shape, np.nan, np.float32)
    divergences: list[Divergence] = []
    started = time.perf_counter()
    with scale.made_of(truths):
        batches = restore_batches(sampler, prior, degradation, ys, key=key_sampler, **options)
        for best in best_samples(each_sample(batches, divergences)):
            restored[best.image] = np.clip(best.x, -1.0, 1.0)
    seconds = time.perf_counter() - started
    scores = [score(r, t, lpips=lpips) for r, t in zip(restored, truths, strict=True)]
    return Evaluation(ys, restored, scores, seconds, divergences)


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Mean over the pictures that have scores."""
    scores = [s for s in scores if not np.isnan(s.psnr)] or list(scores)
    return Scores(*(float(np.mean(column)) for column in zip(*scores, strict=True)))


def environment() -> dict[str, Any]:
    """Device and versions, for result files."""
    packages = ("jaxrestore", "jax", "jaxlib", "flax", "numpy")
    return {
        "device": f"{jax.devices()[0].platform} {jax.devices()[0].device_kind}",
        "devices": jax.device_count(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def _processor() -> str:
    """Name of the host's processor; empty where the system does not tell."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
