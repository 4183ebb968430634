"""Intervals that hold: how many of a sampler's standard deviations it takes, as learnt from pictures with a truth."""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxrestore import _checks

ONE_DEVIATION = math.erf(math.sqrt(0.5))  # 68.3 %: what lies within one standard deviation of a Gaussian
LEVELS = np.arange(1, 200) / 200  # at which the multiples are kept: intervals are at most half a point too wide for it


class Calibration(NamedTuple):
    """What `jaxrestore.calibrate` has learnt: a scale for the standard deviation, and intervals with a guarantee."""

    num_samples: int  # posterior samples that mean and deviation are made of, here and wherever this is applied
    num_pictures: int  # that it was learnt on
    multiples: tuple[float, ...]  # (199,): so many deviations hold 0.5, 1, ... 99.5 % of the pixels of these pictures

    @property
    def scale(self) -> float:
        """What standard deviations are multiplied by, so that mean +- std holds 68.3 % of the pixels.

        The best guess from the pictures that it was learnt on; it has no margin. 2 says that the sampler's spread is
        half of what it should be.
        """
        return float(np.interp(ONE_DEVIATION, LEVELS, self.multiples))

    def factor(self, level: float, *, guaranteed: bool = True) -> float:
        """How many calibrated deviations hold at least a share `level` of the pixels of a further picture, on average.

        `mean +- factor * std`, with `std` from `posterior_statistics(..., calibration=...)`, or the uncalibrated one
        times `scale`. Of n pictures the intervals hold a share (n + 1) / n of the level, which is the margin that a
        picture which is exchangeable with these needs: then the expected share of its pixels that lie within the
        interval is at least the level (conformal risk control, with the share of uncovered pixels as the risk). Of few
        pictures this makes wide intervals; without the guarantee they hold the level itself of these pictures, which
        is nearer to what a further one will show.

        The guarantee is marginal: over pictures and pixels. Edges may be covered less often and flat parts more often,
        and a picture of another kind, task, noise, prior, sampler or number of samples has no guarantee at all.

        Args:
          level: Between 0 and 1, e.g. 0.9; at most 0.995 n / (n + 1), or 0.995 without the guarantee.
          guaranteed: Whether to take the margin.

        Raises:
          ValueError: If the level is out of range, or takes more pictures than there were.

        References:
          Angelopoulos et al., Conformal Risk Control, ICLR 2024 (arXiv 2208.02814), theorem 1; Vovk, Gammerman and
          Shafer, Algorithmic Learning in a Random World, 2005.

        Example:
          >>> normal = jr.Calibration(64, 99, tuple(np.linspace(0, 3, 199)))
          >>> round(normal.factor(0.9), 2)
          1.34
        """
        _checks.within("level", level, 0.0, 1.0)
        index = self._index(level, guaranteed)
        if index == len(LEVELS):
            fewest = math.ceil(level / (LEVELS[-1] - level)) if level < LEVELS[-1] else None
            mend = f"it takes {fewest}" if fewest else f"expected a level below {LEVELS[-1]}"
            raise ValueError(f"level is {level}, which {self.num_pictures} pictures cannot tell; {mend}")
        return float(self.multiples[index] / self.scale)

    def can_guarantee(self, level: float) -> bool:
        """Whether there were enough pictures for `factor(level)`."""
        return self._index(level, True) < len(LEVELS)

    def _index(self, level: float, guaranteed: bool) -> int:
        """Of the smallest multiple that holds enough; one too many where none does."""
        needed = level * (self.num_pictures + 1) / self.num_pictures if guaranteed else level
        return int(np.searchsorted(LEVELS, needed - 1e-9))

    def check_samples(self, num_samples: int) -> None:
        """Raise `ValueError` unless deviations are made of as many samples as the calibration's."""
        if num_samples != self.num_samples:
            raise ValueError(
                f"num_samples is {num_samples}, expected {self.num_samples}, with which deviations were calibrated; "
                "calibrate again for another number"
            )


def from_deviations(deviations: np.ndarray, num_samples: int) -> Calibration:
    """The calibration that pictures ask for.

    Args:
      deviations: (N, ...), |truth - mean| / std of each pixel of N pictures.
      num_samples: Of which mean and deviation were made, at least 2.

    Raises:
      ValueError: If there is no picture, or too many pixels have no spread at all.
    """
    _checks.at_least("the number of pictures", len(deviations), 1)
    _checks.at_least("num_samples", num_samples, 2)
    multiples = np.quantile(np.asarray(deviations, np.float64).ravel(), LEVELS, method="inverted_cdf")
    if not np.isfinite(multiples).all():
        share = float(np.mean(~np.isfinite(deviations)))
        raise ValueError(
            f"samples are all alike at {share:.1%} of the pixels, and not what the truth is: no scale makes up for a "
            "spread of 0. Take a method that draws samples, or more of them"
        )
    # Six digits, rounded up: down, the pixel that decided would not be within.
    rounded = tuple(float(f"{m * (1 + 5e-6):.6g}") for m in multiples)
    calibration = Calibration(num_samples, len(deviations), rounded)
    if calibration.scale == 0:
        raise ValueError("the mean is right to the last digit at most pixels, so there is no deviation to calibrate")
    return calibration


def to_json(calibration: Calibration) -> dict[str, Any]:
    """For a settings file."""
    return {**calibration._asdict(), "scale": calibration.scale}


def from_json(content: dict[str, Any]) -> Calibration:
    """What `to_json` has made.

    Raises:
      ValueError: If it is something else.
    """
    try:
        multiples = tuple(float(m) for m in content["multiples"])
        calibration = Calibration(int(content["num_samples"]), int(content["num_pictures"]), multiples)
        _checks.at_least("num_samples", calibration.num_samples, 2)
        _checks.at_least("num_pictures", calibration.num_pictures, 1)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the calibration cannot be read ({error!r}); write it again") from error
    if len(multiples) != len(LEVELS) or np.diff(multiples).min() < 0 or not 0 < calibration.scale < math.inf:
        raise ValueError(f"the calibration has {len(multiples)} multiples, expected {len(LEVELS)} ascending ones")
    return calibration
