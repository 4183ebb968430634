"""Options that several commands have, and what makes one argument of many."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import click

PATH = click.Path(path_type=pathlib.Path)

out_option = click.option("-o", "--out", required=True, type=PATH, help="File for the result, or folder for a folder.")
force_option = click.option("--force", is_flag=True, help="Replace existing files.")
strict_option = click.option(
    "--strict",
    is_flag=True,
    help="Stop at the first picture that fails; without it, the others go on.",
)
seed_option = click.option("--seed", default=0, help="Seed of all random draws; the same seed gives the same result.")
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress.")
prior_option = click.option(
    "--prior",
    default="photo",
    help="What pictures look like: the bundled prior's name, the folder of another, or a published one, to be fetched: "
    "hf:OWNER/NAME or guided-diffusion:NAME.",
)
label_option = click.option(
    "--label", type=int, metavar="CLASS", help="Class of the pictures, from 0, for a prior that knows classes."
)


def decorated(options: Sequence[Callable[..., Any]], command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with options, in the order in which its help shows them."""
    for option in reversed(options):
        command = option(command)
    return command


def gathered_into(command: Callable[..., Any], name: str, kind: type[Any]) -> Callable[..., Any]:
    """The command with those of its keyword arguments that are fields of `kind` gathered into one argument."""

    @functools.wraps(command)  # with the options that click has noted on it
    def gathered(**kwargs: Any) -> Any:
        choice = kind(**{field.name: kwargs.pop(field.name) for field in dataclasses.fields(kind)})
        return command(**kwargs, **{name: choice})

    return gathered
