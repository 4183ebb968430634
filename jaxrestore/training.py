"""Training a UNet prior on crops of photographs.

Denoising score matching on random crops, AdamW with warm-up and an exponential moving average of the weights. Batch
`i` depends on the seed and on `i` alone, and checkpoints hold everything else, so a run that is killed goes on as if
nothing had happened, and a long run may be made of short ones.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrestore import _checks, images, runs, stopping
from jaxrestore.crops import Photographs
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import PARAMETRIZATIONS, SIGMA_DATA, NetworkPrior, Params, denoise_batch, init_params

VALIDATION_SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
_PATIENCE = 60.0  # seconds that a signal leaves for the last checkpoint
_NETWORK = UNetConfig(model_channels=64, channel_mult=(1, 2, 2), num_res_blocks=1, patch_size=2)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Settings of a run. All but the network may change when a run is resumed.

    Raises:
      ValueError: If a setting is out of range.
    """

    network: UNetConfig = _NETWORK
    parametrization: str = "edm"
    num_steps: int = 100_000  # length of the whole run, earlier sessions included
    batch_size: int = 32
    crop_size: int = 64  # pixels, a multiple of the network's stride
    scales: tuple[float, ...] = (1.0, 0.5, 0.25)  # photographs are also shown reduced; crops choose among these
    learning_rate: float = 1e-3  # peak, of AdamW
    warmup_steps: int = 500  # linear from zero
    decay_steps: int = 2_000  # linear to zero at the end of the run
    weight_decay: float = 1e-4
    clip_norm: float = 1.0  # largest norm of the gradient over all parameters
    ema_decay: float = 0.999
    sigma_sampling: str = "lognormal"  # or "uniform": log-uniform over [sigma_min, sigma_max]
    sigma_mean: float = -1.0  # mean of log sigma, for "lognormal"
    sigma_std: float = 1.6
    sigma_min: float = 0.01  # sampled levels are clipped to this range
    sigma_max: float = 160.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "crop_size"):
            _checks.at_least(name, getattr(self, name), 1)
        for name in ("learning_rate", "clip_norm", "sigma_std", "sigma_min", "sigma_max"):
            _checks.positive(name, getattr(self, name))
        if self.sigma_max < self.sigma_min:
            raise ValueError(f"sigma_max is {self.sigma_max}, expected at least sigma_min, {self.sigma_min}")
        if not self.scales:
            raise ValueError("scales is empty, expected at least one, e.g. 1")
        for scale in self.scales:
            _checks.positive("a scale", scale)
        _checks.one_of("parametrization", self.parametrization, PARAMETRIZATIONS)
        _checks.within("ema_decay", self.ema_decay, 0.0, 1.0)
        _checks.one_of("sigma_sampling", self.sigma_sampling, ("lognormal", "uniform"))
        if self.network.in_channels != 3:
            raise ValueError(f"the network takes {self.network.in_channels} channels, expected 3: crops are in colour")
        if self.network.out_channels < 3:
            raise ValueError(f"the network gives {self.network.out_channels} channels, expected 3 at least")
        if self.network.num_classes is not None:
            raise ValueError(f"the network knows {self.network.num_classes} classes, expected None: crops have none")
        if self.crop_size % self.network.stride:
            raise ValueError(f"crop_size is {self.crop_size}, expected a multiple of the stride {self.network.stride}")


class TrainState(NamedTuple):
    params: Params
    ema: Params  # what is validated and saved as the prior
    optimizer: optax.OptState
    step: jax.Array  # (), int32, updates made


class Progress(NamedTuple):
    """One report of a run; numbers since the report before."""

    step: int
    loss: float  # mean weighted loss
    images_per_second: float
    seconds: float  # since this session started


def sample_sigmas(key: jax.Array, config: TrainingConfig) -> jax.Array:
    """Noise levels of a batch, (batch_size,): stratified over the distribution, so each batch sees all of it."""
    key_offset, key_order = jax.random.split(key)
    uniform = (jnp.arange(config.batch_size) + jax.random.uniform(key_offset, (config.batch_size,))) / config.batch_size
    uniform = jax.random.permutation(key_order, jnp.clip(uniform, 1e-6, 1 - 1e-6))
    if config.sigma_sampling == "uniform":
        low, high = np.log(config.sigma_min), np.log(config.sigma_max)
        return jnp.exp(low + uniform * (high - low))
    log_sigma = config.sigma_mean + config.sigma_std * jax.scipy.stats.norm.ppf(uniform)
    return jnp.clip(jnp.exp(log_sigma), config.sigma_min, config.sigma_max)


def draw_noise(key: jax.Array, shape: tuple[int, ...], config: TrainingConfig) -> tuple[jax.Array, jax.Array]:
    """Noise levels (N,) and standard normal noise (N, H, W, C) for a batch."""
    key_sigma, key_noise = jax.random.split(key)
    return sample_sigmas(key_sigma, config), jax.random.normal(key_noise, shape)


