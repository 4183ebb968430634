"""A folder goes on: what is wrong with one of its files is named, and the others have their results."""

import errno
import json
import os
import shutil
import tempfile

import numpy as np
import pytest
from cli_words import PHOTO, fast

from jaxrestore import images
from jaxrestore.cli import _targets, evaluate, restore
from jaxrestore.storage import before

pytest_plugins = ["cli_fixtures"]

TINY = PHOTO[:16, :16]
NAN = np.where(np.arange(16)[:, None, None] == 3, np.nan, TINY)
HUGE = np.full(TINY.shape, 1e300)


def fill(folder, picture=TINY):
    """Two whole pictures among all kinds of files that are none; what is said of each of those."""
    folder.mkdir()
    for name in ("a.png", "z.png"):
        images.save(folder / name, picture)
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:400])
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no picture")
    (folder / "sub.png").mkdir()
    return {
        "cut.png": "cannot be read as a picture (image file is truncated",
        "empty.png": "cannot be read as a picture",
        "text.jpg": "cannot be read as a picture",
        "sub.png": "is a folder, expected one picture",
    }


def fill_arrays(folder):
    np.save(folder / "nan.npy", NAN)
    np.save(folder / "huge.npy", HUGE)
    np.save(folder / "flat.npy", TINY[..., 0])
    (folder / "nothing.npy").touch()
    return {
        "nan.npy": "has values that are not finite",
        "huge.npy": "has values that are not finite",
        "flat.npy": "of shape (16, 16), expected numbers",
        "nothing.npy": "cannot be read as an array",
    }


def assert_named(err, expected, total):
    first, *lines = [line for line in err.splitlines() if not line.startswith("warning")]
    assert first.startswith(f"error: {len(expected)} of {total} pictures failed")
    assert len(lines) == len(expected)
    for name, reason in expected.items():
        (line,) = [line for line in lines if line.startswith(f"  in/{name}: ")]
        assert reason in line


def test_restore_names_bad_files_and_restores_the_others(run, tmp_path, prior):
    expected = {**fill(tmp_path / "in"), **fill_arrays(tmp_path / "in")}
    words = ["restore", "in", "-o", "out", "--task", "denoising", *fast(prior)]
    code, _, err = run(*words)
    assert code == 1
    assert_named(err, expected, 10)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "z.png"]
    code, _, err = run(*words, "--strict", "--force")
    assert code == 1
    assert err.startswith("error: in/cut.png cannot be read as a picture")
    assert err.count("\n") == 1
    code, _, err = run(*words, "--skip-existing")  # what is done is left, and the bad ones are named again
    assert code == 1
    assert_named(err, expected, 8)


def test_degrade_names_bad_files_and_degrades_the_others(run, tmp_path):
    expected = fill(tmp_path / "in")
    images.save(tmp_path / "in" / "dot.png", TINY[:2, :2])
    words = ["degrade", "in", "-o", "out", "--task", "super_resolution"]
    code, _, err = run(*words)
    assert code == 1
    assert_named(err, {**expected, "dot.png": "the picture has 2x2 pixels and is smaller than 4"}, 7)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "z.png"]
    assert run(*words, "--strict", "--force")[2].startswith("error: in/cut.png cannot be read")


def test_evaluate_names_bad_files_and_scores_the_others(run, tmp_path, prior):
    expected = fill(tmp_path / "in", PHOTO)
    images.save(tmp_path / "in" / "small.png", TINY)
    expected["small.png"] = "pictures of 16x16 pixels cannot be scored: a has shape (16, 16, 3), expected"
    code, out, err = run("evaluate", "in", "-o", "e.json", "--save", "out", "--task", "denoising", *fast(prior))
    assert code == 1
    assert_named(err, expected, 7)
    assert "a.png" in out
    report = json.loads((tmp_path / "e.json").read_text())
    assert [picture["picture"] for picture in report["pictures"]] == ["a.png", "z.png"]
    assert set(report["failures"]) == set(expected)


