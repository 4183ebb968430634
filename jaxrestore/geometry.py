"""The shape of the image behind a measurement, for the rows of `TASKS`."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxrestore import _checks

Shape = tuple[int, int, int]
Options = Mapping[str, Any]  # all options of a task, those left at their defaults included


def same_shape(measured: Sequence[int], options: Options) -> Shape:
    """The image has the shape of the measurement."""
    return (measured[0], measured[1], measured[2])


def coloured_shape(measured: Sequence[int], options: Options) -> Shape:
    """The image is as large as the measurement, and in colour."""
    return (measured[0], measured[1], 3)


def factor(options: Options) -> int:
    """Super-resolution's factor, checked."""
    _checks.at_least("factor", options["factor"], 1)
    return options["factor"]


def enlarged_shape(measured: Sequence[int], options: Options) -> Shape:
    """The image is larger than the measurement by super-resolution's factor."""
    return (factor(options) * measured[0], factor(options) * measured[1], measured[2])


def unpadded_shape(measured: Sequence[int], options: Options) -> Shape:
    """The image's padded sides are those of the amplitudes. Padding is rounded to pixels, so the sides are searched.

    Raises:
      ValueError: If no image has such amplitudes.
    """

    def unpadded(length: int) -> int:
        for side in range(length, 0, -1):
            if side + 2 * int(options["oversample"] / 8.0 * side) == length:
                return side
        raise ValueError(
            f"amplitudes of {measured[0]}x{measured[1]} fit no image with oversample={options['oversample']:g}"
        )

    return (unpadded(measured[0]), unpadded(measured[1]), measured[2])
