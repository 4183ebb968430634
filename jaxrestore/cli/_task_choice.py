"""What was done to the picture: the options of a task."""

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
import jax.numpy as jnp

from jaxrestore import images
from jaxrestore.cli import _drawn
from jaxrestore.cli._next import missing_task
from jaxrestore.cli._options import PATH, decorated, gathered_into, seed_option
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._values import annotations, parse_values
from jaxrestore.tasks import TASKS, Task, TaskDefinition, task


@dataclasses.dataclass(frozen=True)
class TaskChoice:
    """What the options of `task_options` say."""

    task_name: str
    noise: float | None
    options: tuple[str, ...]
    mask: pathlib.Path | None
    kernel: pathlib.Path | None
    seed: int

    @property
    def definition(self) -> TaskDefinition:
        """The task's row."""
        return TASKS[self.task_name]

    @property
    def noise_std(self) -> float:
        """The noise that is meant, given or not."""
        return self.definition.noise_std if self.noise is None else self.noise

    @property
    def given(self) -> pathlib.Path | None:
        """The file that --mask or --kernel names."""
        return self.mask or self.kernel

    def read_options(self, *, draws: bool = True) -> dict[str, Any]:
        """All options of the task but the mask or kernel, which `build` reads.

        Args:
          draws: Whether a mask or kernel that is not named is drawn at random.

        Raises:
          click.UsageError: If an option cannot be read, or the task has no such mask or kernel.
          ImageError: If the file of a mask or kernel is missing.
          TypeError: If the task has no such option.

        Warns:
          UserWarning: If options change nothing.
        """
        options = parse_values(self.options, annotations(self.definition.build))
        drawn = self.definition.drawn
        for name, path in (("mask", self.mask), ("kernel", self.kernel)):
            if path is not None and drawn != name:
                raise click.UsageError(f"--{name} does not go with {self.task_name}, which has no random {name}")
            if path is not None and not path.exists():
                raise images.ImageError(f"{path} does not exist")
        is_drawn = draws and self.given is None
        if drawn and not is_drawn and (idle := self.definition.idle({**options, drawn: self.given or drawn})):
            named = " and ".join(f"--option {name}" for name in idle)
            warnings.warn(f"{named} changes nothing: the {drawn} is given, and none is drawn at random", stacklevel=2)
        return self.definition.complete(options)

    def options_of(self, picture: pathlib.Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options for one measurement: what its file tells goes before defaults, and what is given before both.

        Args:
          picture: The measurement's file.
          options: What `read_options` returned.
        """
        given = {pair.partition("=")[0] for pair in self.options}
        told = {name: value for name, value in self.definition.told(picture).items() if name not in given}
        return {**options, **told}

    def find_drawn(self, picture: pathlib.Path) -> pathlib.Path | None:
        """The file of the mask or kernel that a picture was measured with, the named one or that beside it.

        Returns:
          The file; None if the task has no such thing.

        Raises:
          ValueError: If there is none. One drawn at random would not be the picture's.
        """
        kind = self.definition.drawn
        if kind is None or self.given is not None:
            return self.given
        found = _drawn.beside(picture, kind)
        if not found.exists():
            option = f"--{kind} FILE, or " if hasattr(self, kind) else ""
            raise ValueError(
                f"{picture}: {self.task_name} needs the {kind} that the picture was made with; expected {option}"
                f"{found.name} beside it, as `jaxrestore degrade` writes it"
            )
        return found

    def build(self, image_shape: Sequence[int], options: Mapping[str, Any], drawn: pathlib.Path | None = None) -> Task:
        """The task for one image shape.

        Args:
          image_shape: (H, W, C).
          options: What `read_options` returned.
          drawn: The file of the mask or kernel. None takes the named one; without one, what is drawn at random depends
            on shape and seed alone.

        Raises:
          ValueError: If the file cannot be read, or is of another shape, or a value is out of range.
        """
        height, width, channels = image_shape
        drawn, kind = drawn or self.given, self.definition.drawn
        if drawn is not None and kind is not None:
            options = {name: value for name, value in options.items() if name not in self.definition.drawn_by}
            options[kind] = jnp.asarray(_drawn.KINDS[kind].load(drawn, image_shape))
        key = key_for("operator", self.seed)
        return task(self.task_name, image_shape=(height, width, channels), noise_std=self.noise, key=key, **options)

    def for_report(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Task, options and noise for result files; instead of a mask or kernel stands its file."""
        if self.given is not None:
            options = {name: value for name, value in options.items() if name not in self.definition.drawn_by}
            options[str(self.definition.drawn)] = str(self.given)
        return {"task": self.task_name, "options": options, "noise_std": self.noise_std, "seed": self.seed}


def task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--task, --noise, --option, --mask, --kernel and --seed, as one argument `task_choice: TaskChoice`."""
    options = (
        click.option(
            "--task",
            "task_name",
            is_eager=True,  # the default method goes with it
            type=click.Choice(list(TASKS)),
            help="What was done to the picture; `jaxrestore info` describes the tasks.  [required]",
        ),
        click.option(
            "--noise",
            type=click.FloatRange(0),
            help="Standard deviation of the measurement's noise where pixels are in [-1, 1]: one of 255 grey levels is "
            "0.008.  [default: the task's]",
        ),
        click.option(
            "--option",
            "options",
            multiple=True,
            metavar="NAME=VALUE",
            help="Set an option of the task, e.g. factor=4, std=3 or rate=0.8; `jaxrestore info` lists them. May be "
            "given several times.",
        ),
        click.option(
            "--mask",
            type=PATH,
            help="For inpainting: a picture of the mask, white where pixels are known, black or transparent where "
            "they are missing; for compressed sensing, white where coefficients are known.  "
            "[default: NAME.mask.png beside each picture to restore]",
        ),
        click.option(
            "--kernel",
            type=PATH,
            help="For motion deblurring and deconvolution: the kernel, with odd sides and any scale, as a picture or "
            ".npy; what a bright point became (blur is convolution).  "
            "[default: NAME.kernel.png beside each picture to restore]",
        ),
        seed_option,
    )
    gathered = gathered_into(command, "task_choice", TaskChoice)

    @functools.wraps(gathered)  # with the options that click has noted on it
    def with_task(**kwargs: Any) -> Any:
        if kwargs["task_name"] is None:
            raise missing_task(click.get_current_context())
        return gathered(**kwargs)

    return decorated(options, with_task)