def test_a_kernel_too_large_for_some_pictures_keeps_the_others(run, tmp_path):
    images.save(tmp_path / "in" / "large.png", PHOTO)
    images.save(tmp_path / "in" / "small.png", PHOTO[:8])
    code, _, err = run("degrade", "in", "-o", "out", "--task", "gaussian_deblur", "--option", "kernel_size=31")
    assert code == 1
    assert_named(err, {"small.png": "reaches beyond the reflection of a 8x40 image"}, 2)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["large.png"]


def test_what_is_wrong_for_all_pictures_is_said_once(run, tmp_path):
    for name in ("a.png", "b.png"):
        images.save(tmp_path / "in" / name, TINY)
    code, _, err = run("degrade", "in", "-o", "out", "--task", "gaussian_deblur", "--option", "std=-1")
    assert (code, err) == (1, "error: std is -1.0, expected a finite number above 0\n")
    assert not (tmp_path / "out").exists()


def test_a_result_that_cannot_be_written_keeps_the_others(run, tmp_path, prior, monkeypatch):
    for name in ("a.png", "b.png"):
        images.save(tmp_path / "in" / name, TINY)
    save = restore._files.save_result

    def refuse_one(path, *rest):
        if path.name == "a.png":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        save(path, *rest)

    monkeypatch.setattr(restore._files, "save_result", refuse_one)
    code, _, err = run("restore", "in", "-o", "out", "--task", "denoising", *fast(prior))
    assert code == 1
    assert_named(err, {"a.png": "Input/output error"}, 2)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b.png"]


def full(handle):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_ends_a_folder_and_is_told_with_what_failed_before(run, tmp_path, prior, monkeypatch):
    for name in ("a.png", "b.png"):
        images.save(tmp_path / "in" / name, TINY)
    (tmp_path / "in" / "c.png").touch()
    monkeypatch.setattr(os, "fsync", full)
    code, out, err = run("restore", "in", "-o", "out", "--task", "denoising", *fast(prior), "--batch-size", 1)
    assert (code, out) == (1, "")
    assert_named(err, {"c.png": "cannot be read", "a.png": "out/a.png needs "}, 3)


def test_evaluate_prints_its_scores_although_the_disk_is_full(run, tmp_path, prior, monkeypatch):
    for name in ("a.png", "b.png"):
        images.save(tmp_path / "in" / name, PHOTO)
    monkeypatch.setattr(os, "fsync", full)
    code, out, err = run("evaluate", "in", "--save", "out", "--task", "denoising", *fast(prior))
    assert code == 1
    assert [line.split()[1] for line in out.splitlines() if ".png" in line] == ["a.png", "b.png"]
    assert_named(err, {"a.png": "out/a.png needs ", "b.png": "out/b.png needs "}, 2)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file.txt/out.png", "file.txt is a file, expected a folder to write into"),
        ("n" * 252 + ".png", "has 256 bytes, expected at most 255; choose a shorter one"),
        ("folder", "folder/in.png is a folder, and cannot be replaced by a file"),
        ("wide.webp", "wide.webp would have 4x32768 pixels, and .webp holds at most 16383 a side; write .png or .tif"),
        ("results.v2", "suffix '.v2', expected .png, .jpg, .jpeg, .webp, .tif, .tiff; to write into a folder of this"),
    ],
)
def test_what_cannot_be_written_is_found_before_computing(run, tmp_path, monkeypatch, out, message):
    images.save(tmp_path / "in.png", np.zeros((1, 8192, 3)))
    (tmp_path / "file.txt").touch()
    (tmp_path / "folder" / "in.png").mkdir(parents=True)
    monkeypatch.setattr(restore, "restore_batches", None)
    monkeypatch.setattr(restore.MethodChoice, "load_prior", lambda *_, **__: (None, 3))
    code, _, err = run("restore", "in.png", "-o", out, "--force", "--task", "super_resolution")
    assert code == 1
    assert message in err
    assert err.count("\n") == 1


def test_names_as_long_as_the_file_system_takes_are_written(run, tmp_path):
    images.save(tmp_path / "in.png", TINY)
    name = "n" * 251 + ".png"
    assert run("degrade", "in.png", "-o", name, "--task", "denoising")[0] == 0
    assert (tmp_path / name).exists()


