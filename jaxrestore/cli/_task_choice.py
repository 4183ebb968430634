"""What was done to the picture: the options of a task."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
import jax.numpy as jnp

from jaxrestore import images
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

    def read_options(self) -> dict[str, Any]:
        """All options of the task; a kernel is read from its file, and instead of a mask stands its file."""
        options = parse_values(self.options, annotations(self.definition.build))
        for name, path in (("mask", self.mask), ("kernel", self.kernel)):
            if path is not None and self.definition.drawn != name:
                raise click.UsageError(f"--{name} does not go with {self.task_name}, which has no random {name}")
        if self.kernel is not None:
            options["kernel"] = jnp.asarray(images.load_kernel(self.kernel))
        if self.mask is not None:
            if not self.mask.exists():
                raise images.ImageError(f"{self.mask} does not exist")
            options["mask"] = self.mask  # read where the picture's size is known
        return self.definition.complete(options)

    def build(self, image_shape: Sequence[int], options: Mapping[str, Any]) -> Task:
        """The task for one image shape; the random mask or kernel depends on shape and seed alone.

        Raises:
          ImageError: If a mask cannot be read, or is of another shape.
        """
        height, width, channels = image_shape
        if self.mask is not None:
            options = {**options, "mask": jnp.asarray(images.load_mask(self.mask, image_shape))}
        key = key_for("operator", self.seed)
        return task(self.task_name, image_shape=(height, width, channels), noise_std=self.noise, key=key, **options)

    def for_report(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Task, options and noise for result files; instead of a mask or kernel stands its file."""
        files = {name: str(path) for name, path in (("mask", self.mask), ("kernel", self.kernel)) if path is not None}
        return {"task": self.task_name, "options": {**options, **files}, "noise_std": self.noise_std, "seed": self.seed}


def task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--task, --noise, --option, --mask, --kernel and --seed, as one argument `task_choice: TaskChoice`."""
    options = (
        click.option(
            "--task",
            "task_name",
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
            "they are missing.",
        ),
        click.option(
            "--kernel",
            type=PATH,
            help="For motion deblurring: the kernel, with odd sides and any scale, as a picture or .npy.",
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
