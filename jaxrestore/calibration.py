"""Learning, on pictures whose truth is known, how far a sampler's standard deviation may be believed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Unpack

import jax
import numpy as np

from jaxrestore import coverage, credible, evaluation, scale
from jaxrestore.credible import Calibration
from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior
from jaxrestore.restore import StreamOptions, posterior_statistics
from jaxrestore.samplers import Sampler

LEVELS = (0.5, 0.9, 0.95)


class Reached(NamedTuple):
    """What calibrated deviations reach on pictures that they were not learnt on."""

    within: tuple[float, ...]  # shares of the pixels within mean +- k std, for k of 1, 2 and 3
    intervals: Mapping[float, float]  # level -> share within the interval of `factor(level, guaranteed=False)`
    guaranteed: Mapping[float, float]  # the same of `factor(level)`; levels that take more pictures are left out


def calibrate(
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    truths: np.ndarray,
    *,
    key: jax.Array,
    **options: Unpack[StreamOptions],
) -> Calibration:
    """Learn a scale for the standard deviation, and intervals that hold, from clean pictures of your own.

    Each picture is degraded and restored several times; then one asks how many standard deviations of the samples the
    truth is away from their mean. `posterior_statistics(..., calibration=...)` scales its deviations accordingly, and
    `Calibration.factor` gives intervals with a guarantee. It holds for this task, prior, sampler and number of samples.

    Assumptions: the pictures to be restored are exchangeable with these, that is, they could have been drawn from the
    same collection, and were degraded as `degradation` says. Guarantee: the share of a picture's pixels within the
    interval is at least the level, in expectation over pictures, whatever the sampler and the prior are; not at each
    pixel, and not in each picture.

    Args:
      sampler: From `jaxrestore.spgd` and its kind.
      prior: What images look like.
      degradation: What to undo.
      truths: (N, H, W, C) in [-1, 1]. Intervals of level q take at least q / (0.995 - q) pictures: 10 for 90 %.
      key: Draws the noise of the measurements and all of the sampler's randomness.
      **options: Those of `jaxrestore.restore_batches`; `num_samples` is at least 2, and 8 if it is not given.

    Returns:
      The scale and the multiples of the standard deviation, for this number of samples.

    Raises:
      ValueError: If a shape or setting does not fit, or the samples of many pixels are all alike.
      DivergenceError: If states stop being finite.

    Example:
      >>> truths = np.stack([prior.sample(k) for k in jax.random.split(key, 4)])
      >>> calibration = jr.calibrate(jr.dps(num_steps=5), prior, degradation, truths, key=key, num_samples=4)
      >>> ys = np.stack([y, -y])
      >>> options = {"num_samples": 4, "calibration": calibration}
      >>> statistics = jr.posterior_statistics(jr.dps(num_steps=5), prior, degradation, ys, key=key, **options)
      >>> half_width = calibration.factor(0.7) * statistics.std
    """
    num_samples = options.setdefault("num_samples", 8)
    key_noise, key_sampler = jax.random.split(key)
    ys = evaluation.measure_for(options, degradation, truths, key_noise)
    with scale.made_of(truths):
        statistics = posterior_statistics(sampler, prior, degradation, ys, key=key_sampler, **options)
    return credible.from_deviations(coverage.deviations(statistics.mean, statistics.std, truths), num_samples)


def held_out(
    calibration: Calibration,
    sampler: Sampler,
    prior: Prior,
    degradation: Degradation,
    truths: np.ndarray,
    *,
    key: jax.Array,
    levels: Sequence[float] = LEVELS,
    **options: Unpack[StreamOptions],
) -> Reached:
    """What calibrated deviations reach on pictures that they were not learnt on.

    Args:
      calibration: From `calibrate` with the same sampler, prior, degradation and options.
      sampler: As there.
      prior: As there.
      degradation: As there.
      truths: (N, H, W, C) in [-1, 1], other pictures than there.
      key: Another than there.
      levels: Of the intervals.
      **options: As there, but for `num_samples`, which is the calibration's.

    Raises:
      ValueError: If a shape or setting does not fit.
      DivergenceError: If states stop being finite.
    """
    options["num_samples"] = calibration.num_samples
    key_noise, key_sampler = jax.random.split(key)
    ys = evaluation.measure_for(options, degradation, truths, key_noise)
    with scale.made_of(truths):
        statistics = posterior_statistics(
            sampler, prior, degradation, ys, key=key_sampler, calibration=calibration, **options
        )
    away = coverage.deviations(statistics.mean, statistics.std, truths)

    def within(multiple: float) -> float:
        return float(np.mean(away <= multiple))

    intervals = {level: within(calibration.factor(level, guaranteed=False)) for level in levels}
    guaranteed = {level: within(calibration.factor(level)) for level in levels if calibration.can_guarantee(level)}
    return Reached((within(1), within(2), within(3)), intervals, guaranteed)
