"""BKSE's blur network (`GOPRO_wVAE.pth`): the weights of `jaxrestore.operators.NonlinearBlur`.

The file also holds the encoder of kernels from pairs of pictures, four fifths of it, which the operator does not need.
"""

from collections.abc import Mapping

import numpy as np

from convert_weights.arrays import Arrays, ConversionError
from convert_weights.unet import Source, assemble
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
    origin = {name: _source(name, back) for name in shapes}
    complaint = "the state dict is no BKSE blur network"
    return assemble(state, origin, shapes, ignored=lambda key: key.startswith(_UNUSED), complaint=complaint)


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


def _source(name: str, back_blocks: int) -> Source:
    keys = (torch_name(name, back_blocks),)
    return Source(keys, _flipped) if ".up." in name else Source(keys)


def _flipped(weight: np.ndarray) -> np.ndarray:
    """A transposed convolution's (in, out, h, w) as the ordinary convolution that the operator applies."""
    return weight[:, :, ::-1, ::-1].swapaxes(0, 1) if weight.ndim == 4 else weight