def test_a_folder_that_takes_no_files_is_found_before_computing(run, tmp_path, monkeypatch):
    def refuse(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    images.save(tmp_path / "in.png", TINY)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    code, _, err = run("degrade", "in.png", "-o", "new/out.png", "--task", "denoising")
    assert code == 1
    assert err.startswith(f"error: nothing can be written into {tmp_path} (Read-only file system); choose another")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["degrade", "restore", "evaluate"])
def test_a_disk_without_room_for_the_results_is_found_before_computing(run, tmp_path, prior, monkeypatch, command):
    images.save(tmp_path / "in" / "a.png", PHOTO)
    usage = before.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(before.shutil, "disk_usage", lambda path: type(usage)(10**9, 10**9 - 100, 100))
    words = [command, "in", "--save" if command == "evaluate" else "-o", "out", "--task", "denoising"]
    code, _, err = run(*words, *(fast(prior) if command != "degrade" else []))
    assert code == 1
    # A fifth of 32 x 40 x 3 bytes.
    assert "(1 files) needs about 768 bytes, and out has room for 100 bytes; nothing was written" in err
    assert not (tmp_path / "out").exists()


def test_two_inputs_that_would_get_one_name_are_found_before_computing(run, tmp_path):
    for name in ("a.png", "b.png", "b.PNG"):
        (tmp_path / "in").mkdir(exist_ok=True)
        images.save(tmp_path / "in" / name, TINY)
    code, _, err = run("degrade", "in", "-o", "out", "--task", "denoising")
    assert code == 1
    assert "in/b.PNG and in/b.png would both become out/b.png; rename one of them" in err


def test_a_folder_whose_name_has_a_dot_is_a_folder(run, tmp_path):
    images.save(tmp_path / "in" / "a.png", TINY)
    assert run("degrade", "in", "-o", "results.v2", "--task", "denoising")[0] == 0
    assert [p.name for p in (tmp_path / "results.v2").iterdir()] == ["a.png"]
    images.save(tmp_path / "b.png", TINY)
    assert run("degrade", "b.png", "-o", "results.v2", "--task", "denoising")[0] == 0  # into the folder
    assert sorted(p.name for p in (tmp_path / "results.v2").iterdir()) == ["a.png", "b.png"]
    assert _targets.outputs([tmp_path / "b.png"], tmp_path / "b.png", tmp_path / "new") == [tmp_path / "new" / "b.png"]


def test_deviations_that_a_stop_has_left_do_not_keep_a_run_from_going_on(run, tmp_path, prior):
    images.save(tmp_path / "in" / "a.png", TINY)
    images.save(tmp_path / "out" / "a.std.png", TINY)
    words = ["restore", "in", "-o", "out", "--task", "denoising", "--samples", 2, "--save-std", *fast(prior)]
    assert "out/a.std.png exists" in run(*words)[2]
    # Wrong on purpose in what is checked last: nothing is restored.
    assert "grids is 0" in run(*words, "--skip-existing", "--set", "grids=0")[2]


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["degrade", "in", "-o", "out", "--task", "inpainting_random"], "out/a.mask.png"),
        (["restore", "in", "-o", "out", "--task", "denoising", "--samples", 2, "--save-std"], "out/a.std.png"),
        (["evaluate", "in", "-o", "a.html", "--report", "a.html", "--task", "denoising"], "a.html"),
    ],
)
def test_a_file_that_would_be_written_twice_is_found_before_computing(run, tmp_path, words, file):
    for name in ("a.png", "a.jpg"):
        images.save(tmp_path / "in" / name, TINY)
    code, _, err = run(*words, "--force")
    assert code == 1
    assert err == f"error: {file} would be written twice, and what is written first be lost; choose other names\n"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_evaluate_names_pictures_that_have_all_gone_meanwhile(run, tmp_path, prior, monkeypatch):
    turns = evaluate._turns

    def gone(*arguments):
        shutil.rmtree("in")
        return turns(*arguments)

    monkeypatch.setattr(evaluate, "_turns", gone)
    for name in ("a.png", "b.png"):
        images.save(tmp_path / "in" / name, PHOTO)
    code, _, err = run("evaluate", "in", "--task", "denoising", *fast(prior))
    assert code == 1
    assert_named(err, {"a.png": "does not exist", "b.png": "does not exist"}, 2)
