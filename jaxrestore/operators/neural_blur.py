"""Nonlinear blur: the neural blur model BKSE, driven by a kernel code."""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.layers.conv import conv2d
from jaxrestore.operators._base import OperatorBase, set_shape
from jaxrestore.storage import weights

STRIDE = 128  # pixels of a side that one value of the code's grid covers
_LEVELS = (1, 2, 4, 8, 8)  # channels of the adapter's levels, times the base channels
BlurParams = dict[str, jax.Array]


@pytree
class NonlinearBlur(OperatorBase):
    """A learned, spatially varying, nonlinear blur of camera shake: clip(x + G(F(x), code), 0, 1) on [0, 1].

    F extracts features at a quarter of the size, five nested down-up levels mix them with the kernel code, and G goes
    back to the full size. Codes are drawn by `random_blur_code`; equal codes blur alike.

    Raises:
      ValueError: If a side is no multiple of 128, or (when called) the code or the weights have other shapes.

    References:
      Tran et al., Explore Image Deblurring via Encoded Blur Kernel Space, CVPR 2021 (BKSE); as a degradation:
      Chung et al., Diffusion Posterior Sampling, ICLR 2023, section 4.
    """

    linear: ClassVar[bool] = False

    image_shape: tuple[int, int, int] = static()
    params: BlurParams  # from `load_nonlinear_blur`
    code: jax.Array  # (H / 128, W / 128, 8 channels), standard normal at intensity 1

    def __post_init__(self) -> None:
        set_shape(self)
        _check_image_shape(self.image_shape)

    def _apply(self, x: jax.Array) -> jax.Array:
        _checks.array("code", self.code, code_shape(self.image_shape, self.params))
        image = (x[None] + 1) / 2
        params, code = jax.tree.map(lambda a: like(x, a), (self.params, self.code[None]))
        features = _features(image, params)
        blurred = image + _trunk(_adapter(features, code, params), params)
        return jnp.clip(2 * blurred - 1, -1.0, 1.0)[0]


def _check_image_shape(shape: tuple[int, int, int]) -> None:
    if shape[2] != 3 or shape[0] % STRIDE or shape[1] % STRIDE:
        raise ValueError(f"image_shape is {shape}, expected colour images with sides that are multiples of {STRIDE}")


