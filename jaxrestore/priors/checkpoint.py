"""Priors on disk: an Orbax checkpoint beside `prior.json`, which says what it is."""

import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import NetworkPrior, Params, abstract_params
from jaxrestore.storage import weights

_ARRAYS_OF_A_BLOCK = 10  # at least: two norms, two convolutions and the embedding, of two arrays each
BUNDLED = pathlib.Path(__file__).parent / "bundled"
_HOSTED = ("hf:", "guided-diffusion:")  # beginnings of names of priors that others host


class PriorError(weights.WeightsError):
    """A prior's folder is missing, damaged, or of another format."""


def bundled_priors() -> list[str]:
    """Names of the priors inside the package."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/prior.json"))


def save_prior(
    path: str | os.PathLike[str],
    prior: NetworkPrior,
    *,
    info: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Write a prior as a folder that `load_prior` reads; dtypes are kept.

    Args:
      path: Folder to create.
      prior: What to save. A class label is not saved: choose one when loading.
      info: JSON-serialisable notes kept in `prior.json` (source, licence, training settings).
      overwrite: Replace an existing folder; it stays until the new one is complete.

    Returns:
      The folder.

    Raises:
      FileExistsError: If `path` exists and `overwrite` is False.
      PriorError: If the parameters do not belong to the configuration, or some are not finite.
    """
    description = {
        "parametrization": prior.parametrization,
        "noise_schedule": prior.noise_schedule,
        "config": dataclasses.asdict(prior.config),
        "info": info or {},
    }
    shapes = abstract_params(prior.config)
    return weights.save(path, "prior", prior.params, shapes, description, overwrite=overwrite, error=PriorError)


def load_prior(
    name: str | os.PathLike[str], *, dtype: str | None = None, remat: bool = False, label: int | None = None
) -> NetworkPrior:
    """Load a bundled prior by name, any prior from its folder, or a published one from where it is hosted.

    A published one is fetched and converted when it is asked for the first time, into the folder "priors" of the
    library's cache: `$JAXRESTORE_CACHE`, else `$XDG_CACHE_HOME/jaxrestore`, else `~/.cache/jaxrestore`. Its licence is
    printed then. On the Hugging Face hub, a branch may mean other weights later, which are fetched too; without a
    network, or with HF_HUB_OFFLINE, those that were fetched last are loaded.

    Args:
      name: "photo" (bundled); a folder written by `save_prior`, `jaxrestore train` or `convert_weights`;
        "hf:OWNER/NAME", with @REVISION if wished, a diffusers network on the hub, such as
        "hf:google/ddpm-celebahq-256" (needs `pip install 'jaxrestore[hub]'`); or "guided-diffusion:NAME", a checkpoint
        that OpenAI hosts, such as "guided-diffusion:imagenet256" (`convert_weights/README.md` lists them).
      dtype: Compute dtype of the network, "float32", "bfloat16" or "float16"; None keeps the stored configuration's.
        Parameters are held in float32 either way.
      remat: Recompute blocks in the backward pass, for less memory.
      label: Class of the pictures, from 0, for a class-conditional prior; see `NetworkPrior.for_class`.

    Returns:
      The prior, a pytree whose parameters are leaves.

    Raises:
      PriorError: If there is no such prior, its version is unknown, it cannot be fetched or converted, or its
        parameters are damaged; the text lists what differs.
      ValueError: If it has no such class.
    """
    path = _folder(name)
    if not (path / "prior.json").is_file():
        known = ", ".join(bundled_priors()) or "none"
        raise PriorError(f"{path} holds no prior (no prior.json); bundled priors: {known}")
    header = weights.read_header(path, "prior", {"config", "parametrization"}, PriorError)
    stored = weights.stored_shapes(path, PriorError)
    forms = {
        "parametrization": header["parametrization"],
        "noise_schedule": header.get("noise_schedule", "linear"),  # older folders lack it
    }
    with weights.understanding(path, "prior", PriorError):
        _check_size(header["config"], len(stored))
        config = UNetConfig(**header["config"])
        shapes = abstract_params(config)
        _ = NetworkPrior({}, config=config, **forms)
    params = weights.read_params(path, header, shapes, PriorError)
    config = dataclasses.replace(config, dtype=dtype or config.dtype, remat=remat)
    prior = NetworkPrior(params, config=config, **forms)
    return prior if label is None else prior.for_class(label)


def _folder(name: str | os.PathLike[str]) -> pathlib.Path:
    if not isinstance(name, str):
        return pathlib.Path(name).absolute()
    if name in bundled_priors():
        return BUNDLED / name
    if not name.startswith(_HOSTED):
        return pathlib.Path(name).absolute()
    from convert_weights import by_name  # which knows this module
    from convert_weights.arrays import ConversionError

    try:
        return by_name.cached_prior(name)
    except ConversionError as error:
        raise PriorError(str(error)) from error


def _check_size(config: dict[str, Any], stored: int) -> None:
    """Raise if a configuration has far more layers than there are arrays: to make its shapes would take forever."""
    levels, blocks = len(config["channel_mult"]), config["num_res_blocks"]
    described = levels * (2 * blocks + 1) + 2
    if described * _ARRAYS_OF_A_BLOCK > stored:
        raise ValueError(
            f"channel_mult has {levels} entries and num_res_blocks is {blocks}, which makes {described} residual "
            f"blocks, more than the {stored} arrays beside it are enough for"
        )


def cast_params(params: Params, dtype: jax.typing.DTypeLike) -> Params:
    """Parameters stored in another floating dtype, e.g. "float16" to halve a checkpoint."""
    return {name: jnp.asarray(a, dtype) for name, a in params.items()}
