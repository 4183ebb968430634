"""Pages of tables and plots, from the result files of the benchmarks."""

import json
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jaxrestore as jr
from benchmarks import _metrics, render
from benchmarks.__main__ import benchmarks
from benchmarks._comparable import Cells, comparable, is_todays_prior
from scripts.site import provenance
from scripts.site.tables import table
from scripts.site.tasks import task_title

RESULTS = pathlib.Path(render.__file__).parent / "results"
QUALITY = RESULTS / "quality-128-cpu.json"
# What has changed since: a method, task or benchmark -> when, and what it was before. Cells state when they were
# measured; those that do not are older than the first of these.
CHANGED = {
    "ddnm": ("2026-11-25T20:46", "by an earlier rule of DDNM+ than the published one, which it follows now"),
    "motion_deblur": ("2026-11-25T20:24", "with motion kernels drawn otherwise than in the papers, as they are now"),
    "posterior": ("2026-11-25T20:34", "on problems of an earlier revision of the benchmark"),
    "photo": ("2026-12-01T01:28", "with another network, which had this name before"),
    "settings": ("", "with other settings than today's"),
}


def earlier(label: str, cell: Mapping[str, Any]) -> list[str]:
    """Names in a cell's label whose meaning has changed since it was measured, `photo` and `settings` among them.

    Settings are compared for cells task/method.
    """
    measured = cell.get("date", "")
    names = [name for name in label.split("/") if name in CHANGED and measured < CHANGED[name][0]]
    if not is_todays_prior(cell):
        return [*names, "photo"]
    task, _, method = label.partition("/")
    stated = task in jr.TASKS and method in jr.METHODS and "settings" in cell
    return names if not stated or provenance.of_today(cell, task, method) else [*names, "settings"]


def warning(names: Iterable[str]) -> str:
    """What a page says of figures that were measured before something changed; nothing if there are none."""
    told = [f"`{name}` {CHANGED[name][1]}" for name in CHANGED if name in set(names)]
    return f"Measured before today's rules, and to be measured again: {'; '.join(told)}." if told else ""


def best_scores(cells: Cells) -> dict[str, tuple[float, float]]:
    """Highest PSNR and lowest LPIPS of each task."""
    scores: dict[str, list[tuple[float, float]]] = {}
    for label, cell in cells.items():
        scores.setdefault(label.split("/")[0], []).append((cell["mean"]["psnr"], cell["mean"]["lpips"]))
    return {task: (max(p for p, _ in pairs), min(q for _, q in pairs)) for task, pairs in scores.items()}


def by_task(cells: Cells) -> str:
    """Methods by tasks: PSNR and LPIPS, the best of each task in bold."""
    tasks = [task for task in jr.TASKS if any(label.startswith(f"{task}/") for label in cells)]
    methods = list(dict.fromkeys(label.split("/")[1] for label in cells))
    best = best_scores(cells)
    simple = ["simple answer"]
    for task in tasks:
        scores = next(cell["simple"] for label, cell in cells.items() if label.startswith(f"{task}/"))
        simple.append(f"{scores['psnr']:.1f}, {scores['lpips']:.2f}" if scores else "")
    rows = [simple]
    for method in methods:
        row = [f"`{method}`"]
        for task in tasks:
            cell = cells.get(f"{task}/{method}")
            shown = "" if cell is None else ", ".join(_bold(cell["mean"], best[task]))
            row.append(shown)
        rows.append(row)
    return table((f"PSNR, {_metrics.title(cells)}", *map(task_title, tasks)), rows)


def _bold(scores: Mapping[str, float], best: tuple[float, float]) -> tuple[str, str]:
    psnr, lpips = f"{scores['psnr']:.1f}", f"{scores['lpips']:.2f}"
    psnr = f"**{psnr}**" if psnr == f"{best[0]:.1f}" else psnr
    return psnr, f"**{lpips}**" if lpips == f"{best[1]:.2f}" else lpips


def _quality(cells: Cells) -> str:
    names = [name for label, cell in cells.items() for name in earlier(label, cell)]
    parts = [
        f"""{warning(names)}

Photographs that neither the bundled prior nor its settings have seen. Lower LPIPS is better; the place is
empty where a method needs what the operator does not have, or was not measured. The simple answer is what one would
try first: bicubic enlargement, the blurred picture, interpolation of the known pixels. Scores compare within a table:
another table has other photographs, or another prior."""
    ]
    for shared, group in comparable(cells):
        all_numbers = "\n".join(f"    {line}" for line in render.quality_table(group).splitlines())
        title = shared[0].upper() + shared[1:]
        parts.append(f'## {title}\n\n{by_task(group)}\n\n??? note "All numbers"\n\n{all_numbers}')
    return "\n\n".join(parts)


