"""Where training codes put the weights: the moving average where there is one, and names without what wraps a network.

A checkpoint may hold raw weights, their moving averages, optimisers and counters, under names of the code that wrote it
and nested as it pleased. Published samples use the moving average, so that is taken; what was chosen is told.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from convert_weights.arrays import Arrays, ConversionError, is_real
from convert_weights.pickles import Record

_DEPTH = 3  # of entries inside entries
_AVERAGES = {"ema", "average", "averaged", "shadow", "swa"}  # words in the names of moving averages
_OPTIMISERS = {"opt", "optim", "optimizer", "optimizers", "optimiser", "optimisers"}
# Entries that are taken where there is no moving average, and several could be meant.
_PREFERRED = ("state_dict", "model_state_dict", "model", "params", "net", "network", "unet", "denoiser")
# Attributes in which training codes keep a network: they come before its own names.
_WRAPPERS = ("module", "model", "diffusion_model", "net", "network", "unet", "denoiser")
_INSIDE = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # at any depth


class Weights(NamedTuple):
    """The weights of one network."""

    state: Arrays
    choice: str  # what was taken and what was left, for people; empty where there was no choice


class _Entry(NamedTuple):
    """A mapping of names to tensors inside a checkpoint."""

    path: tuple[str, ...]
    state: Arrays

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def averages(self) -> int:
        """How many of the names on its path speak of a moving average."""
        return sum(map(is_average, self.path))


def is_average(name: str) -> bool:
    """Whether a name speaks of a moving average: "model_ema", "emaModel", "ema_0.9999"."""
    return not _AVERAGES.isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", name)]


def find_weights(content: Any, container: str | None, where: str) -> Weights:
    """The weights inside whatever a training code saved.

    Args:
      content: Of the checkpoint, with tensors as arrays.
      container: Entry that holds the weights, "ema" or "ema.shadow", or the beginning of their names; None takes the
        moving average where there is one.
      where: The file's name, for errors.

    Raises:
      ConversionError: If there are no weights, several that could be meant, or a moving average that cannot be read.
    """
    if not isinstance(content, Mapping):
        raise ConversionError(f"{where} holds a {type(content).__name__}, expected a mapping of names to tensors")
    entries = [_Entry(path, _arrays(value)) for path, value in _walk(content) if _is_state(value)]
    entries += list(_pair_lists(content, entries))
    if container is not None:
        entry, beginning = _asked(content, entries, container, where)
    else:
        entry, beginning = _chosen(content, entries, where), ""
    others = [repr(other.name) for other in entries if other.path != entry.path]
    kind = ", a moving average" if entry.averages else ""
    taken = [f"weights taken from {entry.name!r}{kind}"] if entry.path else []
    taken += [f"not from {', '.join(others)}"] if others else []
    state, notes = _unwrap(entry.state, beginning, where)
    return Weights(state, "; ".join(taken + notes))


def _walk(content: Mapping[Any, Any], trail: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All entries inside entries with their paths; the states of optimisers have tensors of the same names."""
    for name, value in content.items():
        if isinstance(name, str) and _OPTIMISERS.isdisjoint(_words(name)):
            yield (*trail, name), value
            if isinstance(value, Mapping) and len(trail) + 1 < _DEPTH:
                yield from _walk(value, (*trail, name))


def _is_weight(value: Any) -> bool:
    """Whether it is a kernel or a matrix: counters, betas and generators' states are none."""
    return isinstance(value, np.ndarray) and value.ndim >= 2 and is_real(value)


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and any(_is_weight(a) for key, a in value.items() if isinstance(key, str))


def _arrays(state: Mapping[Any, Any]) -> Arrays:
    return {str(name): value for name, value in state.items() if isinstance(value, np.ndarray)}


def _holds_weights(value: Any) -> bool:
    """Whether there are weights anywhere inside."""
    if isinstance(value, Record):
        return any(map(_holds_weights, (value.arguments, value.state, value.items, value.elements)))
    if isinstance(value, Mapping):
        return any(map(_holds_weights, value.values()))
    return any(map(_holds_weights, value)) if isinstance(value, list | tuple) else _is_weight(value)


def _pair_lists(content: Mapping[Any, Any], entries: list[_Entry]) -> Iterator[_Entry]:
    """Moving averages that were saved as a list, in the order of the network's parameters, with the raw weights' names.

    The raw weights are those beside them with the same shapes in the same order.
    """
    for path, value in _walk(content):
        if isinstance(value, list | tuple) and any(map(is_average, path)):
            shapes = [a.shape if isinstance(a, np.ndarray) else None for a in value]
            for raw in entries:
                if not raw.averages and [a.shape for a in raw.state.values()] == shapes:
                    yield _Entry(path, dict(zip(raw.state, value, strict=True)))
                    break


