"""The networks that benchmarks run: the bundled prior, and the shapes of the papers with random weights.

Speed does not depend on what the weights are, as long as none of them are zero and values stay finite.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from convert_weights import guided_diffusion
from jaxrestore.priors import NetworkPrior, UNetConfig
from jaxrestore.priors.checkpoint import BUNDLED
from jaxrestore.priors.network import abstract_params

NETWORKS = ("photo", "ffhq256", "imagenet256")


def photo_facts() -> dict[str, Any]:
    """What a cell that is made with the bundled prior states of it: the checksum of its parameters."""
    return {"prior": _photo_sha256()}


def is_of_photo(stated: Mapping[str, Any]) -> bool:
    """Whether a cell or record states that it was made with the prior that is bundled now."""
    return stated.get("prior") == _photo_sha256()


@functools.cache  # pages ask for each cell
def _photo_sha256() -> str:
    return json.loads((BUNDLED / "photo" / "prior.json").read_text())["sha256"]


def published_config(preset: str) -> UNetConfig:
    """The network of a preset, without class labels."""
    chosen = guided_diffusion.PRESETS[preset]
    return UNetConfig(**chosen.determined, **chosen.heads, middle_attention=True)


def random_state(config: UNetConfig) -> dict[str, np.ndarray]:
    """A PyTorch state dict of the network's shapes under OpenAI's names."""
    rng, state, origin = np.random.default_rng(0), {}, guided_diffusion.origin(config)
    for name, parameter in abstract_params(config).items():
        (key,) = origin[name].keys
        value = rng.standard_normal(parameter.shape, np.float32) * np.float32(0.02)
        if value.ndim == 4 and (".qkv." in name or ".projection." in name):
            value = value[0].transpose(2, 1, 0)  # 1-D convolutions (out, in, 1)
        elif value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        state[key] = np.ascontiguousarray(value.T if value.ndim == 2 else value)
    return state


def from_state(config: UNetConfig, state: Mapping[str, np.ndarray], dtype: str = "float32") -> NetworkPrior:
    """The converted network, computing in `dtype`."""
    params = {name: jnp.asarray(a) for name, a in guided_diffusion.convert(dict(state), config).items()}
    return NetworkPrior(params, config=dataclasses.replace(config, dtype=dtype))


@functools.lru_cache(maxsize=1)
def _float32(name: str) -> NetworkPrior:
    if name == "photo":
        return jr.load_prior("photo")
    config = published_config(name)
    return from_state(config, random_state(config))


def load(name: str, dtype: str = "float32") -> NetworkPrior:
    """One of `NETWORKS`, computing in `dtype`; parameters are stored in float32."""
    prior = _float32(name)
    return dataclasses.replace(prior, config=dataclasses.replace(prior.config, dtype=dtype))


def forward_flops(prior: NetworkPrior, size: int) -> float:
    """Floating point operations of one forward pass, by XLA's count before it optimises."""
    shape = jax.ShapeDtypeStruct((size, size, prior.config.in_channels), jnp.float32)
    params = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), prior)
    cost: Any = jax.jit(lambda p, x: p.denoise(x, jnp.float32(1.0))).lower(params, shape).cost_analysis()
    return float((cost[0] if isinstance(cost, list) else cost)["flops"])
