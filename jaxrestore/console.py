"""Running a command: mistakes of its user become one line, faults of the library ask for a report."""

import io
import platform
import sys
import traceback
import warnings

import click
import jax

import jaxrestore
from jaxrestore import stopping
from jaxrestore._checks import InputTypeError

FAULT = 70  # exit code, EX_SOFTWARE of sysexits.h
_MISTAKES = (ValueError, OSError, FloatingPointError, MemoryError, InputTypeError)
_OUTSIDE = ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "UNAVAILABLE")  # too little memory; other processes are silent


def run(command: click.Command) -> None:
    """Run a command with the words of the command line, and leave Python where it fails.

    What a user can mend (a bad value, a file, a run that diverged, too little memory) becomes one message on standard
    error and exit code 1, or click's. Anything else, `TypeError` included, is a fault of the library: its traceback is
    kept, a request for a report follows, and the exit code is `FAULT`. Ctrl-C and SIGTERM end it within seconds with
    one line and the exit codes 130 and 143, also while compiling: see `jaxrestore.stopping`.

    Raises:
      SystemExit: If the command fails.
    """
    warnings.showwarning = _warn
    if isinstance(sys.stdout, io.TextIOWrapper):  # as standard error does: a file's odd name must not cost its result
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with stopping.watched():
            try:
                command(standalone_mode=False)
            except stopping.Stopped as stopped:
                stopping.leave(stopped.number)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except click.Abort:
        click.echo("stopped", err=True)
        raise SystemExit(130) from None
    except _MISTAKES as error:
        _refuse(str(error))
    except Exception as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and str(error).startswith(_OUTSIDE):
            _refuse(str(error).splitlines()[0])
        traceback.print_exc()
        click.echo(
            f"jaxrestore {jaxrestore.__version__} (jax {jax.__version__}, Python {platform.python_version()}, "
            f"{sys.platform}) stopped for a fault of its own: {type(error).__name__}.\n"
            "Please report it as an issue of the project, with the traceback above, the command as you typed it, and "
            "what `jaxrestore info --json` prints.",
            err=True,
        )
        raise SystemExit(FAULT) from None


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as a line of its own, without the place in the code that Python would name."""
    click.echo(f"warning: {message}", err=True)


def _refuse(message: str) -> None:
    click.echo(f"error: {message}", err=True)
    raise SystemExit(1) from None
