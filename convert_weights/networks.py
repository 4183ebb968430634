"""From a checkpoint that was read to a prior on disk: what the command line and `load_prior` share."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from convert_weights import diffusers, guided_diffusion
from convert_weights.arrays import Arrays
from convert_weights.pipelines import Pipeline
from jaxrestore.priors.checkpoint import save_prior
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import NetworkPrior


class Converted(NamedTuple):
    """A network in this library's form, with what is known about it beside the tensors."""

    config: UNetConfig
    params: Arrays
    parametrization: str
    noise_schedule: str
    info: dict[str, Any]


def from_pipeline(pipeline: Pipeline) -> Converted:
    """A folder of diffusers."""
    model = pipeline.config
    config = diffusers.read_config(model)
    return Converted(
        config,
        diffusers.convert(pipeline.state, config, cosine_first=model.get("flip_sin_to_cos", True)),
        "vp",
        pipeline.noise_schedule,
        {"image_size": model.get("sample_size"), "scheduler": pipeline.scheduler},
    )


def from_guided_diffusion(
    state: Mapping[str, np.ndarray], preset: str | None, *, noise_schedule: str | None = None, **heads: Any
) -> Converted:
    """A state dict of guided-diffusion; what is given comes before what the preset says."""
    config = guided_diffusion.infer_config(state, preset, **heads)
    chosen = guided_diffusion.PRESETS[preset] if preset else None
    return Converted(
        config,
        guided_diffusion.convert(state, config),
        "vp",
        noise_schedule or (chosen.noise_schedule if chosen else "linear"),
        {"preset": preset, "image_size": chosen.image_size} if chosen else {},
    )


def write(
    converted: Converted,
    stored: Mapping[str, Any],
    out: pathlib.Path,
    origin: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write the folder of a prior, with `stored` in the place of the parameters as they were read."""
    prior = NetworkPrior(
        dict(stored),
        config=converted.config,
        parametrization=converted.parametrization,
        noise_schedule=converted.noise_schedule,
    )
    save_prior(out, prior, info={**origin, **converted.info}, overwrite=overwrite)
