"""What all UNet formats share: where this library's parameters come from in a state dict."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from convert_weights.reading import Arrays, ConversionError
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import abstract_params
from jaxrestore.storage.weights import is_finite, summary

_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}


class Part(NamedTuple):
    """One module of the UNet's down path, middle or up path."""

    name: str  # this library's, e.g. "input_blocks.4.0"
    kind: str  # "stem", "res", "attention", "down" or "up" (resampling layers that are no residual block)
    path: str  # "down", "middle" or "up"
    level: int  # 0 is the finest
    index: int  # within its level
    resamples: bool = False  # a residual block, or a layer, that leads to another level


class Source(NamedTuple):
    """The tensors that one parameter is made of."""

    keys: tuple[str, ...]
    combine: Callable[..., np.ndarray] = lambda tensor: tensor  # in PyTorch's layout


def parts(config: UNetConfig) -> Iterator[Part]:
    """The modules of a UNet, in the order in which `jaxrestore.priors.unet.UNet` makes them."""
    levels, count = len(config.channel_mult), config.num_res_blocks
    attended = {level for level in range(levels) if 2**level in config.attention_resolutions}
    yield Part("input_blocks.0.0", "stem", "down", 0, 0)
    block = 1
    for level in range(levels):
        for i in range(count):
            yield Part(f"input_blocks.{block}.0", "res", "down", level, i)
            if level in attended:
                yield Part(f"input_blocks.{block}.1", "attention", "down", level, i)
            block += 1
        if level + 1 < levels:
            kind = "res" if config.resblock_updown else "down"
            yield Part(f"input_blocks.{block}.0", kind, "down", level, count, resamples=True)
            block += 1
    yield Part("middle_block.0", "res", "middle", levels - 1, 0)
    if config.middle_attention:
        yield Part("middle_block.1", "attention", "middle", levels - 1, 0)
    yield Part(f"middle_block.{1 + bool(config.middle_attention)}", "res", "middle", levels - 1, 1)
    block = 0
    for level in reversed(range(levels)):
        for i in range(count + 1):
            yield Part(f"output_blocks.{block}.0", "res", "up", level, i)
            if level in attended:
                yield Part(f"output_blocks.{block}.1", "attention", "up", level, i)
            if level and i == count:
                kind = "res" if config.resblock_updown else "up"
                yield Part(f"output_blocks.{block}.{1 + (level in attended)}", kind, "up", level, i, resamples=True)
            block += 1


def sources(
    config: UNetConfig,
    *,
    top: Mapping[str, str],
    prefix: Callable[[Part], str],
    fields: Mapping[str, Mapping[str, str]],
) -> dict[str, Source]:
    """One source for each parameter of a network, from a format's names.

    Args:
      config: Of the network.
      top: The format's name of each module outside the blocks, e.g. {"time_in": "time_embed.0", ...}.
      prefix: The format's name of a part.
      fields: For each kind of part, the format's name of each of its modules, e.g. {"res": {"norm_in": "norm1"}}.
    """
    found, by_name = {}, {part.name: part for part in parts(config)}
    for name in abstract_params(config):
        *module, leaf = name.split(".")
        if len(module) == 1:
            key = top[module[0]]
        else:
            part = by_name[".".join(module[:-1])]
            key = ".".join(filter(None, (prefix(part), fields[part.kind][module[-1]])))
        found[name] = Source((f"{key}.{_LEAVES[leaf]}",))
    return found


def assemble(
    state: Mapping[str, np.ndarray],
    origin: Mapping[str, Source],
    expected: Mapping[str, Any],
    *,
    ignored: Callable[[str], bool] = lambda key: False,
    complaint: str = "the state dict does not fit the configuration",
) -> Arrays:
    """The parameters of a network, renamed and transposed; dtypes are kept.

    Args:
      state: Name -> array, as PyTorch stores it (convolutions (out, in, h, w), linear layers (out, in)).
      origin: Where each parameter comes from.
      expected: Shape of each parameter.
      ignored: Tells of a name in `state` whether it may be left over.
      complaint: Beginning of the error's text.

    Raises:
      ConversionError: If tensors are missing, left over, misshapen or not finite; the text lists them.
    """
    params, problems = {}, []
    unused = {key for key in state if not ignored(key)}
    for name, parameter in expected.items():
        keys, combine = origin[name]
        unused.difference_update(keys)
        if missing := [key for key in keys if key not in state]:
            problems += [f"missing {key}" for key in missing]
            continue
        try:
            value = to_channels_last(combine(*(state[key] for key in keys)), parameter.shape, name)
        except ValueError:
            value = None
        if value is None or value.shape != parameter.shape:
            shapes = ", ".join(f"{key} {tuple(state[key].shape)}" for key in keys)
            problems.append(f"{shapes} does not fit {name} {parameter.shape}")
        elif not is_finite(value):
            problems.append(f"{', '.join(keys)} has values that are not finite")
        else:
            params[name] = value
    problems += [f"unexpected {key}" for key in sorted(unused)]
    require(problems, complaint)
    return params


def to_channels_last(value: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """A PyTorch tensor in this library's layout: a view, not a copy."""
    if name.endswith(".embedding") or value.ndim < 2:
        return value
    if value.ndim == 4:  # (out, in, h, w) -> (h, w, in, out)
        return value.transpose(2, 3, 1, 0)
    value = value[..., 0] if value.ndim == 3 else value  # 1-D convolutions of attention are (out, in, 1)
    return value.T[None, None] if len(shape) == 4 else value.T


def channel_mult(widths: Sequence[int], model_channels: int) -> tuple[float, ...]:
    """`UNetConfig.channel_mult` for the channels of each level; integers where they are."""
    ratios = [width / model_channels for width in widths]
    return tuple(int(ratio) if ratio == int(ratio) else ratio for ratio in ratios)


def require(problems: list[str], what: str) -> None:
    """Raise a `ConversionError` if there are problems."""
    if problems:
        raise ConversionError(f"{what}: {summary(problems, 12)}")


def differences(expected: Mapping[str, Any], found: UNetConfig) -> list[str]:
    """The fields in which a configuration is not what was expected."""
    return [
        f"{name} is {getattr(found, name)}, expected {value}"
        for name, value in expected.items()
        if getattr(found, name) != value
    ]
