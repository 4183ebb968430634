"""What papers publish: for each paper, data set and task the experiment as the authors' own code states it.

Every value stands with the file that it was read from, at the commit of its paper. Noise is on [-1, 1] here: what a
code states on [0, 1] is doubled. What no author publishes is not here; what this library recommends instead is the set
of settings "recommended". `ABSENT` lists what is published and cannot be stated.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxrestore import _checks
from jaxrestore.published import guided, others, spectral
from jaxrestore.published.papers import DATASETS as DATASETS
from jaxrestore.published.papers import PAPERS as PAPERS
from jaxrestore.published.setup import METRICS as METRICS
from jaxrestore.published.setup import Paper as Paper
from jaxrestore.published.setup import Setup as Setup
from jaxrestore.published.setup import Source as Source
from jaxrestore.published.setup import Value as Value

SETUPS: tuple[Setup, ...] = guided.SETUPS + spectral.SETUPS + others.SETUPS


class Absent(NamedTuple):
    """An experiment that is published and has no row."""

    method: str
    what: str
    why: str


ABSENT = (
    Absent(
        "dpps", "phase retrieval, nonlinear deblurring", "their files name DPS's step, which the code does not have"
    ),
    Absent(
        "diffpir", "super-resolution", "published as a sweep, lambda 2 to 12 at zeta 0.25, over a circular boundary"
    ),
    Absent("diffpir", "everything on ImageNet", "the code states no weights for it"),
    Absent("ddnm", "compressed sensing", "operators.CompressedSensing came later, and no row has been written for it"),
    Absent("ddrm", "uniform deblurring", "its command is for pictures from outside ImageNet, which are not named"),
    Absent("ddrm", "bedrooms and cats", "there is no network of theirs to convert"),
    Absent("pigdm", "noisy inpainting", "its code is not told the noise"),
    Absent("pigdm", "over-exposure", "the method here is for linear operators"),
    Absent("reddiff", "JPEG", "its compression is another model than the one here"),
)


def find(method: str | None = None, dataset: str | None = None, task: str | None = None) -> list[Setup]:
    """The rows of a method, a data set and a task; None stands for all.

    Raises:
      ValueError: If there is no such data set, or nothing is published for the method.

    Example:
      >>> [setup.label for setup in jr.published.find("ddrm")]
      ['ddrm/celeba_hq/super_resolution', 'ddrm/imagenet/super_resolution']
    """
    if dataset is not None:
        _checks.one_of("dataset", dataset, DATASETS)
    if method is not None and method not in PAPERS:
        raise ValueError(f"no paper publishes {method}; expected one of {', '.join(PAPERS)}")
    return [
        setup
        for setup in SETUPS
        if method in (None, setup.method) and dataset in (None, setup.dataset) and task in (None, setup.task)
    ]


def settings(method: str, task: str, which: str = "", *, noise_std: float | None = None) -> dict[str, Any]:
    """What a paper's authors set for a task.

    Args:
      method: A key of `jaxrestore.METHODS`.
      task: A key of `jaxrestore.TASKS`.
      which: DATASET or DATASET/NAME; empty where all rows of the task say the same, or those of `noise_std` do.
      noise_std: Of the measurement, on [-1, 1]: tells rows apart that differ by it. None: not known.

    Raises:
      ValueError: If the paper publishes nothing of the kind, or several things; it names what there is.
    """
    published = find(method)
    rows = [setup for setup in published if setup.task == task]
    if not rows:
        tasks = ", ".join(dict.fromkeys(setup.task for setup in published))
        raise ValueError(
            f"{PAPERS[method].title!r} publishes no settings of {method} for {task}; it does for {tasks}. "
            "Settings for any network are the set 'recommended'"
        )
    dataset, _, name = which.partition("/")
    asked = [s for s in rows if dataset in ("", s.dataset) and (s.name == name if name else not s.variant)]
    if not asked:
        raise ValueError(f"settings is 'published/{which}', expected one of {_choices(rows)}")
    if noise_std is not None and not _agree(asked):
        near = [s for s in asked if math.isclose(s.noise_std.value, noise_std, rel_tol=1e-4, abs_tol=1e-9)]
        asked = near or asked
    if not _agree(asked):
        raise ValueError(f"{method} has several published settings for {task}; ask for one of {_choices(asked)}")
    return asked[0].plain("settings")


def _agree(setups: Sequence[Setup]) -> bool:
    return all(setup.plain("settings") == setups[0].plain("settings") for setup in setups)


def _choices(setups: Sequence[Setup]) -> str:
    names = ("/".join(filter(None, ("published", s.dataset, s.name))) for s in setups)
    return ", ".join(repr(name) for name in dict.fromkeys(names))


def to_json(setup: Setup) -> dict[str, Any]:
    """A row as JSON holds it: its label, and every value with its source."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.tolist()
        return value.__name__ if callable(value) else value

    stated = {
        name: {"value": plain(v.value), "source": v.source.link, **({"note": v.note} if v.note else {})}
        for name, v in setup.values()
    }
    return {"label": setup.label, "values": stated, "remarks": list(setup.remarks)}
