"""What pages say of uncertainty, from the result files of the posteriors and of the coverage on photographs."""

import functools
import json
import statistics
from collections.abc import Callable, Sequence

from benchmarks._tables import Cells, percents
from scripts.site.results import RESULTS
from scripts.site.tables import table
from scripts.site.tasks import task_title

MIXTURES = ("8/0.1", "80/0.1", "800/0.1")
KINDS, MEASURED = ("sparse", "cauchy", "laplace", "gaussian"), ("mask", "noise", "blur")
PRECONDITIONED = {
    "exact": "exact samples",
    "spgd": "SPGD",
    "pspgd": "PSPGD",
    "coarse_to_fine": "PSPGD, half of it on every second sample",
    "dpps": "DPPS",
    "pdpps": "PDPPS",
}
IDEAS = ("neither idea", "selection alone", "aligned start alone")  # and both, which is the method itself


@functools.cache
def _cells(name: str) -> Cells:
    return json.loads((RESULTS / f"{name}.json").read_text())["cells"]


def posteriors(which: str) -> str:
    """A sentence or table of the page on exact posteriors.

    Args:
      which: "exact", "preconditioned", "grids" or "ideas".
    """
    parts: dict[str, Callable[[Cells], str]] = {
        "exact": _exact,
        "preconditioned": _preconditioned,
        "grids": _grids,
        "ideas": _ideas,
    }
    return parts[which](_cells("posterior-cpu"))


def _exact(cells: Cells) -> str:
    held = [100 * cell["interval_90"] for label, cell in cells.items() if label.endswith("/exact")]
    return f"Exact samples go through the same code: their 90 % intervals hold {min(held):.0f} to {max(held):.0f} %."


def _distance(cells: Cells, problem: str, method: str) -> float:
    return cells[f"{problem}/{method}"]["sliced_wasserstein"]


def _preconditioned(cells: Cells) -> str:
    rows = []
    for method, title in PRECONDITIONED.items():
        mixtures = [_distance(cells, problem, method) for problem in MIXTURES]
        signals = [
            statistics.median(_distance(cells, f"{kind}-64-{measured}/0.1", method) for kind in KINDS)
            for measured in MEASURED
        ]
        cost = cells[f"{MIXTURES[0]}/{method}"].get("evaluations", {}).get("forward", "")
        rows.append((title, str(cost), *(f"{distance:.2f}" for distance in (*mixtures, *signals))))
    mixtures = (f"mixtures {MIXTURES[0]}", *MIXTURES[1:])
    head = ("sliced Wasserstein distance", "evaluations", *mixtures, f"signals: {MEASURED[0]}", *MEASURED[1:])
    return table(head, rows)


def _grids(cells: Cells) -> str:
    two, one = (
        [f"{_distance(cells, f'sparse-64-{measured}/0.1', method):.2f}" for measured in MEASURED]
        for method in ("coarse_to_fine", "pspgd")
    )
    return (
        f"A coarser grid helps where half of the samples say most (piecewise constant signals: {_list(two)} against "
        f"{_list(one)}), and does harm where neighbouring numbers have nothing to do with each other, as in mixtures."
    )


def _ideas(cells: Cells) -> str:
    problems = [label.rpartition("/")[0] for label in cells if label.endswith(f"/pdpps, {IDEAS[0]}")]
    rows = []
    for method in ("dpps", "pdpps"):
        for words in (*IDEAS, "both"):
            name = method if words == "both" else f"{method}, {words}"
            found = [cells.get(f"{problem}/{name}") for problem in problems]
            rows.append((f"`{method}`", words, *("" if c is None else f"{c['sliced_wasserstein']:.2f}" for c in found)))
    return table(("method", "with", *problems), rows)


def photographs(_: str) -> str:
    """What the coverage on photographs says, task by task."""
    cells = _cells("coverage-64-cpu")
    first = next(iter(cells.values()))
    pictures, side = first["shape"][:2]
    expected = percents(first["expected"])
    rows = []
    for task in dict.fromkeys(label.split("/")[0] for label in cells):
        of_task = {label.split("/")[1]: cell for label, cell in cells.items() if label.startswith(f"{task}/")}
        ordered = sorted(of_task, key=lambda method: of_task[method]["photographs"]["ratio"])
        for method in dict.fromkeys((ordered[0], *(m for m in ("pspgd", "pdpps") if m in of_task), ordered[-1])):
            cell = of_task[method]
            found = cell["photographs"]
            near, far = (percents(found["by_distance"][place]["within"]) for place in ("on edges", "further"))
            row = (task_title(task), f"`{method}`", percents(found["within"]), near, far, f"{found['ratio']:.1f}")
            rows.append((*row, f"{round(100 * cell['prior_share'])}%"))
    head = ("task", "method", "within 1/2/3 deviations, %", "on edges", "far from them", "R", "the prior's share")
    ratios = [cell["photographs"]["ratio"] for cell in cells.values()]
    shares = [cell["prior_share"] for cell in cells.values()]
    return f"""On {pictures} photographs of {side}x{side}, by {first["samples"]} samples with the bundled prior, every
method is too sure: exact samples of a Gaussian posterior would have {expected} % of the pixels within 1, 2 and 3
deviations, and the error is {min(ratios):.1f} to {max(ratios):.1f} times what the spread says (R). Of each task the
best and the worst of those measured, and `pspgd` and `pdpps`:

{table(head, rows)}

Edges are worst nearly everywhere. On pictures drawn from the prior itself R is not much smaller, so most of what is
missing is the samplers' fault: the prior, for being another than the world, takes at most {max(shares):.0%} of the
squared error. Where settings answer with the mean of several runs (`pspgd` at missing pixels), the spread is that of
such means, and smaller."""


def _list(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
