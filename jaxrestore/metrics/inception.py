"""The Inception network of the FID, fed as its two PyTorch packages do: variants "pytorch-fid" and "torch-fidelity"."""

import functools
import os
import pathlib
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore.storage import weights

InceptionParams = dict[str, jax.Array]
FEATURES = 2048
SIDE = 299  # pixels each way of what the network sees

_Pixels = TypeVar("_Pixels", np.ndarray, jax.Array)
_Convolve = Callable[..., jax.Array]  # (name, x, outputs, size, *, stride, padding) -> x
_HALVED = {"stride": 2, "padding": "VALID"}


class _Variant(NamedTuple):
    centred: bool  # resizing aligns the centres of pixels; otherwise their upper left corners, as TensorFlow 1 does
    middle: float  # 8-bit value that becomes 0
    reach: float  # distance from it that becomes 1


VARIANTS = {"pytorch-fid": _Variant(True, 127.5, 127.5), "torch-fidelity": _Variant(False, 128.0, 128.0)}


@functools.cache
def inception_shapes() -> Mapping[str, jax.ShapeDtypeStruct]:
    """Name and shape of every weight; the names of the layers are torchvision's."""
    shapes: dict[str, jax.ShapeDtypeStruct] = {}

    def note(name: str, x: jax.Array, outputs: int, size: tuple[int, int] = (1, 1), **how: Any) -> jax.Array:
        kernel = shapes[f"{name}.kernel"] = jax.ShapeDtypeStruct((*size, x.shape[-1], outputs), jnp.float32)
        bias = shapes[f"{name}.bias"] = jax.ShapeDtypeStruct((outputs,), jnp.float32)
        return _convolution(x, jnp.zeros(kernel.shape), jnp.zeros(bias.shape), **how)

    jax.eval_shape(lambda x: _network(note, x), jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32))
    return types.MappingProxyType(shapes)


def load_inception(path: str | os.PathLike[str]) -> InceptionParams:
    """Weights for `inception_features` and `fid`, held in float32.

    Args:
      path: Folder written by `python -m convert_weights inception`.

    Raises:
      jaxrestore.WeightsError: If the folder holds none, or is damaged.
    """
    folder = pathlib.Path(path).absolute()
    return weights.read_params(folder, weights.read_header(folder, "inception", set()), inception_shapes())


