"""`jaxrestore train`."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any, TypeVar

import click

from jaxrestore import runs, training
from jaxrestore.cli import _targets
from jaxrestore.cli._options import PATH, force_option
from jaxrestore.cli._reports import print_table
from jaxrestore.cli._values import annotations, parse_values
from jaxrestore.priors import UNetConfig, load_prior, save_prior
from jaxrestore.priors.checkpoint import cast_params
from jaxrestore.storage import before
from jaxrestore.storage.weights import read_header
from jaxrestore.training import TrainingConfig

Config = TypeVar("Config", TrainingConfig, UNetConfig)


@click.command("train")
@click.option("--data", required=True, type=PATH, help="Folder of photographs.")
@click.option(
    "--run",
    required=True,
    type=PATH,
    help="Folder for checkpoints and the log; an earlier run there goes on.",
)
@click.option("--start", help="Begin a new run from this prior, with its network: a bundled one's name, or a folder.")
@click.option("--out", required=True, type=PATH, help="Folder for the finished prior.")
@click.option("--validation", type=PATH, help="Folder of other photographs to measure the prior on.")
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), help="Stop after so long; the same command goes on later."
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a setting of training, e.g. batch_size=64 or learning_rate=5e-4. May be given several times.",
)
@click.option(
    "--network",
    "network_overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a setting of the network, e.g. model_channels=96 or channel_mult=1,2,2. May be given several times.",
)
@click.option(
    "--store",
    default="float16",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    help="Number format of the prior on disk.",
)
@force_option
def command(
    data: pathlib.Path,
    run: pathlib.Path,
    start: str | None,
    out: pathlib.Path,
    validation: pathlib.Path | None,
    minutes: float | None,
    overrides: tuple[str, ...],
    network_overrides: tuple[str, ...],
    store: str,
    force: bool,
) -> None:
    """Train a prior on the photographs of a folder.

    Stopped by Ctrl-C, SIGTERM or its time, it saves a checkpoint, from which the same command goes on; after a kill,
    from the last one. The prior is written at the end and when the time is up, in place of an earlier one of the same
    run; settings and defaults: `jaxrestore.training.TrainingConfig` and `jaxrestore.priors.UNetConfig`.

    \b
    jaxrestore train --data photos/ --run runs/photo --out priors/photo --minutes 10
    """  # noqa: D301
    if run.resolve().is_relative_to(out.resolve()):
        raise click.UsageError(f"--run {run} lies in --out {out}, which holds the finished prior alone; choose another")
    before.check_writable([run / "a file"])
    _targets.check_folder(out, force or _is_of(out, run))
    first = None if start is None else load_prior(start)
    config = training.TrainingConfig()
    if first is not None:
        config = dataclasses.replace(config, network=first.config, parametrization=first.parametrization)
    network = _changed(config.network, network_overrides)
    config = _changed(dataclasses.replace(config, network=network), overrides)
    if validation is not None:
        training.check_validation(validation)

    info: dict[str, Any] = {"training": dataclasses.asdict(config)}

    def report(progress: training.Progress) -> None:
        info["steps"] = progress.step
        share = progress.step / config.num_steps
        click.echo(
            f"step {progress.step} ({share:.0%})  loss {progress.loss:.4f}  {progress.images_per_second:.1f} images/s  "
            f"{progress.seconds / 60:.1f} min"
        )

    seconds = float("inf") if minutes is None else 60 * minutes
    prior = training.train(data, run, config, start=first, max_seconds=seconds, report=report)
    prior = dataclasses.replace(prior, params=cast_params(prior.params, store))
    if validation is not None:
        info["validation_rmse"] = training.validate(prior, validation)
        print_table("Validation", ("sigma", "denoising RMSE"), info["validation_rmse"].items())
    info["run"] = runs.run_id(run)
    save_prior(out, prior, info=json.loads(json.dumps(info)), overwrite=force or _is_of(out, run))
    click.echo(f"{out}  {sum(a.size for a in prior.params.values()) / 1e6:.2f} M parameters")


def _is_of(out: pathlib.Path, run: pathlib.Path) -> bool:
    """Whether a folder is a prior that this run has written: its later one may take its place."""
    if not (out / "prior.json").exists() or (identity := runs.run_id(run)) is None:
        return False
    return read_header(out, "prior", {"info"})["info"].get("run") == identity


def _changed(config: Config, pairs: Sequence[str]) -> Config:
    """A dataclass with some fields changed."""
    known = annotations(type(config))
    values = parse_values(pairs, known)
    for name in values:
        if name not in known:
            raise click.UsageError(f"{name} is no setting; there are {', '.join(known)}")
    return dataclasses.replace(config, **values)
