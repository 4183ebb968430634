"""Where the library keeps what can be had again: converted priors, downloads, compiled programs."""

import getpass
import os
import pathlib
import tempfile

VARIABLE = "JAXRESTORE_CACHE"


def cache_folder(name: str) -> pathlib.Path:
    """A folder of the library's cache, made if it is not there.

    The cache is `$JAXRESTORE_CACHE`, else `$XDG_CACHE_HOME/jaxrestore`, else `~/.cache/jaxrestore`. Where these two
    cannot be written, as in a container whose user has no home, it is a folder of the user's among the temporary files.

    Args:
      name: Of the folder, e.g. "priors".

    Raises:
      OSError: If no folder can be written; the text names the environment variable.
    """
    if given := os.environ.get(VARIABLE):
        folder = pathlib.Path(given).expanduser().absolute() / name
        if not _is_writable(folder):
            raise OSError(f"{VARIABLE} is {given}, where {folder} cannot be written; set it to a folder of yours")
        return folder
    root = _users_cache()
    if root is not None and _is_writable(folder := root / "jaxrestore" / name):
        return folder
    return _temporary(name)


def _users_cache() -> pathlib.Path | None:
    """The user's folder for caches by the rules of freedesktop.org, which ignore paths that are relative."""
    root = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "")
    if root.is_absolute():
        return root
    try:
        return pathlib.Path.home() / ".cache"
    except RuntimeError:  # no home is known
        return None


def _is_writable(folder: pathlib.Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _temporary(name: str) -> pathlib.Path:
    """A folder that nobody else can have filled: others may write among the temporary files too."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        user = str(os.getuid())
    root = pathlib.Path(tempfile.gettempdir()) / f"jaxrestore-{user}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = root.lstat()
    if root.is_symlink() or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
        raise OSError(f"{root} belongs to somebody else; set {VARIABLE} to a folder of yours")
    folder = root / name
    if not _is_writable(folder):
        raise OSError(f"{folder} cannot be written; set {VARIABLE} to a folder of yours")
    return folder
