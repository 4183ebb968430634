"""`jaxrestore train`."""

import dataclasses
import json
import pathlib
from typing import Any

import click

from jaxrestore.cli import _shared


@click.command("train")
@click.option("--data", required=True, type=click.Path(path_type=pathlib.Path), help="Folder of photographs.")
@click.option(
    "--run",
    required=True,
    type=click.Path(path_type=pathlib.Path),
    help="Folder for checkpoints and the log; an earlier run there goes on.",
)
@click.option("--start", help="Begin a new run from this prior: a bundled name, or a folder.")
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="Folder for the finished prior.")
@click.option(
    "--validation", type=click.Path(path_type=pathlib.Path), help="Folder of other photographs to measure it on."
)
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), help="Stop after so long; the same command goes on later."
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="Setting of training, e.g. batch_size=64, learning_rate=5e-4.",
)
@click.option(
    "--network",
    "network",
    multiple=True,
    metavar="NAME=VALUE",
    help="Setting of the network, e.g. model_channels=96, channel_mult=1,2,2.",
)
@click.option(
    "--store", default="float16", type=click.Choice(["float32", "float16", "bfloat16"]), help="Dtype on disk."
)
@click.option("--force", is_flag=True, help="Replace an existing prior.")
def command(data, run, start, out, validation, minutes, overrides, network, store, force) -> None:
    """Train a prior on the photographs of a folder.

    Killed or out of time, the same command goes on from the last checkpoint. The prior is written at every stop;
    settings and defaults: `jaxrestore.training.TrainingConfig` and `jaxrestore.priors.UNetConfig`.

    \b
    jaxrestore train --data photos/ --run runs/photo --out priors/photo --minutes 10
    """  # noqa: D301
    from jaxrestore import training
    from jaxrestore.priors import UNetConfig, load_prior, save_prior
    from jaxrestore.priors.checkpoint import cast_params

    _shared.refuse_existing([out], force)
    config = training.TrainingConfig()
    net = _replace(config.network, network)
    assert isinstance(net, UNetConfig)
    config = _replace(dataclasses.replace(config, network=net), overrides)

    info: dict[str, Any] = {"training": dataclasses.asdict(config)}

    def report(progress: training.Progress) -> None:
        info["steps"] = progress.step
        share = progress.step / config.num_steps
        click.echo(
            f"step {progress.step} ({share:.0%})  loss {progress.loss:.4f}  {progress.images_per_second:.1f} images/s  "
            f"{progress.seconds / 60:.1f} min"
        )

    seconds = float("inf") if minutes is None else 60 * minutes
    first = None if start is None else load_prior(start)
    prior = training.train(data, run, config, start=first, max_seconds=seconds, report=report)
    prior = dataclasses.replace(prior, params=cast_params(prior.params, store))
    if validation is not None:
        info["validation_rmse"] = training.validate(prior, validation)
        _shared.print_table("Validation", ("sigma", "denoising RMSE"), info["validation_rmse"].items())
    save_prior(out, prior, info=json.loads(json.dumps(info)), overwrite=force)
    click.echo(f"{out}  {sum(a.size for a in prior.params.values()) / 1e6:.2f} M parameters")


def _replace(config, pairs):
    """A dataclass with some fields replaced; lists are written 1,2,4."""
    values = _shared.parse_values(pairs)
    known = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    for name, value in values.items():
        if name not in known or dataclasses.is_dataclass(known[name]):
            raise click.UsageError(f"{name} is no setting; there are {', '.join(known)}")
        if isinstance(known[name], tuple):
            kind = float if any(isinstance(v, float) for v in known[name]) else int
            values[name] = tuple(kind(v) for v in str(value).split(",") if v)
    return dataclasses.replace(config, **values)
