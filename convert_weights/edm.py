"""NVIDIA's EDM networks of the ADM architecture (`edm-imagenet-64x64-cond-adm.pkl`), without executing the pickle.

Their pickles carry Python source that loading would execute. Here the pickle is read as a record of names and arrays,
and the network is recognised from them; a state dict that was exported once works too. The DDPM++ and NCSN++ networks
of the same publication (`SongUNet`: scaled skips, attention on one side, filters between levels) are refused.
"""

import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from convert_weights.arrays import Arrays, ConversionError
from convert_weights.pickles import Record, read_pickle
from convert_weights.unet import Naming, Part, Source, assemble, channel_mult, check_shapes, sources
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import abstract_params

_RECORDS = ("torch_utils.persistence.", "dnnlib.util.", "torch.nn.modules.", "torch.nn.parameter.")
_PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
_WAY_OUT = "where you trust it, load it once and export the state dict: torch.save(net.state_dict(), FILE)"
TIMESTEP_SCALE = 1e-3  # the library's EDM clock is 250 log(sigma), NVIDIA's log(sigma) / 4

_TOP = {
    "time_in": "map_layer0",
    "time_out": "map_layer1",
    "norm_out": "out_norm",
    "conv_out": "out_conv",
    "label": "map_label",
}
_FIELDS = {
    "stem": {"conv": ""},
    "res": {
        "norm_in": "norm0",
        "conv_in": "conv0",
        "embedding": "affine",
        "norm_out": "norm1",
        "conv_out": "conv1",
        "skip": "skip",
    },
    "attention": {"norm": "norm2", "qkv": "qkv", "projection": "proj"},
}


def read_network(path: pathlib.Path) -> Arrays:
    """The tensors of an EDM network from its pickle.

    Raises:
      ConversionError: If the file cannot be read, asks for more than a network, or holds another network.
    """
    if not path.is_file():
        raise ConversionError(f"{path} is no file")
    content = read_pickle(path, records=_RECORDS)
    network = content.get("ema") if isinstance(content, dict) else content
    try:
        name, state = _persistent(network)
        if name != "EDMPrecond" or state.get("sigma_data", 0.5) != 0.5:
            raise ConversionError(f"{path} holds a {name}, expected an EDMPrecond with sigma_data 0.5")
        model = state["_modules"]["model"]
        if (kind := _persistent(model)[0]) != "DhariwalUNet":
            raise ConversionError(
                f"{path} holds a {kind}, expected a DhariwalUNet (ADM); other EDM networks do not fit"
            )
        return dict(_tensors(model))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ConversionError(f"{path} holds no network as NVIDIA saves them ({error!r}); {_WAY_OUT}") from error


def _persistent(value: Any) -> tuple[str, dict[str, Any]]:
    """Class name and attributes of an object that NVIDIA's pickles hold with its source code."""
    if not isinstance(value, Record) or getattr(value, "path", "") != _PERSISTENT:
        raise ConversionError(f"the pickle holds no network as NVIDIA saves them; {_WAY_OUT}")
    meta = value.arguments[0]
    return meta["class_name"], dict(meta["state"])


def _tensors(value: Any, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """The parameters of a module and of those inside it, under the names of its state dict."""
    is_plain = getattr(value, "path", "") != _PERSISTENT  # torch's own containers
    state = value.state if is_plain else _persistent(value)[1]
    for name, array in state.get("_parameters", {}).items():
        if array is not None:
            yield prefix + name, np.asarray(array)
    for name, module in state.get("_modules", {}).items():
        if module is not None:
            yield from _tensors(module, f"{prefix}{name}.")


def infer_config(state: Mapping[str, np.ndarray]) -> UNetConfig:
    """The configuration of an ADM network from its tensors; heads are 64 channels wide in all of them.

    Raises:
      ConversionError: If the state is none of an ADM network.
    """
    blocks: dict[int, list[int]] = {}  # resolution -> numbers of its encoder blocks
    for name in state:
        if match := re.match(r"enc\.(\d+)x\1_block(\d+)\.conv0\.weight$", name):
            blocks.setdefault(int(match[1]), []).append(int(match[2]))
    sides = sorted(blocks, reverse=True)
    if not sides or "map_layer0.weight" not in state or f"enc.{sides[0]}x{sides[0]}_conv.weight" not in state:
        raise ConversionError(f"this is no ADM network of EDM (no enc.64x64_block0 and the like); {_WAY_OUT}")
    count = len(blocks[sides[0]])
    label = state.get("map_label.weight")
    try:
        model_channels = state["map_layer0.weight"].shape[1]
        widths = [state[f"enc.{side}x{side}_block0.conv0.weight"].shape[0] for side in sides]
        return UNetConfig(
            in_channels=state[f"enc.{sides[0]}x{sides[0]}_conv.weight"].shape[1],
            out_channels=state["out_conv.weight"].shape[0],
            model_channels=model_channels,
            channel_mult=channel_mult(widths, model_channels),
            num_res_blocks=count,
            attention_resolutions=tuple(
                2**level for level, side in enumerate(sides) if f"enc.{side}x{side}_block0.qkv.weight" in state
            ),
            middle_attention=True,
            num_head_channels=64,
            attention_order="new",
            num_classes=None if label is None else label.shape[1],
            timestep_scale=TIMESTEP_SCALE,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ConversionError(f"the tensors do not make an ADM network: {error}") from error


def convert(state: Mapping[str, np.ndarray], config: UNetConfig) -> Arrays:
    """The tensors of an ADM network as the parameters of a network of `config`.

    Raises:
      ConversionError: If tensors are missing, left over, misshapen or not finite; the text lists them.
    """
    finest = max(int(match[1]) for name in state if (match := re.match(r"enc\.(\d+)x\1_conv\.", name)))
    naming = Naming(_TOP, lambda part: _prefix(part, finest), _FIELDS)
    check_shapes(config, state, naming)
    origin = sources(config, naming)
    for name, (keys, _) in origin.items():
        if ".qkv." in name:
            origin[name] = Source(keys, _split_qkv)
        elif name == "label.embedding":  # a linear layer on one-hot labels
            origin[name] = Source(keys, np.transpose)
    return assemble(state, origin, abstract_params(config), ignored=_is_ignored)


def _is_ignored(key: str) -> bool:
    """Filters that never change, and a layer for the augmentation labels of training."""
    return key.endswith("resample_filter") or key.startswith("map_augment.")


def _split_qkv(value: np.ndarray) -> np.ndarray:
    """Channels (head, channel, q k v) as (q k v, head, channel)."""
    return np.moveaxis(value.reshape(-1, 3, *value.shape[1:]), 1, 0).reshape(value.shape)


def _prefix(part: Part, finest: int) -> str:
    side = finest >> part.level
    if part.kind == "stem":
        return f"enc.{side}x{side}_conv"
    if part.path == "middle":
        return f"dec.{side}x{side}_in{part.index}"
    if part.resamples:  # named after the level that it leads to
        return f"enc.{side // 2}x{side // 2}_down" if part.path == "down" else f"dec.{2 * side}x{2 * side}_up"
    return f"{'enc' if part.path == 'down' else 'dec'}.{side}x{side}_block{part.index}"