def denoising_loss(params: Params, key: jax.Array, clean: jax.Array, config: TrainingConfig) -> jax.Array:
    """Mean squared error of the denoiser, weighted so that the network's own output has an error of order one.

    Args:
      params: The network's.
      key: Draws noise levels and noise.
      clean: (N, H, W, C) in [-1, 1].
      config: Noise distribution and parametrization.

    References:
      Karras et al. 2022, equation 8 (weight (sigma^2 + s^2) / (sigma s)^2); Ho et al. 2020 for "vp" (1 / sigma^2).
    """
    sigma, noise = draw_noise(key, clean.shape, config)
    column = sigma[:, None, None, None]
    noisy = clean + column * noise
    denoised = denoise_batch(config.network, config.parametrization, params, noisy, sigma)
    weight = 1 / column**2 + (1 / SIGMA_DATA**2 if config.parametrization == "edm" else 0.0)
    return jnp.mean(weight * jnp.square(denoised - clean))


def _is_kernel(params: Any) -> dict[str, bool]:
    """Weight decay is for kernels: not for biases and norms."""
    return {name: a.ndim > 1 for name, a in params.items()}


def _optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.scale_by_adam(b2=0.99),
        optax.add_decayed_weights(config.weight_decay, mask=_is_kernel),
    )


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, constant, linear decay to zero over the last `decay_steps` of the run."""
    rise = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    fall = min(1.0, (config.num_steps - step) / max(config.decay_steps, 1))
    return config.learning_rate * rise * max(fall, 0.0)


def init_state(config: TrainingConfig, start: NetworkPrior | None = None) -> TrainState:
    """A fresh state, with random weights or those of a prior; the moving average starts at them."""
    params = init_params(jax.random.key(config.seed), config.network) if start is None else dict(start.params)
    params = jax.tree.map(jnp.array, params)  # a copy: the state is donated, the prior stays
    return TrainState(params, jax.tree.map(jnp.copy, params), _optimizer(config).init(params), jnp.int32(0))


def make_train_step(config: TrainingConfig) -> Callable[..., tuple[TrainState, jax.Array]]:
    """The jitted update `(state, crops uint8, learning_rate) -> (state, loss)`; the state is donated."""
    optimizer = _optimizer(config)

    def train_step(state: TrainState, crops: jax.Array, rate: jax.Array) -> tuple[TrainState, jax.Array]:
        key = jax.random.fold_in(jax.random.key(config.seed + 1), state.step)
        clean = crops.astype(jnp.float32) / 127.5 - 1.0
        loss, gradients = jax.value_and_grad(denoising_loss)(state.params, key, clean, config)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
        # A fixed decay would keep the random start in the average for thousands of steps.
        decay = jnp.minimum(config.ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema = jax.tree.map(lambda e, p: decay * e + (1 - decay) * p, state.ema, params)
        return TrainState(params, ema, optimizer_state, state.step + 1), loss

    return jax.jit(train_step, donate_argnums=0)


def check_validation(folder: str | os.PathLike[str]) -> None:
    """Raise, before the hours of training, if `validate` cannot read a folder's photographs.

    Raises:
      jaxrestore.images.ImageError: If the folder is missing or holds no picture, or one cannot be read.
    """
    for path in images.find(folder):
        _ = images.load(path)


def validate(prior: NetworkPrior, folder: str | os.PathLike[str], *, size: int = 256) -> dict[str, float]:
    """Root mean squared denoising error per noise level on centred crops of a folder's photographs, fixed noise.

    Photographs are reduced until their short side is `size`, as the pictures that are restored at that size are.

    Returns:
      {"0.1": error, ...} for `VALIDATION_SIGMAS`, on the [-1, 1] scale.
    """
    crops = []
    for path in images.find(folder):
        picture = images.load(path)
        factor = size / min(picture.shape[:2])
        picture = images.resize(picture, [max(size, round(n * factor)) for n in picture.shape[:2]])
        crops.append(images.centre(picture, size))
    clean = jnp.asarray(np.stack(crops))

    @jax.jit
    def errors(prior: NetworkPrior, clean: jax.Array, sigma: jax.Array) -> jax.Array:
        def one(args: tuple[jax.Array, jax.Array]) -> jax.Array:
            image, index = args
            noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), index), image.shape)
            return jnp.mean(jnp.square(prior.denoise(image + sigma * noise, sigma) - image))

        return jax.lax.map(one, (clean, jnp.arange(len(clean))))

    return {f"{s:g}": float(jnp.sqrt(errors(prior, clean, jnp.float32(s)).mean())) for s in VALIDATION_SIGMAS}


def train(
    data: str | os.PathLike[str],
    run: str | os.PathLike[str],
    config: TrainingConfig,
    *,
    start: NetworkPrior | None = None,
    max_seconds: float = float("inf"),
    report: Callable[[Progress], Any] | None = None,
    report_every: int = 100,
    checkpoint_seconds: float = 300.0,
) -> NetworkPrior:
    """Train until `config.num_steps`, or until the time is up; go on where an earlier session in `run` stopped.

    Args:
      data: Folder of photographs.
      run: Folder for checkpoints and the log `log.jsonl`; created if it does not exist.
      config: Settings; the network must be that of the earlier session.
      start: Begin a new run from this prior's weights, for instance to tune the bundled one to photographs of your own.
      max_seconds: Stop cleanly, with a checkpoint, after this many seconds.
      report: Called every `report_every` steps.
      report_every: Steps between reports; each waits for the device once.
      checkpoint_seconds: Time between checkpoints; the newest two are kept.

    Returns:
      The prior with the averaged weights. Save it with `jaxrestore.save_prior`.

    Raises:
      ValueError: If `run` belongs to another network or is damaged, `start` has another network than `config`, or a
        time is negative or no number.
      OSError: If a checkpoint cannot be written; the last one stays usable.
      FloatingPointError: If the loss stops being finite; the last checkpoint stays usable.
      jaxrestore.images.ImageError: If `data` has no usable picture.
    """
    import orbax.checkpoint as ocp

    started = time.monotonic()
    _checks.at_least("report_every", report_every, 1)
    for name, seconds in (("max_seconds", max_seconds), ("checkpoint_seconds", checkpoint_seconds)):
        if not seconds >= 0:  # nan would end the run before its first step
            raise ValueError(f"{name} is {seconds}, expected a number from 0")
    if start is not None:
        _check_start(start, config)
    run = pathlib.Path(run).absolute()
    photographs = Photographs(data, crop_size=config.crop_size, scales=config.scales)
    runs.claim(run, config.network, config.parametrization)
    state, train_step = init_state(config, start), make_train_step(config)
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    with (
        ocp.CheckpointManager(run / "checkpoints", options=options) as manager,
        concurrent.futures.ThreadPoolExecutor(1) as background,
        contextlib.ExitStack() as stack,
    ):
        state, log = runs.newest_state(manager, state), runs.Log(run / "log.jsonl")
        step = first = int(state.step)
        next_batch = background.submit(photographs.batch, config.seed, step, config.batch_size)
        saved = reported = time.monotonic()
        losses: list[jax.Array] = []
        while step < config.num_steps and time.monotonic() - started < max_seconds and stopping.requested() is None:
            crops = next_batch.result()
            next_batch = background.submit(photographs.batch, config.seed, step + 1, config.batch_size)
            state, loss = train_step(state, crops, learning_rate(step, config))
            if step == first:
                _ = stack.enter_context(stopping.patience(_PATIENCE))  # from here on there is something to save
            step += 1
            losses.append(loss)
            if step % report_every == 0 or step == config.num_steps:
                mean = float(jnp.mean(jnp.stack(losses)))
                if not np.isfinite(mean):
                    raise FloatingPointError(f"the loss is {mean} at step {step}; lower learning_rate and resume")
                now = time.monotonic()
                progress = Progress(step, mean, len(losses) * config.batch_size / (now - reported), now - started)
                log.write(progress._asdict())
                if report is not None:
                    report(progress)
                losses, reported = [], now
            if time.monotonic() - saved > checkpoint_seconds:
                _require_finite(state, step)
                runs.save(manager, step, state)
                saved = time.monotonic()
        _require_finite(state, step)
        if step > first and manager.latest_step() != step:
            runs.save(manager, step, state)
        stopping.check()
    return NetworkPrior(state.ema, config=config.network, parametrization=config.parametrization)


def _check_start(start: NetworkPrior, config: TrainingConfig) -> None:
    """Raise unless a prior's weights mean the same in a run with these settings."""
    if differing := runs.differences(start.config, config.network):
        raise ValueError(f"start has another network than config: {differing}")
    if start.parametrization != config.parametrization:
        raise ValueError(f"start has parametrization {start.parametrization!r}, expected {config.parametrization!r}")
    if start.parametrization == "vp" and start.noise_schedule != "linear":
        raise ValueError(f"start has noise schedule {start.noise_schedule!r}, expected 'linear', that of training")


def _require_finite(state: TrainState, step: int) -> None:
    """Raise if a state may not be saved or gone on with: its loss may still have been finite a step ago."""
    if not _is_finite(state):
        raise FloatingPointError(
            f"the parameters are no longer finite at step {step}; lower learning_rate and resume from the checkpoint "
            "before, or begin a new run if there is none"
        )


@jax.jit
def _is_finite(state: TrainState) -> jax.Array:
    arrays = [a for a in jax.tree.leaves(state) if jnp.issubdtype(a.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(a).all() for a in arrays]).all()
