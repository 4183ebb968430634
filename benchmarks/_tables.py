"""What the tables and plots of all benchmarks are made with."""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Cells = Mapping[str, Mapping[str, Any]]  # label -> cell


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percents(shares: Iterable[float | None]) -> str:
    """Shares as 48/91/99; a dash where there is none."""
    return "/".join("-" if share is None else f"{100 * share:.0f}" for share in shares)


def evaluations(cell: Mapping[str, Any]) -> tuple[str, str]:
    """Forward passes of the network, and gradients through it, each of which costs about one pass more.

    Cells of earlier versions say nothing about gradients.
    """
    counts = cell.get("evaluations", cell.get("network_evaluations", 0))
    counts = counts if isinstance(counts, Mapping) else {"forward": counts or ""}
    return str(counts["forward"]), str(counts.get("gradients", ""))


@contextlib.contextmanager
def figure(
    path: pathlib.Path, panels: int, *, width: float, height: float = 3.6, sharey: bool = False
) -> Iterator[Sequence[Any]]:
    """The panels of a figure, side by side, each so many inches wide and high; it is saved when they are drawn."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, panels, figsize=(width * panels, height), squeeze=False, sharey=sharey)
    yield axes[0]
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
