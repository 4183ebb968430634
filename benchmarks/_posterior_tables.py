"""Tables, verdicts and plots of `benchmarks.posterior`. Labels are problem/noise/method."""

import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks._tables import Cells, evaluations, figure, markdown, percents
from benchmarks.compared import COMPARED, EXACT

SURE = 0.05  # how far the coverage of 90 % intervals may be off where a method is said to be of use for uncertainty
SPREADS = (0.8, 1.25)  # and how far the spread
NEAR = 1.1  # error of the mean over that of the best, of a method that is said to be of use for its mean


class _View(NamedTuple):
    """One table and one plot."""

    title: str
    plotted: str  # title of the plot
    entry: Callable[[Mapping[str, Any]], str]  # of a cell in the table
    value: str  # what the plot shows
    colours: str
    limits: tuple[float, float, float]  # lowest, middle and highest of the colours
    logarithmic: bool = False


def _percent(cell: Mapping[str, Any], *names: str) -> str:
    """Shares as 48/91/99, empty where a cell of an earlier version has none."""
    if any(name not in cell for name in names):
        return ""
    return percents(cell[name] for name in names)


def _number(cell: Mapping[str, Any], name: str) -> str:
    if name not in cell:
        return ""
    return "diverged" if cell[name] is None else f"{cell[name]:.2f}"


VIEWS = {
    "distance": _View(
        "Sliced Wasserstein distance to exact samples, in a mixture component's or a chain's posterior's deviations",
        "sliced Wasserstein distance",
        lambda cell: _number(cell, "sliced_wasserstein"),
        "sliced_wasserstein",
        "YlOrRd",
        (0.1, 1.0, 30.0),
        logarithmic=True,
    ),
    "coverage": _View(
        "Percent of true signals within the central 50, 90 and 99 % intervals (and within the 90 % region of highest "
        "density)",
        "share of true signals within 90 % intervals",
        lambda cell: (
            f"{_percent(cell, 'interval_50', 'interval_90', 'interval_99')} ({_percent(cell, 'density_90')})"
            if "density_90" in cell
            else ""
        ),
        "interval_90",
        "RdBu",
        (0.5, 0.9, 1.0),
    ),
    "spread": _View(
        "Spread of the samples over the posterior's (and error of their mean over that of the posterior mean)",
        "spread over the posterior's",
        lambda cell: _number(cell, "spread") + (f" ({_number(cell, 'error_ratio')})" if "error_ratio" in cell else ""),
        "spread",
        "RdBu",
        (0.25, 1.0, 4.0),
        logarithmic=True,
    ),
}


def table(cells: Cells) -> str:
    """A table for each measure, and a sentence for each method and family."""
    problems, methods = _problems(cells), _methods(cells)
    parts = []
    for view in _measured(cells).values():
        rows = []
        for method in methods:
            of_method = [cells.get(f"{problem}/{method}") for problem in problems]
            cost = evaluations(next(cell for cell in of_method if cell))
            rows.append((method, *cost, *("" if cell is None else view.entry(cell) for cell in of_method)))
        parts.append(f"{view.title}\n\n{markdown(('method', 'forward passes', 'gradients', *problems), rows)}")
    if references := {p: c["r_hat"] for p in problems if "r_hat" in (c := cells.get(f"{p}/{EXACT}", {}))}:
        found = ", ".join(f"{problem} {r_hat:.3f}" for problem, r_hat in references.items())
        parts.append(f"R-hat of the references by Gibbs sampling, the largest over samples and problems: {found}")
    sentences = [f"- {sentence}" for method in methods for sentence in verdicts(cells, method)]
    if sentences:
        parts.append(f"What which method may be used for\n\n{_rule()}\n\n" + "\n".join(sentences))
    return "\n\n".join(parts)


def _rule() -> str:
    return (
        f"Uncertainty: 90 % intervals hold within {100 * SURE:.0f} points of 90 %, and the spread is {SPREADS[0]} to "
        f"{SPREADS[1]} of the posterior's. Mean: it errs at most {NEAR} times as much as the best (median)."
    )


