"""What `jaxrestore restore --estimate` says."""

from collections.abc import Iterator, Sequence

from jaxrestore.estimates import Estimate
from jaxrestore.memory import gigabytes
from jaxrestore.methods import Evaluations

_TIMES = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


def lines(count: int, shape: Sequence[int], cost: Evaluations, found: Estimate) -> Iterator[str]:
    """What restoring `count` pictures of one shape costs, for people.

    Args:
      count: Pictures.
      shape: Of each.
      cost: Network evaluations of each, all its samples included.
      found: Of the run.
    """
    height, width, _ = shape
    samples = "" if found.samples == count else f", {found.samples // count} samples each"
    yield f"{count} pictures of {width}x{height}{samples}"
    gradients = f" and {cost.gradients} gradients" if cost.gradients else ""
    yield f"  a picture: {cost.forward} network evaluations{gradients}, {_flop(found.flop * found.samples / count)}"
    each = "memory unknown" if found.memory is None else f"{gigabytes(found.memory / found.batch_size)} of memory"
    whole = "" if found.memory is None else f", {gigabytes(found.memory)} in all"
    free = "" if found.free is None else f"; {gigabytes(found.free)} are free"
    yield f"  {found.batch_size} at a time: {each} a picture{whole}{free}"
    yield (
        f"  time: compiling took {found.compile_seconds:.3g} s; {found.batch_size} at a time take "
        f"{found.begin_seconds:.3g} s to begin and {found.step_seconds:.3g} s a step; {found.steps} steps to come take "
        f"about {duration(found.seconds)} in all"
    )


def duration(seconds: float) -> str:
    """A time for people: "3.2 minutes"."""
    unit, name = next((u, n) for u, n in _TIMES if seconds >= u or u == 1)
    return f"{seconds / unit:.3g} {name}"


def _flop(count: float) -> str:
    unit, name = next((u, n) for u, n in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")) if count >= u or u == 1e6)
    return f"{count / unit:.3g} {name}FLOP"
