"""LPIPS in its three published variants, which are different quantities: "alex", "vgg" and "piq"."""

import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._numerics import safe_norm
from jaxrestore.storage import weights

LPIPSParams = dict[str, jax.Array]
_BUNDLED = pathlib.Path(__file__).parent / "lpips_alexnet.npz"


class _Layer(NamedTuple):
    inputs: int
    outputs: int
    size: int = 3
    stride: int = 1
    padding: int = 1
    pooled: bool = False  # a pooling layer comes before
    listed: bool = True  # the output behind the ReLU counts


class _Network(NamedTuple):
    layers: tuple[_Layer, ...]
    pool: int  # window; the stride is 2
    smallest: int  # side of an image that every layer can see


def _vgg(*stages: tuple[int, ...]) -> tuple[_Layer, ...]:
    layers, inputs = [], 3
    for number, stage in enumerate(stages):
        for i, outputs in enumerate(stage):
            last = i == len(stage) - 1
            layers.append(_Layer(inputs, outputs, pooled=i == 0 and number > 0, listed=last))
            inputs = outputs
    return tuple(layers)


_ALEXNET = _Network(
    (
        _Layer(3, 64, 11, 4, 2),
        _Layer(64, 192, 5, 1, 2, pooled=True),
        _Layer(192, 384, pooled=True),
        _Layer(384, 256),
        _Layer(256, 256),
    ),
    pool=3,
    smallest=31,
)
_VGG16 = _Network(_vgg((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3), pool=2, smallest=16)
NETWORKS = {"alex": _ALEXNET, "vgg": _VGG16}


class _Variant(NamedTuple):
    network: str
    average: bool = False  # average instead of maximum pooling


VARIANTS = {"alex": _Variant("alex"), "vgg": _Variant("vgg"), "piq": _Variant("vgg", average=True)}
_MEAN = np.array([-0.030, -0.088, -0.188], np.float32)  # ImageNet's mean and deviation: (0.485, 0.456, 0.406) on [0, 1]
_STD = np.array([0.458, 0.448, 0.450], np.float32)


def lpips_shapes(network: str) -> dict[str, jax.ShapeDtypeStruct]:
    """Name and shape of every weight of a network, "alex" or "vgg"."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, layer in enumerate(NETWORKS[network].layers):
        shapes[f"features.conv{i}.kernel"] = (layer.size, layer.size, layer.inputs, layer.outputs)
        shapes[f"features.conv{i}.bias"] = (layer.outputs,)
    for i, layer in enumerate(layer for layer in NETWORKS[network].layers if layer.listed):
        shapes[f"heads.{i}.weight"] = (layer.outputs,)
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}


@functools.lru_cache(maxsize=4)
def load_lpips(path: str | os.PathLike[str] | None = None) -> LPIPSParams:
    """Weights for `lpips`, held in float32; pass them as an argument in jitted code.

    Args:
      path: Folder written by `python -m convert_weights lpips`; None gives the bundled AlexNet.

    Raises:
      jaxrestore.WeightsError: If the folder holds none, or is damaged.
    """
    with jax.ensure_compile_time_eval():
        if path is None:
            with np.load(_BUNDLED) as stored:
                return {name: jnp.asarray(stored[name], jnp.float32) for name in stored.files}
        folder = pathlib.Path(path).absolute()
        header = weights.read_header(folder, "lpips", {"network"})
        with weights.understanding(folder, "lpips"):
            shapes = lpips_shapes(header["network"])
        return weights.read_params(folder, header, shapes)


def save_lpips(
    path: str | os.PathLike[str],
    network: str,
    params: Mapping[str, Any],
    *,
    info: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Write LPIPS weights as a folder that `load_lpips` reads; dtypes are kept.

    Raises:
      FileExistsError: If `path` exists and `overwrite` is False.
      jaxrestore.WeightsError: If the weights are not those of the network.
    """
    _checks.one_of("network", network, tuple(NETWORKS))
    description = {"network": network, "info": info or {}}
    return weights.save(path, "lpips", params, lpips_shapes(network), description, overwrite=overwrite)


def weights_for(variant: str, params: LPIPSParams | None) -> LPIPSParams:
    """The given weights, or the bundled ones, if they are those of a variant.

    Raises:
      ValueError: If the variant is unknown, has no bundled weights, or the given ones are those of another network.
    """
    _checks.one_of("variant", variant, tuple(VARIANTS))
    network = VARIANTS[variant].network
    if params is None:
        if network != "alex":
            raise ValueError(
                f"variant {variant!r} needs weights that are not bundled: convert them with `python -m convert_weights "
                f"lpips`, then lpips(a, b, load_lpips(folder), variant={variant!r})"
            )
        params = load_lpips()
    if set(params) != set(lpips_shapes(network)):
        raise ValueError(f"params are not the weights of variant {variant!r} (network {network!r})")
    return params


def lpips(a: jax.Array, b: jax.Array, params: LPIPSParams | None = None, *, variant: str = "alex") -> jax.Array:
    """Learned perceptual distance of images (H, W, 3) in [-1, 1].

    Three quantities go by this name; a figure means nothing without its variant. "alex" and "vgg" are version 0.1 of
    the `lpips` package (Zhang et al.) with AlexNet and VGG16: the scripts of DPS, DPPS and DiffPIR report "vgg". "piq"
    is piq's `LPIPS(replace_pooling=True)`, VGG16 with average pooling, as SPGD, DAPS and InverseBench report it. "alex"
    is the package's own default, which DDPG, MMPS, PiGDM and RED-diff report.

    Args:
      a: Image.
      b: Image of the same shape; sides of at least 31 pixels for "alex", 16 for the others.
      params: Weights from `load_lpips`; in jitted code, None makes the bundled ones constants of the program.
      variant: "alex" (weights bundled), "vgg" or "piq" (the same weights for both, converted by the user).

    Returns:
      (), 0 for equal images; differentiable, with gradient 0 there.

    Raises:
      ValueError: If the two are not colour images of one shape or are too small, or `params` are none for the variant.

    References:
      Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018.
    """
    _checks.one_of("variant", variant, tuple(VARIANTS))
    chosen = VARIANTS[variant]
    network = NETWORKS[chosen.network]
    _checks.image_pair(a, b)
    if a.shape[-1] != 3 or min(a.shape[:2]) < network.smallest:
        raise ValueError(f"a has shape {a.shape}, expected (H, W, 3) with sides of at least {network.smallest}")
    params = weights_for(variant, params)
    total = jnp.float32(0.0)
    for i, (fa, fb) in enumerate(zip(_features(a, params, chosen), _features(b, params, chosen), strict=True)):
        total = total + jnp.mean(jnp.square(_unit(fa) - _unit(fb)) @ params[f"heads.{i}.weight"])
    return total


def _features(x: jax.Array, params: LPIPSParams, variant: _Variant) -> list[jax.Array]:
    """The listed ReLU outputs, each (h, w, channels)."""
    network, outputs = NETWORKS[variant.network], []
    h = ((x - _MEAN) / _STD)[None].astype(params["features.conv0.kernel"].dtype)
    for i, layer in enumerate(network.layers):
        if layer.pooled:
            h = _pool(h, network.pool, average=variant.average)
        h = jax.lax.conv_general_dilated(
            h,
            params[f"features.conv{i}.kernel"],
            (layer.stride, layer.stride),
            ((layer.padding, layer.padding), (layer.padding, layer.padding)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision="highest",
        )
        h = jax.nn.relu(h + params[f"features.conv{i}.bias"])
        if layer.listed:
            outputs.append(h[0])
    return outputs


def _pool(h: jax.Array, window: int, *, average: bool) -> jax.Array:
    dims, strides = (1, window, window, 1), (1, 2, 2, 1)
    if average:
        return jax.lax.reduce_window(h, 0.0, jax.lax.add, dims, strides, "VALID") / window**2
    return jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, dims, strides, "VALID")


def _unit(features: jax.Array) -> jax.Array:
    """Features divided by their norm over channels; where all are 0, the norm's gradient would be infinite."""
    return features / (safe_norm(features, -1, keepdims=True) + 1e-10)
