"""Whose the photographs are that the site shows."""

from collections.abc import Iterable

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
