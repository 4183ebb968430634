"""Pictures, measurements, masks and kernels on disk: which files a command reads, and which it writes."""

import dataclasses
import io
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxrestore import images
from jaxrestore.storage import arrays
from jaxrestore.storage.files import write_whole
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


def read_measurement(path: pathlib.Path, definition: TaskDefinition) -> tuple[np.ndarray, images.Picture | None]:
    """A measurement (H, W, C) of a task from a picture, or from an array (`.npy`) as `jaxrestore degrade` writes it.

    Returns:
      The measurement; and the picture that its restoration is to be kept like, None for arrays.
    """
    if path.suffix.lower() == ".npy":
        return _read_array(path), None
    if definition.stored == "array":
        raise ValueError(f"{path} is no .npy file; {definition.name} needs the array that `jaxrestore degrade` writes")
    picture = images.read(path)
    if definition.drawn == "mask":
        # What is transparent may be what is missing: the restoration fills it in.
        return picture.on_white(), dataclasses.replace(picture, alpha=None)
    y = dataclasses.replace(picture, alpha=None).on_white()  # transparency returns with the result, so not on white
    if definition.stored == "grey":
        return y.mean(-1, keepdims=True), dataclasses.replace(picture, mode="colour")
    return y, picture


def _read_array(path: pathlib.Path) -> np.ndarray:
    """(height, width, channels), float32."""
    y = arrays.read(path, ndim=3)
    with np.errstate(over="ignore"):
        single = y.astype(np.float32)
    if not np.isfinite(single).all():
        raise ValueError(
            f"{path} has values that are not finite in float32 (up to {np.abs(y).max():g}); scale them down"
        )
    return single


def save_result(path: pathlib.Path, image: np.ndarray, like: images.Picture | None, force: bool) -> None:
    """A restored picture, kept like the one that it was made from."""
    if like is None:
        _ = images.save(path, image, overwrite=force)
    else:
        _ = images.write(path, image, like=like, overwrite=force)


def save_measurement(path: pathlib.Path, y: np.ndarray, force: bool) -> None:
    """A measurement as an array where the suffix says so, or as a picture."""
    if path.suffix == ".npy":
        save_array(path, y)
    else:
        _ = images.save(path, y, overwrite=force)


def save_array(path: pathlib.Path, array: np.ndarray) -> None:
    """An array as `.npy`, whole or not at all."""
    file = io.BytesIO()
    np.save(file, array)
    write_whole(path, file.getvalue())


def drawn_file(target: pathlib.Path, name: str) -> pathlib.Path:
    """Where the mask or kernel of a result lies: NAME.mask.png, NAME.kernel.png."""
    return target.with_suffix(f".{name}.png")


def save_drawn(path: pathlib.Path, values: np.ndarray, force: bool) -> None:
    """A mask (H, W, 1) or kernel (K, K) as a grey picture, white where it is largest."""
    values = np.asarray(values, np.float32)
    values = values if values.ndim == 3 else values[..., None]
    white = max(float(values.max()), np.finfo(np.float32).tiny)  # a mask may hide everything
    _ = images.save(path, 2.0 * values / white - 1.0, overwrite=force)