def save_inception(
    path: str | os.PathLike[str],
    params: Mapping[str, Any],
    *,
    info: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Write Inception weights as a folder that `load_inception` reads; dtypes are kept.

    Raises:
      FileExistsError: If `path` exists and `overwrite` is False.
      jaxrestore.WeightsError: If the weights are not those of the network.
    """
    description = {"info": info or {}}
    return weights.save(path, "inception", params, inception_shapes(), description, overwrite=overwrite)


def inception_features(pictures: jax.Array, params: InceptionParams, *, variant: str) -> jax.Array:
    """What the FID compares: the last average pooling of the Inception network of 2015.

    Both variants use one network with TensorFlow's weights. They differ in what it is shown: "pytorch-fid" resizes with
    the centres of pixels aligned and maps 0 to 255 onto [-1, 1]; "torch-fidelity" resizes as TensorFlow 1 did, half a
    pixel aside, and maps them onto [-1, 127 / 128], as the FID's authors did.

    Args:
      pictures: (N, H, W, 3), uint8, of any size.
      params: Weights from `load_inception`.
      variant: "pytorch-fid" or "torch-fidelity".

    Returns:
      (N, 2048), float32.

    Raises:
      ValueError: If there is no such variant, the pictures are not RGB, or `params` are no Inception weights.
      TypeError: If the pictures are not uint8.

    References:
      Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, NeurIPS 2017.
      Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016.
    """
    return pooled_features(jnp.asarray(prepare(pictures, variant=variant)), check_params(params))


def prepare(pictures: _Pixels, *, variant: str) -> _Pixels:
    """What the network is shown of uint8 pictures (N, H, W, 3): resized without a filter and scaled, in float32.

    NumPy arrays stay on the host, where every size of a mixed collection would not be compiled anew.

    Returns:
      (N, 299, 299, 3).
    """
    _checks.one_of("variant", variant, tuple(VARIANTS))
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or 0 in pictures.shape:
        raise ValueError(f"pictures has shape {pictures.shape}, expected (N, H, W, 3)")
    if pictures.dtype != np.uint8:
        raise _checks.InputTypeError(
            f"pictures has dtype {pictures.dtype}, expected uint8; for [-1, 1] use jaxrestore.images.to_uint8"
        )
    how = VARIANTS[variant]
    x = pictures.astype(np.float32)
    left, right, share = _taps(x.shape[2], centred=how.centred)
    x = x[:, :, left] + (x[:, :, right] - x[:, :, left]) * share[:, None]
    upper, lower, share = _taps(x.shape[1], centred=how.centred)
    x = x[:, upper] + (x[:, lower] - x[:, upper]) * share[:, None, None]
    return (x - np.float32(how.middle)) / np.float32(how.reach)


def _taps(length: int, *, centred: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels between which each of the 299 lies, and the share of the second.

    float32 as in the packages: a product that rounds across a whole number takes other pixels.
    """
    step, places = np.float32(length / SIDE), np.arange(SIDE, dtype=np.float32)
    half = np.float32(0.5)
    places = np.maximum((places + half) * step - half, 0) if centred else places * step
    first = places.astype(np.int32)
    return first, np.minimum(first + 1, length - 1), places - first.astype(np.float32)


def check_params(params: InceptionParams) -> InceptionParams:
    """`params`, if they have the names and shapes of Inception weights.

    Raises:
      ValueError: If they have not.
    """
    expected = inception_shapes()
    unfit = [name for name in expected if name not in params or params[name].shape != expected[name].shape]
    if unfit or len(params) != len(expected):
        raise ValueError(
            f"params has {len(params)} arrays, of which {len(expected) - len(unfit)} fit the Inception network of "
            f"{len(expected)}; convert its weights with `python -m convert_weights inception`, then load_inception"
        )
    return params


@jax.jit
def pooled_features(prepared: jax.Array, params: InceptionParams) -> jax.Array:
    """Features (N, 2048) of what `prepare` returns."""

    def convolve(name: str, x: jax.Array, outputs: int, size: tuple[int, int] = (1, 1), **how: Any) -> jax.Array:
        return _convolution(x, params[f"{name}.kernel"], params[f"{name}.bias"], **how)

    return _network(convolve, prepared)


def _convolution(
    x: jax.Array, kernel: jax.Array, bias: jax.Array, *, stride: int = 1, padding: str = "SAME"
) -> jax.Array:
    """With the ReLU behind it. The batch normalisation between the two is part of kernel and bias since conversion."""
    axes = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=axes, precision="highest"
    )  # a GPU's default, TF32, would move features by 1e-3
    return jax.nn.relu(x + bias)


def _network(convolve: _Convolve, x: jax.Array) -> jax.Array:
    """The layers in their order; the names of the blocks are those of the papers and of torchvision."""

    def layer_of(block: str) -> _Convolve:
        return lambda name, *arguments, **how: convolve(f"{block}.{name}", *arguments, **how)

    x = convolve("Conv2d_1a_3x3", x, 32, (3, 3), **_HALVED)
    x = convolve("Conv2d_2a_3x3", x, 32, (3, 3), padding="VALID")
    x = convolve("Conv2d_2b_3x3", x, 64, (3, 3))
    x = _max_pool(x, **_HALVED)
    x = convolve("Conv2d_3b_1x1", x, 80)
    x = convolve("Conv2d_4a_3x3", x, 192, (3, 3), padding="VALID")
    x = _max_pool(x, **_HALVED)  # (N, 35, 35, 192)
    for block, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x = _block_a(layer_of(block), x, pooled)
    x = _block_b(layer_of("Mixed_6a"), x)  # (N, 17, 17, 768)
    for block, inner in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        x = _block_c(layer_of(block), x, inner)
    x = _block_d(layer_of("Mixed_7a"), x)  # (N, 8, 8, 1280)
    x = _block_e(layer_of("Mixed_7b"), x, _average_pool(x))
    # A maximum here and an average in all other blocks: a slip of the network of 2015, which every FID has in it.
    x = _block_e(layer_of("Mixed_7c"), x, _max_pool(x, stride=1, padding="SAME"))
    return x.mean((1, 2))


