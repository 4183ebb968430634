"""Whose the photographs are that the site shows, and whether their restorations are those of today."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import jaxrestore as jr
from benchmarks import networks

BUDGIE = "Budgie backgrounds contributors, CC0-1.0"
# Name of the file without its suffix -> author and licence. All were cropped and reduced.
CREDITS = {
    "astronaut": "NASA (Eileen Collins), public domain",
    "bridge": "Derek Jensen, public domain",
    "chelsea": "Stefan van der Walt, CC0-1.0",
    "citrus": "US Department of Agriculture, public domain",
    "coffee": "Rachel Michetti, CC0-1.0",
    "colosseum": BUDGIE,
    "forget_me_not": BUDGIE,
    "honey_bee": "John Severns, public domain",
    "otter": BUDGIE,
    "red_leaves": "W.carter (Red cherry leaves), CC-BY-SA-4.0, and so are the sheets that show it",
    "singapore": BUDGIE,
    "spices": BUDGIE,
}


def credits_of(names: Iterable[str]) -> str:
    """A sentence that names the authors of pictures, by the names of their files; empty where none is known."""
    stems = [name.rpartition(".")[0] for name in names]
    known = [f"{stem.replace('_', ' ')} by {CREDITS[stem]}" for stem in stems if stem in CREDITS]
    return f"Photographs, cropped and reduced: {'; '.join(known)}." if known else ""


def warning(record: Mapping[str, Any]) -> str:
    """What a page says of pictures that another prior, or other settings than today's, made; empty if none did.

    Args:
      record: Of pictures; its prior is compared, and its settings if it states those of a method.
    """
    same = networks.is_of_photo(record)
    if "settings" in record:
        same = same and of_today(record, record["task"], record["method"])
    return "" if same else "Made with an earlier prior or earlier settings, and to be made again."


def of_today(record: Mapping[str, Any], task: str, method: str) -> bool:
    """Whether a record states the settings that the method has today, for the usual options of the task."""
    row = jr.METHODS[method]
    today = row.complete(row.at_side(jr.TASKS[task].changes(method, "photo"), record["shape"][1:]))
    return record["settings"] == json.loads(json.dumps(today))
