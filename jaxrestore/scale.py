"""Is a measurement on the scale of pictures in [-1, 1]? Many tools have them on [0, 1], or [0, 255]."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore.degradation import Degradation

_FEW = 4.0  # magnitude from which a value is looked at more closely
_MARGIN = 5.0  # how many times what pictures give is no accident of the noise
_BRIGHT = 0.2  # share of what white gives: the least mean at which a measurement without anything dark is doubted


class ScaleWarning(UserWarning):
    """A measurement seems to be on another scale than that of pictures in [-1, 1]."""


class _Reach(NamedTuple):
    """What pictures in [-1, 1] are measured as."""

    black: float  # mean of the measurement of a picture of -1
    white: float  # and of 1
    largest: float  # magnitude, with noise


def doubts(degradation: Degradation, ys: Iterable[np.ndarray]) -> dict[int, str]:
    """Which measurements seem to be on another scale, and why, as the rest of a sentence.

    Doubted are values far beyond what the degradation makes of pictures in [-1, 1]; and measurements with nothing below
    0 that are bright in the mean, where the degradation makes dark pictures negative (those of amplitudes do not).

    Args:
      degradation: How they were made.
      ys: Measurements of `degradation.measurement_shape`, finite.

    Returns:
      Index -> reason, for those that are doubted.
    """
    reach, found = None, {}
    for i, y in enumerate(ys):
        y = np.asarray(y)
        if np.iscomplexobj(y) or (y.min(initial=0.0) < 0 and np.abs(y).max(initial=0.0) <= _FEW):
            continue
        reach = _reach(degradation) if reach is None else reach
        y = np.asarray(degradation.relevant(jnp.asarray(y)))
        if (largest := float(np.abs(y).max(initial=0.0))) > max(_MARGIN * reach.largest, _FEW):
            found[i] = (
                f"has values up to {largest:.3g}, and pictures in [-1, 1] are measured as at most {reach.largest:.3g}; "
                "levels from 0 to 255 are y / 127.5 - 1 there"
            )
        elif y.min(initial=0.0) >= 0 > reach.black and y.mean() > _BRIGHT * reach.white > 0:
            found[i] = "has nothing below 0, which is mid-grey; what was in [0, 1] is 2 y - 1 on the scale of [-1, 1]"
    return found


def warn(degradations: Sequence[Degradation], ys: Any) -> None:
    """Say so where measurements are doubted; of one degradation for all, or one for each."""
    if len(degradations) == 1:
        found = doubts(degradations[0], ys)
    else:
        pairs = enumerate(zip(degradations, ys, strict=True))
        found = {i: text for i, (degradation, y) in pairs for text in doubts(degradation, [y]).values()}
    if found:
        index, reason = next(iter(found.items()))
        others = f"; so do {len(found) - 1} more" if len(found) > 1 else ""
        warnings.warn(f"measurement {index} of ys {reason}{others}", ScaleWarning, stacklevel=5)


@contextlib.contextmanager
def made_of(truths: np.ndarray) -> Iterator[None]:
    """No doubts about measurements that the library makes itself, if some of the clean pictures reach below mid-grey.

    Bright pictures among these have measurements with nothing below 0.
    """
    with warnings.catch_warnings():
        if np.min(truths, initial=0.0) < 0:
            warnings.simplefilter("ignore", ScaleWarning)
        yield


def _reach(degradation: Degradation) -> _Reach:
    grey = jnp.zeros(degradation.image_shape)
    signs = jax.random.rademacher(jax.random.key(0), grey.shape, grey.dtype)
    black, white = (np.asarray(_clean(degradation, grey + level)) for level in (-1.0, 1.0))
    largest = max(float(jnp.abs(_noisy(degradation, x)).max()) for x in (grey - 1.0, grey + 1.0, signs))
    return _Reach(float(black.mean()), float(white.mean()), largest)


@jax.jit
def _clean(degradation: Degradation, x: jax.Array) -> jax.Array:
    return degradation.operator(x)


@jax.jit
def _noisy(degradation: Degradation, x: jax.Array) -> jax.Array:
    return degradation.measure(jax.random.key(0), x)
