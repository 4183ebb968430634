"""Restoring many images: what is made of the stream of batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypedDict, Unpack

import jax
import numpy as np
from jax.sharding import Mesh

from jaxrestore import _checks, measurements
from jaxrestore.credible import Calibration
from jaxrestore.degradation import Degradation
from jaxrestore.measurements import Stack
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._base import Sampler
from jaxrestore.streaming import Batch, first_degradation, restore_batches

KEEP = ("all", "best")
QUANTILE_SAMPLES = 64  # of each image that are kept for its quantiles: with more samples memory does not grow


class StreamOptions(TypedDict, total=False):
    """The keyword arguments of `restore_batches` beside the key; there it says what they mean."""

    batch_size: int | None
    num_samples: int
    batched_degradation: bool
    indices: Sequence[int] | None
    collection: int | None
    wanted: Callable[[int], bool] | None
    mesh: Mesh | None
    progress: bool


class Divergence(NamedTuple):
    """A posterior sample whose state stopped being finite, or exploded: see `Batch.diverged`."""

    image: int
    sample: int
    step: int


class DivergenceError(FloatingPointError):
    """Some samples diverged: values that are not finite, or no picture's. All others were finished first.

    `divergences` names image, sample and step of each, `image`, `sample` and `step` those of the first. `result` is
    what would have been returned, NaN where a sample diverged, or every one of which the best is asked for.
    """

    def __init__(self, divergences: Sequence[Divergence], num_samples: int, result: Any = None) -> None:
        self.divergences = tuple(divergences)
        self.image, self.sample, self.step = self.divergences[0]  # the first of them
        self.result = result
        named = "; ".join(f"image {i} (posterior sample {s}) at step {t}" for i, s, t in self.divergences[:5])
        others = f"; and {len(self.divergences) - 5} more" if len(self.divergences) > 5 else ""
        super().__init__(
            f"{len(self.divergences)} of {num_samples} samples diverged: {named}{others}. Lower the step size "
            "(`jaxrestore.METHODS[...].remedy` names the setting); check also that y is on the [-1, 1] scale and "
            "that the operator is the one that made it. The other samples are in this error's `result`"
        )


class Sample(NamedTuple):
    """One posterior sample of a batch."""

    image: int
    sample: int
    last: bool  # whether it is the last of its image
    x: np.ndarray  # (H, W, C), in the dtype of the measurements, at least float32
    residual: float  # ||A(x) - y||_2
    diverged: int  # step at which it diverged, or -1


class Moments(NamedTuple):
    """Mean and deviation, pixel by pixel, of the posterior samples of one image that stayed finite."""

    image: int
    mean: np.ndarray  # (H, W, C), float32
    std: np.ndarray  # (H, W, C), float32, unbiased (divided by one less than their number)
    quantiles: np.ndarray  # (Q, H, W, C), float32; Q may be 0


class PosteriorStatistics(NamedTuple):
    """Mean, deviation and quantiles, pixel by pixel, of the posterior samples of each image."""

    mean: np.ndarray  # (N, H, W, C), float32: the estimate of least squared error
    std: np.ndarray  # (N, H, W, C), float32: how sure the sampler is; calibrated if that was asked for
    quantiles: np.ndarray  # (N, Q, H, W, C), float32, those that were asked for; Q may be 0


def each_sample(batches: Iterable[Batch], divergences: list[Divergence] | None = None) -> Iterator[Sample]:
    """The samples of a stream one by one; those that diverged are noted in `divergences`, if given."""
    for batch in batches:
        for image, sample, last, x, residual, diverged in zip(*batch, strict=True):
            if diverged >= 0 and divergences is not None:
                divergences.append(Divergence(int(image), int(sample), int(diverged)))
            yield Sample(int(image), int(sample), bool(last), x, float(residual), int(diverged))


def best_samples(samples: Iterable[Sample]) -> Iterator[Sample]:
    """For each image the finite sample with the smallest residual, as soon as the image's last one is done.

    Images of which every sample diverged are left out.
    """
    best = None
    for sample in samples:
        if sample.diverged < 0 and (best is None or sample.residual < best.residual):
            best = sample
        if sample.last:
            if best is not None:
                yield best
            best = None


def moments(samples: Iterable[Sample], *, quantiles: Sequence[float] = ()) -> Iterator[Moments]:
    """Mean, standard deviation and quantiles of each image's finite samples, as soon as the last one is done.

    For mean and deviation no sample is kept (Welford 1962), for quantiles the first `QUANTILE_SAMPLES`. Images with
    fewer than two finite samples are left out.
    """
    quantiles = tuple(quantiles)
    count, mean, squares, kept = 0, np.float64(0.0), np.float64(0.0), []
    for sample in samples:
        if sample.diverged < 0:
            count += 1
            difference = np.asarray(sample.x, np.float64) - mean
            mean = mean + difference / count
            squares = squares + difference * (sample.x - mean)
            if quantiles and len(kept) < QUANTILE_SAMPLES:
                kept.append(sample.x)
        if sample.last:
            if count > 1:
                # The k-th of S samples is the quantile k / (S + 1): a further sample is below it so often.
                found = np.quantile(kept, quantiles, 0, method="weibull") if quantiles else np.zeros((0, *mean.shape))
                arrays = (mean, np.sqrt(squares / (count - 1)), found)
                yield Moments(sample.image, *(np.asarray(a, np.float32) for a in arrays))
            count, mean, squares, kept = 0, np.float64(0.0), np.float64(0.0), []


def restore(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    ys: Stack,
    *,
    key: jax.Array,
    keep: str = "all",
    **options: Unpack[StreamOptions],
) -> np.ndarray:
    """Restore a stack of measurements.

    Args:
      sampler: From `jaxrestore.spgd` and its kind.
      prior: What images look like.
      degradation: How the measurements were made.
      ys: (N, *degradation.measurement_shape), float32, or float64 under `jax_enable_x64`.
      key: Source of all random draws.
      keep: "all" samples, or for each image the "best", with the smallest residual ||A(x) - y||: phase retrieval needs
        the best of about 4. Only what is kept takes memory.
      **options: Those of `restore_batches`: `batch_size`, `num_samples`, `batched_degradation`, `indices`,
        `collection`, `wanted`, `mesh`, `progress`.

    Returns:
      (N, H, W, C), or (N, num_samples, H, W, C) where several samples are kept; in the dtype of `ys`, at least
      float32; not clipped.

    Raises:
      ValueError: If a shape or setting does not fit.
      TypeError: If `ys` is no floating array.
      DivergenceError: If states stop being finite, after all others have been finished; it carries the result.

    Example:
      >>> ys = jnp.stack([y, -y, 0 * y])
      >>> jr.restore(jr.dps(num_steps=5), prior, degradation, ys, key=key).shape
      (3, 8, 8, 3)
    """
    _checks.one_of("keep", keep, KEEP)
    divergences: list[Divergence] = []
    samples = each_sample(restore_batches(sampler, prior, degradation, ys, key=key, **options), divergences)
    shape = first_degradation(degradation, batched=options.get("batched_degradation", False)).image_shape
    num_samples = options.get("num_samples", 1)
    if keep == "best" or num_samples == 1:
        images = np.full((len(ys), *shape), np.nan, measurements.dtype(ys))
        for best in best_samples(samples):
            images[best.image] = best.x
    else:
        images = np.full((len(ys), num_samples, *shape), np.nan, measurements.dtype(ys))
        for sample in samples:
            images[sample.image, sample.sample] = sample.x if sample.diverged < 0 else np.nan
    if divergences:
        raise DivergenceError(divergences, len(ys) * num_samples, images)
    return images


def posterior_statistics(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    ys: Stack,
    *,
    key: jax.Array,
    quantiles: Sequence[float] = (),
    calibration: Calibration | None = None,
    **options: Unpack[StreamOptions],
) -> PosteriorStatistics:
    """Mean, standard deviation and quantiles of each pixel over posterior samples; their number takes no memory.

    The samples are those of `restore` with the same key. How far the spread can be trusted depends on the sampler:
    `benchmarks/posterior.py` measures it, and `calibrate` learns a correction from pictures of your own.

    Args:
      sampler: From `jaxrestore.spgd` and its kind.
      prior: What images look like.
      degradation: How the measurements were made.
      ys: (N, *degradation.measurement_shape), float32, or float64 under `jax_enable_x64`.
      key: Source of all random draws.
      quantiles: Which of the samples' quantiles to give too, in (0, 1), e.g. (0.05, 0.95); by the first 64 samples.
        They are the sampler's own: no calibration changes them.
      calibration: From `calibrate`, with the same sampler, prior, degradation and number of samples: deviations are
        multiplied by its scale, and `calibration.factor(0.9)` of them hold 90 % of the pixels.
      **options: Those of `restore_batches`; `num_samples` is at least 2, and 8 if it is not given.

    Returns:
      Mean and standard deviation (N, H, W, C) and quantiles (N, Q, H, W, C), float32, on the scale of the images;
      not clipped. Images of which fewer than two samples stayed finite are NaN.

    Raises:
      ValueError: If a shape or setting does not fit.
      TypeError: If `ys` is no floating array.
      DivergenceError: If states stop being finite, after all others have been finished; it carries the result.
    """
    num_samples = options.setdefault("num_samples", 8)
    _checks.at_least("num_samples", num_samples, 2)
    if not all(0 < q < 1 for q in quantiles):
        raise ValueError(f"quantiles is {tuple(quantiles)}, expected numbers between 0 and 1, e.g. (0.05, 0.95)")
    if calibration is not None:
        calibration.check_samples(num_samples)
    scale = 1.0 if calibration is None else calibration.scale
    divergences: list[Divergence] = []
    batches = restore_batches(sampler, prior, degradation, ys, key=key, **options)
    shape = first_degradation(degradation, batched=options.get("batched_degradation", False)).image_shape
    shapes = [(len(ys), *shape), (len(ys), *shape), (len(ys), len(quantiles), *shape)]
    statistics = PosteriorStatistics(*(np.full(shape, np.nan, np.float32) for shape in shapes))
    for found in moments(each_sample(batches, divergences), quantiles=quantiles):
        statistics.mean[found.image], statistics.std[found.image] = found.mean, scale * found.std
        statistics.quantiles[found.image] = found.quantiles
    if divergences:
        raise DivergenceError(divergences, len(ys) * num_samples, statistics)
    return statistics
