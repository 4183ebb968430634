"""Every public name, from its docstring, and every command, from its help."""

import ast
import importlib
import inspect

import click

import jaxrestore as jr
from jaxrestore.cli import cli

# Public modules; those that re-export list what they re-export, the others what they define.
MODULES = (
    "jaxrestore",
    "jaxrestore.samplers",
    "jaxrestore.operators",
    "jaxrestore.priors",
    "jaxrestore.schedules",
    "jaxrestore.metrics",
    "jaxrestore.images",
    "jaxrestore.methods",
    "jaxrestore.tasks",
    "jaxrestore.tuning",
    "jaxrestore.training",
    "jaxrestore.analysis",
    "jaxrestore.evaluation",
    "jaxrestore.parallel",
)


def public(module: str) -> list[str]:
    """Names that a module offers: those it lists or re-exports, else those it defines."""
    loaded = importlib.import_module(module)
    if hasattr(loaded, "__all__"):
        return list(loaded.__all__)
    body = ast.parse(inspect.getsource(loaded)).body
    if hasattr(loaded, "__path__"):
        aliases = [alias for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
        names = [alias.name for alias in aliases if alias.asname == alias.name]
    else:
        names = [name for node in body for name in _defined(node)]
    return [name for name in names if not name.startswith("_") and not inspect.ismodule(getattr(loaded, name))]


def _defined(node: ast.stmt) -> list[str]:
    """Names that a statement defines: functions, classes, and what is assigned."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def home(module: str, name: str) -> str:
    """Where a public name is defined: `jaxrestore.samplers.spgd.spgd` of `jaxrestore.spgd`."""
    value = getattr(importlib.import_module(module), name)
    defined = inspect.isclass(value) or inspect.isfunction(value)
    return f"{value.__module__}.{value.__qualname__}" if defined else f"{module}.{name}"


def pages() -> dict[str, str]:
    """A page a module, and one of the commands. What several modules offer is on the page of the first."""
    made: dict[str, str] = {}
    seen: dict[str, str] = {}  # where a name is defined -> the module on whose page it is
    for module in MODULES:
        entries, elsewhere = [], []
        for name in public(module):
            value, place = getattr(importlib.import_module(module), name), home(module, name)
            key = place if inspect.isclass(value) or inspect.isfunction(value) else str(id(value))
            if key in seen:
                elsewhere.append(f"[`{name}`]({seen[key]}.md)")
                continue
            seen[key] = module
            # A custom heading: griffe would take `jaxrestore.samplers.spgd` for the module of that name.
            entries.append(f"::: {place}\n    options:\n      heading: {module}.{name}\n      toc_label: {name}")
        about = (inspect.getdoc(importlib.import_module(module)) or "").splitlines()[0]
        also = [f"Also here, and described there: {', '.join(elsewhere)}."] if elsewhere else []
        made[f"reference/{module}.md"] = "\n\n".join([f"# `{module}`", about, *also, *entries]) + "\n"
    links = [f"- [`{module}`]({module}.md)" for module in MODULES]
    index = ["# Reference", "", f"Version {jr.__version__}.", "", *links, "- [Command line](command-line.md)", ""]
    return {"reference/index.md": "\n".join(index), **made, "reference/command-line.md": _commands()}


def _commands() -> str:
    """What `--help` says."""
    parts = ["# Command line"]
    for name in cli.list_commands(click.Context(cli)):
        command = cli.get_command(click.Context(cli), name)
        if command is None:
            continue
        context = click.Context(command, info_name=f"jaxrestore {name}", max_content_width=100, terminal_width=100)
        context.show_default = True
        parts.append(f"## `jaxrestore {name}`\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts) + "\n"
