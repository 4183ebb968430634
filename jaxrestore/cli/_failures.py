"""Restorations that diverged: the others go on, and at the end these are named."""

import pathlib
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from jaxrestore.restore import Divergence


class FailedSample(NamedTuple):
    """A posterior sample of a picture that stopped being finite."""

    path: pathlib.Path  # of the picture
    sample: int
    step: int


def failed_samples(divergences: Iterable[Divergence], paths: Sequence[pathlib.Path]) -> list[FailedSample]:
    """Divergences with the pictures' files instead of their places in a stack of these files."""
    return [FailedSample(paths[d.image], d.sample, d.step) for d in divergences]


def raise_failed(failed: Collection[FailedSample], restored: Collection[pathlib.Path], total: int, advice: str) -> None:
    """Name and count the pictures of which samples diverged; does nothing if there are none.

    Args:
      failed: The samples.
      restored: Pictures that have a result, perhaps from their other samples.
      total: Number of pictures.
      advice: What helps, as the rest of a sentence.

    Raises:
      FloatingPointError: If there are any.
    """
    if not failed:
        return
    lines = []
    by_path: dict[pathlib.Path, list[str]] = {}
    for path, sample, step in failed:
        by_path.setdefault(path, []).append(f"posterior sample {sample} at step {step}")
    for path, places in by_path.items():
        outcome = "its result is made of its other samples" if path in restored else "it has no result"
        lines.append(f"  {path}: {', '.join(places)}; {outcome}")
    raise FloatingPointError(
        f"{len(by_path)} of {total} pictures diverged, their values are no longer finite: {advice}\n" + "\n".join(lines)
    )
