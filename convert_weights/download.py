"""Files from the web: gone on with where a connection was cut, checked, and under their name only when whole."""

import base64
import contextlib
import hashlib
import http.client
import os
import pathlib
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jaxrestore
from convert_weights.arrays import ConversionError
from jaxrestore._progress import byte_bar
from jaxrestore.storage.files import NO_ROOM, locked

_CHUNK = 2**20
_TIMEOUT = 30.0  # seconds without a byte
_TRIES = 5  # in a row that bring nothing
_PAUSE = 1.0  # seconds before the next try
_PASSING = (408, 429, 500, 502, 503, 504)  # answers of a server that may do better soon
_CUT = (urllib.error.URLError, http.client.HTTPException, OSError)  # what a connection that breaks raises
_CHANGED = "the file changed while it was fetched; run the same command again"


class _Remote(NamedTuple):
    """What a server says of a file."""

    address: str
    size: int
    mark: str  # another one means other bytes; may be empty
    digest: str | None  # as `download` takes it


def download(address: str, target: pathlib.Path, *, size: int | None = None, digest: str | None = None) -> pathlib.Path:
    """Fetch a file, or do nothing where it lies already.

    What has arrived is kept beside `target` until the rest has; other processes that want the same file wait.

    Args:
      address: Where it is published.
      target: Where to write it.
      size: In bytes, where it is published.
      digest: "sha256:..." or "md5:..." in hexadecimal digits, where it is published; else the one that the server tells
        of, if it does (Content-MD5).

    Returns:
      `target`.

    Raises:
      ConversionError: If the server cannot be reached or refuses, the connection is cut again and again, the disk is
        too small, or size or digest are not as published.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(f".{target.name}.lock")):
        if target.is_file():
            if size is not None and target.stat().st_size != size:
                raise ConversionError(f"{target} has {target.stat().st_size} bytes, expected {size}; remove it")
            return target
        remote = _describe(address)
        if size is not None and remote.size != size:
            raise ConversionError(f"{address} has {remote.size} bytes, expected {size}: it is not what was published")
        version = hashlib.sha256(f"{remote.size} {remote.mark}".encode()).hexdigest()[:12]
        part = target.with_name(f".{target.name}.{version}.part")
        for stale in set(target.parent.glob(f".{target.name}.*.part")) - {part}:
            stale.unlink()
        _require_room(part, remote)
        _receive(part, remote)
        _verify(part, address, digest or remote.digest)
        os.replace(part, target)
    return target


def _describe(address: str) -> _Remote:
    try:
        with _open(address, "HEAD") as response:
            headers = response.headers
    except urllib.error.HTTPError as error:
        raise _refused(address, error) from error
    except _CUT as error:
        host = urllib.parse.urlsplit(address).netloc
        raise ConversionError(
            f"{host} cannot be reached ({getattr(error, 'reason', error)}); where there is no network, fetch {address} "
            "elsewhere and give the file's path"
        ) from error
    if headers.get("Content-Length") is None:
        raise ConversionError(f"{address} does not tell its size; fetch it by other means and give the file's path")
    md5 = headers.get("Content-MD5")
    digest = f"md5:{base64.b64decode(md5).hex()}" if md5 else None
    return _Remote(address, int(headers["Content-Length"]), _mark(headers), digest)


def _mark(headers: Mapping[str, str]) -> str:
    return headers.get("ETag") or headers.get("Last-Modified") or ""


def _open(address: str, method: str, headers: Mapping[str, str] | None = None) -> Any:
    agent = {"User-Agent": f"jaxrestore/{jaxrestore.__version__}"}
    request = urllib.request.Request(address, method=method, headers={**agent, **(headers or {})})
    response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    if address.startswith("https:") and not response.url.startswith("https:"):
        response.close()
        raise ConversionError(f"{address} leads to {response.url}, which is not encrypted; refused")
    return response


def _refused(address: str, error: urllib.error.HTTPError) -> ConversionError:
    reasons = {
        403: "access is refused; its authors may have closed it",
        404: "there is no such file any more; its authors may have moved it",
    }
    reason = reasons.get(error.code, "try again later" if error.code in _PASSING else error.reason)
    return ConversionError(f"{address} answers {error.code}: {reason}")


def _require_room(part: pathlib.Path, remote: _Remote) -> None:
    missing, free = remote.size - _length(part), shutil.disk_usage(part.parent).free
    if missing > free:
        raise ConversionError(
            f"{part.parent} has {free / 1e6:.0f} MB left, and {missing / 1e6:.0f} MB are to come; free some room"
        )


def _length(part: pathlib.Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive(part: pathlib.Path, remote: _Remote) -> None:
    """Ask for what is missing until nothing is, or nothing comes any more."""
    tries, reason = 0, "the connection was cut"
    with byte_bar(pathlib.PurePosixPath(remote.address).name, remote.size, _length(part)) as advance:
        while (before := _length(part)) < remote.size:
            try:
                _receive_more(part, remote, advance)
            except urllib.error.HTTPError as error:
                if error.code not in _PASSING:
                    raise _refused(remote.address, error) from error
                reason = f"the server answers {error.code}"
            except _CUT as error:
                if isinstance(error, OSError) and (error.errno in NO_ROOM or error.filename is not None):
                    raise  # it is the disk's, not the connection's
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            after = _length(part)
            if after < remote.size:
                tries = 0 if after > before else tries + 1
                if tries == _TRIES:
                    raise ConversionError(
                        f"{remote.address} stopped after {after} of {remote.size} bytes ({reason}); run the same "
                        "command again: it goes on from there"
                    )
                time.sleep(_PAUSE)
    if _length(part) > remote.size:
        after = _length(part)
        part.unlink()
        raise ConversionError(f"{remote.address} sent {after} bytes, expected {remote.size}; {_CHANGED}")


def _receive_more(part: pathlib.Path, remote: _Remote, advance: Callable[[int], Any]) -> None:
    """Append what one connection brings."""
    have = _length(part)
    with _open(remote.address, "GET", {"Range": f"bytes={have}-"} if have else None) as response:
        if _mark(response.headers) != remote.mark:
            part.unlink(missing_ok=True)
            raise ConversionError(f"{remote.address}: {_CHANGED}")
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if have and not goes_on:
            advance(-have)  # the server sends all of it, whatever was asked for
        with open(part, "ab" if goes_on else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                advance(len(chunk))
                if file.tell() > remote.size:
                    return


def _verify(part: pathlib.Path, address: str, digest: str | None) -> None:
    """Compare with the digest; what differs is removed, for the next try to begin anew."""
    if digest is None:
        return
    algorithm, _, expected = digest.partition(":")
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        with contextlib.suppress(OSError):
            part.unlink()
        raise ConversionError(
            f"{address} arrived with {algorithm} {found}, expected {expected}: it was damaged on its way, or is not "
            "what was published; run the same command again"
        )
