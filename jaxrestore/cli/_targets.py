"""Which files a command writes, and whether it can: known before any computing."""

import os
import pathlib
from collections.abc import Iterable, Sequence

from jaxrestore import images
from jaxrestore.pictures import writing
from jaxrestore.storage import before, weights


def outputs(
    paths: Sequence[pathlib.Path], source: pathlib.Path, out: pathlib.Path, suffix: str | None = None
) -> list[pathlib.Path]:
    """Where the results go: into the folder `out` under the inputs' names, or to the file `out`.

    A folder is what exists as one, or what the results of a folder go to; without a suffix, any name is one.

    Raises:
      ValueError: If two results would get one name.
    """
    if not source.is_dir() and out.suffix and not os.path.isdir(out):
        return [out]
    targets: dict[pathlib.Path, pathlib.Path] = {}
    for path in paths:
        kept = ".png" if path.suffix.lower() == ".npy" else path.suffix.lower()
        target = out / (path.stem + (suffix or kept))
        if target in targets:
            raise ValueError(f"{targets[target]} and {path} would both become {target}; rename one of them")
        targets[target] = path
    return list(targets)


def check_suffixes(
    paths: Iterable[pathlib.Path], suffixes: Sequence[str] = images.SUFFIXES, *, or_folder: bool = False
) -> None:
    """Raise unless the files' suffixes are among those that can be written; `or_folder`: a folder was possible, too."""
    for path in paths:
        if path.suffix.lower() not in suffixes:
            mend = "; to write into a folder of this name, make it first" if or_folder else ""
            raise images.ImageError(f"{path} has suffix {path.suffix!r}, expected {', '.join(suffixes)}{mend}")


def check(paths: Sequence[pathlib.Path], force: bool) -> None:
    """Raise before any computing if an output exists, cannot be written, or is named twice."""
    check_distinct(paths)
    before.check_writable(paths)
    existing = [path for path in paths if path.exists()]
    if existing and not force:
        raise FileExistsError(f"{existing[0]} exists; choose another name or add --force")


def check_distinct(paths: Iterable[pathlib.Path]) -> None:
    """Raise before any computing if a file would be written twice, as what lies beside a.png and a.jpg would be."""
    seen: set[pathlib.Path] = set()
    for path in paths:
        if (place := path.absolute()) in seen:
            raise ValueError(f"{path} would be written twice, and what is written first be lost; choose other names")
        seen.add(place)


def check_folder(path: pathlib.Path, force: bool) -> None:
    """Raise before any computing if a folder of weights exists, or cannot be made or replaced."""
    before.check_writable([path / "a file"])
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; choose another name or add --force")
    weights.refuse_existing(path, overwrite=force)


def check_sides(path: pathlib.Path, shape: Sequence[int]) -> None:
    """Raise `ImageError` if a picture (H, W, ...) is too large for the format of its file."""
    writing.check_sides(str(path), path.suffix.lower(), shape)


def check_room(folder: pathlib.Path, pictures: Iterable[tuple[pathlib.Path, Sequence[int], int]]) -> None:
    """Raise `NoRoomError` if results, (file, shape, depth), need more room than a folder's disk has left."""
    sizes = [
        4 * shape[0] * shape[1] * shape[2]
        if path.suffix.lower() == ".npy"
        else writing.least_size(path.suffix.lower(), shape, depth)
        for path, shape, depth in pictures
    ]
    before.check_room(folder, sum(sizes), f"what is to be written ({len(sizes)} files)")
