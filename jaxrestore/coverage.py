"""How far a spread may be believed: measures of samples against truths, and against what exact samples would give.

Intervals and regions are judged by ranks. Where the truth is as good as one more sample, its rank among S samples is
any of S + 1 with equal probability; a rank, and where samples equal the truth all ranks that it may have, is an
interval of [0, 1] of which the part is counted that lies within the region. So exact samples reach each level on
average, however few they are and whatever values they take twice. All functions are NumPy in float64.

References:
  Talts et al., Validating Bayesian Inference Algorithms with Simulation-Based Calibration, arXiv 1804.06788, for ranks;
  Czado, Gneiting and Held, Predictive Model Assessment for Count Data, Biometrics 2009, for ties.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jaxrestore import _checks

LEVELS = (0.5, 0.9, 0.99)


def interval_coverage(samples: npt.ArrayLike, truths: npt.ArrayLike, levels: Sequence[float] = LEVELS) -> np.ndarray:
    """How often truths lie within the central intervals of samples, coordinate by coordinate.

    Args:
      samples: (S, ...), of one posterior.
      truths: (T, ...), what the samples should be like: the true signal, or exact samples, which given the same
        measurement are distributed as it is and average over what it might have been.
      levels: (L,), each in [0, 1].

    Returns:
      (L, ...), the share of the truths at each coordinate; on average the levels, if samples and truths are alike.

    Raises:
      ValueError: If the shapes do not fit, a number is not finite, or a level is out of range.

    Example:
      >>> samples = np.linspace(0, 1, 99)  # quantiles of a uniform distribution
      >>> jr.coverage.interval_coverage(samples, np.array([0.3, 0.6, 0.9]), (0.5,)).round(2)
      array([0.67])
    """
    drawn, true = _alike(samples, truths)
    halves = 0.5 * _levels(levels)
    shares = np.zeros((len(halves), *drawn.shape[1:]))
    for truth in true:
        below, ties = (drawn < truth).sum(0), (drawn == truth).sum(0)
        shares += [_share_within(below, ties, len(drawn), 0.5 - half, 0.5 + half) for half in halves]
    return shares / len(true)


def density_coverage(
    log_samples: npt.ArrayLike, log_truths: npt.ArrayLike, levels: Sequence[float] = LEVELS
) -> np.ndarray:
    """How often truths lie within the region of highest density that holds a share of the samples.

    The region of level q is where the posterior's density is as high as at a share q of the samples. Samples that are
    too close together set the bar too high in many dimensions (too few truths within), and samples from where there is
    none set it too low (too many).

    Args:
      log_samples: (S,), logarithms of the exact posterior's density at the samples, up to one constant.
      log_truths: (T,), the same at the truths; see `interval_coverage`.
      levels: (L,), each in [0, 1].

    Returns:
      (L,), on average the levels, if samples and truths are alike.

    Raises:
      ValueError: If the shapes do not fit, a number is NaN, or a level is out of range.

    Example:
      >>> jr.coverage.density_coverage([-1.0, -2.0, -3.0], [-2.5], (0.5, 0.9)).round(2)
      array([0., 1.])
    """
    drawn, true = (np.asarray(a, np.float64) for a in (log_samples, log_truths))
    if drawn.ndim != 1 or true.ndim != 1 or not len(drawn) or not len(true):
        raise ValueError(f"log-densities have shapes {drawn.shape} and {true.shape}, expected (S,) and (T,)")
    if np.isnan(drawn).any() or np.isnan(true).any():
        raise ValueError("log-densities hold NaN, expected numbers or -inf")
    above, ties = ((compare(drawn[:, None], true)).sum(0) for compare in (np.greater, np.equal))
    return np.array([_share_within(above, ties, len(drawn), 0.0, level).mean() for level in _levels(levels)])


def error_ratio(estimate: npt.ArrayLike, best: npt.ArrayLike, truths: npt.ArrayLike) -> float:
    """The root mean squared error of an estimate over that of the best one, which is the posterior mean.

    The mean of S exact samples has sqrt(1 + 1/S).

    Args:
      estimate: (...), e.g. the mean of samples.
      best: (...), the exact posterior mean.
      truths: (T, ...), see `interval_coverage`.

    Raises:
      ValueError: If the shapes do not fit or a number is not finite.

    Example:
      >>> jr.coverage.error_ratio(np.array([1.0]), np.array([0.0]), np.array([[-1.0], [1.0]])).round(3)
      np.float64(1.414)
    """
    _, true = _alike(np.stack([np.asarray(estimate), np.asarray(best)]), truths)
    errors = [np.sqrt(np.mean(np.square(true - np.asarray(a, np.float64)))) for a in (estimate, best)]
    return errors[0] / errors[1]


def spread_ratio(samples: npt.ArrayLike, exact: npt.ArrayLike) -> float:
    """The root of the total variance of samples over that of exact ones: 0.5 is half as wide as it should be.

    Args:
      samples: (S, ...), S at least 2.
      exact: (T, ...), T at least 2.

    Raises:
      ValueError: If the shapes do not fit or a number is not finite.

    Example:
      >>> exact = np.random.default_rng(0).standard_normal((100, 3))
      >>> float(jr.coverage.spread_ratio(0.5 * exact, exact))
      0.5
    """
    drawn, true = _alike(samples, exact)
    if min(len(drawn), len(true)) < 2:
        raise ValueError(f"there are {len(drawn)} and {len(true)} samples, expected at least 2 of each")
    variances = [a.var(0, ddof=1).sum() for a in (drawn, true)]
    return float(np.sqrt(variances[0] / variances[1]))


def deviations(mean: npt.ArrayLike, std: npt.ArrayLike, truth: npt.ArrayLike) -> np.ndarray:
    """|truth - mean| / std, pixel by pixel: 0 where the mean is right, inf where it errs and there is no spread."""
    error = np.abs(np.asarray(truth, np.float64) - np.asarray(mean, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error == 0, 0.0, error / np.asarray(std, np.float64))


def gaussian_share(multiple: npt.ArrayLike, num_samples: int) -> np.ndarray:
    """The share of truths within mean +- k std where both come of a few exact samples of a Gaussian posterior.

    The difference of truth and mean varies by sqrt(1 + 1/S) standard deviations, and the deviation of S samples varies
    itself: the ratio has Student's t distribution with S - 1 degrees of freedom. With 8 samples 62 % are within one
    deviation, where a known Gaussian has 68 %.

    Args:
      multiple: k, any shape, not negative.
      num_samples: S, at least 2.

    Returns:
      Shares in [0, 1], in the shape of `multiple`.

    Raises:
      ValueError: If there are fewer than 2 samples, or a multiple is negative or not finite.

    Example:
      >>> jr.coverage.gaussian_share([1.0, 2.0, 3.0], 8).round(3)
      array([0.623, 0.899, 0.975])
    """
    _checks.at_least("num_samples", num_samples, 2)
    multiples = np.asarray(multiple, np.float64)
    if not ((multiples >= 0) & np.isfinite(multiples)).all():
        raise ValueError(f"multiple is {multiple}, expected finite numbers, not negative")
    freedom = num_samples - 1
    angle = np.arctan(multiples / np.sqrt((1 + 1 / num_samples) * freedom))
    # Abramowitz and Stegun, 26.7.3 and 26.7.4: finite sums for whole degrees of freedom.
    cosine, odd = np.cos(angle), freedom % 2
    term = total = (cosine if freedom > 1 else np.zeros_like(angle)) if odd else np.ones_like(angle)
    for i in range(2 + odd, freedom - 1, 2):
        term = term * cosine**2 * (i - 1) / i
        total = total + term
    share = np.sin(angle) * total
    return 2 / np.pi * (angle + share) if odd else share


def gaussian_multiple(level: float, num_samples: int) -> float:
    """The k at which `gaussian_share` is `level`, by bisection.

    Raises:
      ValueError: If the level is not within [0, 0.9999] or there are fewer than 2 samples.

    Example:
      >>> round(jr.coverage.gaussian_multiple(0.9, 8), 2)
      2.01
    """
    _checks.within("level", level, 0.0, 0.9999)
    low, high = 0.0, 1.0
    while gaussian_share(high, num_samples) < level:
        high *= 2
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if gaussian_share(middle, num_samples) < level else (low, middle)
    return high


def _share_within(before: np.ndarray, ties: np.ndarray, count: int, low: float, high: float) -> np.ndarray:
    """The part of [before, before + ties + 1] / (count + 1), where the rank may be, that is within [low, high]."""
    start, end = before / (count + 1), (before + ties + 1) / (count + 1)
    return np.maximum(np.minimum(end, high) - np.maximum(start, low), 0.0) / (end - start)


def _levels(levels: Sequence[float]) -> np.ndarray:
    values = np.asarray(levels, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"levels is {levels}, expected numbers in [0, 1], e.g. 0.9")
    return values


def _alike(samples: npt.ArrayLike, truths: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64, if they are stacks of finite numbers of one shape."""
    drawn, true = (np.asarray(a, np.float64) for a in (samples, truths))
    if drawn.ndim < 1 or true.ndim < 1 or drawn.shape[1:] != true.shape[1:] or not len(drawn) or not len(true):
        raise ValueError(f"samples have shape {drawn.shape} and truths {true.shape}, expected (S, ...) and (T, ...)")
    if not np.isfinite(drawn).all() or not np.isfinite(true).all():
        raise ValueError("samples or truths have values that are not finite")
    return drawn, true
