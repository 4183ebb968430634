"""The UNet in PyTorch: the same parameters and the same arithmetic, to train where oneDNN is faster than XLA.

On processors with bfloat16 instructions PyTorch's convolutions use them and XLA's do not. A network that is trained
here becomes a prior of the library by renaming its parameters. Attention, class labels and a learned variance are left
out: the priors that are trained on processors have none.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from convert_weights.arrays import Arrays, ConversionError
from convert_weights.unet import Source, assemble, parts
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import SIGMA_DATA, abstract_params


def require_convolutional(config: UNetConfig) -> None:
    """Raise unless the twin has all that a network of `config` has.

    Raises:
      ConversionError: If the network has attention, classes or a learned variance; the text names what it has.
    """
    has = {
        f"attention_resolutions={config.attention_resolutions}": bool(config.attention_resolutions),
        "middle_attention=True": bool(config.middle_attention),
        f"num_classes={config.num_classes}": config.num_classes is not None,
        f"out_channels={config.out_channels} for in_channels={config.in_channels}": (
            config.out_channels != config.in_channels
        ),
    }
    if present := [setting for setting, is_present in has.items() if is_present]:
        raise ConversionError(
            f"the network has {', '.join(present)}, but the twin has neither attention nor classes nor a learned "
            "variance; train it with `jaxrestore train`"
        )


class _Conv(nn.Conv2d):
    """A convolution that computes in the configuration's dtype; its parameters stay float32."""

    def __init__(self, inputs: int, outputs: int, size: int, *, config: UNetConfig, stride: int = 1) -> None:
        at_end = stride > 1 and config.downsample_padding == "end"
        super().__init__(inputs, outputs, size, stride, padding=0 if at_end else size // 2)
        self.at_end, self.dtype = at_end, getattr(torch, config.dtype)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        x = functional.pad(input, (0, 1, 0, 1)) if self.at_end else input
        weight, bias = self.weight.to(self.dtype), None if self.bias is None else self.bias.to(self.dtype)
        return functional.conv2d(x.to(self.dtype), weight, bias, self.stride, self.padding)


class _GroupNorm(nn.GroupNorm):
    """GroupNorm with SiLU behind it, and between the two what the noise level asks for."""

    def __init__(self, channels: int, *, config: UNetConfig) -> None:
        super().__init__(config.norm_groups, channels, eps=config.norm_eps)

    def forward(
        self, input: torch.Tensor, scale: torch.Tensor | None = None, shift: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`input` normalised, times (1 + scale), plus shift, both (N, C); then SiLU."""
        h = super().forward(input)
        if scale is not None and shift is not None:
            h = torch.addcmul(shift.to(h.dtype)[:, :, None, None], h, (1 + scale).to(h.dtype)[:, :, None, None])
        return functional.silu(h)


def _resample(x: torch.Tensor, direction: str | None) -> torch.Tensor:
    if direction == "down":
        return functional.avg_pool2d(x, 2)
    return functional.interpolate(x, scale_factor=2, mode="nearest") if direction == "up" else x


class _ResBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, config: UNetConfig, direction: str | None) -> None:
        super().__init__()
        self.norm_in = _GroupNorm(inputs, config=config)
        self.conv_in = _Conv(inputs, outputs, 3, config=config)
        self.embedding = nn.Linear(4 * config.model_channels, (1 + config.scale_shift_norm) * outputs)
        self.norm_out = _GroupNorm(outputs, config=config)
        self.conv_out = _Conv(outputs, outputs, 3, config=config)
        self.skip = _Conv(inputs, outputs, 1, config=config) if inputs != outputs else None
        self.film, self.direction = config.scale_shift_norm, direction

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        h = self.conv_in(_resample(self.norm_in(x), self.direction))
        x = _resample(x, self.direction)
        condition = self.embedding(embedding)
        if self.film:
            h = self.norm_out(h, *condition.chunk(2, dim=1))
        else:
            h = self.norm_out(h + condition.to(h.dtype)[:, :, None, None])
        return (x if self.skip is None else self.skip(x)) + self.conv_out(h)


class _Resample(nn.Module):
    def __init__(self, channels: int, direction: str, *, config: UNetConfig) -> None:
        super().__init__()
        stride = 2 if direction == "down" else 1
        self.conv = _Conv(channels, channels, 3, config=config, stride=stride) if config.conv_resample else None
        self.direction = direction

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        if self.conv is None:
            return _resample(x, self.direction)
        return self.conv(x if self.direction == "down" else _resample(x, "up"))


class _Stem(nn.Module):
    def __init__(self, *, config: UNetConfig) -> None:
        super().__init__()
        self.conv = _Conv(config.in_channels * config.patch_size**2, config.widths[0], 3, config=config)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class TwinUNet(nn.Module):
    """`jaxrestore.priors.unet.UNet` for batches whose sides are multiples of `config.stride`, as training's crops are.

    Modules are named as the library names them. Images are (N, H, W, C), as there; inside, tensors are (N, C, H, W) in
    the memory format channels_last, which is the same bytes.

    Raises:
      ConversionError: If the configuration asks for what the twin does not have.
    """

    frequencies: torch.Tensor

    def __init__(self, config: UNetConfig) -> None:
        require_convolutional(config)
        super().__init__()
        self.config = config
        self.time_in = nn.Linear(config.model_channels, 4 * config.model_channels)
        self.time_out = nn.Linear(4 * config.model_channels, 4 * config.model_channels)
        down: list[nn.Module] = []
        middle: list[nn.Module] = []
        up: list[list[nn.Module]] = []
        channels, skips = 0, []
        for part in parts(config):
            width = config.widths[part.level]
            if part.path == "up" and not part.resamples:
                channels += skips.pop()
            if part.kind == "stem":
                module: nn.Module = _Stem(config=config)
            elif part.kind == "res":
                module = _ResBlock(channels, width, config=config, direction=part.path if part.resamples else None)
            else:
                module = _Resample(channels, part.path, config=config)
            if part.path == "down":
                down.append(module)
                skips.append(width)
            elif part.path == "middle":
                middle.append(module)
            elif part.resamples:
                up[-1].append(module)
            else:
                up.append([module])
            channels = width
        self.input_blocks = nn.ModuleList(nn.ModuleList([module]) for module in down)
        self.middle_block = nn.ModuleList(middle)
        self.output_blocks = nn.ModuleList(nn.ModuleList(block) for block in up)
        self.norm_out = _GroupNorm(channels, config=config)
        self.conv_out = _Conv(channels, config.out_channels * config.patch_size**2, 3, config=config)
        half = config.model_channels // 2
        # Rounded where the library rounds, see `jaxrestore.priors.unet.timestep_embedding`.
        exponents = -math.log(10000.0) * np.arange(half, dtype=np.float32) / (half - config.frequency_shift)
        frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)
        self.register_buffer("frequencies", torch.from_numpy(frequencies), persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The network's output for x (N, H, W, in_channels) and t (N,): (N, H, W, out_channels), float32."""
        embedding = self._embed(t * self.config.timestep_scale)
        h, skips = _to_patches(x, self.config.patch_size), []
        for block in self.input_blocks:
            h = _run(block, h, embedding)
            skips.append(h)
        h = _run(self.middle_block, h, embedding)
        for block in self.output_blocks:
            h = _run(block, torch.cat([h, skips.pop()], dim=1), embedding)
        return _from_patches(self.conv_out(self.norm_out(h)).float(), self.config.patch_size)

    def _embed(self, t: torch.Tensor) -> torch.Tensor:
        angles = t[:, None] * self.frequencies
        h = self.time_in(torch.cat([angles.cos(), angles.sin()], dim=1))
        return functional.silu(self.time_out(functional.silu(h)))


def _run(block: nn.Module, h: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    for module in block.children():
        h = module(h, embedding)
    return h


def _to_patches(x: torch.Tensor, patch: int) -> torch.Tensor:
    """(N, H, W, C) to (N, patch^2 C, H / patch, W / patch), channels in the order row, column, colour."""
    n, height, width, channels = x.shape
    x = x.reshape(n, height // patch, patch, width // patch, patch, channels).transpose(2, 3)
    return x.reshape(n, height // patch, width // patch, -1).permute(0, 3, 1, 2)


def _from_patches(x: torch.Tensor, patch: int) -> torch.Tensor:
    """The inverse of `_to_patches`."""
    n, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, height, width, patch, patch, channels // patch**2).transpose(2, 3)
    return x.reshape(n, height * patch, width * patch, -1)


def denoise(network: nn.Module, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """`NetworkPrior.denoise` of the "edm" parametrization for a batch: x (N, H, W, C), sigma (N,)."""
    column = sigma[:, None, None, None]
    c_in = torch.rsqrt(column**2 + SIGMA_DATA**2)
    output = network(c_in * x, 250.0 * torch.log(sigma))
    return (SIGMA_DATA * c_in) ** 2 * x + column * SIGMA_DATA * c_in * output


def denoising_loss(network: nn.Module, clean: torch.Tensor, sigma: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """`jaxrestore.training.denoising_loss` of the "edm" parametrization, with noise that was drawn before.

    Args:
      network: A `TwinUNet`, compiled or not.
      clean: (N, H, W, C) in [-1, 1].
      sigma: (N,), noise levels.
      noise: As `clean`, standard normal.
    """
    column = sigma[:, None, None, None]
    denoised = denoise(network, clean + column * noise, sigma)
    weight = 1 / column**2 + 1 / SIGMA_DATA**2
    return (weight * (denoised - clean).square()).mean()


def to_params(config: UNetConfig, state: Mapping[str, torch.Tensor]) -> Arrays:
    """A state dict of `TwinUNet` under the library's names and in its layout."""
    arrays = {name: value.detach().numpy() for name, value in state.items()}
    origin = {name: Source((_key(name),)) for name in abstract_params(config)}
    params = assemble(arrays, origin, abstract_params(config))
    return {name: np.array(value, order="C") for name, value in params.items()}  # copies: training goes on in place


def from_params(params: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The inverse of `to_params`."""
    state = {}
    for name, value in params.items():
        array = np.asarray(value, np.float32)
        axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, (0,))
        state[_key(name)] = torch.from_numpy(np.array(array.transpose(axes)))
    return state


def _key(name: str) -> str:
    """The twin's name of one of the library's parameters."""
    module, leaf = name.rsplit(".", 1)
    return f"{module}.{'bias' if leaf == 'bias' else 'weight'}"
