"""The Fréchet inception distance (FID) of two folders of pictures, in the variants "pytorch-fid" and "torch-fidelity".

The two variants give slightly different figures for the same pictures; a figure means nothing without its variant.
"""

import functools
import hashlib
import math
import os
import pathlib
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Self

import numpy as np

from jaxrestore import _checks, images
from jaxrestore.metrics.inception import (
    FEATURES,
    VARIANTS,
    InceptionParams,
    check_params,
    pooled_features,
    prepare,
)
from jaxrestore.storage import weights
from jaxrestore.storage.files import replacing

_MEASUREMENT = "1"  # part of the names in a cache: raise it when the same pictures give other features
_ASYMMETRY = 1e-6  # of a covariance, relative to its largest value, that float32 may have left


class FeatureStatistics(NamedTuple):
    """Mean and covariance of the features of a set of pictures, in float64."""

    count: int | None  # pictures; None where they come from a file that does not tell
    mean: np.ndarray  # (D,)
    covariance: np.ndarray  # (D, D), divided by count - 1; zeros for a single picture

    @classmethod
    def of(cls, features: np.ndarray) -> Self:
        """Those of a batch of features (N, D).

        Raises:
          ValueError: If there are none, or some are not finite.
        """
        x = np.asarray(features, np.float64)
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"features has shape {x.shape}, expected (N, D) with at least one picture and one feature")
        if not np.isfinite(x).all():
            raise ValueError("features has values that are not finite: the weights do not suit, or have overflowed")
        mean = x.mean(0)
        return cls(len(x), mean, (x - mean).T @ (x - mean) / max(len(x) - 1, 1))

    def merge(self, other: Self) -> Self:
        """Those of both sets together (Chan et al., Updating Formulae and a Pairwise Algorithm, 1979).

        Raises:
          ValueError: If a set does not tell how many pictures it has, or their features differ in number.
        """
        if self.count is None or other.count is None:
            raise ValueError("count is None, expected a number of pictures: without it a set cannot be weighed in")
        _check_pair(self, other)
        total, shift = self.count + other.count, other.mean - self.mean
        mean = self.mean + shift * (other.count / total)
        scatter = (self.count - 1) * self.covariance + (other.count - 1) * other.covariance
        scatter += np.outer(shift, shift) * (self.count * other.count / total)
        return type(self)(total, mean, scatter / (total - 1))


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Squared Fréchet distance of two Gaussians, |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    The trace of the last root is the sum of the singular values of C_a^(1/2) C_b^(1/2). The roots come from
    eigendecompositions of symmetric matrices, so no number is complex and singular covariances need no offset.
    Eigenvalues within rounding of zero count as zero: their roots would be 1e-8 of the largest, and there are many.

    Returns:
      0 for equal Gaussians, up to rounding; never below.

    Raises:
      ValueError: If the features differ in number, or a covariance has eigenvalues clearly below zero.

    References:
      Dowson and Landau, The Fréchet Distance between Multivariate Normal Distributions, 1982.
      Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, NeurIPS 2017.
    """
    _check_pair(a, b)
    product = _root(a.covariance).T @ _root(b.covariance)
    common = np.linalg.svd(product, compute_uv=False).sum() if product.size else 0.0
    shift = a.mean - b.mean
    return max(0.0, float(shift @ shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * common))


def _check_pair(a: FeatureStatistics, b: FeatureStatistics) -> None:
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"b has {len(b.mean)} features, expected {len(a.mean)} as a has")


def _root(covariance: np.ndarray) -> np.ndarray:
    """F with F F^T = C: a column for each eigenvalue above rounding.

    F has the rotation of the eigenvectors less than the symmetric root, which changes no singular value of a product.
    """
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    if values[0] < -1e-3 * abs(values[-1]):
        raise ValueError(f"a covariance has the eigenvalue {values[0]:g}, expected none below 0; measure it again")
    positive = values > len(values) * np.finfo(np.float64).eps * abs(values[-1])
    return vectors[:, positive] * np.sqrt(values[positive])


def fid(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    params: InceptionParams | None,
    *,
    variant: str = "pytorch-fid",
    batch_size: int = 32,
    cache: str | os.PathLike[str] | None = None,
) -> float:
    """Fréchet inception distance of two folders of pictures.

    It is biased upwards, the more the fewer pictures there are: compare only figures that were made with as many.

    Args:
      a: Folder of pictures of any sizes, or a file of statistics (`save_statistics`, or pytorch-fid's `--save-stats`).
      b: Another.
      params: Weights from `load_inception`; None if both are files.
      variant: "pytorch-fid" or "torch-fidelity"; files of statistics must have been made with the same.
      batch_size: Pictures on the device at a time.
      cache: Folder in which the statistics of measured folders are kept, and found again.

    Returns:
      The distance, not negative; smaller is better.

    Raises:
      ValueError: If a setting does not fit, or a file holds no statistics.
      jaxrestore.images.ImageError: If a folder is missing or empty, or a picture cannot be read.
    """
    measured = functools.partial(measure, variant=variant, batch_size=batch_size, cache=cache)
    return frechet_distance(measured(a, params), measured(b, params))


def measure(
    source: str | os.PathLike[str],
    params: InceptionParams | None,
    *,
    variant: str = "pytorch-fid",
    batch_size: int = 32,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> FeatureStatistics:
    """The statistics of a folder of pictures, or those in a file; warns if the pictures are too few.

    Pictures are read as everywhere in this library, turned as their camera asks and with transparency laid on white.
    The packages do neither: for pictures with neither the figures are the same. In the cache, a change of pictures,
    variant or weights gives another file, so none is ever stale.

    Args and errors are those of `fid`; `progress` shows a bar with the time left.
    """
    _checks.one_of("variant", variant, tuple(VARIANTS))
    _checks.at_least("batch_size", batch_size, 1)
    source = pathlib.Path(source)
    if source.suffix == ".npz":
        statistics = load_statistics(source, variant=variant)
    elif params is None:
        raise ValueError(f"{source} is to be measured, but params is None; give the weights of load_inception")
    else:
        statistics = _measured(source, check_params(params), variant, batch_size, cache, progress)
    if statistics.count is not None and statistics.count <= len(statistics.mean):
        warnings.warn(
            f"FID ({variant}): {source} has {statistics.count} pictures, expected more than the {len(statistics.mean)} "
            "features: the covariance is singular and the distance too large; compare it only with those of as many",
            stacklevel=2,
        )
    return statistics


def _measured(
    folder: pathlib.Path,
    params: InceptionParams,
    variant: str,
    batch_size: int,
    cache: str | os.PathLike[str] | None,
    progress: bool,
) -> FeatureStatistics:
    paths = images.find(folder)
    if len(paths) < 2:
        raise ValueError(f"{folder} holds 1 picture, expected at least 2: one has no covariance")
    file = None
    if cache is not None:
        pathlib.Path(cache).mkdir(parents=True, exist_ok=True)  # where that fails, it does before hours of measuring
        file = pathlib.Path(cache) / f"{variant}-{_fingerprint(paths, params, variant)}.npz"
        if file.exists():
            return load_statistics(file, variant=variant)
    batches = _features(paths, params, variant, batch_size, progress)
    statistics = functools.reduce(FeatureStatistics.merge, map(FeatureStatistics.of, batches))
    if file is not None:
        save_statistics(file, statistics, variant=variant, overwrite=True)
    return statistics


def _features(
    paths: Sequence[pathlib.Path], params: InceptionParams, variant: str, batch_size: int, progress: bool
) -> Iterator[np.ndarray]:
    """Features of the pictures, a batch at a time."""
    from rich.console import Console
    from rich.progress import track

    def read(path: pathlib.Path) -> np.ndarray:
        return prepare(images.to_uint8(images.load(path))[None], variant=variant)[0]

    starts = range(0, len(paths), batch_size)
    bar = {"description": f"Inception ({variant})", "console": Console(stderr=True), "disable": not progress}
    with ThreadPoolExecutor() as pool:  # decoding would keep a GPU waiting; Pillow lets other threads run meanwhile
        for start in track(starts, **bar):
            batch = list(pool.map(read, paths[start : start + batch_size]))
            filled = batch + batch[-1:] * (batch_size - len(batch))  # the last batch, too, has the compiled shape
            yield np.asarray(pooled_features(np.stack(filled), params))[: len(batch)]


def _fingerprint(paths: Sequence[pathlib.Path], params: InceptionParams, variant: str) -> str:
    """What the statistics of pictures depend on; their names and their folder do not count."""
    digest = hashlib.sha256(f"{_MEASUREMENT} {variant} ".encode())
    digest.update(weights.checksum({name: np.asarray(value) for name, value in params.items()}).encode())
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def save_statistics(
    path: str | os.PathLike[str], statistics: FeatureStatistics, *, variant: str, overwrite: bool = False
) -> pathlib.Path:
    """Write statistics as a file that `fid` takes in place of a folder, and pytorch-fid too (keys `mu` and `sigma`).

    Raises:
      FileExistsError: If `path` exists and `overwrite` is False.
      ValueError: If there is no such variant, or the name does not end in .npz.
    """
    _checks.one_of("variant", variant, tuple(VARIANTS))
    path = pathlib.Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path.name} has suffix {path.suffix!r}, expected '.npz'")
    weights.refuse_existing(path, overwrite=overwrite)
    arrays = {"mu": statistics.mean, "sigma": statistics.covariance, "variant": np.array(variant)}
    if statistics.count is not None:
        arrays["count"] = np.array(statistics.count)
    with replacing(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)
    return path


def load_statistics(path: str | os.PathLike[str], *, variant: str) -> FeatureStatistics:
    """Statistics from `save_statistics` or pytorch-fid, whose files tell neither their variant nor their pictures.

    Raises:
      ValueError: If the file holds none of Inception's features, or those of the other variant.
    """
    path = pathlib.Path(path)
    try:
        with np.load(path) as stored:
            content = {name: stored[name] for name in stored.files}
        mean, covariance = (np.asarray(content[key], np.float64) for key in ("mu", "sigma"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except Exception as error:  # a damaged archive raises almost anything
        raise ValueError(f"{path} cannot be read as statistics of features, arrays mu and sigma ({error})") from error
    made_for = str(content.get("variant", variant))
    if made_for != variant:
        raise ValueError(
            f"{path} was measured for variant {made_for!r}, expected {variant!r}; measure again or change it"
        )
    if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES):
        raise ValueError(
            f"{path} has mu {mean.shape} and sigma {covariance.shape}, expected those of {FEATURES} features"
        )
    bound = _ASYMMETRY * np.abs(covariance).max()
    if not math.isfinite(bound) or not np.isfinite(mean).all() or np.abs(covariance - covariance.T).max() > bound:
        raise ValueError(f"{path} is damaged: values are not finite, or sigma is not symmetric; measure it again")
    return FeatureStatistics(int(content["count"]) if "count" in content else None, mean, covariance)
