"""What settings do, in pictures: the strips of the methods and the plot of angles, from the records beside them."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxrestore import evaluation
from jaxrestore.analysis import CURVES
from scripts.site.examples import PICTURES
from scripts.site.provenance import credits_of, warning
from scripts.site.tables import table
from scripts.site.tasks import task_title

STRIPS = PICTURES / "settings"


def strip(method: str, folder: pathlib.Path = STRIPS) -> str:
    """A method's strip with its caption and its numbers; the command where it is not made yet."""
    file = folder / f"{method}.json"
    if not file.exists():
        return f"The pictures are not made yet: `python -m scripts.pictures settings PHOTO --methods {method}`."
    record = json.loads(file.read_text())
    caption = " ".join(_caption(record).split())
    tables = [_numbers(record, name) for name in record["rows"]]
    return "\n\n".join([f"![{alt_text(record)}](../pictures/settings/{method}.jpg)", f"*{caption}*", *tables])


def alt_text(record: Mapping[str, Any]) -> str:
    """What a strip shows, for those who do not see it."""
    rows = [f"{name} of {', '.join(_value(cell['value']) for cell in row)}" for name, row in record["rows"].items()]
    return (
        f"A crop of the photograph {_photograph(record)}, {task_title(record['task'])} by {record['method']}: "
        f"measured, restored with {'; in the next row '.join(rows)}, and the original"
    )


def _photograph(record: Mapping[str, Any]) -> str:
    return record["photograph"].rpartition(".")[0].replace("_", " ")


def _caption(record: Mapping[str, Any]) -> str:
    _, height, width, _ = record["shape"]
    own = ", ".join(f"`{name}={_value(record['settings'][name])}`" for name in record["rows"])
    simple = record["simple"]
    first = f" The simple answer has {simple['psnr']:.1f} dB and {simple['lpips']:.3f}." if simple else ""
    return (
        f"Task {task_title(record['task'])}, the centre of {width}x{height} pixels, one run each with the same noise. "
        f"Below the pictures are PSNR and {evaluation.lpips_title(record['lpips_variant'])}. What is not varied is as "
        f"the task has it with the bundled prior: {own}.{first} "
        f"{warning(record)} {credits_of([record['photograph']])}"
    )


def _value(value: float | bool | str) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _numbers(record: Mapping[str, Any], name: str) -> str:
    cells = record["rows"][name]
    lpips = evaluation.lpips_title(record["lpips_variant"])
    scores = {
        "PSNR": ["diverged" if cell["psnr"] is None else f"{cell['psnr']:.1f}" for cell in cells],
        lpips: ["" if cell["lpips"] is None else f"{cell['lpips']:.3f}" for cell in cells],
    }
    head = (f"`{name}`", *(_value(cell["value"]) for cell in cells))
    return table(head, [(title, *values) for title, values in scores.items()])


def angles(method: str, folder: pathlib.Path = PICTURES) -> str:
    """The plot of the angles with its numbers; the command where it is not made yet."""
    file = folder / "angles.json"
    if not file.exists():
        return "The plot is not made yet: `python -m scripts.pictures angles PHOTO`."
    record = json.loads(file.read_text())
    variants = record["variants"]
    _, height, width, _ = record["shape"]
    rows = [
        (f"`{name}`", *(f"{told[angle]:.0f}" for angle in CURVES), f"{told['psnr']:.1f}", f"{told['lpips']:.3f}")
        for name, told in variants.items()
    ]
    alt = f"Three angles over {record['steps']} steps, for {len(variants)} variants of SPGD and DPS"
    head = ("variant", *CURVES.values(), "PSNR", evaluation.lpips_title(record["lpips_variant"]))
    return f"""![{alt}](../pictures/angles.png)

*Task {task_title(record["task"])}, the photograph {_photograph(record)} at {width}x{height}, {record["steps"]} steps,
{record["warmup_steps"]} likelihood steps at each where there is warm-up. {warning(record)}
{credits_of([record["photograph"]])}*

Means over the steps, in degrees:

{table(head, rows)}"""
