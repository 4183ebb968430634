"""Tables and plots from the result files of the suite and of the comparison with PyTorch.

    python -m benchmarks.render [FILE ...]

Reads `benchmarks/results/suite-*.json` and `against_torch-*.json`, writes a `.md` beside each and, for the suite, a
`.png` of images per second over the batch size (extra `plot`).
"""

import argparse
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks import _run


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def suite_table(cells: Mapping[str, Any]) -> str:
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


def torch_table(cells: Mapping[str, Any]) -> str:
    """One row a form; ratios above 1 mean that this library is faster."""
    rows = []
    for label, cell in cells.items():
        network, size, dtype, batch = label.split("/")
        for name, seconds in sorted(cell["seconds"].items()):
            case, form = name.split("/")
            a_step = 1e3 * seconds / cell["steps_in_one_call"][case]
            ratio = f"{cell['times_as_long_as_jaxrestore'][name]:.2f}"
            rows.append((network, size, dtype, batch, case, form, f"{a_step:.0f}", ratio))
    return markdown(("network", "size", "dtype", "batch", "case", "form", "ms a step", "times as long"), rows)


def draw(cells: Mapping[str, Any], path: pathlib.Path) -> None:
    """Images per second over the batch size, one panel a network and one line a case and dtype."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for label, cell in cells.items():
        network, size, dtype, batch, case = label.split("/")
        if case in ("forward", "spgd_step", "dpps_step_50"):
            lines = panels.setdefault(f"{network}, {size} x {size}", {})
            lines.setdefault(f"{case}, {dtype}", []).append((int(batch), cell["images_per_s"]))
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.6), squeeze=False)
    for axis, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for name, points in lines.items():
            axis.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
        axis.set(xscale="log", yscale="log", title=title, xlabel="batch size", ylabel="images/s")
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Render the given files, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    found = [f for kind in ("suite", "against_torch") for f in sorted(_run.RESULTS.glob(f"{kind}-*.json"))]
    for file in parser.parse_args().files or found:
        report = json.loads(file.read_text())
        is_suite = report["benchmark"] == "suite"
        versions = ", ".join(f"{k} {v}" for k, v in report["environment"]["versions"].items())
        about = f"{report['environment']['device']}; {versions}; revision {report['revision']}; {report['date']}"
        table = (suite_table if is_suite else torch_table)(report["cells"])
        file.with_suffix(".md").write_text(f"{about}\n\n{table}\n")
        if is_suite:
            draw(report["cells"], file.with_suffix(".png"))
        print(f"{about}\n\n{table}\n")


if __name__ == "__main__":
    main()