def _chosen(content: Mapping[Any, Any], entries: list[_Entry], where: str) -> _Entry:
    """The entry that is meant where nobody says which."""
    averages = [entry for entry in entries if entry.averages]
    unread = [
        repr(".".join(path))
        for path, value in _walk(content)
        if is_average(path[-1]) and not any(map(is_average, path[:-1]))
        if not isinstance(value, np.ndarray) and _holds_weights(value)
    ]
    if unread and not averages:
        raise ConversionError(
            f"{where} has moving averages in {', '.join(unread)} in a form that is not read; --container takes raw "
            f"weights: {_names(entries)}"
        )
    if not entries:
        entry = _Entry((), _arrays(content))
        if not entry.state:
            raise ConversionError(
                f"{where} holds no tensors; its entries are {', '.join(map(repr, content)) or 'none'}"
            )
        return entry
    return _best(averages or entries, where)


def _best(entries: list[_Entry], where: str) -> _Entry:
    def rank(entry: _Entry) -> tuple[int, int]:
        known = [_PREFERRED.index(name) for name in entry.path if name in _PREFERRED]
        return -entry.averages, min(known, default=len(_PREFERRED))

    first, *others = sorted(entries, key=rank)
    if others and rank(others[0]) == rank(first):
        raise ConversionError(f"{where} has weights in {_names(entries)}; choose with --container")
    return first


def _names(entries: Iterable[_Entry]) -> str:
    return ", ".join(repr(entry.name) for entry in entries) or "none"


def _asked(content: Mapping[Any, Any], entries: list[_Entry], container: str, where: str) -> tuple[_Entry, str]:
    """The entry of a name, and what names inside it are to begin with."""
    direct = content.get(container)
    if isinstance(direct, Mapping) and (arrays := _arrays(direct)):
        return _Entry((container,), arrays), ""
    if inside := [entry for entry in entries if f"{entry.name}.".startswith(f"{container}.")]:
        return _best(inside, where), ""
    for entry in (*entries, _Entry((), _arrays(content))):
        beginning = container.removeprefix(f"{entry.name}.") if entry.path else container
        if (beginning != container or not entry.path) and any(n.startswith(f"{beginning}.") for n in entry.state):
            return entry, f"{beginning}."
    names = ", ".join(repr(name) for name, value in content.items() if isinstance(value, Mapping)) or "none"
    raise ConversionError(f"{where} has no container {container!r}; there are: {names}")


def _unwrap(state: Arrays, beginning: str, where: str) -> tuple[Arrays, list[str]]:
    """Names without what wraps the network, and what was done, for people.

    Where only some names are inside a wrapper, the rest are other parts of a training code: losses, counters, the raw
    weights beside their moving average. They are left aside.
    """
    inner = {_INSIDE.sub("", name): value for name, value in state.items()}
    if len(inner) != len(state):
        raise ConversionError(f"{where} has tensors of one name twice, with and without _orig_mod")
    removed, aside = "", []
    while beginning or (beginning := _wrapper(inner, where)):
        taken = {name.removeprefix(beginning): a for name, a in inner.items() if name.startswith(beginning)}
        aside += [removed + name for name in inner if not name.startswith(beginning)]
        if any(map(is_average, beginning.split("."))):
            taken = _restore_dots(taken, inner, where)
        inner, removed, beginning = taken, removed + beginning, ""
    notes = [f"names without {removed!r}"] if removed else []
    if removed and any(map(is_average, removed.split("."))):
        notes[0] += ", a moving average"
    if aside:
        notes.append(f"{len(aside)} further tensors left aside, such as {aside[0]}")
    return inner, notes


def _wrapper(state: Arrays, where: str) -> str:
    """The beginning that the weights' names have in common, if it is a wrapper's: "module." or the like."""
    firsts = {name.partition(".")[0] for name, value in state.items() if "." in name and _is_weight(value)}
    wrappers = [name for name in firsts if is_average(name)] or [name for name in _WRAPPERS if name in firsts]
    if len(wrappers) > 1:
        raise ConversionError(f"{where} has weights of {', '.join(sorted(wrappers))}; choose with --container")
    return f"{wrappers[0]}." if wrappers else ""


def _restore_dots(taken: Arrays, state: Arrays, where: str) -> Arrays:
    """Names as the raw weights have them, where the moving average's lack the dots (LitEma of latent-diffusion)."""
    weights = [name for name, value in taken.items() if _is_weight(value)]
    if any("." in name for name in weights):
        return taken
    raw = [name.removeprefix("model.") for name in state if name.startswith("model.")]
    if not raw:
        return taken
    dotted = {name: taken[name.replace(".", "")] for name in raw if name.replace(".", "") in taken}
    if not set(weights) <= {name.replace(".", "") for name in dotted}:
        raise ConversionError(f"{where} has a moving average whose names are not those of the weights under 'model.'")
    return dotted
