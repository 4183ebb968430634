"""A training run of the twin: its state, its steps, its checkpoints.

Loss, noise levels, optimiser and crops are those of `jaxrestore.training`. Time rules instead of a number of steps: a
session lasts so many minutes, and at its end the learning rate may fall to zero. The next session goes on from the
checkpoint with batches that are functions of seed and step, as if there had been no end.
"""

import concurrent.futures
import copy
import dataclasses
import json
import math
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import torch

from convert_weights import twin
from jaxrestore import runs, training
from jaxrestore.crops import Photographs
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import NetworkPrior, init_params
from jaxrestore.storage.files import replacing
from jaxrestore.training import Progress, TrainingConfig

# What the twin heeds of `TrainingConfig`: neither the settings of a run of known length, nor its one moving average.
HEEDED = (
    *("batch_size", "crop_size", "scales", "learning_rate", "warmup_steps", "weight_decay", "clip_norm", "seed"),
    *("sigma_sampling", "sigma_mean", "sigma_std", "sigma_min", "sigma_max"),
)

Tensors = dict[str, torch.Tensor]
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # clean (N, H, W, C), noise levels (N,), noise as clean


class Session(NamedTuple):
    """How long to train now, and how; the next session of a run may differ."""

    minutes: float
    decay_minutes: float = 0.0  # at the end, in which the learning rate falls to zero
    favour_large: bool = False  # draw a photograph in proportion to its side, not each equally often
    compiled: bool = False  # by torch.compile, which needs a C++ compiler and minutes before the first step


@dataclasses.dataclass
class Run:
    """What a session changes in place, and a checkpoint holds."""

    network: twin.TwinUNet
    optimizer: torch.optim.AdamW
    averages: dict[float, Tensors]  # moving averages of the parameters, by their decay
    step: int = 0  # updates made
    rate: float = 0.0  # learning rate of the last update, from which the next may rise by a step of the warm-up
    sessions: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # their settings, steps and minutes


def init_run(config: TrainingConfig, decays: tuple[float, ...], start: NetworkPrior | None = None) -> Run:
    """A fresh run, from the random parameters that `jaxrestore train` begins with or from those of a prior.

    Args:
      config: Network and settings.
      decays: Of the moving averages to keep.
      start: A prior of the "edm" parametrization and of the network of `config`.

    Raises:
      ConversionError: If the network is one that the twin cannot be.
      ValueError: If the run or its start is of another parametrization, or `start` of another network.
    """
    network = twin.TwinUNet(config.network)
    for name, given in (("config", config), ("start", start)):
        if given is not None and given.parametrization != "edm":
            raise ValueError(f"{name} has parametrization {given.parametrization!r}, expected 'edm'")
    if start is not None and (differing := runs.differences(start.config, config.network)):
        raise ValueError(f"start has another network than config: {differing}")
    params = init_params(jax.random.key(config.seed), config.network) if start is None else start.params
    network.load_state_dict(twin.from_params(params))
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]  # biases and norms, which do not decay
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), foreach=True)
    return Run(network, optimizer, {decay: copy.deepcopy(network.state_dict()) for decay in decays})


def save_run(run: Run, file: pathlib.Path) -> None:
    """Write a checkpoint; the one before stays until the new one is complete.

    Raises:
      FloatingPointError: If a parameter or an average is not finite; the checkpoint before stays.
    """
    states = [run.network.state_dict(), *run.averages.values()]
    if not all(bool(torch.isfinite(tensor).all()) for state in states for tensor in state.values()):
        raise FloatingPointError(_not_finite("the parameters are", run.step))
    stored = {
        "network": dataclasses.asdict(runs.stored_config(run.network.config)),
        "parameters": run.network.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "averages": run.averages,
        "step": run.step,
        "rate": run.rate,
        "sessions": run.sessions,
    }
    with replacing(file) as temporary:
        torch.save(stored, temporary)


def restore_run(run: Run, file: pathlib.Path) -> None:
    """Put a checkpoint into a fresh run.

    Raises:
      ValueError: If it is of another network, or keeps averages of other decays.
    """
    stored = torch.load(file, weights_only=True)
    if differing := runs.differences(UNetConfig(**stored["network"]), run.network.config):
        raise ValueError(f"{file.parent} holds a run of another network: {differing}; choose another folder")
    if set(stored["averages"]) != set(run.averages):
        kept, asked = (", ".join(f"{decay:g}" for decay in averages) for averages in (stored["averages"], run.averages))
        raise ValueError(f"{file.parent} holds a run with averages of decay {kept}, expected {asked}")
    run.network.load_state_dict(stored["parameters"])
    settings = {"param_groups": run.optimizer.state_dict()["param_groups"]}  # this session's, not the stored ones
    run.optimizer.load_state_dict({**stored["optimizer"], **settings})
    run.averages = stored["averages"]
    run.step, run.rate, run.sessions = stored["step"], stored["rate"], stored["sessions"]


def make_batch(photographs: Photographs, config: TrainingConfig, step: int) -> Batch:
    """The crops of a step, with the noise levels and the noise that `jaxrestore.training` draws for it."""
    crops = photographs.batch(config.seed, step, config.batch_size)
    sigma, noise = _draw_noise(jax.random.fold_in(jax.random.key(config.seed + 1), step), crops.shape, config)
    clean = torch.from_numpy(crops).float() / 127.5 - 1.0
    return clean, torch.from_numpy(np.array(sigma)), torch.from_numpy(np.array(noise))


