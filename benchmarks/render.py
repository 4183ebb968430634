"""Tables and plots from result files, for those benchmarks that have some.

    python -m benchmarks.render [FILE ...]

Writes a `.md` beside each file and, for the suite, the posteriors and the coverage, plots (extra `plot`).
"""

import importlib.util
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jaxrestore as jr
from benchmarks import _coverage_tables, _metrics, _posterior_tables, _results, _run
from benchmarks._comparable import comparable
from benchmarks._tables import Cells, evaluations, figure, markdown


def suite_table(cells: Cells) -> str:
    """One row a case."""
    head = ("network", "size", "dtype", "batch", "case", "ms a turn", "against forward", "images/s", "TFLOP/s")
    head = (*head, "of matmul", "compile, s", "temporary, MB")
    rows = []
    for label, cell in cells.items():
        forward = cells.get(label.rsplit("/", 1)[0] + "/forward")
        ratio = f"{cell['seconds_per_turn'] / forward['seconds_per_turn']:.2f}" if forward else ""
        rows.append(
            (
                *label.split("/"),
                f"{1e3 * cell['seconds_per_turn']:.1f}",
                ratio if cell["turns"] > 1 else "",
                f"{cell['images_per_s']:.3g}",
                f"{cell['tflops_per_s']:.3g}",
                f"{cell['fraction_of_matmul']:.0%}",
                f"{cell['compile_s']:.1f}",
                f"{cell['temporary_mb']:.0f}",
            )
        )
    return markdown(head, rows)


def torch_table(cells: Cells) -> str:
    """One row a form; ratios above 1 mean that this library is faster."""
    rows = []
    for label, cell in cells.items():
        for name, seconds in sorted(cell["seconds"].items()):
            case, form = name.split("/")
            a_step = 1e3 * seconds / cell["steps_in_one_call"][case]
            ratio = f"{cell['times_as_long_as_jaxrestore'][name]:.2f}"
            rows.append((*label.split("/"), case, form, f"{a_step:.0f}", ratio))
    return markdown(("network", "size", "dtype", "batch", "case", "form", "ms a step", "times as long"), rows)


def quality_tables(cells: Cells) -> str:
    """A table for each prior and set of photographs: scores say nothing beside those of others."""
    return "\n\n".join(f"## {shared}\n\n{quality_table(group)}" for shared, group in comparable(cells))


def quality_table(cells: Cells) -> str:
    """Mean scores by task and method, those of the simple answer in brackets."""
    head = ("task", "method", "PSNR (simple)", "SSIM (simple)", f"{_metrics.title(cells)} (simple)")
    head = (*head, "forward passes", "gradients", "s / picture")
    tasks, rows = list(jr.TASKS), []
    for label, cell in sorted(cells.items(), key=lambda item: tasks.index(item[0].split("/")[0])):
        task, method = label.split("/")
        scores = []
        for metric in ("psnr", "ssim", "lpips"):
            simple = f" ({cell['simple'][metric]:.3f})" if cell["simple"] else ""
            scores.append(f"{cell['mean'][metric]:.3f}{simple}")
        if diverged := cell.get("diverged"):
            method = f"{method} ({len(diverged)} of {cell['shape'][0]} diverged)"
        rows.append((task, method, *scores, *evaluations(cell), f"{cell['seconds_per_image']:.0f}"))
    return markdown(head, rows)


def conditions_table(cells: Cells) -> str:
    """By method: PSNR above the simple answer's in the worst of the conditions along each axis, and which it is."""
    found: dict[str, dict[str, list[tuple[float | None, str]]]] = {}  # None: some pictures diverged
    for label, cell in cells.items():
        task, condition, method = label.split("/")
        if cell["simple"] is None:
            continue
        axis, _, value = condition.partition(" ")
        gain = None if cell["diverged"] else cell["mean"]["psnr"] - cell["simple"]["psnr"]
        found.setdefault(method, {}).setdefault(axis, []).append((gain, f"{task} {value}"))
    axes = ("factor", "size", "noise")
    rows = [(method, *(_worst(by_axis.get(axis, [])) for axis in axes)) for method, by_axis in found.items()]
    words = (
        "By how much PSNR exceeds the simple answer's (bicubic enlargement, the picture as it is, interpolation), with "
        "the settings that users get, in the worst place along each axis; empty where nothing was measured."
    )
    return f"{words}\n\n{markdown(('method', *(f'worst {axis}' for axis in axes)), rows)}"


def _worst(gains: Sequence[tuple[float | None, str]]) -> str:
    """What diverged first, else the smallest gain, and where it was; nothing where nothing was measured."""
    if not gains:
        return ""
    diverged = [place for gain, place in gains if gain is None]
    if diverged:
        return f"diverged ({diverged[0]})"
    gain, place = min((gain, place) for gain, place in gains if gain is not None)
    return f"{gain:+.1f} dB ({place})"


def ablation_table(cells: Cells) -> str:
    """PSNR and LPIPS by task and method, one column a variant."""
    variants = list(dict.fromkeys(label.split(", ")[1] for label in cells))
    rows = []
    for name in dict.fromkeys(label.split(", ")[0] for label in cells):
        of_name = [cells.get(f"{name}, {variant}") for variant in variants]
        scores = [f"{c['mean']['psnr']:.2f} / {c['mean']['lpips']:.3f}" if c else "" for c in of_name]
        rows.append((*name.split("/"), *scores))
    return markdown(("task", "method", *(f"{variant}: PSNR / {_metrics.title(cells)}" for variant in variants)), rows)


