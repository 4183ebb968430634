"""A UNet as a prior: the network's output turned into a denoised image."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrestore import _checks, schedules
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.priors._base import Prediction, predict_from_denoiser
from jaxrestore.priors.config import UNetConfig
from jaxrestore.schedules import DDPMSchedule

Params = dict[str, jax.Array]  # "input_blocks.0.0.conv.kernel" -> array
SIGMA_DATA = 0.5  # standard deviation of photographs in [-1, 1], Karras et al. 2022
PARAMETRIZATIONS = ("vp", "edm")
_BASE_STEPS = 1000  # length of the processes that published networks are trained on
NOISE_SCHEDULES = {"linear": schedules.vp_timestep, "cosine": schedules.cosine_timestep}


def _flatten(state: Any) -> dict[tuple[Any, ...], Any]:
    from flax import nnx

    return nnx.traversals.flatten_mapping(nnx.to_pure_dict(state))


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


@functools.lru_cache(maxsize=32)
def _structure(config: UNetConfig) -> tuple[Any, dict[str, tuple[Any, ...]], dict[str, jax.ShapeDtypeStruct]]:
    """Graph definition, path and abstract array of each parameter; kept, since tracing a large network takes long."""
    from flax import nnx  # half a second to import, so only when a network is used

    from jaxrestore.priors.unet import UNet

    graphdef, state = nnx.split(nnx.eval_shape(lambda: UNet(config, rngs=nnx.Rngs(0))))
    flat = _flatten(state)
    shapes = {_name(path): jax.ShapeDtypeStruct(a.shape, a.dtype) for path, a in flat.items()}
    return graphdef, {_name(path): path for path in flat}, shapes


def abstract_params(config: UNetConfig) -> dict[str, jax.ShapeDtypeStruct]:
    """Name, shape and dtype of every parameter that a network of `config` has."""
    return dict(_structure(config)[2])


def init_params(key: jax.Array, config: UNetConfig) -> Params:
    """Fresh float32 parameters."""
    from flax import nnx

    from jaxrestore.priors.unet import UNet

    return {_name(path): a for path, a in _flatten(nnx.state(UNet(config, rngs=nnx.Rngs(key)))).items()}


def apply_unet(
    config: UNetConfig, params: Params, x: jax.Array, t: jax.Array, label: jax.Array | None = None
) -> jax.Array:
    """The network as a pure function of its parameters: x (N, H, W, C), t (N,), label (N,) or None."""
    from flax import nnx

    graphdef, paths, _ = _structure(config)
    state = nnx.State(nnx.traversals.unflatten_mapping({paths[name]: nnx.Param(a) for name, a in params.items()}))
    return nnx.merge(graphdef, state)(x, t, label)


def denoise_batch(
    config: UNetConfig,
    parametrization: str,
    params: Params,
    x: jax.Array,
    sigma: jax.Array,
    label: jax.Array | None = None,
    *,
    noise_schedule: str = "linear",
) -> jax.Array:
    """`NetworkPrior.denoise` for x (N, H, W, C) and sigma (N,), as training needs it: one weight gradient a batch."""
    column = sigma[:, None, None, None]
    if parametrization == "vp":
        scaled = x * jax.lax.rsqrt(column**2 + 1)
        t = NOISE_SCHEDULES[noise_schedule](sigma)
        return x - column * apply_unet(config, params, scaled, t, label)[..., : x.shape[-1]]
    c_in = jax.lax.rsqrt(column**2 + SIGMA_DATA**2)
    output = apply_unet(config, params, c_in * x, 250.0 * jnp.log(sigma), label)
    return (SIGMA_DATA * c_in) ** 2 * x + column * SIGMA_DATA * c_in * output[..., : x.shape[-1]]


@pytree
class NetworkPrior:
    """A denoiser made of a UNet F, in one of two published parametrizations.

    "vp" (guided-diffusion, DDPM): D(x, sigma) = x - sigma F(x / sqrt(sigma^2 + 1), t(sigma)) with the first C output
    channels; 2C output channels carry a learned variance. "edm": D = c_skip x + c_out F(c_in x, 250 log sigma) with the
    coefficients of Karras et al. 2022, table 1, which stays accurate at large sigma.

    Layers have gradient rules of their own, so derivatives are taken in reverse mode (`jax.grad`, `jax.vjp`, also of
    each other); JAX refuses `jax.jvp`. A Jacobian-vector product is the transpose of the pullback:
    `jax.linear_transpose(jax.vjp(f, x)[1], f(x))(v)` with v in a tuple.

    Raises:
      ValueError: While tracing, if the image has other channels than the network.
    """

    params: Params  # see `abstract_params`; float32, or half precision to halve the memory
    label: jax.Array | None = None  # (), class of a class-conditional network
    config: UNetConfig = static(default=UNetConfig())
    parametrization: str = static(default="vp")
    # How the DDPM's betas rose that a "vp" network was trained on; or "cosine".
    noise_schedule: str = static(default="linear")

    def __post_init__(self) -> None:
        _checks.one_of("parametrization", self.parametrization, PARAMETRIZATIONS)
        _checks.one_of("noise_schedule", self.noise_schedule, tuple(NOISE_SCHEDULES))

    def for_class(self, label: int) -> "NetworkPrior":
        """The prior of pictures of one class.

        Args:
          label: Of a class-conditional network, from 0; ImageNet's are in the order of their WordNet identifiers.

        Raises:
          ValueError: If the network has no classes, or not that one.
        """
        classes = self.config.num_classes
        if classes is None:
            raise ValueError(f"label is {label}, but this prior knows no classes; leave it out")
        if not 0 <= label < classes:
            raise ValueError(f"label is {label}, expected one of this prior's {classes} classes, 0 to {classes - 1}")
        return dataclasses.replace(self, label=jnp.int32(label))

    @property
    def any_size(self) -> bool:
        """Whether it denoises pictures of any size: attention knows the sizes that the network was trained at."""
        return not (self.config.attention_resolutions or self.config.middle_attention)

    def denoise(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        """E[x0 | x] for x = x0 + sigma n; x (H, W, C), sigma a positive scalar; (H, W, C).

        The answer has the dtype of `x`; the network computes in its own (see `UNetConfig.dtype`), float32 at most.
        """
        self._check(x)
        label = None if self.label is None else self.label[None]
        sigma = like(x, sigma)[None]
        return denoise_batch(
            self.config,
            self.parametrization,
            self.params,
            x[None],
            sigma,
            label,
            noise_schedule=self.noise_schedule,
        )[0].astype(x.dtype)

    def predict(self, x_t: jax.Array, t: jax.Array, schedule: DDPMSchedule) -> Prediction:
        """The reverse step at index `t` of `schedule`; without a learned variance it is beta_tilde (fixed small)."""
        if self.parametrization == "edm":
            return predict_from_denoiser(self.denoise, x_t, t, schedule)
        tables = (schedule.abar, schedule.log_beta, schedule.posterior_log_variance, schedule.timesteps)
        abar, log_beta, log_variance, timestep = (like(x_t, a)[t] for a in tables)
        if (schedule.kind, schedule.base_steps) != (self.noise_schedule, _BASE_STEPS):
            # The process is another than the network was trained on: its own clock, read off the noise level.
            timestep = NOISE_SCHEDULES[self.noise_schedule](jnp.sqrt((1 - abar) / abar))
        eps, value = self._network(x_t, timestep)
        x0 = (x_t - jnp.sqrt(1 - abar) * eps) / jnp.sqrt(abar)
        if value is None:
            return Prediction(x0, eps, jnp.full_like(x_t, log_variance))
        return Prediction(x0, eps, schedules.learned_range_log_variance(value, log_beta, log_variance))

    def _network(self, x: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        self._check(x)
        channels = self.config.in_channels
        label = None if self.label is None else self.label[None]
        output = apply_unet(self.config, self.params, x[None], t[None], label)[0].astype(x.dtype)
        value = output[..., channels:] if self.config.out_channels == 2 * channels else None
        return output[..., :channels], value

    def _check(self, x: jax.Array) -> None:
        channels = self.config.in_channels
        if x.ndim != 3 or x.shape[-1] != channels:
            raise ValueError(f"x has shape {x.shape}, expected one image (H, W, {channels}); for a batch use jax.vmap")