_draw_noise = jax.jit(training.draw_noise, static_argnums=(1, 2))


def update(run: Run, network: torch.nn.Module, batch: Batch, rate: float, clip_norm: float) -> float:
    """One step of AdamW and of the moving averages; returns the loss.

    Args:
      run: Changed in place.
      network: That of `run`, or its compiled form.
      batch: Of `make_batch`.
      rate: Learning rate.
      clip_norm: Largest norm of the gradient over all parameters.

    Raises:
      FloatingPointError: If loss or gradient are not finite; the parameters are as they were.
    """
    loss = twin.denoising_loss(network, *batch)
    run.optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(run.network.parameters(), clip_norm)
    if not math.isfinite(loss.item() + norm.item()):
        raise FloatingPointError(_not_finite("the loss or its gradient is", run.step))
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.step()
    parameters = run.network.state_dict()
    for decay, average in run.averages.items():
        # As in `jaxrestore.training`: a fixed decay would keep the start for thousands of steps.
        share = 1 - min(decay, (1 + run.step) / (10 + run.step))
        for name, value in average.items():
            value.lerp_(parameters[name], share)
    run.step, run.rate = run.step + 1, rate
    return loss.item()


def learning_rate(before: float, minutes_left: float, config: TrainingConfig, session: Session) -> float:
    """Rises from the last update's by a step of the warm-up at most, and falls linearly to zero at a session's end.

    So a session that follows a fall warms up again, and one that follows a kill goes on at full rate.
    """
    share = min(1.0, max(0.0, minutes_left) / session.decay_minutes) if session.decay_minutes else 1.0
    return min(before + config.learning_rate / max(config.warmup_steps, 1), config.learning_rate * share)


def train(
    data: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    config: TrainingConfig,
    session: Session,
    *,
    decays: tuple[float, ...],
    start: NetworkPrior | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], Any] | None = None,
    report_every: int = 100,
    checkpoint_seconds: float = 300.0,
) -> Run:
    """Train for a session; go on where an earlier one in `folder` stopped.

    Args:
      data: Folder of photographs.
      folder: Of the run, for the checkpoint `last.pt` and the log `log.jsonl`; created if it does not exist.
      config: Settings; those of `HEEDED` count, and all but the network may change from session to session.
      session: How long, and how.
      decays: Of the moving averages, the same in all sessions.
      start: Begin a new run from this prior's weights.
      is_stopped: Asked after each step; once it is true the session ends, with a checkpoint.
      report: Called every `report_every` steps.
      report_every: Steps between reports.
      checkpoint_seconds: Time between checkpoints.

    Returns:
      The run as it is in the checkpoint.

    Raises:
      ConversionError: If the network is one that the twin cannot be.
      ValueError: If a setting is out of range, or `folder` or `start` is of another network.
      FloatingPointError: If loss, gradient or parameters stop being finite; the last checkpoint stays usable.
      jaxrestore.images.ImageError: If `data` has no usable picture.
    """
    started = time.monotonic()
    if not 0 <= session.decay_minutes <= session.minutes:
        raise ValueError(f"decay_minutes is {session.decay_minutes}, expected 0 to minutes, {session.minutes}")
    run, folder = init_run(config, decays, start), pathlib.Path(folder)
    checkpoint = folder / "last.pt"
    if checkpoint.exists():
        restore_run(run, checkpoint)
    photographs = _photographs(data, config, session)
    network: Any = torch.compile(run.network) if session.compiled else run.network
    settings = {name: getattr(config, name) for name in HEEDED}
    facts = {**settings, **session._asdict(), "dtype": config.network.dtype, "first_step": run.step}
    earlier, first = run.sessions, run.step
    folder.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(1) as background, open(folder / "log.jsonl", "a") as log:
        next_batch = background.submit(make_batch, photographs, config, run.step)
        saved = reported = time.monotonic()
        losses: list[float] = []
        while (left := session.minutes - (time.monotonic() - started) / 60) > 0 and not is_stopped():
            batch = next_batch.result()
            next_batch = background.submit(make_batch, photographs, config, run.step + 1)
            rate = learning_rate(run.rate, left, config, session)
            losses.append(update(run, network, batch, rate, config.clip_norm))
            now = time.monotonic()
            run.sessions = [*earlier, {**facts, "last_step": run.step, "minutes": (now - started) / 60}]
            if run.step % report_every == 0:
                images_per_second = len(losses) * config.batch_size / (now - reported)
                progress = Progress(run.step, float(np.mean(losses)), images_per_second, now - started)
                log.write(json.dumps(progress._asdict()) + "\n")
                log.flush()
                if report is not None:
                    report(progress)
                losses, reported = [], now
            if now - saved > checkpoint_seconds:
                save_run(run, checkpoint)
                saved = time.monotonic()
        if run.step > first:
            save_run(run, checkpoint)
    return run


def _photographs(data: str | os.PathLike[str], config: TrainingConfig, session: Session) -> Photographs:
    """The crops to train on; a photograph is listed as often as it is to be drawn."""
    photographs = Photographs(data, crop_size=config.crop_size, scales=config.scales)
    if session.favour_large:
        sides = [math.sqrt(scales[0].size) for scales in photographs.pictures]
        counts = [round(side / min(sides)) for side in sides]
        photographs.pictures = [p for p, n in zip(photographs.pictures, counts, strict=True) for _ in range(n)]
    return photographs


def _not_finite(what: str, step: int) -> str:
    return f"{what} no longer finite at step {step}; lower the learning rate and go on from the checkpoint before"