def _posterior(cells: Cells) -> str:
    outdated = [name for label, cell in cells.items() for name in earlier(f"posterior/{label}", cell)]
    return f"""{warning(outdated)}

Every method is asked for samples of posteriors that are known exactly: Gaussian mixtures under
random linear measurements, the problems of MCGDiff (arXiv 2308.07983), and signals with edges. Distances
are sliced Wasserstein distances to exact samples, in the mixtures in units of a component's standard
deviation, as the noise is; a spread of 1 is right, below it a method is too sure of
itself. Exact samples go through the same code, and have a distance too, for they are finitely many.

{render.RENDERINGS["posterior"].table(cells)}"""


def _suite(cells: Cells) -> str:
    outdated = [name for label, cell in cells.items() for name in earlier(label, cell)]
    return f"""{warning(outdated)}

A turn is one step inside a sampler's loop, or one pass. The share of a matrix product's rate says
how much of the device is used.

{render.suite_table(cells)}"""


def _torch(cells: Cells) -> str:
    processors = "\n".join(f"- `{label}`: {cell['processor']}" for label, cell in cells.items())
    return f"""The same weights in both, in turns in one process; above 1 this library is faster. Ratios depend on the
processor: on those with bfloat16 instructions (AVX-512, AMX) PyTorch is faster in bfloat16, and float32 is the
default on CPUs here. Measured on:

{processors}

{render.torch_table(cells)}"""


# Beginning of a file's name -> title, and what makes a page of its cells. The longest beginning counts.
_PAGES: dict[str, tuple[str, Callable[[Cells], str]]] = {
    "quality": ("Every method on every task", _quality),
    "posterior": ("Do samplers sample?", _posterior),
    "suite": ("Speed", _suite),
    "against_torch": ("Speed against PyTorch", _torch),
    "conditions": ("Does a method ever harm?", render.RENDERINGS["conditions"].table),
    "ablation": ("What each part gains", render.RENDERINGS["ablation"].table),
    "budget": ("With few evaluations", render.RENDERINGS["budget"].table),
    "papers": ("The papers' tables", render.RENDERINGS["papers"].table),
    "coverage": ("Intervals on photographs", render.RENDERINGS["coverage"].table),
}


def _titled() -> list[tuple[pathlib.Path, str, str, Callable[[Cells], str]]]:
    """Result files that have a page: the file, the page's name and title, and its maker."""
    found = []
    for beginning, (title, maker) in _PAGES.items():
        for file in sorted(RESULTS.glob(f"{beginning}*.json")):
            name, device = file.stem.rsplit("-", 1)
            which = [
                part for part in (name.removeprefix(beginning).strip("-"), "" if device == "cpu" else device) if part
            ]
            address = "-".join([beginning, *which])
            which = [f"{part}x{part}" if part.isdigit() else part for part in which]  # the side of the pictures
            found.append((file, f"results/{address}.md", f"{title} ({', '.join(which)})" if which else title, maker))
    return found


def processor(report: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    """What a cell was measured on; the file's last writer speaks only for cells of its revision."""
    same = cell.get("revision", report["revision"]) == report["revision"] or "environment" in cell
    environment = cell.get("environment", report["environment"]) if same else {}
    name = cell.get("processor", environment.get("processor", "a processor that the file does not name"))
    return f"{name}, {environment['cpus']} cores" if "cpus" in environment else name


def pages() -> dict[str, str]:
    """An overview, and a page for each result file that has a table, with its plot."""
    made = {"results/index.md": ""}
    links = []
    for file, name, title, maker in _titled():
        report = json.loads(file.read_text())
        versions = ", ".join(f"{package} {version}" for package, version in report["environment"]["versions"].items())
        device = f"{report['environment']['device']}, {processor(report, {})}"
        about = f"`{file.name}`: {device}; {versions}; revision {report['revision']}"
        cells = {label: {**cell, "processor": processor(report, cell)} for label, cell in report["cells"].items()}
        plot = file.with_suffix(".png")
        picture = f"![{title}]({plot.name})\n\n" if plot.exists() else ""
        made[name] = f"# {title}\n\n{picture}{maker(cells)}\n\n*{about}; {report['date'][:10]}.*\n"
        links.append(f"- [{title}]({name.removeprefix('results/')}): `{file.name}`")
    rows = [(f"`{b.command}`", b.question.rstrip(".")) for b in benchmarks()]
    made["results/index.md"] = f"""# Results

Everything here is made from the files in `benchmarks/results/` when the site is built; each names the machine, the
versions and the revision that it was measured with. Machines are noisy: things that are compared run in turns in
one process.

- [Gallery](gallery.md): photographs in all tasks
{chr(10).join(links)}

## The benchmarks

{table(("command", "what it answers"), rows)}
"""
    return made


def pictures() -> dict[str, pathlib.Path]:
    """The plots beside result files, by their place in the site."""
    plots = [file.with_suffix(".png") for file, *_ in _titled()]
    return {f"results/{plot.name}": plot for plot in plots if plot.exists()}
