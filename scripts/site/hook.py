"""What mkdocs calls while it builds the site: adds the pages that are made, and fills in what pages leave open."""

import pathlib
import re
import sys
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))  # mkdocs loads this file alone

from scripts.site import decisions, examples, gallery, methods, reference, results, strips, tasks, uncertainty  # noqa: E402

MADE = {
    "tutorials/": examples.pages,
    "methods/": methods.pages,
    "results/": lambda: {**results.pages(), **gallery.pages()},
    "reference/": reference.pages,
    "decisions/": decisions.pages,
}
_FILLED = re.compile(r"^\{\{ (\w+) (\w+) \}\}$", re.MULTILINE)
_FILL = {
    "method": methods.facts,
    "strip": strips.strip,
    "angles": strips.angles,
    "tasks": tasks.tasks,
    "converters": tasks.converters,
    "posteriors": uncertainty.posteriors,
    "photographs": uncertainty.photographs,
}


def on_config(config: Any) -> Any:
    """List the pages of each folder that the navigation names: hand-written ones too, in the order of the maker."""
    for entry in config.nav:
        ((title, target),) = entry.items()
        if isinstance(target, str) and target in MADE:
            entry[title] = [*MADE[target]()]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add what is made."""
    for maker in MADE.values():
        for name, page in maker().items():
            if page is not None:  # hand-written
                files.append(File.generated(config, name, content=page))
    for name, path in results.pictures().items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put facts in the place of lines like `{{ method spgd }}`."""
    return _FILLED.sub(lambda match: _FILL[match[1]](match[2]), markdown)
