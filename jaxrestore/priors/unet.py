"""The guided-diffusion (ADM) UNet in Flax NNX, channels last."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrestore.layers.conv import conv2d
from jaxrestore.layers.group_norm import group_norm
from jaxrestore.priors.config import UNetConfig


def timestep_embedding(t: jax.Array, dim: int, *, frequency_shift: int = 0) -> jax.Array:
    """Sinusoidal features [cos | sin] of real-valued timesteps.

    Args:
      t: (N,), any real numbers; published networks use 0 to 1000.
      dim: Number of features, even.
      frequency_shift: The frequencies are 10000^(-k / (dim / 2 - frequency_shift)), k = 0 .. dim / 2 - 1.

    Returns:
      (N, dim), float32.

    References:
      Vaswani et al. 2017, section 3.5; frequencies as in guided-diffusion (Dhariwal & Nichol 2021).
    """
    half = dim // 2
    # The exponent rounded to float32 as PyTorch has it, the exponential exact: one unit in the last place of a
    # frequency, times t = 999, shows in the published trajectories.
    exponents = -math.log(10000.0) * np.arange(half, dtype=np.float32) / (half - frequency_shift)
    frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)
    angles = t.astype(jnp.float32)[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


@jax.custom_vjp
def _add_up_gradient(h: jax.Array) -> jax.Array:
    """`h`; the gradients that reach it are added up before any is used.

    XLA would fuse the sum into every reader of it, and with it the sums of all outer skip connections, again and again.
    """
    return h


_add_up_gradient.defvjp(lambda h: (h, None), lambda _, g: (jax.lax.optimization_barrier(g),))


class _Conv(nnx.Module):
    """2-D convolution, kernel (K, K, in, out), zero padding K // 2 on both sides (or, strided, all at the end)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        config: UNetConfig,
        rngs: nnx.Rngs,
        stride: int = 1,
        zero: bool = False,
    ) -> None:
        init = nnx.initializers.zeros if zero else nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.kernel = nnx.Param(init(rngs.params(), (size, size, inputs, outputs), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((outputs,), jnp.float32))
        self.stride, self.dtype = stride, config.dtype
        self.at_end = stride > 1 and config.downsample_padding == "end"

    def __call__(self, x: jax.Array) -> jax.Array:
        kernel, x = self.kernel[...].astype(self.dtype), x.astype(self.dtype)
        y = conv2d(x, kernel, stride=self.stride, at_end=self.at_end)
        return y + self.bias[...].astype(self.dtype)


class _GroupNorm(nnx.Module):
    """GroupNorm in float32, with FiLM folded into its affine map, and SiLU if wanted."""

    def __init__(self, channels: int, *, config: UNetConfig, silu: bool = True) -> None:
        self.scale = nnx.Param(jnp.ones((channels,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((channels,), jnp.float32))
        self.groups, self.eps, self.silu = config.norm_groups, config.norm_eps, silu

    def __call__(self, x: jax.Array, scale: jax.Array | float = 0.0, shift: jax.Array | float = 0.0) -> jax.Array:
        """Normalised `x`, times (1 + scale), plus shift; both (N, C)."""
        gain = self.scale[...] * (1.0 + scale)
        offset = self.bias[...] * (1.0 + scale) + shift
        gain, offset = (jnp.broadcast_to(a, (x.shape[0], x.shape[3])) for a in (gain, offset))
        return group_norm(x, gain, offset, self.groups, self.eps, self.silu)


def _avg_pool(x: jax.Array) -> jax.Array:
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def _upsample(x: jax.Array) -> jax.Array:
    n, height, width, channels = x.shape
    repeated = jnp.broadcast_to(x[:, :, None, :, None, :], (n, height, 2, width, 2, channels))
    return repeated.reshape(n, 2 * height, 2 * width, channels)


_RESAMPLE: dict[str | None, Callable[[jax.Array], jax.Array]] = {None: lambda x: x, "down": _avg_pool, "up": _upsample}


class _ResBlock(nnx.Module):
    def __init__(
        self, inputs: int, outputs: int, *, config: UNetConfig, rngs: nnx.Rngs, resample: str | None = None
    ) -> None:
        self.norm_in = _GroupNorm(inputs, config=config)
        self.conv_in = _Conv(inputs, outputs, 3, config=config, rngs=rngs)
        width = 2 * outputs if config.scale_shift_norm else outputs
        self.embedding = nnx.Linear(4 * config.model_channels, width, rngs=rngs)
        self.norm_out = _GroupNorm(outputs, config=config)
        self.conv_out = _Conv(outputs, outputs, 3, config=config, rngs=rngs, zero=True)
        self.skip = _Conv(inputs, outputs, 1, config=config, rngs=rngs) if inputs != outputs else None
        self.film, self.resample = config.scale_shift_norm, resample

    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        resample = _RESAMPLE[self.resample]
        h = self.conv_in(resample(self.norm_in(x)))
        x = resample(x)
        condition = self.embedding(embedding)
        if self.film:
            scale, shift = jnp.split(condition, 2, axis=-1)
            h = self.norm_out(h, scale, shift)
        else:
            h = self.norm_out(h + condition[:, None, None, :].astype(h.dtype))
        h = self.conv_out(h)
        return (x if self.skip is None else self.skip(x)).astype(h.dtype) + h


class _Attention(nnx.Module):
    """Self-attention over all positions, with either published order of the fused q, k, v channels."""

    def __init__(self, channels: int, *, config: UNetConfig, rngs: nnx.Rngs) -> None:
        self.norm = _GroupNorm(channels, config=config, silu=False)
        self.qkv = _Conv(channels, 3 * channels, 1, config=config, rngs=rngs)
        self.projection = _Conv(channels, channels, 1, config=config, rngs=rngs, zero=True)
        width = config.num_head_channels
        self.heads = config.num_heads if width is None else channels // width
        self.order = config.attention_order

    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        n, height, width, channels = x.shape
        positions, head_width = height * width, channels // self.heads
        qkv = self.qkv(self.norm(x))
        if self.order == "legacy":
            q, k, v = jnp.moveaxis(qkv.reshape(n, positions, self.heads, 3, head_width), 3, 0)
        else:
            q, k, v = jnp.moveaxis(qkv.reshape(n, positions, 3, self.heads, head_width), 2, 0)
        h = jax.nn.dot_product_attention(q, k, v)  # scale 1 / sqrt(head width), softmax in float32
        return x + self.projection(h.reshape(x.shape)).astype(x.dtype)


class _Resample(nnx.Module):
    """A resampling layer of its own, with or without a convolution."""

    def __init__(self, channels: int, direction: str, *, config: UNetConfig, rngs: nnx.Rngs) -> None:
        stride = 2 if direction == "down" else 1
        self.conv = (
            _Conv(channels, channels, 3, config=config, rngs=rngs, stride=stride) if config.conv_resample else None
        )
        self.direction = direction

    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        if self.direction == "down":
            return _avg_pool(x) if self.conv is None else self.conv(x)
        return _upsample(x) if self.conv is None else self.conv(_upsample(x))


class _Stem(nnx.Module):
    def __init__(self, *, config: UNetConfig, rngs: nnx.Rngs) -> None:
        inputs = config.in_channels * config.patch_size**2
        self.conv = _Conv(inputs, config.widths[0], 3, config=config, rngs=rngs)

    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        return self.conv(x)


class UNet(nnx.Module):
    """The UNet of guided-diffusion: residual blocks with time conditioning on a down-up path with skips.

    Works on batches: `unet(x, t)` with x (N, H, W, in_channels) and t (N,), real-valued, gives
    (N, H, W, out_channels) in float32; `label` (N,) integers for class-conditional networks. Sides that `config.stride`
    does not divide are reflected up to the next multiple and the result is cropped.

    References:
      Dhariwal & Nichol, Diffusion Models Beat GANs on Image Synthesis, NeurIPS 2021 (arXiv 2105.05233), section 3.
    """

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs) -> None:
        self.config = config
        make = functools.partial
        res, attention, resample = (make(m, config=config, rngs=rngs) for m in (_ResBlock, _Attention, _Resample))
        widths = config.widths
        embedding = 4 * config.model_channels
        self.time_in = nnx.Linear(config.model_channels, embedding, rngs=rngs)
        self.time_out = nnx.Linear(embedding, embedding, rngs=rngs)
        self.label = None if config.num_classes is None else nnx.Embed(config.num_classes, embedding, rngs=rngs)

        def moved(channels: int, direction: str) -> nnx.Module:
            if config.resblock_updown:
                return res(channels, channels, resample=direction)
            return resample(channels, direction)

        down: list[list[nnx.Module]] = [[_Stem(config=config, rngs=rngs)]]
        channels, skips = widths[0], [widths[0]]
        for level, width in enumerate(widths):
            for _ in range(config.num_res_blocks):
                block: list[nnx.Module] = [res(channels, width)]
                channels = width
                if 2**level in config.attention_resolutions:
                    block.append(attention(channels))
                down.append(block)
                skips.append(channels)
            if level + 1 < len(widths):
                down.append([moved(channels, "down")])
                skips.append(channels)

        middle: list[nnx.Module] = [res(channels, channels), res(channels, channels)]
        if config.middle_attention:
            middle.insert(1, attention(channels))

        up: list[list[nnx.Module]] = []
        for level, width in reversed(list(enumerate(widths))):
            for i in range(config.num_res_blocks + 1):
                block = [res(channels + skips.pop(), width)]
                channels = width
                if 2**level in config.attention_resolutions:
                    block.append(attention(channels))
                if level and i == config.num_res_blocks:
                    block.append(moved(channels, "up"))
                up.append(block)

        self.input_blocks = nnx.List([nnx.List(block) for block in down])
        self.middle_block = nnx.List(middle)
        self.output_blocks = nnx.List([nnx.List(block) for block in up])
        self.norm_out = _GroupNorm(channels, config=config)
        self.conv_out = _Conv(
            channels, config.out_channels * config.patch_size**2, 3, config=config, rngs=rngs, zero=True
        )

    def __call__(self, x: jax.Array, t: jax.Array, label: jax.Array | None = None) -> jax.Array:
        height, width = x.shape[1:3]
        stride, patch = self.config.stride, self.config.patch_size
        pads = ((0, 0), (0, -height % stride), (0, -width % stride), (0, 0))
        h = _space_to_depth(jnp.pad(x, pads, mode="reflect"), patch)
        embedding = self._embed(t, label)
        h, skips = h.astype(self.config.dtype), []
        for block in self.input_blocks:
            h = self._run(block, h, embedding)
            skips.append(h)
        h = self._run(self.middle_block, h, embedding)
        for block in self.output_blocks:
            h = self._run(block, jnp.concatenate([h, skips.pop()], axis=-1), embedding)
        h = self.conv_out(self.norm_out(h)).astype(jnp.float32)
        return _depth_to_space(h, patch)[:, :height, :width]

    def _embed(self, t: jax.Array, label: jax.Array | None) -> jax.Array:
        if (label is None) != (self.label is None):
            expected = "no class label" if self.label is None else f"a class label below {self.config.num_classes}"
            raise ValueError(f"label is {label!r}, but this network expects {expected}")
        config = self.config
        t = t.astype(jnp.float32) * config.timestep_scale
        h = timestep_embedding(t, config.model_channels, frequency_shift=config.frequency_shift)
        h = self.time_out(jax.nn.silu(self.time_in(h)))
        if self.label is not None and label is not None:
            h = h + self.label(label)
        return jax.nn.silu(h)  # every block starts with this SiLU, so it is computed once

    def _run(self, block: nnx.List, h: jax.Array, embedding: jax.Array) -> jax.Array:
        for module in block:
            call = nnx.remat(type(module).__call__) if self.config.remat else type(module).__call__
            h = call(module, _add_up_gradient(h), embedding)
        return h


def _space_to_depth(x: jax.Array, patch: int) -> jax.Array:
    n, height, width, channels = x.shape
    x = x.reshape(n, height // patch, patch, width // patch, patch, channels).swapaxes(2, 3)
    return x.reshape(n, height // patch, width // patch, patch * patch * channels)


def _depth_to_space(x: jax.Array, patch: int) -> jax.Array:
    n, height, width, channels = x.shape
    x = x.reshape(n, height, width, patch, patch, channels // patch**2).swapaxes(2, 3)
    return x.reshape(n, height * patch, width * patch, channels // patch**2)
