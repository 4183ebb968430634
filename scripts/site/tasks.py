"""What pages leave to the rows of the tasks, and to pages that lie elsewhere."""

import pathlib
import re

import jaxrestore as jr
from scripts.site.tables import table

ROOT = pathlib.Path(__file__).parent.parent.parent


def task_title(task: str) -> str:
    """A task's name for people."""
    return task.replace("_", " ")


def tasks(_: str) -> str:
    """A table of all tasks."""
    rows = []
    for name, row in jr.TASKS.items():
        options = ", ".join(
            f"`{option}`" if value is None else f"`{option}={value}`" for option, value in row.options.items()
        )
        rows.append((row.damage or "", f"`{name}`", row.description, options, f"{row.noise_std:g}"))
    return table(("damage", "task", "what it does", "options", "usual noise"), rows)


def converters(_: str) -> str:
    """The converters' own page, as a part of another."""
    text = (ROOT / "convert_weights" / "README.md").read_text()
    return re.sub(r"^#", "##", text, flags=re.MULTILINE)
