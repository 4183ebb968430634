"""Tutorials: scripts that tests run, as pages."""

import ast
import json
import pathlib
import re

from benchmarks import networks

EXAMPLES = pathlib.Path(__file__).parent.parent.parent / "docs" / "examples"
PICTURES = EXAMPLES.parent / "pictures"
# In the order of the site.
NAMES = (
    "own_photograph",
    "own_operator",
    "own_sampler",
    "pipeline",
    "uncertainty",
    "tuning",
    "training",
    "ffhq",
    "devices",
    "export",
)
_SMALL = re.compile(r"^(\w+ = )(.+?)  # small: (.+)$", re.MULTILINE)


def small(source: str) -> str:
    """A script with the small values that its lines `NAME = VALUE  # small: OTHER` name, as tests run it."""
    return _SMALL.sub(r"\1\3", source)


def is_of_today(name: str) -> bool:
    """Whether the record beside a tutorial's output names the prior that is bundled now."""
    record = PICTURES / f"{name}.json"
    return record.exists() and networks.is_of_photo(json.loads(record.read_text()))


def page(name: str) -> str:
    """A script as Markdown: its docstring, comments after `# %%` as text, the rest as code, then what it printed."""
    source = _SMALL.sub(r"\1\2", (EXAMPLES / f"{name}.py").read_text())
    tree = ast.parse(source)
    title, _, introduction = (ast.get_docstring(tree) or name).partition("\n")
    body = "\n".join(source.splitlines()[tree.body[0].end_lineno :])
    parts = [f"# {title.rstrip('.')}", introduction.strip()]
    for cell in re.split(r"^# %%.*\n", body, flags=re.MULTILINE):
        lines = cell.splitlines()
        count = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        parts.append("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:count]))
        if code := "\n".join(lines[count:]).strip("\n"):
            parts.append(f"```python\n{code}\n```")
    printed, picture = PICTURES / f"{name}.txt", PICTURES / f"{name}.jpg"
    warning = "" if is_of_today(name) else ", with an earlier bundled prior, so that figures differ from today's"
    if printed.exists():
        parts.append(f"It printed on two CPU cores{warning}:\n\n```text\n{printed.read_text().rstrip()}\n```")
    if picture.exists():
        parts.append(f"![The picture that it writes](../pictures/{name}.jpg)")
    parts.append(f"The script: [`docs/examples/{name}.py`](../examples/{name}.py).")
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


def pages() -> dict[str, str]:
    """A page for each script, after an overview."""
    made = {f"tutorials/{name}.md": page(name) for name in NAMES}
    links = [
        f"- [{text.splitlines()[0].removeprefix('# ')}]({name.removeprefix('tutorials/')})"
        for name, text in made.items()
    ]
    overview = f"""# Tutorials

Each page is a script that the tests run, at a smaller size than here. They need nothing but the package and its bundled
prior, unless the page says so.

{chr(10).join(links)}
"""
    return {"tutorials/index.md": overview, **made}
