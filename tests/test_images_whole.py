"""A picture is written whole or not at all, whatever the file system does."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import by_default

from jaxrestore import images
from jaxrestore.storage.files import write_whole

resource = pytest.importorskip("resource")

# Noise, which no format compresses below the limit.
WRITE_PICTURE = """
import pathlib, resource, sys
import numpy as np
from jaxrestore import images
from jaxrestore.cli import _files
path, noise = pathlib.Path(sys.argv[1]), np.random.default_rng(0).uniform(-1, 1, (64, 64, 3)).astype(np.float32)
like = images.Picture(noise, depth=int(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
try:
    if path.suffix == ".npy":
        _files.save_array(path, noise)
    else:
        images.write(path, noise, like=like, overwrite=True)
except OSError as error:
    print(error)
    raise SystemExit(3)
"""


@pytest.mark.parametrize(
    ("name", "depth"),
    by_default(
        [("a.png", 8), ("a.png", 16), ("a.jpg", 8), ("a.webp", 8), ("a.tif", 8), ("a.tiff", 16), ("a.npy", 8)],
        [("a.png", 16), ("a.npy", 8)],
        several=True,
    ),
)
def test_a_file_that_does_not_fit_leaves_what_was_there(tmp_path, name, depth):
    path = tmp_path / name
    path.write_bytes(b"the old file")
    run = subprocess.run([sys.executable, "-c", WRITE_PICTURE, path, str(depth)], capture_output=True, text=True)
    assert run.returncode == 3, run.stderr
    assert run.stdout.startswith(f"{path} needs ")
    assert "nothing was written" in run.stdout
    assert run.stdout.count("\n") == 1
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_reports_late_that_it_is_full_leaves_what_was_there(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.png"
    write_whole(path, b"the old file")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"a\.png needs 12 bytes, .*No space left on device"):
        write_whole(path, b"the new file")
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_other_errors_are_told_as_they_are(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        images.save(tmp_path / "file" / "a.png", np.zeros((2, 2, 3), np.uint8))


def test_written_files_have_the_permissions_of_ordinary_files(tmp_path):
    umask = os.umask(0)
    os.umask(umask)
    write_whole(tmp_path / "a.npy", b"data")
    assert (tmp_path / "a.npy").stat().st_mode & 0o777 == 0o666 & ~umask
