"""What a person would do next: which task a damage calls for, and the command that follows a command."""

import functools
import shlex
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import click
from click.core import ParameterSource

from jaxrestore.tasks import TASKS

_TASK = ("task_name", "noise", "options", "mask", "kernel")  # the options that say what was done to a picture
_PRIOR = ("prior", "label", "self_ensemble")  # and what it is restored with, beside the method


class MissingTask(click.ClickException):
    """A command was not told what was done to the picture."""

    exit_code = 2  # as click's own for missing options


def typed(context: click.Context, names: Collection[str] | None = None) -> str:
    """Arguments and options of a command as they were typed, all or those of some names; `--task X --noise 0.1`."""
    words: list[str] = []
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or (names is not None and name not in names):
            continue
        value = context.params[name]
        for one in value if parameter.multiple else [value]:
            words += [] if isinstance(parameter, click.Argument) else [parameter.opts[-1]]
            words += [] if isinstance(parameter, click.Option) and parameter.is_flag else [_as_typed(one)]
    return shlex.join(words)


def _as_typed(value: Any) -> str:
    """A value as the command line takes it; lists have commas."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _again(context: click.Context, *left_out: str) -> str:
    """The command as it was typed, without some of its options."""
    kept = {str(parameter.name) for parameter in context.command.params}.difference(left_out)
    return f"jaxrestore {context.info_name} {typed(context, kept)}"


def missing_task(context: click.Context) -> MissingTask:
    """Which task fits which damage, and the command to copy, in three lines."""
    fitting = {row.damage: f"{name} {row.hint}".strip() for name, row in TASKS.items() if row.damage}
    first = next(iter(fitting.values()))
    return MissingTask(
        f"--task is missing: it says what was done to the picture, which is undone\n"
        f"  {'; '.join(f'{damage}: {words}' for damage, words in fitting.items())}\n"
        f"  e.g.  jaxrestore {context.info_name} {typed(context)} --task {first}"
    )


def _restore(context: click.Context, *further: str) -> str:
    """The command that undoes what this one was told of."""
    return " ".join(filter(None, ["jaxrestore restore PICTURE -o RESULT", typed(context, (*_TASK, *_PRIOR)), *further]))


def _prior(context: click.Context) -> str:
    task = next(iter(TASKS))
    return f"jaxrestore restore PICTURE -o RESULT --task {task} --prior {shlex.quote(str(context.params['out']))}"


def _after_restore(context: click.Context) -> str:
    if context.params["estimate"]:
        return _again(context, "estimate")
    if context.params["samples"] == 1:
        words = _again(context, "samples", "force", "skip_existing")
        return f"{words} --samples 4 --save-std --force    (how sure is it?)"
    return "jaxrestore info    (other methods and their settings)"


def _after_degrade(context: click.Context) -> str:
    made = shlex.quote(str(context.params["out"]))
    return f"jaxrestore restore {made} -o RESULT {typed(context, (*_TASK, 'seed'))}"


def _after_evaluate(context: click.Context) -> str:
    if context.params["report"] is None:
        exists = any(context.params[name] is not None for name in ("out", "save"))
        force = " --force" if exists else ""
        return f"{_again(context, 'force')} --report page.html{force}    (to look at all pictures)"
    return f"open {shlex.quote(str(context.params['report']))} in a browser"


def _after_compare(context: click.Context) -> str:
    return f"open {shlex.quote(str(context.params['out']))} in a browser; then {_restore(context, '--method METHOD')}"


def _after_tune(context: click.Context) -> str:
    best = shlex.quote(str(context.params["out"]))
    method = shlex.quote(str(context.params["method_name"]))
    return _restore(context, f"--method {method} --settings {best}")


def _after_calibrate(context: click.Context) -> str:
    return f"{_after_tune(context)} --samples {context.params['samples']} --save-std"


def _after_analyze(context: click.Context) -> str:
    image = shlex.quote(str(context.params["image"]))
    return f"jaxrestore compare {image} {typed(context, (*_TASK, *_PRIOR))} -o page.html"


# What is told after each command, or a part of it; a new command without an entry fails a test.
NEXT: Mapping[str, Callable[[click.Context], str]] = {
    "demo": lambda context: "jaxrestore restore PICTURE -o RESULT    (your own picture: it asks what was done to it)",
    "restore": _after_restore,
    "degrade": _after_degrade,
    "evaluate": _after_evaluate,
    "compare": _after_compare,
    "analyze": _after_analyze,
    "tune": _after_tune,
    "calibrate": _after_calibrate,
    "train": _prior,
    "convert": _prior,
    "convert bkse": lambda context: (
        f"jaxrestore restore PICTURE -o RESULT --task nonlinear_deblur --option weights={context.params['out']}"
    ),
    "convert lpips": lambda context: f"jaxrestore.metrics.load_lpips({str(context.params['out'])!r}) in Python",
    "convert inception": lambda context: f"jaxrestore.metrics.load_inception({str(context.params['out'])!r}) in Python",
    "info": lambda context: "jaxrestore demo",
}


def telling_what_is_next(name: str, command: click.Command) -> click.Command:
    """The command, which names the next one when it has succeeded at a terminal; logs and pipes stay as they are."""
    if isinstance(command, click.Group):
        for part in command.commands.values():
            _ = telling_what_is_next(name, part)
        return command
    callback = command.callback
    if callback is None or hasattr(callback, "tells_what_is_next"):
        return command

    @functools.wraps(callback)
    def telling(*args: Any, **kwargs: Any) -> Any:
        context = click.get_current_context()
        result = callback(*args, **kwargs)
        if at_terminal() and not context.params.get("quiet"):
            following = NEXT.get(f"{name} {context.info_name}", NEXT[name])
            click.echo(f"next: {following(context)}", err=True)
        return result

    vars(telling)["tells_what_is_next"] = True  # commands are asked for several times
    command.callback = telling
    return command


def at_terminal() -> bool:
    """Whether a person reads the messages."""
    return sys.stderr.isatty()
