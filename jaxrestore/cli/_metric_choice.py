"""Which LPIPS a command reports."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import click

from jaxrestore import evaluation
from jaxrestore.cli._options import PATH, decorated, gathered_into
from jaxrestore.metrics.perceptual import VARIANTS
from jaxrestore.storage.weights import WeightsError


@dataclasses.dataclass(frozen=True)
class MetricChoice:
    """What was given on the command line."""

    lpips: str
    lpips_weights: pathlib.Path | None

    def load(self) -> evaluation.Perceptual:
        """The variant with its weights.

        Raises:
          click.UsageError: If it needs weights that were not given, or those given are another network's.
          jaxrestore.WeightsError: If the folder holds none, or is damaged.
        """
        try:
            return evaluation.perceptual(self.lpips, self.lpips_weights)
        except WeightsError:
            raise
        except ValueError as error:
            network = VARIANTS[self.lpips].network
            wrong = "is not bundled" if self.lpips_weights is None else f"is not what {self.lpips_weights} holds"
            raise click.UsageError(
                f"--lpips {self.lpips} is computed by network {network}, which {wrong}; give --lpips-weights FOLDER, "
                f"written by `python -m convert_weights lpips FILE --network {network} --out FOLDER`"
            ) from error


def metric_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the options of a `MetricChoice`, which it takes as `metric_choice`."""
    options = (
        click.option(
            "--lpips",
            default="alex",
            show_default=True,
            type=click.Choice(list(VARIANTS)),
            help="Which LPIPS to report; the three are different quantities. DPS, DPPS and DiffPIR publish vgg, SPGD "
            "and DAPS piq.",
        ),
        click.option(
            "--lpips-weights",
            type=PATH,
            help="Folder of LPIPS weights by `python -m convert_weights lpips`; vgg and piq need VGG16's.",
        ),
    )
    return decorated(options, gathered_into(command, "metric_choice", MetricChoice))
