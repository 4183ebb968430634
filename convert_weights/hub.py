"""Networks on the Hugging Face hub, fetched through `huggingface_hub`: its cache, tokens and offline mode are used.

Of a repository only the files that are read are fetched: descriptions, and the weights in one of their formats.
"""

import contextlib
import importlib
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from convert_weights import pipelines
from convert_weights.arrays import ConversionError
from convert_weights.reading import shard_names

_REPOSITORY = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile("[0-9a-f]{40}")
_DESCRIPTIONS = ("config.json", "unet/config.json")  # one of which each network has
_LOG_IN = "log in by `hf auth login`, or set HF_TOKEN"


class Unreachable(ConversionError):
    """The hub does not answer: there is no network, or the offline mode is on."""


class Address(NamedTuple):
    """A repository on the hub at a revision."""

    repository: str  # "google/ddpm-celebahq-256"
    revision: str  # a branch, a tag or a commit

    @property
    def is_commit(self) -> bool:
        """Whether the revision can never mean another one."""
        return _COMMIT.fullmatch(self.revision) is not None


class Listing(NamedTuple):
    """What the hub says of a repository."""

    commit: str  # that the revision means now
    files: tuple[str, ...]
    licence: str


class Fetched(NamedTuple):
    """A folder of diffusers in the hub's cache."""

    folder: pathlib.Path
    commit: str
    licence: str


def parse(name: str) -> Address | None:
    """The address in "google/ddpm-celebahq-256" or "google/ddpm-celebahq-256@main"; None if it is none."""
    match = _REPOSITORY.fullmatch(name)
    return None if match is None else Address(match["repository"], match["revision"] or "main")


def describe(address: Address) -> Listing:
    """Ask the hub for a repository's commit, files and licence.

    Raises:
      Unreachable: If it does not answer.
      ConversionError: If `huggingface_hub` is missing, or there is no such repository or no access to it.
    """
    with _explained(address):
        info = _library().HfApi().model_info(address.repository, revision=address.revision)
    card = info.card_data or {}
    tags = [tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")]
    licence = card.get("license_name") or card.get("license") or next(iter(tags), None) or "none stated"
    files = tuple(sibling.rfilename for sibling in info.siblings or ())
    return Listing(str(info.sha), files, f"{licence}, {_library().constants.ENDPOINT}/{address.repository}")


def fetch(address: Address, listing: Listing) -> Fetched:
    """The files of a network, from the hub's cache or else from the hub.

    Args:
      address: Of the network.
      listing: From `describe`.

    Raises:
      Unreachable: If the connection is cut again and again, or files arrive with other sizes than the hub states.
      ConversionError: If there is no network among them.
    """
    descriptions, weights = pipelines.needed_files(listing.files)
    if weights is None or not descriptions:
        raise ConversionError(
            f"{address.repository} on the hub has no network of diffusers; expected config.json and "
            "diffusion_pytorch_model.safetensors, .bin or their index, in it or in unet/"
        )
    folder = _snapshot(address, [*descriptions, weights])
    if weights.endswith(".json"):
        inside = weights.rpartition("/")[0]
        shards = [f"{inside}/{name}".lstrip("/") for name in shard_names(folder / weights)]
        folder = _snapshot(Address(address.repository, folder.name), shards)
    return Fetched(folder, folder.name, listing.licence)


def find_cached(address: Address) -> Fetched | None:
    """What the hub's cache has of a network; None if that is not enough."""
    try:
        folder = _snapshot(address, list(_DESCRIPTIONS), local_files_only=True)
    except Unreachable:
        return None
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    if pipelines.needed_files(files)[1] is None:
        return None
    return Fetched(folder, folder.name, f"not known without the hub; {address.repository} states it there")


def _snapshot(address: Address, files: list[str], **options: Any) -> pathlib.Path:
    with _explained(address):
        return pathlib.Path(
            _library().snapshot_download(
                address.repository,
                revision=address.revision,
                allow_patterns=files,
                library_name="jaxrestore",
                **options,
            )
        )


@contextlib.contextmanager
def _explained(address: Address) -> Iterator[None]:
    """Errors of the hub's library as ours, with what mends them."""
    errors = _library().errors
    name = f"{address.repository} at {address.revision}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise ConversionError(
            f"{address.repository} asks for consent: give it at {_library().constants.ENDPOINT}/{address.repository}, "
            f"then {_LOG_IN}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ConversionError(
            f"{address.repository} is no repository on the hub, nor a folder here; for a private one, {_LOG_IN}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ConversionError(f"{address.repository} on the hub has no revision {address.revision!r}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise Unreachable(
            f"{name} is not in the hub's cache, and the hub cannot be reached; connect, or unset HF_HUB_OFFLINE"
        ) from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        if code in (401, 403):
            raise ConversionError(
                f"the hub answers {code} to {name}: log in by `hf auth login`, or set HF_TOKEN"
            ) from error
        raise Unreachable(f"the hub answers {code} to {name}; try again later") from error
    except errors.HFValidationError as error:
        raise ConversionError(f"{address.repository}: {_first_line(error)}") from error
    except (OSError, RuntimeError, errors.HTTPError) as error:  # of the network, of sizes that differ, of the disk
        raise Unreachable(
            f"{name} could not be fetched from the hub ({_first_line(error)}); run the same command again: what has "
            "arrived is kept"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _library() -> Any:
    """`huggingface_hub`, which only this needs.

    Raises:
      ConversionError: If it is missing.
    """
    try:
        library = importlib.import_module("huggingface_hub")
        for module in ("constants", "errors"):
            importlib.import_module(f"huggingface_hub.{module}")
    except ImportError as error:
        raise ConversionError(
            "networks on the Hugging Face hub are fetched by huggingface_hub, which is not installed: "
            "pip install 'jaxrestore[hub]', or fetch the folder by other means and give its path"
        ) from error
    return library
