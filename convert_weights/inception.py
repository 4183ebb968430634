"""The Inception network of the FID: the weights of `jaxrestore.metrics.fid`.

pytorch-fid's `pt_inception-2015-12-05-6726825d.pth` and torch-fidelity's `weights-inception-2015-12-05-6726825d.pth`
have the same names, those of torchvision's `Inception3`, which both packages took over for their networks.
"""

from collections.abc import Mapping

import numpy as np

from convert_weights.arrays import Arrays, ConversionError
from convert_weights.unet import Source, assemble
from jaxrestore.metrics.inception import inception_shapes

_EPSILON = 1e-3  # added to the variance by every batch normalisation of the network
_CLASSES = 1008  # of TensorFlow's network of 2015; torchvision's own has 1000
_UNUSED = ("fc.", "AuxLogits.")
_NORMALISATION = ("weight", "bias", "running_mean", "running_var")


def convert(state: Mapping[str, np.ndarray]) -> Arrays:
    """A state dict as the weights of `jaxrestore.metrics.fid`, with batch normalisation folded into the convolutions.

    Raises:
      ConversionError: If tensors are missing, left over, misshapen or not finite (the text lists them), or the network
        is torchvision's own, whose distances are others.
    """
    if "Conv2d_1a_3x3.conv.weight" not in state:
        raise ConversionError("this is no Inception network: it lacks Conv2d_1a_3x3.conv.weight")
    head = state.get("fc.weight")
    if head is not None and head.shape[:1] != (_CLASSES,):
        raise ConversionError(
            f"fc.weight has shape {head.shape}, expected {_CLASSES} rows: this is not the network of the FID, though "
            "its other tensors have the same shapes; give the file that pytorch-fid or torch-fidelity downloads"
        )
    shapes = inception_shapes()
    return assemble(
        state,
        {name: _source(name) for name in shapes},
        shapes,
        ignored=lambda key: key.startswith(_UNUSED) or key.endswith(".num_batches_tracked"),
        complaint="the state dict is not the Inception network of the FID",
    )


def _source(name: str) -> Source:
    layer, _, leaf = name.rpartition(".")
    weight, shift, mean, variance = (f"{layer}.bn.{field}" for field in _NORMALISATION)
    if leaf == "kernel":
        return Source((f"{layer}.conv.weight", weight, variance), _kernel)
    return Source((weight, shift, mean, variance), _bias)


def _kernel(convolution: np.ndarray, weight: np.ndarray, variance: np.ndarray) -> np.ndarray:
    factor = _factor(weight, variance)
    if convolution.shape[:1] != factor.shape:  # would be spread over the channels otherwise
        raise ValueError("a convolution and its normalisation have different channels")
    return (convolution * factor[:, None, None, None]).astype(np.float32)


def _bias(weight: np.ndarray, shift: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    if not weight.shape == shift.shape == mean.shape:
        raise ValueError("the tensors of a normalisation have different channels")
    return (shift - mean * _factor(weight, variance)).astype(np.float32)


def _factor(weight: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """What a normalisation multiplies each channel by, in float64; not finite where a variance is below zero."""
    if weight.ndim != 1 or weight.shape != variance.shape:
        raise ValueError("the tensors of a normalisation have different channels")
    with np.errstate(invalid="ignore", divide="ignore"):
        return weight / np.sqrt(variance.astype(np.float64) + _EPSILON)
