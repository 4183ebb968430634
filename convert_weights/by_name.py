"""Priors by name, "hf:google/ddpm-celebahq-256" or "guided-diffusion:imagenet256": fetched and converted once.

What was converted lies in the library's cache, a folder for each revision, and is whole when it is there.
"""

import pathlib
import sys
import urllib.parse
from collections.abc import Callable
from typing import NamedTuple

from convert_weights import hub, networks, pipelines, published
from convert_weights.arrays import ConversionError
from convert_weights.reading import read_weights
from jaxrestore.storage.cache import cache_folder
from jaxrestore.storage.files import locked, write_whole


class Origin(NamedTuple):
    """A checkpoint on this machine, and what the prior that is made of it notes of where it is from."""

    path: pathlib.Path  # a folder of diffusers, or a file
    notes: dict[str, str]  # "converted_from", "licence", and the hub's "revision"


def from_hub(address: hub.Address) -> Origin:
    """A folder of diffusers from the hub; from the hub's cache where the hub does not answer.

    Raises:
      ConversionError: As `hub.describe` and `hub.fetch` raise it.
    """
    try:
        listing = hub.describe(address)
    except hub.Unreachable:
        fetched = hub.find_cached(address)
        if fetched is None:
            raise
    else:
        fetched = hub.fetch(address, listing)
    notes = {"converted_from": address.repository, "revision": fetched.commit, "licence": fetched.licence}
    return Origin(fetched.folder, notes)


def from_server(file: published.PublishedFile) -> Origin:
    """A published checkpoint of guided-diffusion.

    Raises:
      ConversionError: As `published.fetch` raises it.
    """
    return Origin(published.fetch(file), {"converted_from": file.file, "licence": published.LICENCE})


def cached_prior(name: str) -> pathlib.Path:
    """The folder of a prior, fetched and converted where the cache lacks it; what happens is told on standard error.

    A branch on the hub is asked for anew each time; where the hub does not answer, what it meant last is taken.

    Args:
      name: "hf:OWNER/NAME", "hf:OWNER/NAME@REVISION", or "guided-diffusion:" and a name in `published.FILES`.

    Raises:
      ConversionError: If there is no such prior, or it cannot be fetched or converted.
    """
    source, _, rest = name.partition(":")
    if source == "guided-diffusion":
        file = published.find(rest)
        folder = cache_folder("priors") / source / rest
        return folder if folder.is_dir() else _convert(folder, from_server(file), lambda path: _from_file(path, file))
    address = hub.parse(rest)
    if address is None:
        raise ConversionError(f"{name!r} names no repository, expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    store = cache_folder("priors") / source / address.repository.replace("/", "--")
    return _revision(address, store)


def _revision(address: hub.Address, store: pathlib.Path) -> pathlib.Path:
    """The folder of what a revision means now, or meant last."""
    if address.is_commit and (store / address.revision).is_dir():
        return store / address.revision
    reference = store / "refs" / urllib.parse.quote(address.revision, safe="")
    last = reference.read_text() if reference.is_file() else ""
    try:
        commit = hub.describe(address).commit
    except hub.Unreachable:
        commit = last
    if not commit or not (store / commit).is_dir():
        origin = from_hub(address)
        commit = origin.notes["revision"]
        _convert(store / commit, origin, _from_folder)
    if commit != last:
        write_whole(reference, commit.encode())
    return store / commit


def _convert(folder: pathlib.Path, origin: Origin, read: Callable[[pathlib.Path], networks.Converted]) -> pathlib.Path:
    _tell(f"licence: {origin.notes['licence']}")
    with locked(folder.with_name(f".{folder.name}.lock")):
        if not folder.is_dir():  # another process may have been first
            converted = read(origin.path)
            networks.write(converted, converted.params, folder, origin.notes)
            _tell(f"converted into {folder}")
    return folder


def _from_folder(path: pathlib.Path) -> networks.Converted:
    pipeline = pipelines.read_pipeline(path)
    for line in pipeline.remarks:
        _tell(line)
    return networks.from_pipeline(pipeline)


def _from_file(path: pathlib.Path, file: published.PublishedFile) -> networks.Converted:
    return networks.from_guided_diffusion(read_weights(path).state, file.preset)  # these files hold nothing else


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
