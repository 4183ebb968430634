"""BKSE's blur network (`GOPRO_wVAE.pth`): the weights of `jaxrestore.operators.NonlinearBlur`.

The file also holds the encoder of kernels from pairs of pictures, four fifths of it, which the operator does not need.
"""

from collections.abc import Mapping

import numpy as np

from convert_weights.reading import Arrays, ConversionError
from convert_weights.unet import require
from jaxrestore._store import is_finite
from jaxrestore.operators.neural_blur import blur_shapes

_UNUSED = ("kernel_extractor.", "dip_zk.", "dip_kernel.")
_TRUNK_GAPS = (0, 3, 6, 8)  # of the four convolutions behind the trunk's blocks; shuffles and activations lie between


def convert(state: Mapping[str, np.ndarray]) -> Arrays:
    """A state dict as the weights of a `NonlinearBlur`, renamed and transposed; dtypes are kept.

    Raises:
      ConversionError: If tensors are missing, left over, misshapen or not finite; the text lists them.
    """
    front = sum(name.startswith("feature_extractor.") and name.endswith(".conv1.weight") for name in state)
    back = sum(name.startswith("recon_trunk.") and name.endswith(".conv1.weight") for name in state)
    if "feature_extractor.0.weight" not in state:
        raise ConversionError("this is no BKSE network: it lacks feature_extractor.0.weight")
    shapes = blur_shapes(state["feature_extractor.0.weight"].shape[0], front, back)
    params, problems = {}, []
    unused = {key for key in state if not key.startswith(_UNUSED)}
    for name, expected in shapes.items():
        key = torch_name(name, back)
        unused.discard(key)
        if key not in state:
            problems.append(f"missing {key}")
            continue
        value = _channels_last(state[key], transposed=".up." in name)
        if value.shape != expected.shape:
            problems.append(f"{key} {tuple(state[key].shape)} does not fit {name} {expected.shape}")
        elif not is_finite(value):
            problems.append(f"{key} has values that are not finite")
        params[name] = value
    problems += [f"unexpected {key}" for key in sorted(unused)]
    require(problems, "the state dict is no BKSE blur network")
    return params


def torch_name(name: str, back_blocks: int) -> str:
    """The state dict's key of a weight, e.g. `adapter.down.1.kernel` -> `adapter.model.submodule.down.1.weight`."""
    path, *module, leaf = name.split(".")
    leaf = "weight" if leaf == "kernel" else leaf
    if path == "adapter":
        direction, level = module[0], int(module[1])
        slot = 0 if direction == "down" and level == 0 else 1  # behind an activation, but for the outermost's
        return f"adapter.model.{'submodule.' * level}{direction}.{slot}.{leaf}"
    root = {"features": "feature_extractor", "trunk": "recon_trunk"}[path]
    if module[0] == "blocks":
        first = 6 if path == "features" else 0
        return f"{root}.{first + int(module[1])}.{ {'conv_in': 'conv1', 'conv_out': 'conv2'}[module[2]] }.{leaf}"
    index = int(module[0])
    return f"{root}.{2 * index if path == 'features' else back_blocks + _TRUNK_GAPS[index]}.{leaf}"


def _channels_last(value: np.ndarray, *, transposed: bool) -> np.ndarray:
    if value.ndim != 4:
        return value
    if transposed:  # (in, out, h, w); flipped, so that the operator applies an ordinary convolution
        return value[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    return value.transpose(2, 3, 1, 0)
