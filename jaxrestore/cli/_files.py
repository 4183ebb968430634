"""Pictures, measurements, masks and kernels on disk: which files a command reads, and which it writes."""

import pathlib
from collections.abc import Sequence

import numpy as np

from jaxrestore import images
from jaxrestore.storage.files import replacing
from jaxrestore.tasks import TaskDefinition


def inputs(path: pathlib.Path, suffixes: Sequence[str] = images.SUFFIXES) -> list[pathlib.Path]:
    """One file, or those of a folder."""
    if path.is_dir():
        return images.find(path, suffixes=suffixes)
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    return [path]


def outputs(
    paths: Sequence[pathlib.Path], source: pathlib.Path, out: pathlib.Path, suffix: str | None = None
) -> list[pathlib.Path]:
    """Where the results go: into the folder `out` under the inputs' names, or to the file `out`.

    Raises:
      ValueError: If two results would get one name.
    """
    if not source.is_dir() and out.suffix:
        return [out]
    targets = [out / (p.stem + (suffix or (".png" if p.suffix.lower() == ".npy" else p.suffix.lower()))) for p in paths]
    if len(set(targets)) < len(targets):
        raise ValueError(f"several inputs of {source} differ in their suffix only; rename them")
    return targets


def check_suffix(path: pathlib.Path, suffixes: Sequence[str] = images.SUFFIXES) -> None:
    """Raise unless a file's suffix is one of those that can be written."""
    if path.suffix.lower() not in suffixes:
        raise images.ImageError(f"{path} has suffix {path.suffix!r}, expected {', '.join(suffixes)}")


def refuse_existing(paths: Sequence[pathlib.Path], force: bool) -> None:
    """Raise before any computing if an output exists."""
    existing = [p for p in paths if p.exists()]
    if existing and not force:
        raise FileExistsError(f"{existing[0]} exists; choose another name or add --force")


def indices_by_shape(arrays: Sequence[np.ndarray]) -> dict[tuple[int, ...], list[int]]:
    """Indices of the arrays of each shape: those are restored together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, array in enumerate(arrays):
        groups.setdefault(array.shape, []).append(i)
    return groups


def read_clean(path: pathlib.Path, multiple: int, size: int | None = None) -> np.ndarray:
    """A picture to degrade: its central square of `size` pixels, or all of it, cut to what a task can treat.

    Raises:
      ImageError: If it cannot be read, or is smaller than `size` or `multiple`.
    """
    picture = images.load(path)
    try:
        picture = picture if size is None else images.centre(picture, size)
    except images.ImageError as error:
        raise images.ImageError(f"{path}: {error}") from None
    return crop(picture, multiple, path)


def crop(image: np.ndarray, multiple: int, path: pathlib.Path) -> np.ndarray:
    """`images.crop_to_multiple`, with the file named where the image is too small."""
    try:
        return images.crop_to_multiple(image, multiple)
    except images.ImageError as error:
        raise images.ImageError(f"{path}: {error}") from None


def read_measurement(path: pathlib.Path, definition: TaskDefinition) -> np.ndarray:
    """A measurement (H, W, C) of a task from a picture, or from an array (`.npy`) as `jaxrestore degrade` writes it."""
    if path.suffix.lower() == ".npy":
        try:
            y = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as an array ({error})") from error
        if y.ndim != 3 or y.dtype.kind not in "fiu":
            raise ValueError(f"{path} holds {y.dtype} of shape {y.shape}, expected numbers (height, width, channels)")
        return y.astype(np.float32)
    if definition.stored == "array":
        raise ValueError(f"{path} is no .npy file; {definition.name} needs the array that `jaxrestore degrade` writes")
    y = images.load(path)
    return y.mean(-1, keepdims=True) if definition.stored == "grey" else y


def save_measurement(path: pathlib.Path, y: np.ndarray, force: bool) -> None:
    """A measurement as an array where the suffix says so, or as a picture."""
    if path.suffix == ".npy":
        save_array(path, y)
    else:
        _ = images.save(path, y, overwrite=force)


def save_array(path: pathlib.Path, array: np.ndarray) -> None:
    """An array as `.npy`, whole or not at all."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)


def drawn_file(target: pathlib.Path, name: str) -> pathlib.Path:
    """Where the mask or kernel of a result lies: NAME.mask.png, NAME.kernel.png."""
    return target.with_suffix(f".{name}.png")


def save_drawn(path: pathlib.Path, values: np.ndarray, force: bool) -> None:
    """A mask (H, W, 1) or kernel (K, K) as a grey picture, white where it is largest."""
    values = np.asarray(values, np.float32)
    values = values if values.ndim == 3 else values[..., None]
    white = max(float(values.max()), np.finfo(np.float32).tiny)  # a mask may hide everything
    _ = images.save(path, 2.0 * values / white - 1.0, overwrite=force)


def read_mask(path: pathlib.Path) -> np.ndarray:
    """(H, W, 1), 1 where the picture is rather white than black: those pixels are known."""
    return (images.load(path).mean(-1, keepdims=True) > 0).astype(np.float32)


def read_kernel(path: pathlib.Path) -> np.ndarray:
    """(K, K'), the picture's brightness, with sum 1.

    Raises:
      ImageError: If the picture is all black.
    """
    weights = (images.load(path).mean(-1) + 1.0) / 2.0
    if weights.sum() == 0:
        raise images.ImageError(f"{path} is all black, expected a kernel")
    return (weights / weights.sum()).astype(np.float32)
