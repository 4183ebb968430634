"""The pictures that `jaxrestore restore` is asked for: where each comes from and goes to, and how it was made."""

import functools
import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import click
import numpy as np

from jaxrestore import images
from jaxrestore.cli import _files, _prior, _stored, _targets
from jaxrestore.cli._task_choice import TaskChoice


class Job(NamedTuple):
    """A picture to restore."""

    source: pathlib.Path
    target: pathlib.Path
    index: int  # its place in the folder, whatever is skipped: it chooses the key
    shape: tuple[int, ...]  # (H, W, C) of the measurement
    like: images.Picture | None  # depth and mode of its file, without pixels and alpha; None for arrays
    drawn: pathlib.Path | None  # the file of its mask or kernel, for tasks that have one
    options: Mapping[str, Any]  # of the task, with what the picture's file tells
    made_as: str  # what tells how it was measured from how others were


def read(
    path: pathlib.Path, channels: int, task_choice: TaskChoice, options: Mapping[str, Any], say: Callable[[str], Any]
) -> tuple[np.ndarray, images.Picture | None]:
    """A measurement, without the border that the task cannot treat, and what its result is to be kept like."""
    definition = task_choice.definition
    (y, like), multiple = _files.read_measurement(path, definition), definition.multiple(options)
    y = _prior.known_measurement(y, channels, definition, path)
    try:
        height, width, _ = definition.image_shape(y.shape, options)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if height % multiple or width % multiple:
        # Such an image has the sides of its measurement: those that are enlarged are multiples of their factor.
        def part(pixels: np.ndarray) -> np.ndarray:
            return images.crop_to_multiple(pixels, multiple)

        y = _files.cut(images.Picture(y), part, path).pixels
        like = like and like.cut(part)
        say(f"{path} is cut to {y.shape[0]}x{y.shape[1]}: sides must be multiples of {multiple}")
    return y, like


def job(
    path: pathlib.Path,
    target: pathlib.Path,
    index: int,
    read: Callable[[pathlib.Path, Callable[[str], Any]], tuple[np.ndarray, images.Picture | None]],
    task_choice: TaskChoice,
    options: Mapping[str, Any],
) -> Job:
    """What is known of a picture before it is restored; its pixels are looked at, and not kept."""
    drawn = task_choice.find_drawn(path)
    y, like = read(path, functools.partial(click.echo, err=True))
    _targets.check_sides(target, task_choice.definition.image_shape(y.shape, options))
    light = _stored.without_pixels(like, keep_alpha=False)
    return Job(path, target, index, y.shape, light, drawn, options, made_as(path, task_choice, options))


def made_as(path: pathlib.Path, task_choice: TaskChoice, options: Mapping[str, Any]) -> str:
    """What tells the options and the mask or kernel of a picture from those of others."""
    try:
        drawn = task_choice.find_drawn(path)
        told = "" if drawn is None else hashlib.sha256(drawn.read_bytes()).hexdigest()
    except (ValueError, OSError):
        told = "missing"
    return f"{told} {options}"


def say_told(job: Job, options: Mapping[str, Any]) -> None:
    """Say which of a picture's options are its file's."""
    told = ", ".join(f"{name}={value}" for name, value in job.options.items() if value != options[name])
    if told:
        click.echo(f"{job.source}: {told}, as the file tells; --option says otherwise", err=True)


def groups(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs whose measurements are of one shape and were made alike: they are restored together."""
    groups: dict[tuple[Any, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.shape, job.made_as), []).append(job)
    return list(groups.values())
