"""Which LPIPS the benchmarks report, as they all ask for it and say it."""

import argparse
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxrestore import evaluation
from jaxrestore.metrics.perceptual import VARIANTS

_USUAL = "alex"  # what cells of earlier versions, which do not say it, report


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that all benchmarks with scores of pictures have."""
    parser.add_argument("--lpips", default=_USUAL, choices=list(VARIANTS), help="which LPIPS to report")
    parser.add_argument(
        "--lpips-weights", type=pathlib.Path, help="folder by `python -m convert_weights lpips`, for vgg and piq"
    )


def load(options: argparse.Namespace) -> evaluation.Perceptual:
    """The variant that `add_options` names.

    Raises:
      SystemExit: If its weights are not given; with the mend.
    """
    try:
        return evaluation.perceptual(options.lpips, options.lpips_weights)
    except ValueError as error:
        raise SystemExit(f"{error}; give the folder with --lpips-weights") from error


def file_name(benchmark: str, lpips: evaluation.Perceptual) -> str:
    """The name of a benchmark's result file: each variant has one of its own, so that tables never mix them."""
    return benchmark if lpips.variant == _USUAL else f"{benchmark}-{lpips.variant}"


def facts(lpips: evaluation.Perceptual) -> dict[str, Any]:
    """What a cell states of its scores."""
    return {"lpips_variant": lpips.variant}


def stated(cell: Mapping[str, Any]) -> dict[str, Any]:
    """What a cell with scores of pictures states of them, though it may be of a version that had one variant only."""
    return {"lpips_variant": _USUAL} if {"mean", "scores"} & cell.keys() else {}


def title(cells: Mapping[str, Mapping[str, Any]]) -> str:
    """What a table calls the LPIPS of its cells."""
    variants = sorted({cell.get("lpips_variant", _USUAL) for cell in cells.values()})
    return evaluation.lpips_title(", ".join(variants))
