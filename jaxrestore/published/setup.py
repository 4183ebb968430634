"""What an experiment of a paper is made of, each value with the place where its authors publish it."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

METRICS = ("psnr", "ssim", "lpips-alex", "lpips-vgg", "lpips-piq")


class Paper(NamedTuple):
    """A paper and the code that its authors have published with it, at the commit that was read."""

    title: str
    where: str  # venue and year
    link: str  # to the text
    repository: str  # owner/name on GitHub
    commit: str  # 40 hexadecimal digits


class Source(NamedTuple):
    """A file of the authors' repository. Called with a value it gives that value with its source."""

    paper: Paper
    file: str

    def __call__(self, value: Any, note: str = "") -> "Value":
        return Value(value, self, note)

    def doubled(self, value: float) -> "Value":
        """A standard deviation that the authors state on [0, 1], as it is on [-1, 1]."""
        return Value(2.0 * value, self, f"{value:g} on [0, 1]")

    @property
    def link(self) -> str:
        """Address of the file."""
        return f"https://github.com/{self.paper.repository}/blob/{self.paper.commit}/{self.file}"


class Value(NamedTuple):
    """A published value as this library states it."""

    value: Any
    source: Source
    note: str = ""  # how the authors state it, where that is not the same


Values = Mapping[str, Value]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """One experiment: a method on a task over a data set, at 256x256.

    What its authors do not publish is absent. What this library does otherwise than they is in `remarks`.
    """

    method: str  # a key of `jaxrestore.METHODS`, which is the paper's
    dataset: str
    task: str  # a key of `jaxrestore.TASKS`
    name: str = ""  # tells it from others of the same method, data set and task
    variant: bool = False  # another form of the method, which is meant only where it is asked for by name
    noise_std: Value  # of the measurement, on [-1, 1]
    options: Values = dataclasses.field(default_factory=dict)  # of the task
    drawn: Values = dataclasses.field(default_factory=dict)  # of the task, (low, high): drawn evenly between the two
    given: Values = dataclasses.field(default_factory=dict)  # of the task, that only the user can give; what they are
    each: Value | None = None  # whether mask or kernel are drawn anew for each picture; None: nothing is drawn
    settings: Values = dataclasses.field(default_factory=dict)  # of the method
    metrics: Value | None = None  # names among `METRICS`
    count: Value | None = None  # number of test pictures; None: not published
    runs: Value | None = None  # posterior samples, of each score the best of which counts; None: one
    remarks: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What it is called: method/dataset/task, and its name if it has one."""
        return "/".join(filter(None, (self.method, self.dataset, self.task, self.name)))

    def values(self) -> Iterator[tuple[str, Value]]:
        """Every published value by name."""
        for field in dataclasses.fields(self):
            content = getattr(self, field.name)
            if isinstance(content, Value):
                yield field.name, content
            elif isinstance(content, Mapping):
                yield from ((f"{field.name}.{name}", value) for name, value in content.items())

    def plain(self, field: str) -> dict[str, Any]:
        """`options`, `drawn`, `given` or `settings` without their sources."""
        return {name: value.value for name, value in getattr(self, field).items()}
