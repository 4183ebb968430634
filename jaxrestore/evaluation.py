"""Degrade, restore, compare: how well a sampler does on pictures whose truth is known."""

import importlib.metadata
import os
import pathlib
import platform
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrestore import images, metrics, operators
from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior
from jaxrestore.restore import restore
from jaxrestore.samplers import Sampler


class Scores(NamedTuple):
    """Of one picture after rounding to 8 bits."""

    psnr: float  # dB
    ssim: float
    lpips: float  # AlexNet, smaller is better


class Evaluation(NamedTuple):
    """Of a stack of pictures of one shape."""

    measurements: np.ndarray  # (N, ...), what was restored
    restored: np.ndarray  # (N, H, W, C), in [-1, 1]
    scores: list[Scores]
    seconds: float  # for all pictures, compilation included


def score(restored: np.ndarray, truth: np.ndarray) -> Scores:
    """Compare a picture with the truth as both would be stored, in 8 bits."""
    pair = [jnp.asarray(images.from_uint8(images.to_uint8(a))) for a in (restored, truth)]
    return Scores(*(float(v) for v in _scores(*pair, metrics.load_lpips())))


@jax.jit
def _scores(a: jax.Array, b: jax.Array, params: metrics.LPIPSParams) -> tuple[jax.Array, jax.Array, jax.Array]:
    return metrics.psnr(a, b), metrics.ssim(a, b), metrics.lpips(a, b, params)


def measure(degradation: Degradation, truths: np.ndarray, key: jax.Array) -> np.ndarray:
    """Measurements of a stack of pictures (N, H, W, C), each with its own noise."""
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(len(truths)))
    return np.asarray(jax.jit(jax.vmap(degradation.measure))(keys, jnp.asarray(truths)))


def evaluate(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    truths: np.ndarray,
    *,
    key: jax.Array,
    batch_size: int = 4,
    num_samples: int = 1,
    mesh: Mesh | None = None,
    progress: bool = False,
) -> Evaluation:
    """Degrade and restore pictures, and score the results.

    Args:
      sampler: The method.
      prior: What images look like.
      degradation: What to undo.
      truths: (N, H, W, C) in [-1, 1].
      key: Draws the noise of the measurements and all of the sampler's randomness.
      batch_size: Pictures on the device at a time.
      num_samples: Posterior samples; the one with the smallest residual counts.
      mesh: Devices over which batches are spread, as for `jaxrestore.restore`.
      progress: Show a bar.

    Raises:
      jaxrestore.DivergenceError: If a state stops being finite.
    """
    key_noise, key_sampler = jax.random.split(key)
    ys = measure(degradation, truths, key_noise)
    started = time.perf_counter()
    restored = restore(
        sampler,
        prior,
        degradation,
        ys,
        key=key_sampler,
        batch_size=batch_size,
        num_samples=num_samples,
        keep="best",
        mesh=mesh,
        progress=progress,
    )
    seconds = time.perf_counter() - started
    return Evaluation(
        ys, np.clip(restored, -1, 1), [score(r, t) for r, t in zip(restored, truths, strict=True)], seconds
    )


def simple_answer(degradation: Degradation, y: np.ndarray) -> np.ndarray | None:
    """What one would try first: bicubic enlargement, the blurred picture, interpolation of the known pixels.

    Args:
      degradation: How `y` was measured.
      y: One measurement.

    Returns:
      (H, W, C), or None where there is no simple answer (phase retrieval).
    """
    operator = degradation.operator
    if isinstance(operator, operators.SuperResolution):
        from PIL import Image

        height, width, channels = operator.image_shape
        planes = [Image.fromarray(y[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(channels)]
        return np.stack([np.asarray(p) for p in planes], -1)
    if isinstance(operator, operators.Inpainting):
        return _interpolate(y, np.broadcast_to(np.asarray(operator.mask), y.shape)[..., 0] > 0)
    if isinstance(operator, operators.HighDynamicRange):
        return y / operator.scale
    if isinstance(operator, operators.Colorization):
        return np.repeat(y, operator.image_shape[2], 2)
    return None if isinstance(operator, operators.PhaseRetrieval) else y


def _interpolate(y: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Linear interpolation between known pixels, nearest outside their hull."""
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

    points = np.argwhere(known)
    missing = np.argwhere(~known)
    filled = np.array(y, np.float32)
    if len(points) < 3 or len(missing) == 0:
        return filled
    values = LinearNDInterpolator(points, y[known])(missing)
    outside = np.isnan(values).any(-1)
    values[outside] = NearestNDInterpolator(points, y[known])(missing[outside])
    filled[tuple(missing.T)] = values
    return filled


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Mean over pictures."""
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
