"""Table and reliability plot of `benchmarks.coverage`. Labels are task/method."""

import pathlib

from benchmarks._tables import Cells, evaluations, figure, markdown, percents


def table(cells: Cells) -> str:
    """One row for each task and method: percent of the pixels within 1, 2 and 3 deviations."""
    first = next(iter(cells.values()))
    near = list(first["photographs"]["by_distance"])
    head = ("task", "method", "forward passes", "gradients", "all", *near, "draws", "R", "R of draws", "prior's share")
    rows = []
    tasks = list(dict.fromkeys(label.split("/")[0] for label in cells))
    for label, cell in sorted(cells.items(), key=lambda item: tasks.index(item[0].split("/")[0])):
        photographs, draws = cell["photographs"], cell["draws"]
        by_distance = photographs["by_distance"]
        rows.append(
            (
                *label.split("/"),
                *evaluations(cell),
                percents(photographs["within"]),
                *(percents(by_distance[name]["within"]) for name in near),
                percents(draws["within"]),
                *("-" if world["ratio"] is None else f"{world['ratio']:.2f}" for world in (photographs, draws)),
                "-" if cell["prior_share"] is None else f"{round(100 * cell['prior_share'])}%",
            )
        )
    samples = sorted({cell["samples"] for cell in cells.values()})
    expected = percents(first["expected"])
    words = (
        "Percent of the pixels within mean +- 1, 2 and 3 standard deviations: in all, by the distance to the nearest "
        f"edge, on pictures drawn from the prior. Exact samples of a Gaussian posterior, {samples[0]} of them, have "
        f"{expected}. R is the root mean squared error over what the spread says; the prior's share is that of the "
        "squared error that comes from the prior being another than the world. Where a method's settings answer with "
        "the mean of several runs (`mean_of`), the deviation is that of such means, and smaller."
    )
    return f"{words}\n\n{markdown(head, rows)}"


def draw(cells: Cells, path: pathlib.Path) -> None:
    """Reliability: the share of pixels found within an interval over the share that it should hold, a panel a task."""
    tasks = list(dict.fromkeys(label.split("/")[0] for label in cells))
    with figure(path, len(tasks), width=3.6, sharey=True) as axes:
        for axis, task in zip(axes, tasks, strict=True):
            of_task = {label.split("/")[1]: cell for label, cell in cells.items() if label.startswith(f"{task}/")}
            axis.plot([0, 1], [0, 1], color="black", linestyle=":")
            for i, (method, cell) in enumerate(of_task.items()):
                line = "-" if i < 10 else "--"  # there are ten colours
                axis.plot(cell["levels"], cell["photographs"]["reliability"], line, color=f"C{i % 10}", label=method)
            axis.set(title=task, xlabel="share that should be within", xlim=(0, 1), ylim=(0, 1))
            axis.legend(fontsize=6)
        axes[0].set_ylabel("share of the pixels within")
