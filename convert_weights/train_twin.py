"""Train a convolutional prior with PyTorch: `python -m convert_weights.train_twin` (extra `verify`).

    python -m convert_weights.train_twin --data photos/ --validation others/ --run runs/photo --minutes 60

The same command goes on where a session stopped, however it stopped. When the time is up, the moving averages are
validated, and the best becomes RUN/prior, a folder that `jaxrestore.load_prior` reads.
"""

import contextlib
import dataclasses
import json
import pathlib
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
import jax.numpy as jnp
import numpy as np

from convert_weights.arrays import ConversionError
from jaxrestore import runs, training
from jaxrestore.console import run as run_command
from jaxrestore.priors.checkpoint import cast_params, load_prior, save_prior
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import NetworkPrior
from jaxrestore.training import TrainingConfig

if TYPE_CHECKING:
    from convert_weights.twin_run import Run

_RESAMPLING = {  # how levels are left: `resblock_updown`, `conv_resample`
    "residual": (True, True),
    "convolution": (False, True),
    "plain": (False, False),
}


class _Numbers(click.ParamType):
    """Numbers with commas between them, for instance 1,2,3,3."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):  # a default
            return value
        try:
            numbers = [float(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is no list of numbers, e.g. 1,0.5,0.25", param, ctx)
        return tuple(int(number) if number.is_integer() else number for number in numbers)


_FOLDER = click.Path(path_type=pathlib.Path)
_POSITIVE = click.FloatRange(0, min_open=True)
_DEFAULT = TrainingConfig()


@click.command(
    "train_twin",
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 120},
)
@click.option("--data", required=True, type=_FOLDER, help="Folder of photographs.")
@click.option("--validation", required=True, type=_FOLDER, help="Folder of others, to choose among the averages.")
@click.option(
    "--run", "folder", required=True, type=_FOLDER, help="Folder for checkpoint, log and prior; a run there goes on."
)
@click.option(
    "--minutes", required=True, type=click.FloatRange(0), help="Length of this session; 0 only writes the prior."
)
@click.option(
    "--decay-minutes",
    default=0.0,
    type=click.FloatRange(0),
    help="Length of the session's last part, in which the rate falls to zero.",
)
@click.option("--start", help="Begin a new run from this prior, with its network: a bundled one's name, or a folder.")
@click.option(
    "--model-channels",
    type=click.IntRange(1),
    help="Channels of the network's first level.  [default: the start's, else photo's]",
)
@click.option(
    "--channel-mult",
    type=_Numbers(),
    help="Channels of each level as multiples of these, e.g. 1,2,3.  [default: the same]",
)
@click.option("--num-res-blocks", type=click.IntRange(1), help="Residual blocks a level.  [default: the same]")
@click.option(
    "--patch-size",
    type=click.IntRange(1),
    help="Side of the patches that become channels at the input.  [default: the same]",
)
@click.option(
    "--resampling", type=click.Choice(list(_RESAMPLING)), help="What lies between levels.  [default: the same]"
)
@click.option("--crop-size", default=_DEFAULT.crop_size, type=click.IntRange(1), help="Pixels a side.")
@click.option("--batch-size", default=_DEFAULT.batch_size, type=click.IntRange(1), help="Crops a step.")
@click.option("--scales", default=_DEFAULT.scales, type=_Numbers(), help="Scales at which photographs are shown.")
@click.option("--favour-large", is_flag=True, help="Draw a photograph in proportion to its side.")
@click.option(
    "--learning-rate", default=_DEFAULT.learning_rate, type=_POSITIVE, help="Learning rate after the warm-up."
)
@click.option(
    "--warmup-steps", default=_DEFAULT.warmup_steps, type=click.IntRange(0), help="Steps in which the rate rises."
)
@click.option(
    "--ema-decay",
    "decays",
    default=(0.999, 0.9997),
    multiple=True,
    type=click.FloatRange(0, 1, max_open=True),
    help="Decay of a moving average; may be given several times.",
)
@click.option(
    "--seed", default=_DEFAULT.seed, help="Seed of the first parameters, the crops, the noise levels and the noise."
)
@click.option(
    "--dtype",
    default="bfloat16",
    type=click.Choice(["bfloat16", "float32"]),
    help="What convolutions compute in: float32 where the processor has no bfloat16 instructions.",
)
@click.option(
    "--threads", type=click.IntRange(1), help="1 where others use the cores too.  [default: PyTorch's choice]"
)
@click.option("--compile", "compiled", is_flag=True, help="A fifth faster after minutes; needs a C++ compiler.")
def command(
    data: pathlib.Path,
    validation: pathlib.Path,
    folder: pathlib.Path,
    start: str | None,
    threads: int | None,
    dtype: str,
    decays: tuple[float, ...],
    **options: Any,
) -> None:
    """Train a convolutional prior on the photographs of a folder, with PyTorch on processors.

    Killed, interrupted or out of time, the same command goes on from the last checkpoint. When a session's time is up,
    the moving averages are validated and the best is written to RUN/prior.
    """
    try:
        import torch

        from convert_weights import twin_run
    except ImportError as error:
        raise ConversionError("training the twin needs torch: pip install 'jaxrestore[verify]'") from error
    if threads is not None:
        torch.set_num_threads(threads)
    first = None if start is None else load_prior(start)
    network = _network(_DEFAULT.network if first is None else first.config, dtype, options)
    session = twin_run.Session(**{name: options[name] for name in twin_run.Session._fields})
    heeded = {name: options[name] for name in twin_run.HEEDED if name in options}
    config = dataclasses.replace(_DEFAULT, network=network, **heeded)
    training.check_validation(validation)

    def report(progress: training.Progress) -> None:
        click.echo(
            f"step {progress.step}  loss {progress.loss:.4f}  {progress.images_per_second:.1f} images/s  "
            f"{progress.seconds / 60:.1f} of {session.minutes:g} min"
        )

    with _signals_caught() as asked:
        run = twin_run.train(
            data, folder, config, session, decays=decays, start=first, is_stopped=asked.is_set, report=report
        )
    if asked.is_set():
        click.echo(f"step {run.step} is saved; the same command goes on from there")
        raise click.Abort
    write_best(run, validation, folder / "prior")


def _network(base: UNetConfig, dtype: str, options: Mapping[str, Any]) -> UNetConfig:
    """A network with what the command line says of it."""
    named = ("model_channels", "channel_mult", "num_res_blocks", "patch_size")
    changes = {name: options[name] for name in named if options[name] is not None}
    if options["resampling"] is not None:
        changes["resblock_updown"], changes["conv_resample"] = _RESAMPLING[options["resampling"]]
    return dataclasses.replace(base, dtype=dtype, **changes)


@contextlib.contextmanager
def _signals_caught() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, where they would end the process between two steps or within one."""
    asked = threading.Event()
    caught = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in caught}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_best(run: "Run", validation: pathlib.Path, folder: pathlib.Path) -> None:
    """Validate every moving average as it would be stored, and write the best as a prior in half precision.

    The best has the smallest geometric mean of the denoising errors, so that all noise levels count alike.
    """
    from convert_weights.twin import to_params

    config = runs.stored_config(run.network.config)
    priors, errors = {}, {}
    for decay, average in run.averages.items():
        params = {name: jnp.asarray(value) for name, value in to_params(config, average).items()}
        priors[decay] = NetworkPrior(cast_params(params, "float16"), config=config, parametrization="edm")
        errors[decay] = training.validate(priors[decay], validation)
        listed = "  ".join(f"{sigma}: {error:.4f}" for sigma, error in errors[decay].items())
        click.echo(f"average of decay {decay:g}, denoising RMSE by sigma  {listed}")
    best = min(errors, key=lambda decay: float(np.mean(np.log(list(errors[decay].values())))))
    info = {
        "trained_by": "convert_weights.train_twin",
        "steps": run.step,
        "sessions": run.sessions,
        "ema_decay": best,
        "validation_rmse": errors[best],
    }
    save_prior(folder, priors[best], info=json.loads(json.dumps(info)), overwrite=True)
    click.echo(f"{folder}  average of decay {best:g}")


if __name__ == "__main__":
    run_command(command)
