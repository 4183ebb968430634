"""The `UNet2DModel` of Hugging Face diffusers, such as google/ddpm-celebahq-256; `pipelines` reads its folder.

The network is the guided-diffusion UNet under other names, with separate q, k, v layers and three details of the
original TensorFlow code: strided convolutions padded at the end, another frequency spacing, and sine before cosine.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from convert_weights.arrays import Arrays, ConversionError
from convert_weights.unet import Naming, Part, Source, assemble, channel_mult, check_shapes, require, sources
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import abstract_params

_TOP = {
    "time_in": "time_embedding.linear_1",
    "time_out": "time_embedding.linear_2",
    "norm_out": "conv_norm_out",
    "conv_out": "conv_out",
    "label": "class_embedding",
}
_FIELDS = {
    "stem": {"conv": ""},
    "res": {
        "norm_in": "norm1",
        "conv_in": "conv1",
        "embedding": "time_emb_proj",
        "norm_out": "norm2",
        "conv_out": "conv2",
        "skip": "conv_shortcut",
    },
    "attention": {"norm": "group_norm", "qkv": "qkv", "projection": "to_out.0"},
    "down": {"conv": "conv"},
    "up": {"conv": "conv"},
}
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # names before 2023

# What the Flax network has no counterpart for; with the value that a missing field stands for.
_REQUIRED: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "act_fn": ("silu", ("silu", "swish")),
    "mid_block_type": ("UNetMidBlock2D", ("UNetMidBlock2D",)),
    "mid_block_scale_factor": (1, (1,)),
    "time_embedding_type": ("positional", ("positional",)),
    "center_input_sample": (False, (False,)),
    "class_embed_type": (None, (None,)),
    "resnet_time_scale_shift": ("default", ("default", "scale_shift")),
    "downsample_padding": (1, (0, 1)),
}
_DOWN = {"DownBlock2D": (False, "conv"), "AttnDownBlock2D": (True, None), "ResnetDownsampleBlock2D": (False, "resnet")}
_UP = {"UpBlock2D": (False, "conv"), "AttnUpBlock2D": (True, None), "ResnetUpsampleBlock2D": (False, "resnet")}


def read_config(config: Mapping[str, Any]) -> UNetConfig:
    """The library's configuration of a UNet2DModel.

    Raises:
      ConversionError: If the model has options without a counterpart; the text lists them.
    """
    try:
        return _read_config(config)
    except ConversionError:
        raise
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise ConversionError(f"config.json does not make a network: {error}") from error


def _read_config(config: Mapping[str, Any]) -> UNetConfig:
    values = {name: config.get(name, default) for name, (default, _) in _REQUIRED.items()}
    problems = [
        f"{name} is {values[name]!r}, expected {' or '.join(map(repr, allowed))}"
        for name, (_, allowed) in _REQUIRED.items()
        if values[name] not in allowed
    ]
    widths = [int(w) for w in config.get("block_out_channels", (224, 448, 672, 896))]
    multipliers = channel_mult(widths, widths[0])  # refuses absurd numbers of levels, for which all else takes long
    down = config.get("down_block_types", ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"))
    up = config.get("up_block_types", ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"))
    problems += [f"block {name} is not supported" for name in (*down, *up) if name not in _DOWN | _UP]
    if not len(widths) == len(down) == len(up):
        problems.append(f"there are {len(widths)} block_out_channels for {len(down)} and {len(up)} blocks")
    if config.get("time_embedding_dim") not in (None, 4 * widths[0]):
        problems.append(f"time_embedding_dim is {config['time_embedding_dim']}, expected {4 * widths[0]}")
    require(problems, "the model is not supported")

    attended = [_DOWN[name][0] for name in down]
    if attended != [_UP[name][0] for name in reversed(up)]:
        problems.append("the levels with attention differ between the down and the up path")
    kinds = {_DOWN[name][1] or config.get("downsample_type", "conv") for name in down[:-1]}
    kinds |= {_UP[name][1] or config.get("upsample_type", "conv") for name in up[:-1]}
    if len(kinds) > 1:
        problems.append("levels are resampled both by residual blocks and by convolutions")
    middle, film = config.get("add_attention", True), values["resnet_time_scale_shift"] == "scale_shift"
    groups = config.get("norm_num_groups", 32)
    if middle and config.get("attn_norm_num_groups") not in ((groups,) if film else (None, groups)):
        problems.append(f"attn_norm_num_groups is {config.get('attn_norm_num_groups')}, expected {groups}")
    require(problems, "the model is not supported")

    return UNetConfig(
        in_channels=config.get("in_channels", 3),
        out_channels=config.get("out_channels", 3),
        model_channels=widths[0],
        channel_mult=multipliers,
        num_res_blocks=config.get("layers_per_block", 2),
        attention_resolutions=tuple(2**level for level, has in enumerate(attended) if has),
        middle_attention=middle,
        num_heads=1,
        num_head_channels=config.get("attention_head_dim", 8),
        attention_order="new",
        num_classes=config.get("num_class_embeds"),
        scale_shift_norm=film,
        resblock_updown=kinds == {"resnet"},
        downsample_padding="both" if values["downsample_padding"] == 1 else "end",
        norm_groups=groups,
        norm_eps=config.get("norm_eps", 1e-5),
        frequency_shift=int(config.get("freq_shift", 0)),
    )


def convert(state: Mapping[str, np.ndarray], config: UNetConfig, *, cosine_first: bool) -> Arrays:
    """The state dict of a UNet2DModel as the parameters of a network of `config`.

    Args:
      state: Name -> array, as PyTorch stores it; attention under its names of today or those before 2023.
      config: From `read_config`.
      cosine_first: The model's `flip_sin_to_cos`.

    Raises:
      ConversionError: If tensors are missing, left over, misshapen or not finite; the text lists them.
    """
    state = modern(state)
    naming = Naming(_TOP, lambda part: _prefix(part, config), _FIELDS)
    check_shapes(config, state, naming)
    origin = sources(config, naming)
    for name, (keys, _) in origin.items():
        if ".qkv." in name:
            parts = tuple(keys[0].replace(".qkv.", f".to_{letter}.") for letter in "qkv")
            origin[name] = Source(parts, lambda *parts: np.concatenate([_matrix(part) for part in parts]))
        elif ".projection." in name:
            origin[name] = Source(keys, _matrix)
        elif name == "time_in.kernel" and not cosine_first:
            origin[name] = Source(keys, lambda weight: np.roll(weight, weight.shape[1] // 2, axis=1))
    return assemble(state, origin, abstract_params(config))


def modern(state: Mapping[str, np.ndarray]) -> Arrays:
    """A state dict under today's names; strided convolutions were once saved under two."""
    return {_modern_name(key): value for key, value in state.items() if ".Conv2d_0." not in key}


def _matrix(weight: np.ndarray) -> np.ndarray:
    """A linear layer's weight; very old files hold 1x1 convolutions."""
    return weight.reshape(weight.shape[:2]) if weight.ndim > 2 else weight


def _modern_name(key: str) -> str:
    *module, part, leaf = ("", *key.split("."))
    if "attentions" in module and part in _OLD_ATTENTION:
        part = _OLD_ATTENTION[part]
    return ".".join(filter(None, (*module, part, leaf)))


def _prefix(part: Part, config: UNetConfig) -> str:
    if part.kind == "stem":
        return "conv_in"
    kind = "attentions" if part.kind == "attention" else "resnets"
    if part.path == "middle":
        return f"mid_block.{kind}.{part.index}"
    block = part.level if part.path == "down" else len(config.channel_mult) - 1 - part.level
    if part.resamples:
        return f"{part.path}_blocks.{block}.{part.path}samplers.0"
    return f"{part.path}_blocks.{block}.{kind}.{part.index}"