def _block_a(layer: _Convolve, x: jax.Array, pooled: int) -> jax.Array:
    fives = layer("branch5x5_2", layer("branch5x5_1", x, 48), 64, (5, 5))
    threes = layer("branch3x3dbl_2", layer("branch3x3dbl_1", x, 64), 96, (3, 3))
    threes = layer("branch3x3dbl_3", threes, 96, (3, 3))
    return _joined(layer("branch1x1", x, 64), fives, threes, layer("branch_pool", _average_pool(x), pooled))


def _block_b(layer: _Convolve, x: jax.Array) -> jax.Array:
    threes = layer("branch3x3dbl_2", layer("branch3x3dbl_1", x, 64), 96, (3, 3))
    threes = layer("branch3x3dbl_3", threes, 96, (3, 3), **_HALVED)
    return _joined(layer("branch3x3", x, 384, (3, 3), **_HALVED), threes, _max_pool(x, **_HALVED))


def _block_c(layer: _Convolve, x: jax.Array, inner: int) -> jax.Array:
    once = layer("branch7x7_2", layer("branch7x7_1", x, inner), inner, (1, 7))
    once = layer("branch7x7_3", once, 192, (7, 1))
    twice = layer("branch7x7dbl_1", x, inner)
    for step, (outputs, size) in enumerate(((inner, (7, 1)), (inner, (1, 7)), (inner, (7, 1)), (192, (1, 7))), 2):
        twice = layer(f"branch7x7dbl_{step}", twice, outputs, size)
    return _joined(layer("branch1x1", x, 192), once, twice, layer("branch_pool", _average_pool(x), 192))


def _block_d(layer: _Convolve, x: jax.Array) -> jax.Array:
    threes = layer("branch3x3_2", layer("branch3x3_1", x, 192), 320, (3, 3), **_HALVED)
    sevens = layer("branch7x7x3_2", layer("branch7x7x3_1", x, 192), 192, (1, 7))
    sevens = layer("branch7x7x3_4", layer("branch7x7x3_3", sevens, 192, (7, 1)), 192, (3, 3), **_HALVED)
    return _joined(threes, sevens, _max_pool(x, **_HALVED))


def _block_e(layer: _Convolve, x: jax.Array, pooled: jax.Array) -> jax.Array:
    once = layer("branch3x3_1", x, 384)
    twice = layer("branch3x3dbl_2", layer("branch3x3dbl_1", x, 448), 384, (3, 3))
    return _joined(
        layer("branch1x1", x, 320),
        layer("branch3x3_2a", once, 384, (1, 3)),
        layer("branch3x3_2b", once, 384, (3, 1)),
        layer("branch3x3dbl_3a", twice, 384, (1, 3)),
        layer("branch3x3dbl_3b", twice, 384, (3, 1)),
        layer("branch_pool", pooled, 192),
    )


def _joined(*branches: jax.Array) -> jax.Array:
    return jnp.concatenate(branches, -1)


def _max_pool(x: jax.Array, *, stride: int, padding: str) -> jax.Array:
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, stride, stride, 1), padding)


def _average_pool(x: jax.Array) -> jax.Array:
    """Mean over a pixel and those of its neighbours that exist: what lies outside is not counted as zeros."""

    def total(a: jax.Array) -> jax.Array:
        return jax.lax.reduce_window(a, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")

    return total(x) / total(jnp.ones((1, *x.shape[1:3], 1)))
