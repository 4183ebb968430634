"""The `jaxrestore` command: parses, calls the library, prints."""

import importlib
import os

import click
import jax

import jaxrestore
from jaxrestore import console
from jaxrestore.storage.cache import cache_folder

_COMMANDS = (
    "demo",
    "restore",
    "degrade",
    "evaluate",
    "compare",
    "analyze",
    "tune",
    "calibrate",
    "train",
    "convert",
    "info",
)


class _LazyGroup(click.Group):
    """Loads a command's module when it is used, so that `--help` and errors come at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"jaxrestore.cli.{cmd_name}").command
        return importlib.import_module("jaxrestore.cli._next").telling_what_is_next(cmd_name, command)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(jaxrestore.__version__)
def cli() -> None:
    """Restore degraded photographs with a diffusion prior: SPGD, DPPS and their peers in JAX."""
    _use_compilation_cache()


def main() -> None:
    """Entry point of `jaxrestore`."""
    console.run(cli)


def _use_compilation_cache() -> None:
    """Keep compiled programs between runs, unless the user has set a folder or switched it off."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or "JAX_ENABLE_COMPILATION_CACHE" in os.environ:
        return
    try:
        folder = cache_folder("xla")
    except OSError:  # whoever can keep no programs compiles them again
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
