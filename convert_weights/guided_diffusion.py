"""guided-diffusion (OpenAI, and the priors of DPS, DPPS and SPGD): state dicts with names such as `input_blocks.1.0`.

The tensors determine almost the whole configuration. What they cannot tell, since it changes no shape, is how the
channels of the attention divide into heads and in which order, and the noise schedule: that comes from a preset or from
the command line.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from convert_weights.arrays import Arrays, ConversionError
from convert_weights.unet import Naming, Source, assemble, channel_mult, check_shapes, differences, require, sources
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import abstract_params

_TOP = {
    "time_in": "time_embed.0",
    "time_out": "time_embed.2",
    "norm_out": "out.0",
    "conv_out": "out.2",
    "label": "label_emb",
}
_FIELDS = {
    "stem": {"conv": ""},
    "res": {
        "norm_in": "in_layers.0",
        "conv_in": "in_layers.2",
        "embedding": "emb_layers.1",
        "norm_out": "out_layers.0",
        "conv_out": "out_layers.3",
        "skip": "skip_connection",
    },
    "attention": {"norm": "norm", "qkv": "qkv", "projection": "proj_out"},
    "down": {"conv": "op"},
    "up": {"conv": "conv"},
}
_NAMING = Naming(_TOP, lambda part: part.name, _FIELDS)  # the library's names of the blocks are OpenAI's


class Preset(NamedTuple):
    """What is published about a checkpoint, beyond its tensors."""

    image_size: int
    noise_schedule: str
    determined: Mapping[str, Any]  # fields that the tensors tell too: a contradiction means another checkpoint
    heads: Mapping[str, Any]  # fields that they do not tell


def _adm(image_size: int, mult: tuple[float, ...], attention: tuple[int, ...], **options: Any) -> Preset:
    """A model of Dhariwal & Nichol 2021; attention resolutions in pixels, as their flags give them."""
    heads = options.pop("heads", {"num_head_channels": 64})
    return Preset(
        image_size,
        options.pop("noise_schedule", "linear"),
        {
            "channel_mult": mult,
            "attention_resolutions": tuple(image_size // side for side in attention),
            "model_channels": 256,
            "num_res_blocks": 2,
            "out_channels": 6,
            "scale_shift_norm": True,
            "resblock_updown": True,
            **options,
        },
        {"attention_order": "legacy", **heads},
    )


# openai/guided-diffusion, README ("Sampling from pre-trained models") and script_util.py (channel multipliers by size);
# FFHQ: the DPS repository's configs/model_config.yaml.
PRESETS = {
    "ffhq256": _adm(256, (1, 1, 2, 2, 4, 4), (16,), model_channels=128, num_res_blocks=1),
    "imagenet64": _adm(
        64,
        (1, 2, 3, 4),
        (32, 16, 8),
        model_channels=192,
        num_res_blocks=3,
        noise_schedule="cosine",
        heads={"num_head_channels": 64, "attention_order": "new"},
    ),
    "imagenet128": _adm(128, (1, 1, 2, 3, 4), (32, 16, 8), heads={"num_heads": 4}),
    "imagenet256": _adm(256, (1, 1, 2, 2, 4, 4), (32, 16, 8)),
    "imagenet512": _adm(512, (0.5, 1, 1, 2, 2, 4, 4), (32, 16, 8)),
    "lsun256": _adm(256, (1, 1, 2, 2, 4, 4), (32, 16, 8)),
}


def convert(state: Mapping[str, np.ndarray], config: UNetConfig) -> Arrays:
    """Rename and transpose a state dict into the parameters of a network of `config`.

    Args:
      state: Name -> array, as PyTorch stores it (convolutions (out, in, h, w), linear layers (out, in)).
      config: Of the network that the state belongs to.

    Returns:
      Name -> array, as `jaxrestore.priors.NetworkPrior` holds it; dtypes are kept.

    Raises:
      ConversionError: If tensors are missing, left over, misshapen or not finite; the text lists them.
    """
    check_shapes(config, state, _NAMING)
    return assemble(state, origin(config), abstract_params(config))


def origin(config: UNetConfig) -> dict[str, Source]:
    """Where each parameter of a network comes from."""
    return sources(config, _NAMING)


def infer_config(state: Mapping[str, np.ndarray], preset: str | None = None, **heads: Any) -> UNetConfig:
    """The configuration of the network that a state dict belongs to.

    Args:
      state: Name -> array; only names and shapes are looked at.
      preset: A name in `PRESETS`, which must not contradict the tensors.
      **heads: `num_heads`, `num_head_channels` or `attention_order`, over those of the preset; None is no choice.

    Raises:
      ConversionError: If the state is no guided-diffusion UNet, contradicts the preset, or has attention and nothing
        says how it divides into heads.
    """
    if preset is not None and preset not in PRESETS:
        raise ConversionError(f"preset is {preset!r}, expected one of {', '.join(PRESETS)}")
    try:
        fields = _read_fields(state)
    except (KeyError, IndexError) as error:
        raise ConversionError(
            f"tensors are missing or have too few axes: the network is not recognised ({error})"
        ) from error
    heads = {name: value for name, value in heads.items() if value is not None}
    known = dict(PRESETS[preset].heads) if preset else {}
    if {"num_heads", "num_head_channels"} & set(heads):
        known = {name: value for name, value in known.items() if name == "attention_order"}
    known |= heads
    has_attention = fields["attention_resolutions"] or fields["middle_attention"]
    if has_attention and not {"num_heads", "num_head_channels"} & set(known):
        raise ConversionError(
            "the network has attention, and its tensors do not tell the number of heads: "
            f"give --preset ({', '.join(PRESETS)}), --num-heads or --num-head-channels"
        )
    try:
        config = UNetConfig(**fields, **(known if has_attention else {}))
    except ValueError as error:
        raise ConversionError(f"the tensors do not make a network: {error}") from error
    if preset is not None:
        require(differences(PRESETS[preset].determined, config), f"this is no {preset} checkpoint")
    return config


def _read_fields(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of `UNetConfig` that names and shapes determine."""
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    needed = ("time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight", "out.2.weight")
    if missing := [name for name in needed if name not in shapes]:
        kind = " (a classifier has no decoder)" if "out.2.weight" in missing and len(missing) == 1 else ""
        raise ConversionError(f"this is no guided-diffusion UNet: it lacks {', '.join(missing)}{kind}")
    model_channels = shapes["time_embed.0.weight"][1]
    in_channels, out_channels = shapes["input_blocks.0.0.weight"][1], shapes["out.2.weight"][0]
    if out_channels not in (in_channels, 2 * in_channels):
        raise ConversionError(f"the network maps {in_channels} channels to {out_channels}: it is no denoiser")
    if in_channels == 6:
        raise ConversionError("the network takes 6 channels: an upsampler, which needs a small picture, is no prior")

    inputs = _modules(shapes, "input_blocks")
    outputs = _modules(shapes, "output_blocks")
    num_blocks = 1 + max(inputs)
    if num_blocks > 2 * len(inputs):  # what has no tensors lies between blocks that have some
        raise ConversionError(f"input blocks are numbered up to {max(inputs)}, but only {len(inputs)} have tensors")
    strided = [i for i in sorted(inputs) if "0.op.weight" in inputs[i]]
    pooled = [i for i in range(num_blocks) if i not in inputs]  # average pooling has no tensors
    doubled = [i for i in sorted(outputs) if any(f"{j}.in_layers.0.weight" in outputs[i] for j in (1, 2))]
    # A level ends where it is resampled: on the way down, or on the way up by a second residual block in one place.
    ends = [i - 1 for i in strided or pooled] or doubled or [num_blocks - 1]
    num_res_blocks = ends[0]
    if num_res_blocks < 1 or num_blocks % (num_res_blocks + 1):
        raise ConversionError(
            f"{num_blocks} input blocks do not divide into levels of {num_res_blocks} residual blocks"
        )

    widths, attention = [], []
    for level in range(num_blocks // (num_res_blocks + 1)):
        names = inputs.get(1 + level * (num_res_blocks + 1), {})
        if "0.out_layers.3.weight" not in names:
            raise ConversionError(f"level {level} has no residual block: tensors are missing")
        widths.append(names["0.out_layers.3.weight"][0])
        if "1.qkv.weight" in names:
            attention.append(2**level)
    first = inputs[1]
    embedding, width = first.get("0.emb_layers.1.weight", (0,))[0], first["0.out_layers.3.weight"][0]
    label = shapes.get("label_emb.weight")
    return {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "model_channels": model_channels,
        "channel_mult": channel_mult(widths, model_channels),
        "num_res_blocks": num_res_blocks,
        "attention_resolutions": tuple(attention),
        "middle_attention": "middle_block.1.qkv.weight" in shapes,
        "num_classes": None if label is None else label[0],
        "scale_shift_norm": embedding == 2 * width,
        "resblock_updown": not strided and not pooled,
        "conv_resample": not pooled,
    }


def _modules(shapes: Mapping[str, tuple[int, ...]], path: str) -> dict[int, dict[str, tuple[int, ...]]]:
    """{block: {rest of the name: shape}} of a path's blocks that have tensors."""
    blocks: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        first, _, rest = name.partition(".")
        number, _, rest = rest.partition(".")
        if first == path and re.fullmatch("[0-9]{1,6}", number):
            blocks.setdefault(int(number), {})[rest] = shape
    return blocks
