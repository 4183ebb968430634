"""The prior that a command line names, and pictures with the channels that it knows."""

import pathlib
from typing import Any

import click
import numpy as np

from jaxrestore.images import ImageError
from jaxrestore.priors import NetworkPrior, load_prior
from jaxrestore.tasks import TaskDefinition

_GREY = 1.0 / 255  # half a level of 8 bits: channels that differ by less are those of a grey picture


def load(name: str, label: int | None, **options: Any) -> NetworkPrior:
    """`jaxrestore.load_prior`, with the class that a class-conditional prior needs.

    Raises:
      UsageError: If it needs one and none is given.
    """
    prior = load_prior(name, label=label, **options)
    classes = prior.config.num_classes
    if classes is not None and label is None:
        raise click.UsageError(f"{name} knows {classes} classes of pictures: choose one by --label 0 to {classes - 1}")
    return prior


def known_clean(image: np.ndarray, channels: int, path: pathlib.Path) -> np.ndarray:
    """A clean picture (H, W, C) with the channels that a prior knows; a grey picture has one, or three that are equal.

    Raises:
      ImageError: If it is in colour, and the prior knows grey pictures only.
      ValueError: If its channels are others.
    """
    if image.shape[2] == channels:
        return image
    if channels != 1 or image.shape[2] != 3:
        raise ValueError(f"{path} has {image.shape[2]} channels, and the prior knows pictures of {channels}")
    if np.ptp(image, axis=2).max() > _GREY:
        raise ImageError(
            f"{path} is in colour, and the prior knows grey pictures only; make it grey first, as "
            "PIL.Image.open(...).convert('L') does, or choose a prior of pictures in colour"
        )
    return image.mean(axis=2, keepdims=True)


def known_measurement(y: np.ndarray, channels: int, definition: TaskDefinition, path: pathlib.Path) -> np.ndarray:
    """A measurement of a picture with the channels that a prior knows.

    Raises:
      ImageError, ValueError: As in `known_clean`, and if the task makes colour pictures, which the prior does not know.
    """
    if definition.stored != "grey":
        return known_clean(y, channels, path)
    if channels != 3:
        raise ValueError(
            f"{definition.name} makes pictures in colour, and the prior knows pictures of {channels} channels"
        )
    return y
