"""`jaxrestore info`."""

import importlib.metadata
import json
import platform

import click
import jax

from jaxrestore import published
from jaxrestore.cli._reports import listed, print_table
from jaxrestore.methods import METHODS
from jaxrestore.operators._base import NEEDS
from jaxrestore.priors.checkpoint import BUNDLED, bundled_priors
from jaxrestore.settings import COMMON, TASK_SETTINGS
from jaxrestore.tasks import TASKS


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs, with all settings of all tasks.")
def command(as_json: bool) -> None:
    """Show devices, versions, priors, tasks, methods and their settings."""
    versions = {"python": platform.python_version()}
    for package in ("jaxrestore", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"):
        versions[package] = importlib.metadata.version(package)
    devices = [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()]
    priors = {name: json.loads((BUNDLED / name / "prior.json").read_text()) for name in bundled_priors()}
    if as_json:
        tasks = {
            name: {"noise_std": row.noise_std, "options": row.options, "settings": row.settings}
            for name, row in TASKS.items()
        }
        report = {"versions": versions, "devices": devices, "priors": priors, "tasks": tasks}
        report["published"] = [published.to_json(setup) for setup in published.SETUPS]
        click.echo(json.dumps(report, indent=2))
        return
    print_table("Versions", ("package", "version"), versions.items())
    print_table("Devices", ("device",), [(device,) for device in devices])
    rows = [
        (name, header["parametrization"], header["config"]["model_channels"], header["config"]["patch_size"])
        for name, header in priors.items()
    ]
    print_table("Bundled priors", ("name", "form", "channels", "patch"), rows)
    rows = [(name, row.description, listed(row.options), f"{row.noise_std:g}") for name, row in TASKS.items()]
    print_table("Tasks", ("name", "what it does", "options", "noise"), rows)
    rows = [
        (name, NEEDS[method.needs], listed(method.complete({})), listed(COMMON["photo"].get(name, {})))
        for name, method in METHODS.items()
    ]
    print_table("Methods", ("name", "needs a", "settings", "with the bundled prior"), rows)
    print_table("Settings of tasks that differ", ("task", "method", *TASK_SETTINGS), _differences())
    print_table("Published experiments", ("method", "task", "data sets", "noise"), _experiments())


def _differences() -> list[tuple[str, ...]]:
    """Task, method, and what each set of settings changes for the task alone."""
    by_set = list(TASK_SETTINGS.values())
    rows = []
    for task in TASKS:
        for method in METHODS:
            cells = [listed(settings.get(task, {}).get(method, {})) for settings in by_set]
            if any(cells):
                rows.append((task, method, *cells))
    return rows


def _experiments() -> list[tuple[str, ...]]:
    """Method, task, and on which data sets and at which noise its paper's authors publish it."""
    rows = []
    for method in published.PAPERS:
        for task in TASKS:
            setups = published.find(method, task=task)
            datasets = ", ".join(dict.fromkeys(setup.dataset for setup in setups))
            noise = ", ".join(f"{std:g}" for std in sorted({setup.noise_std.value for setup in setups}))
            if setups:
                rows.append((method, task, datasets, noise))
    return rows
