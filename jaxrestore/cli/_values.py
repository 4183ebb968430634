"""NAME=VALUE on the command line, read as the annotations of what takes the values say."""

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

# From the widest: what may be a traced number, `ArrayLike`, is read as a float, a count as an integer.
_KINDS = {float: "a number", int: "a whole number", bool: "true or false", str: "a name"}


def annotations(takes_values: Callable[..., Any]) -> dict[str, Any]:
    """Annotations of the arguments of a function, or of the fields of a dataclass."""
    return {name: parameter.annotation for name, parameter in inspect.signature(takes_values).parameters.items()}


def parse_values(pairs: Iterable[str], annotation_of: Mapping[str, Any]) -> dict[str, Any]:
    """["factor=4", "kernel=average"] as {"factor": 4, "kernel": "average"}.

    Values of unknown names stay text: what takes the values knows best which names there are, and refuses the others.
    """
    values = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is no NAME=VALUE, e.g. factor=4")
        values[name] = parse_value(name, text, annotation_of.get(name, str))
    return values


def parse_value(name: str, text: str, annotation: Any) -> Any:
    """The value of one setting; tuples are written 1,2,4.

    Raises:
      click.UsageError: If the text is no such value, or the setting takes what no text can say.
    """
    if typing.get_origin(annotation) is tuple:
        element = typing.get_args(annotation)[0]
        return tuple(parse_value(name, part, element) for part in text.split(",") if part)
    allowed = typing.get_args(annotation) or (annotation,)
    kind = next((kind for kind in _KINDS if kind in allowed), None)
    if kind is None:
        raise click.UsageError(f"{name} cannot be given as {name}=VALUE: what it takes is an object of the library")
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise click.UsageError(f"{name} is {text!r}, expected {_KINDS[kind]}") from None