def budget_table(cells: Cells) -> str:
    """One row a task, method and setting, with those of the task that are better in both PSNR and LPIPS."""
    rows = []
    for label, cell in cells.items():
        task, tried = label.split("/")
        psnr, lpips = cell["mean"]["psnr"], cell["mean"]["lpips"]
        better = [
            other.split("/")[1]
            for other, its in cells.items()
            if other.startswith(f"{task}/") and its["mean"]["psnr"] > psnr and its["mean"]["lpips"] < lpips
        ]
        rows.append((task, tried, *evaluations(cell), f"{psnr:.2f}", f"{lpips:.3f}", "; ".join(better)))
    head = ("task", "method and setting", "forward passes", "gradients", "PSNR", _metrics.title(cells), "bettered by")
    return markdown(head, rows)


def papers_table(cells: Cells) -> str:
    """One row an experiment, with the variant of its LPIPS."""
    head = ("experiment", "pictures", "noise", "PSNR", "SSIM", "LPIPS", "diverged", "s a picture", "changed")
    rows = []
    for label, cell in cells.items():
        means = cell["mean"] or {}
        lpips = [f"{value:.3f} ({name.partition('-')[2]})" for name, value in means.items() if "lpips" in name]
        stated = {name: value["value"] for name, value in cell["published"]["values"].items()}
        changed = [f"{name}={v}" for name, v in cell["settings"].items() if stated.get(f"settings.{name}") != v]
        rows.append(
            (
                label,
                str(cell["count"]),
                f"{cell['noise_std']:g}",
                f"{means['psnr']:.2f}" if means else "",
                f"{means['ssim']:.3f}" if "ssim" in means else "",
                ", ".join(lpips),
                str(len(cell["diverged"])),
                f"{cell['seconds_per_image']:.2f}" if cell["seconds_per_image"] is not None else "",
                ", ".join([*changed, *([f"{cell['side']} pixels"] if cell["side"] != 256 else [])]),
            )
        )
    return markdown(head, rows)


def draw_suite(cells: Cells, path: pathlib.Path) -> None:
    """Images per second over the batch size, one panel a network and one line a case and dtype."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for label, cell in cells.items():
        network, size, dtype, batch, case = label.split("/")
        if case in ("forward", "spgd_step", "dpps_step_50"):
            lines = panels.setdefault(f"{network}, {size} x {size}", {})
            lines.setdefault(f"{case}, {dtype}", []).append((int(batch), cell["images_per_s"]))
    with figure(path, len(panels), width=4.6) as axes:
        for axis, (title, lines) in zip(axes, panels.items(), strict=True):
            for name, points in lines.items():
                axis.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
            axis.set(xscale="log", yscale="log", title=title, xlabel="batch size", ylabel="images/s")
            axis.legend(fontsize=7)


class Rendering(NamedTuple):
    """How the results of a benchmark are shown."""

    table: Callable[[Cells], str]
    draw: Callable[[Cells, pathlib.Path], None] | None = None


RENDERINGS = {
    "suite": Rendering(suite_table, draw_suite),
    "against_torch": Rendering(torch_table),
    "posterior": Rendering(_posterior_tables.table, _posterior_tables.draw),
    "quality": Rendering(quality_tables),
    "conditions": Rendering(conditions_table),
    "ablation": Rendering(ablation_table),
    "budget": Rendering(budget_table),
    "papers": Rendering(papers_table),
    "coverage": Rendering(_coverage_tables.table, _coverage_tables.draw),
}


def render(file: pathlib.Path) -> None:
    """Print the table of a result file and write it beside the file, and the plot if there is one.

    Raises:
      SystemExit: If the file's benchmark has no table, or nothing has been measured.
    """
    if not file.exists():
        raise SystemExit(f"{file} does not exist: nothing has been measured yet")
    report = json.loads(file.read_text())
    name = report["benchmark"].partition("-")[0]  # "quality-128" is the benchmark "quality" at another size
    if name not in RENDERINGS:
        raise SystemExit(f"{file} holds results of {name}, expected one of {', '.join(RENDERINGS)}")
    table, draw = RENDERINGS[name]
    versions = ", ".join(f"{package} {version}" for package, version in report["environment"]["versions"].items())
    about = f"{report['environment']['device']}; {versions}; revision {report['revision']}; {report['date']}"
    text = f"{about}\n\n{table(report['cells'])}\n"
    file.with_suffix(".md").write_text(text)
    print(f"{text}{file}")
    if draw is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        print("no plot: it needs matplotlib, pip install 'jaxrestore[plot]'")
        return
    draw(report["cells"], file.with_suffix(".png"))


def main() -> None:
    """Render the given files, or all that have a table."""
    parser = _run.parser(__doc__)
    parser.add_argument("files", nargs="*", type=pathlib.Path, metavar="FILE", help="by default all that have a table")
    results = [file for name in RENDERINGS for file in sorted(_results.RESULTS.glob(f"{name}-*.json"))]
    for file in parser.parse_args().files or results:
        render(file)


if __name__ == "__main__":
    main()
