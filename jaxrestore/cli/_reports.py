"""What is told of results: tables on standard output, numbers in JSON files."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxrestore.evaluation import Perceptual, Scores


def score_titles(lpips: Perceptual) -> dict[str, str]:
    """Fields of `Scores`, and what they are called in tables."""
    return {"psnr": "PSNR", "ssim": "SSIM", "lpips": lpips.title}


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; numbers have three digits after the point, and what is no number reads "failed"."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    Console().print(table)


def cell(value: Any) -> str:
    """A value as tables show it."""
    if not isinstance(value, float):
        return str(value)
    return "failed" if math.isnan(value) else f"{value:.3f}"


def listed(values: Mapping[str, Any]) -> str:
    """Settings or options in one line; those that are None are left out."""
    return ", ".join(f"{name}={value}" for name, value in values.items() if value is not None)


def json_scores(scores: Scores) -> dict[str, float | None]:
    """Scores by name; a number that is not finite is None, for JSON has no word for it."""
    return {name: value if math.isfinite(value) else None for name, value in scores._asdict().items()}
