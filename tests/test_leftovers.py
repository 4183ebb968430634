"""What killed runs leave behind is removed by later ones, and nothing else is."""

import os
import subprocess
import sys
import time

import pytest
from conftest import smallest_network

import jaxrestore as jr
from jaxrestore.storage import files, leftovers

MACHINE = leftovers.prefix().split("-")[1]


@pytest.fixture(autouse=True)
def first_write():
    leftovers.sweep_once.cache_clear()


@pytest.fixture(scope="module")
def ended():
    """The mark of a process that has ended."""
    print_mark = "from jaxrestore.storage import leftovers; print(leftovers.prefix())"
    return subprocess.run([sys.executable, "-c", print_mark], capture_output=True, text=True, check=True).stdout.strip()


def test_a_file_of_an_ended_run_is_removed_by_the_next_write(tmp_path, ended):
    leftover = tmp_path / f"{ended}abcdefgh.png"
    leftover.write_bytes(b"half a picture")
    files.write_whole(tmp_path / "b.png", b"a picture")
    assert [p.name for p in tmp_path.iterdir()] == ["b.png"]


def test_a_file_that_this_process_is_writing_stays(tmp_path):
    with files.replacing(tmp_path / "a.png") as temporary:
        temporary.write_bytes(b"a picture")
        leftovers.sweep(tmp_path)
        assert temporary.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the system does not tell when processes started")
def test_a_process_that_has_another_s_number_does_not_keep_its_files(tmp_path):
    started = leftovers.prefix().split("-")[3]
    (tmp_path / f".jaxrestore-{MACHINE}-{os.getpid()}-{int(started) - 1}-abcdefgh.png").touch()
    leftovers.sweep(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("age", "stays"), [(3600, True), (2 * 86400, False)])
def test_files_of_other_machines_are_removed_when_nothing_is_written_for_a_day(tmp_path, age, stays):
    other = tmp_path / ".jaxrestore-00000000-1-1-abcdefgh.png"
    other.touch()
    os.utime(other, (time.time() - age,) * 2)
    leftovers.sweep(tmp_path)
    assert other.exists() == stays


def test_other_hidden_files_stay(tmp_path):
    for name in (".jaxrestore-notes.png", ".hidden.png", "jaxrestore-00000000-1-1-a.png"):
        (tmp_path / name).touch()
    leftovers.sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_folders_of_weights_are_removed_and_what_made_room_for_them_is_put_back(tmp_path, ended):
    for name in (f"{ended}abcdefgh.tiny", f"{ended}abcdefgh.tiny-old", f"{ended}ijklmnop.other-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "prior.json").write_text(name)
    (tmp_path / "other").mkdir()
    leftovers.sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "tiny"]
    assert (tmp_path / "tiny" / "prior.json").read_text().endswith("tiny-old")


def test_a_prior_is_saved_where_an_ended_run_left_half_of_one(tmp_path, ended):
    (tmp_path / f"{ended}abcdefgh.tiny" / "params").mkdir(parents=True)
    jr.save_prior(tmp_path / "tiny", smallest_network())
    assert [p.name for p in tmp_path.iterdir()] == ["tiny"]
