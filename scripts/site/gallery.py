"""The gallery: photographs in all tasks, from the records beside its sheets."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jaxrestore as jr
from jaxrestore import evaluation
from scripts.drawn.gallery import LEFT_OUT
from scripts.site.examples import PICTURES
from scripts.site.provenance import credits_of, warning
from scripts.site.tables import listed, table
from scripts.site.tasks import task_title

SHEETS = PICTURES / "gallery"
_COMMAND = "python -m scripts.pictures gallery FOLDER"


def read(folder: pathlib.Path = SHEETS) -> dict[str, dict[str, Any]]:
    """Task -> what made its sheet and what came out, in the order of the tasks."""
    files = {name: folder / f"{name}.json" for name in jr.TASKS}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


def pages(folder: pathlib.Path = SHEETS) -> dict[str, str]:
    """The page, which tells the command where there are no sheets yet."""
    records = read(folder)
    if not records:
        return {"results/gallery.md": f"# Gallery\n\nIt is not made yet: `{_COMMAND}`.\n"}
    left_out = "\n".join(f"- {task_title(name)}: {reason}." for name, reason in LEFT_OUT.items())
    missing = [f"`{name}`" for name in jr.TASKS if name not in records and name not in LEFT_OUT]
    to_make = f"\nTo be made: {', '.join(missing)}.\n" if missing else ""
    pictures = dict.fromkeys(name for record in records.values() for name in record["pictures"])
    parts = [
        f"""# Gallery

Photographs that neither the bundled prior nor its settings have seen, degraded and restored in each task by the task's
own method, with the settings that the library takes by itself. Each sheet shows what was measured, above what was
restored, above the original. The simple answer is what one would try first; lower LPIPS is better.

{_overview(records)}
{to_make}
Left out:

{left_out}""",
        *(_section(name, record) for name, record in records.items()),
        f"## How it is made\n\n`{_COMMAND}` restores the pictures of a folder. {credits_of(pictures)}\n\n"
        + table(
            ("task", "prior (sha256)", "revision", "date", "machine"),
            [
                (task_title(name), record["prior"][:12], record["revision"], record["date"][:10], _machine(record))
                for name, record in records.items()
            ],
        ),
    ]
    return {"results/gallery.md": "\n\n".join(parts) + "\n"}


def _machine(record: Mapping[str, Any]) -> str:
    environment = record["environment"]
    return f"{environment['device']}, {environment['processor']}, {environment['cpus']} cores"


def _lpips(record: Mapping[str, Any]) -> str:
    return evaluation.lpips_title(record["lpips_variant"])


def _overview(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Means over the pictures, a row a task."""
    rows = []
    for name, record in records.items():
        simple = record["simple"]
        rows.append(
            (
                f"[{task_title(name)}](#{name.replace('_', '-')})",
                f"`{record['method']}`",
                f"{record['mean']['psnr']:.1f}",
                f"{simple['psnr']:.1f}" if simple else "",
                f"{record['mean']['lpips']:.3f}",
                f"{simple['lpips']:.3f}" if simple else "",
                f"{record['seconds_per_image']:.0f}",
            )
        )
    lpips = ", ".join(dict.fromkeys(map(_lpips, records.values())))
    return table(("task", "method", "PSNR", "simple answer", lpips, "simple answer", "seconds a picture"), rows)


def _shown(record: Mapping[str, Any]) -> str:
    """Which part of the pictures a sheet shows."""
    side, (_, height, width, _) = record["shown"]["side"], record["shape"]
    if record["shown"]["whole"]:
        return f"whole, at {side}x{side}" if side < min(height, width) else "whole"
    return f"their centres of {side}x{side} pixels"


def alt_text(name: str, record: Mapping[str, Any]) -> str:
    """What a sheet shows, for those who do not see it."""
    above = "simple answer" if jr.TASKS[name].stored == "array" else "measured"
    return (
        f"{task_title(name).capitalize()} of {len(record['pictures'])} photographs, in rows: {above}, restored by "
        f"{record['method']} to {record['mean']['psnr']:.1f} dB and {_lpips(record)} {record['mean']['lpips']:.3f} on "
        "average, original"
    )


def _section(name: str, record: Mapping[str, Any]) -> str:
    definition = jr.TASKS[name]
    _, height, width, _ = record["shape"]
    changed = {
        setting: value
        for setting, value in record["settings"].items()
        if jr.METHODS[record["method"]].defaults.get(setting) != value
    }
    scores = [
        (picture.rpartition(".")[0].replace("_", " "), f"{of['psnr']:.1f}", f"{of['ssim']:.3f}", f"{of['lpips']:.3f}")
        for picture, of in record["pictures"].items()
    ]
    rows = table(("photograph", "PSNR", "SSIM", _lpips(record)), scores)
    indented = "\n".join(f"    {line}" for line in rows.splitlines())
    diverged = f" Diverged: {', '.join(record['diverged'])}." if record["diverged"] else ""
    noise = f", noise {record['noise_std']:g}" if record["noise_std"] else ""
    options = {option: value for option, value in definition.options.items() if value is not None}
    return f"""## {task_title(name).capitalize()}

![{alt_text(name, record)}](../pictures/gallery/{name}.jpg)

*{definition.description.capitalize()}{f" ({listed(options)}{noise})" if options else noise}. Photographs of
{width}x{height}, {_shown(record)}. Method [`{record["method"]}`](../methods/{record["method"]}.md) with
{listed(changed) or "its defaults"}.{diverged} {warning(record)}*

??? note "Each photograph"

{indented}"""