def verdicts(cells: Cells, method: str) -> list[str]:
    """A sentence for each family in which the coverage of a method has been measured."""
    of_method = [cell for label, cell in cells.items() if label.split("/")[2] == method and "interval_90" in cell]
    families = dict.fromkeys(cell["family"] for cell in of_method)
    if method == EXACT:
        return []
    return [_verdict(method, family, [c for c in of_method if c["family"] == family]) for family in families]


def _verdict(method: str, family: str, measured: Sequence[Mapping[str, Any]]) -> str:
    finite = [cell for cell in measured if cell["interval_90"] is not None]
    about = f"`{method}`, {family}"
    if not finite:
        return f"{about}: diverges."
    sure = sum(abs(c["interval_90"] - 0.9) <= SURE and SPREADS[0] <= c["spread"] <= SPREADS[1] for c in finite)
    near = statistics.median(cell["error_ratio"] for cell in finite) <= NEAR
    if sure == len(measured):
        means = " and for its mean" if near else ""
        use = f"for uncertainty{means} (on all of {len(measured)} problems)"
    else:
        use = ("for its mean" if near else "for neither") + f"; for uncertainty on {sure} of {len(measured)} problems"
    shares, spreads, errors = ([c[n] for c in finite] for n in ("interval_90", "spread", "error_ratio"))
    passes, gradients = evaluations(measured[0])
    return (
        f"{about}: {use}: 90 % intervals hold {100 * min(shares):.0f} to {100 * max(shares):.0f} %, the spread is "
        f"{min(spreads):.2f} to {max(spreads):.2f} of the posterior's, the mean errs {min(errors):.2f} to "
        f"{max(errors):.2f} times as much as the best; {passes} passes and {gradients} gradients a sample."
    )


def draw(cells: Cells, path: pathlib.Path) -> None:
    """A plot for each measure, beside the result file: methods from top to bottom, problems from left to right."""
    problems, methods = _problems(cells), _methods(cells)
    for name, view in _measured(cells).items():
        found = [[cells.get(f"{p}/{m}", {}).get(view.value) for p in problems] for m in methods]
        values = np.array([[np.nan if v is None else v for v in row] for row in found], float)
        _draw_view(
            view, values, problems, methods, path if name == "distance" else path.with_name(f"{path.stem}-{name}.png")
        )


def _draw_view(
    view: _View, values: np.ndarray, problems: Sequence[str], methods: Sequence[str], path: pathlib.Path
) -> None:
    from matplotlib.colors import TwoSlopeNorm

    scale = np.log10 if view.logarithmic else np.asarray
    low, middle, high = (float(scale(limit)) for limit in view.limits)
    with figure(path, 1, width=3.5 + 0.5 * len(problems), height=1.8 + 0.3 * len(methods)) as (axis,):
        shown = scale(np.clip(values, view.limits[0], view.limits[2]))  # a spread may be 0
        image = axis.imshow(shown, cmap=view.colours, norm=TwoSlopeNorm(middle, low, high), aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = sum(image.to_rgba(shown[row, column])[:3]) < 1.2
                style = {"ha": "center", "va": "center", "fontsize": 7, "color": "white" if dark else "black"}
                axis.text(column, row, f"{value:.2g}", **style)
        axis.set_xticks(range(len(problems)), problems, rotation=60, ha="right", fontsize=7)
        axis.set_yticks(range(len(methods)), methods, fontsize=8)
        axis.set_title(view.plotted, fontsize=8)


def _measured(cells: Cells) -> dict[str, _View]:
    """Those of the views that have something to show: earlier versions knew no coverage."""
    return {name: view for name, view in VIEWS.items() if any(view.value in cell for cell in cells.values())}


def _problems(cells: Cells) -> list[str]:
    """problem/noise: mixtures by dimension and noise, then chains as they were measured."""
    problems = list(dict.fromkeys(label.rsplit("/", 1)[0] for label in cells))
    mixtures = [problem for problem in problems if problem[0].isdigit()]
    ordered = sorted(mixtures, key=lambda problem: tuple(map(float, problem.split("/"))))
    return [*ordered, *(problem for problem in problems if problem not in mixtures)]


def _methods(cells: Cells) -> list[str]:
    """The methods that have cells, in the order of the comparison."""
    measured = {label.split("/")[2] for label in cells}
    return [method for method in (EXACT, *COMPARED) if method in measured]