def code_shape(image_shape: tuple[int, int, int], params: Mapping[str, Any]) -> tuple[int, int, int]:
    """Shape of the kernel code for images of one shape."""
    channels = params["features.0.bias"].shape[0]
    return (image_shape[0] // STRIDE, image_shape[1] // STRIDE, _LEVELS[-1] * channels)


def random_blur_code(
    key: jax.Array, image_shape: tuple[int, int, int], params: Mapping[str, Any], *, intensity: float = 1.2
) -> jax.Array:
    """A kernel code, normal with standard deviation `intensity` (1.2 in the code of DPS); (H / 128, W / 128, 8 C).

    Raises:
      ValueError: If a side is no multiple of 128, or `intensity` is negative.
    """
    shape = _checks.image_shape("image_shape", image_shape)
    _check_image_shape(shape)
    _checks.not_negative("intensity", intensity)
    return intensity * jax.random.normal(key, code_shape(shape, params))


def blur_shapes(channels: int, front_blocks: int, back_blocks: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Name and shape of every weight; the published network has 64 channels, 10 blocks in front and 20 behind."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, inputs: int, outputs: int, size: int = 3, *, bias: bool = True) -> None:
        shapes[f"{name}.kernel"] = (size, size, inputs, outputs)
        if bias:
            shapes[f"{name}.bias"] = (outputs,)

    def blocks(path: str, count: int) -> None:
        for i in range(count):
            conv(f"{path}.blocks.{i}.conv_in", channels, channels)
            conv(f"{path}.blocks.{i}.conv_out", channels, channels)

    for i in range(3):
        conv(f"features.{i}", 3 if i == 0 else channels, channels)
    blocks("features", front_blocks)
    widths = [mult * channels for mult in _LEVELS]
    for level, width in enumerate(widths):
        outer = widths[level - 1] if level else channels
        conv(f"adapter.down.{level}", outer, width, 4, bias=False)
        conv(f"adapter.up.{level}", 2 * width, outer, 4, bias=level == 0)
    blocks("trunk", back_blocks)
    for i, (inputs, outputs) in enumerate(((channels, 4 * channels), (channels, 256), (64, 64), (64, 3))):
        conv(f"trunk.{i}", inputs, outputs)
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}


def _convolve(x: jax.Array, params: BlurParams, name: str, stride: int = 1) -> jax.Array:
    return conv2d(x, params[f"{name}.kernel"], stride=stride) + params[f"{name}.bias"]


def _residual_blocks(h: jax.Array, params: BlurParams, path: str) -> jax.Array:
    count = sum(name.startswith(f"{path}.blocks.") and name.endswith("conv_in.kernel") for name in params)
    for i in range(count):
        name = f"{path}.blocks.{i}"
        h = h + _convolve(jax.nn.relu(_convolve(h, params, f"{name}.conv_in")), params, f"{name}.conv_out")
    return h


def _features(h: jax.Array, params: BlurParams) -> jax.Array:
    for i, stride in enumerate((1, 2, 2)):
        h = jax.nn.leaky_relu(_convolve(h, params, f"features.{i}", stride), 0.1)
    return _residual_blocks(h, params, "features")


def _adapter(h: jax.Array, code: jax.Array, params: BlurParams, level: int = 0) -> jax.Array:
    """One level of the nested down-up path; the skip carries the input behind the leaky ReLU, as published."""
    skip = h if level == 0 else jax.nn.leaky_relu(h, 0.2)
    h = _resample(skip, params[f"adapter.down.{level}.kernel"], down=True)
    innermost = level + 1 == len(_LEVELS)
    h = jnp.concatenate([h, code], axis=-1) if innermost else _adapter(h, code, params, level + 1)
    h = _resample(jax.nn.relu(h), params[f"adapter.up.{level}.kernel"], down=False)
    if level == 0:
        return jnp.tanh(h + params["adapter.up.0.bias"])
    return jnp.concatenate([h, skip], axis=-1)


def _resample(x: jax.Array, kernel: jax.Array, *, down: bool) -> jax.Array:
    """A 4x4 convolution of stride 2, or the transposed one with the kernel already flipped."""
    padding, stride, dilation = ((1, 1), 2, 1) if down else ((2, 2), 1, 2)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        (padding, padding),
        lhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _pixel_shuffle(x: jax.Array) -> jax.Array:
    n, height, width, channels = x.shape
    x = x.reshape(n, height, width, channels // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, 2 * height, 2 * width, channels // 4)


def _trunk(h: jax.Array, params: BlurParams) -> jax.Array:
    h = _residual_blocks(h, params, "trunk")
    for i in (0, 1):
        h = jax.nn.leaky_relu(_pixel_shuffle(_convolve(h, params, f"trunk.{i}")), 0.1)
    h = jax.nn.leaky_relu(_convolve(h, params, "trunk.2"), 0.1)
    return _convolve(h, params, "trunk.3")


def describe_blur(params: Mapping[str, Any]) -> dict[str, int]:
    """The arguments of `blur_shapes` that fit a set of weights."""

    def count(path: str) -> int:
        return len({match[1] for name in params if (match := re.match(rf"{path}\.blocks\.(\d+)\.", name))})

    channels = params["features.0.bias"].shape[0] if "features.0.bias" in params else 64
    return {"channels": int(channels), "front_blocks": count("features"), "back_blocks": count("trunk")}


def save_nonlinear_blur(
    path: str | os.PathLike[str],
    params: Mapping[str, Any],
    *,
    info: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Write the weights of a `NonlinearBlur` as a folder that `load_nonlinear_blur` reads; dtypes are kept.

    Raises:
      FileExistsError: If `path` exists and `overwrite` is False.
      jaxrestore.WeightsError: If the weights are not those of a `NonlinearBlur`.
    """
    config = describe_blur(params)
    description = {"config": config, "info": info or {}}
    return weights.save(path, "blur", params, blur_shapes(**config), description, overwrite=overwrite)


def load_nonlinear_blur(path: str | os.PathLike[str]) -> BlurParams:
    """The weights of a `NonlinearBlur`, from a folder written by `python -m convert_weights bkse`; float32.

    Raises:
      jaxrestore.WeightsError: If the folder holds none, or is damaged.
    """
    path = pathlib.Path(path).absolute()
    header = weights.read_header(path, "blur", {"config"})
    with weights.understanding(path, "blur"):
        shapes = blur_shapes(**header["config"])
    return weights.read_params(path, header, shapes)
