"""Decisions and limits: hand-written pages, and those that lie elsewhere in the repository."""

import pathlib

ROOT = pathlib.Path(__file__).parent.parent.parent
HAND_WRITTEN = ("decisions/index.md", "decisions/conventions.md", "decisions/limits.md", "decisions/posteriors.md")


def pages() -> dict[str, str | None]:
    """In the order of the site."""
    cards = {
        f"decisions/{card.parent.name}.md": card.read_text()
        for card in sorted((ROOT / "jaxrestore" / "priors" / "bundled").glob("*/MODEL_CARD.md"))
    }
    elsewhere = {
        "decisions/speed.md": (ROOT / "benchmarks" / "NOTES.md").read_text(),
        "decisions/contributing.md": (ROOT / "CONTRIBUTING.md").read_text(),
        "decisions/changes.md": (ROOT / "CHANGELOG.md").read_text(),
    }
    return {**dict.fromkeys(HAND_WRITTEN), **cards, **elsewhere}
