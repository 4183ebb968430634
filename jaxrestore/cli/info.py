"""`jaxrestore info`."""

import importlib.metadata
import json
import platform

import click

from jaxrestore.cli import _shared
from jaxrestore.priors.checkpoint import BUNDLED, bundled_priors
from jaxrestore.tasks import METHODS, SETTINGS, TASKS


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(as_json) -> None:
    """Show devices, versions, priors and tasks."""
    import jax

    versions = {"python": platform.python_version()}
    for package in ("jaxrestore", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"):
        versions[package] = importlib.metadata.version(package)
    devices = [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()]
    priors = {name: json.loads((BUNDLED / name / "prior.json").read_text()) for name in bundled_priors()}
    if as_json:
        tasks = {
            name: {"noise_std": t.noise_std, "options": t.options, "settings": t.settings} for name, t in TASKS.items()
        }
        click.echo(json.dumps({"versions": versions, "devices": devices, "priors": priors, "tasks": tasks}, indent=2))
        return
    _shared.print_table("Versions", ("package", "version"), versions.items())
    _shared.print_table("Devices", ("device",), [(d,) for d in devices])
    rows = [
        (name, p["parametrization"], p["config"]["model_channels"], p["config"]["patch_size"])
        for name, p in priors.items()
    ]
    _shared.print_table("Bundled priors", ("name", "form", "channels", "patch"), rows)
    rows = []
    for name, t in TASKS.items():
        options = ", ".join(f"{k}={v}" for k, v in t.options.items() if v is not None)
        rows.append((name, t.description, options, f"{t.noise_std:g}"))
    _shared.print_table("Tasks", ("name", "what it does", "options", "noise"), rows)
    rows = [
        (name, method, *(", ".join(f"{k}={v}" for k, v in t.settings[s][method].items()) for s in SETTINGS))
        for name, t in TASKS.items()
        for method in METHODS
        if method in t.settings["photo"]
    ]
    _shared.print_table("Sampler settings", ("task", "method", *SETTINGS), rows)
