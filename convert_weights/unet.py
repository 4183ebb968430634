"""What all UNet formats share: where this library's parameters come from in a state dict."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from convert_weights.arrays import Arrays, ConversionError, is_real
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import abstract_params
from jaxrestore.storage.weights import is_finite, summary

UNFIT = "the state dict does not fit the configuration"
_ENOUGH = 12  # problems that are listed
_MOST_LEVELS = 16  # the coarsest of which would need pictures of 32768 pixels
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


class Naming(NamedTuple):
    """A format's names."""

    top: Mapping[str, str]  # of each module outside the blocks, e.g. {"time_in": "time_embed.0", ...}
    prefix: Callable[[Part], str]  # of a part
    fields: Mapping[str, Mapping[str, str]]  # of each module of each kind of part, e.g. {"res": {"norm_in": "norm1"}}

    def module(self, part: Part, field: str) -> str:
        """The format's name of a module of a part."""
        return ".".join(filter(None, (self.prefix(part), self.fields[part.kind][field])))


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


def check_shapes(config: UNetConfig, state: Mapping[str, np.ndarray], naming: Naming) -> None:
    """Hold a configuration against what is stored: one tensor of every module.

    Building the network of an absurd configuration takes minutes and gigabytes; this stops at the first differences.

    Raises:
      ConversionError: If tensors that the configuration asks for are missing, or have other channels.
    """
    problems: list[str] = []
    embedding, patch = 4 * config.model_channels, config.patch_size**2
    _expect(problems, state, f"{naming.top['time_in']}.weight", (embedding, config.model_channels))
    _expect(problems, state, f"{naming.top['conv_out']}.weight", (config.out_channels * patch, config.widths[0]))
    if config.num_classes is not None:
        label = f"{naming.top['label']}.weight"
        if label not in state or config.num_classes not in state[label].shape:
            problems.append(f"{label} is missing or not of {config.num_classes} classes")
    for part in parts(config):
        width = config.widths[part.level]
        if part.kind == "stem":
            _expect(problems, state, f"{naming.module(part, 'conv')}.weight", (width, config.in_channels * patch))
        elif part.kind == "res":
            _expect(problems, state, f"{naming.module(part, 'conv_in')}.weight", (width,))
        elif part.kind == "attention":
            _expect(problems, state, f"{naming.module(part, 'norm')}.weight", (width,))
        elif config.conv_resample:
            _expect(problems, state, f"{naming.module(part, 'conv')}.weight", (width, width))
        if len(problems) >= _ENOUGH:
            break
    require(problems, UNFIT)


def _expect(problems: list[str], state: Mapping[str, np.ndarray], key: str, axes: tuple[int, ...]) -> None:
    """Note a tensor that is missing, or whose first axes have other lengths."""
    if key not in state:
        problems.append(f"missing {key}")
    elif state[key].shape[: len(axes)] != axes:
        problems.append(f"{key} has shape {state[key].shape}, expected {', '.join(map(str, axes))} first")


def sources(config: UNetConfig, naming: Naming) -> dict[str, Source]:
    """One source for each parameter of a network, from a format's names."""
    found, by_name = {}, {part.name: part for part in parts(config)}
    for name in abstract_params(config):
        *part, module, leaf = name.split(".")
        key = naming.module(by_name[".".join(part)], module) if part else naming.top[module]
        found[name] = Source((f"{key}.{_LEAVES[leaf]}",))
    return found


def assemble(
    state: Mapping[str, np.ndarray],
    origin: Mapping[str, Source],
    expected: Mapping[str, Any],
    *,
    ignored: Callable[[str], bool] = lambda key: False,
    complaint: str = UNFIT,
) -> Arrays:
    """The parameters of a network, renamed and transposed; dtypes are kept.

    Args:
      state: Name -> array, as PyTorch stores it (convolutions (out, in, h, w), linear layers (out, in)).
      origin: Where each parameter comes from.
      expected: Shape of each parameter.
      ignored: Tells of a name in `state` whether it may be left over.
      complaint: Beginning of the error's text.

    Raises:
      ConversionError: If tensors are missing, left over, misshapen, not finite, or no floating-point numbers; the text
        lists them.
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
        elif not all(is_real(state[key]) for key in keys):
            problems.append(f"{', '.join(keys)} has dtype {state[keys[0]].dtype}, expected real numbers with fractions")
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
    """`UNetConfig.channel_mult` for the channels of each level; integers where they are.

    Raises:
      ConversionError: If there are no levels, absurdly many, or no channels.
    """
    if not 1 <= len(widths) <= _MOST_LEVELS or min(model_channels, *widths) < 1:
        raise ConversionError(
            f"there are {len(widths)} levels of {summary([str(width) for width in widths])} channels, expected 1 to "
            f"{_MOST_LEVELS} levels"
        )
    ratios = [width / model_channels for width in widths]
    return tuple(int(ratio) if ratio == int(ratio) else ratio for ratio in ratios)


def require(problems: list[str], what: str) -> None:
    """Raise a `ConversionError` if there are problems."""
    if problems:
        raise ConversionError(f"{what}: {summary(problems, _ENOUGH)}")


def differences(expected: Mapping[str, Any], found: UNetConfig) -> list[str]:
    """The fields in which a configuration is not what was expected."""
    return [
        f"{name} is {getattr(found, name)}, expected {value}"
        for name, value in expected.items()
        if getattr(found, name) != value
    ]
