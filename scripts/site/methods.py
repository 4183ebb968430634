"""What the pages of the methods leave to the code: needs, costs, settings, and what was measured."""

import inspect
import json
import pathlib
import re

import jaxrestore as jr
from benchmarks._comparable import comparable
from jaxrestore.methods import SHARED_SETTINGS
from jaxrestore.operators._base import NEEDS
from jaxrestore.settings import COMMON, TASK_SETTINGS
from scripts.site.reference import home
from scripts.site.results import QUALITY, best_scores, earlier, warning
from scripts.site.tables import listed, table
from scripts.site.tasks import task_title

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs"


def pages() -> dict[str, str | None]:
    """An overview, and the hand-written page of each method."""
    return {"methods/index.md": _overview(), **{f"methods/{name}.md": None for name in jr.METHODS}}


def summary(name: str) -> str:
    """First line of a method's docstring."""
    return (inspect.getdoc(jr.METHODS[name].factory) or "").splitlines()[0].rstrip(".")


def arguments(name: str) -> dict[str, str]:
    """What a method's docstring says of each of its settings."""
    text = inspect.getdoc(jr.METHODS[name].factory) or ""
    section = re.search(r"^Args:\n(.*?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    entries = re.findall(r"^  (\w+): (.*(?:\n    .*)*)", section[1] if section else "", re.MULTILINE)
    return {argument: " ".join(description.split()) for argument, description in entries}


def _overview() -> str:
    rows = []
    for name, row in jr.METHODS.items():
        cost = row.evaluations(row.complete(COMMON["photo"].get(name, {})))
        rows.append((f"[`{name}`]({name}.md)", summary(name), f"any {NEEDS[row.needs]}", cost.forward, cost.gradients))
    head = ("method", "what it does", "operators", "forward passes", "gradients")
    return f"""# Methods

All methods are pure functions of a key, a prior, a degradation and a measurement; which of them can do a task
follows from its operator. The costs are those of the settings for the bundled prior, for one picture: a gradient
through the network costs about as much as a forward pass again.

{table(head, rows)}

## Which one

- **Nothing is known yet**: the task's own method, `pspgd` for most; no step size to choose, few evaluations.
- **Blur or a reduced picture, and a known noise**: `diffpir` for a high PSNR, `pigdm` for texture, `pspgd` and `pdpps`
  for something between at a third of their cost; `diffpir`, `ddnm` and `ddrm` need no gradients.
- **Noise alone**: `ddnm`, whose state carries the measurement's noise in place of its own: the best in PSNR and
  LPIPS, and without gradients.
- **Missing pixels**: the means of a few samples of `spgd`, `dpps` or `dps`; `repaint` where what is known must stay
  exactly as it is. With 80 % missing, one sample of the bundled prior pays for its texture in PSNR, so there its
  settings answer with the mean of a few (`mean_of`).
- **Operators that are not linear** (over-exposure, haze, a function of yours): `spgd`, `pspgd`, `mmps` and `daps`.
- **Samples whose spread means something**: `mmps` comes nearest to exact posteriors, no method is right everywhere;
  see [Do samplers sample?](../results/posterior.md).

The [results](../results/index.md) have the numbers.
"""


def facts(name: str) -> str:
    """Sections of a method's page: what it needs and costs, its settings, what was measured."""
    row = jr.METHODS[name]
    photo = COMMON["photo"].get(name, {})
    lines = [
        "## Needs and costs",
        "",
        f"- It takes any {NEEDS[row.needs]}.",
        f"- `{row.weight}` says how much the measurement counts."
        if row.weight
        else "- The noise alone says how much the measurement counts.",
        f"- If it diverges: {row.remedy}." if row.remedy else "- It does not diverge by its settings.",
        "",
        _costs(name),
        "",
        "## Settings",
        "",
        _settings(name),
    ]
    differing = {task: methods[name] for task, methods in TASK_SETTINGS["photo"].items() if name in methods}
    if photo or differing:
        lines += ["", f"With the bundled prior: {listed(photo) or 'the defaults'}."]
    if differing:
        lines += [
            "",
            table(
                ("task", "with the bundled prior, for it alone"), [(f"`{t}`", listed(s)) for t, s in differing.items()]
            ),
        ]
    if measured := _measured(name):
        lines += ["", "## Measured", "", measured]
    return "\n".join(
        [*lines, "", f"Reference: [`jaxrestore.{name}`](../reference/jaxrestore.md#{home('jaxrestore', name)})."]
    )


def _costs(name: str) -> str:
    row = jr.METHODS[name]
    rows = []
    for title, settings in (("defaults", {}), ("for the bundled prior", COMMON["photo"].get(name, {}))):
        cost = row.evaluations(settings)
        rows.append((title, cost.forward, cost.gradients))
    return table(("settings", "forward passes", "gradients through the network"), rows)


def _settings(name: str) -> str:
    described = arguments(name)
    shared: dict[str, str] = dict.fromkeys(SHARED_SETTINGS, "see `jaxrestore.Method.build`")
    rows = []
    for setting, default in jr.METHODS[name].defaults.items():
        shown = "" if callable(default) else f"`{default}`"
        meaning = described.get(setting) or shared.get(setting, "")
        rows.append((f"`{setting}`", shown, meaning))
    return table(("setting", "default", "meaning"), rows)


def _measured(name: str) -> str:
    cells = json.loads(QUALITY.read_text())["cells"]
    parts = []
    for shared, group in comparable({label: cell for label, cell in cells.items() if not earlier(label, cell)}):
        best, rows = best_scores(group), []
        for label, cell in group.items():
            task, method = label.split("/")
            if method == name:
                psnr, lpips = cell["mean"]["psnr"], cell["mean"]["lpips"]
                rows.append(
                    (task_title(task), f"{psnr:.1f}", f"{best[task][0]:.1f}", f"{lpips:.2f}", f"{best[task][1]:.2f}")
                )
        if rows:
            head = ("task", "PSNR", "best of those measured", "LPIPS (alex)", "best of those measured")
            parts += [f"Means over {shared} (`{QUALITY.name}`).", table(head, rows)]
    own = [part for label, cell in cells.items() if label.split("/")[1] == name for part in earlier(label, cell)]
    if own:
        parts.append(f"{warning(own)} It is left out here, and still in [the results]({QUALITY_PAGE}).")
    return "\n\n".join(parts)


QUALITY_PAGE = "../results/quality-128.md"  # as the pages of the methods see it
README_TASK = "super_resolution"  # whose figures stand in the README


def readme_table() -> str:
    """The README's table of methods, from their rows and the result file.

    Its figures are of one prior, today's, and of the same photographs; the others are to be measured.
    """
    cells = json.loads(QUALITY.read_text())["cells"]
    of_task = {label: cell for label, cell in cells.items() if label.startswith(f"{README_TASK}/")}
    groups = comparable({label: cell for label, cell in of_task.items() if not earlier(label, cell)})
    group = max((group for _, group in groups), key=len, default={})
    head, rows = "PSNR, LPIPS (alex)", []
    if group:
        first = next(iter(group.values()))
        head = f"{head} of {first['shape'][0]} photographs"
        figure = f"{first['simple']['psnr']:.1f}, {first['simple']['lpips']:.2f}"
        rows.append(("the simple answer", "bicubic enlargement", "", figure))
    for name, row in jr.METHODS.items():
        cost = row.evaluations(row.complete(COMMON["photo"].get(name, {})))
        cell = group.get(f"{README_TASK}/{name}")
        figure = f"{cell['mean']['psnr']:.1f}, {cell['mean']['lpips']:.2f}" if cell else "to be measured"
        link, evaluations = f"[`{name}`](docs/methods/{name}.md)", f"{cost.forward} + {cost.gradients}"
        rows.append((link, summary(name), evaluations, figure))
    return table(("method", "what it does", "passes + gradients", head), rows)


if __name__ == "__main__":
    print(readme_table())
