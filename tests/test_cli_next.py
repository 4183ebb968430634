"""A command that was not told the task says which fits which damage; each command names the next useful one."""

import importlib
import shlex

import pytest
from cli_words import PHOTO, fast

import jaxrestore as jr
from jaxrestore import images
from jaxrestore.cli import _COMMANDS, _next

pytest_plugins = ["cli_fixtures"]


def test_without_a_task_three_lines_say_which_fits_and_what_to_type(run, tmp_path):
    images.save(tmp_path / "my photo.png", PHOTO)
    code, out, error = run("restore", "my photo.png", "-o", "out.png", "--method", "dps", "--save-std")
    assert (code, out) == (2, "")
    first, fitting, command = error.splitlines()
    assert first.startswith("Error: --task is missing")
    for name, row in jr.TASKS.items():
        assert (f"{row.damage}: {name}" in fitting) == (row.damage is not None), name
    words = shlex.split(command.removeprefix("  e.g.  "))
    assert words[:3] == ["jaxrestore", "restore", "my photo.png"]
    assert words[3:] == shlex.split("--out out.png --method dps --save-std --task super_resolution --option factor=4")


@pytest.mark.parametrize("row", [row for row in jr.TASKS.values() if row.damage])
def test_what_a_row_hints_at_is_understood(run, prior, row):
    """All of it: the words are those of the command line, and the picture is restored."""
    images.save("in.png", PHOTO[:16, :16])
    files = {"KERNEL": PHOTO[:3, :3], "MASK": PHOTO[:16, :16]}
    hint = row.hint
    for name, pixels in files.items():
        images.save(f"{name}.png", pixels, overwrite=True)
        hint = hint.replace(name, f"{name}.png")
    words = ["restore", "in.png", "-o", "out.png", "--task", row.name, *shlex.split(hint)]
    if "kernel_size" in row.options and row.drawn is None:
        words += ["--option", "kernel_size=5"]
    code, _, error = run(*words, "--set", "grids=0", "--prior", prior)
    # Wrong on purpose in what is checked last: no picture is restored, and nothing else is refused.
    assert code == 1
    assert "grids is 0, expected at least 1" in error


def test_every_command_has_a_next_one():
    assert {name.partition(" ")[0] for name in _next.NEXT} == set(_COMMANDS)


def test_the_next_command_is_told_at_a_terminal_only_and_can_be_typed(run, prior, monkeypatch):
    images.save("in.png", PHOTO)
    degrade = ["degrade", "in.png", "-o", "small.png", "--task", "super_resolution", "--option", "factor=2"]
    assert run(*degrade)[2] == ""  # no terminal here
    monkeypatch.setattr(_next, "at_terminal", lambda: True)
    code, _, error = run(*degrade, "--seed", 3, "--force")
    assert code == 0
    following = error.splitlines()[-1].removeprefix("next: ")
    assert following == ("jaxrestore restore small.png -o RESULT --task super_resolution --option factor=2 --seed 3")
    words = [word.replace("RESULT", "large.png") for word in shlex.split(following)[1:]]
    words += [word for word in fast(prior) if word != "--quiet"]
    code, _, error = run(*words)
    assert code == 0, error
    assert images.load("large.png").shape == PHOTO.shape
    following = error.splitlines()[-1]
    assert following.startswith("next: jaxrestore restore small.png --out large.png")
    assert "--samples 4 --save-std --force" in following
    assert "next:" not in run(*words, "--force", "--quiet")[2]


def test_a_command_that_fails_names_no_next_one(run, monkeypatch):
    monkeypatch.setattr(_next, "at_terminal", lambda: True)
    code, _, error = run("restore", "none.png", "-o", "out.png", "--task", "denoising")
    assert code == 1
    assert "next:" not in error


@pytest.mark.parametrize(
    ("words", "following"),
    [
        ("restore a -o b --task denoising --estimate", "restore a --out b --task denoising"),
        (
            "restore a -o b --task denoising --samples 1 --force --skip-existing",
            "restore a --out b --task denoising --samples 4 --save-std --force    (how sure is it?)",
        ),
        ("evaluate a --task denoising", "evaluate a --task denoising --report page.html    (to look at all pictures)"),
        (
            "evaluate a -o b.json --task denoising --force",
            "evaluate a --out b.json --task denoising --report page.html --force    (to look at all pictures)",
        ),
        (
            "tune --data a -o b.json --grid scale=1,2 --task denoising --method dps --prior c",
            "restore PICTURE -o RESULT --task denoising --prior c --method dps --settings b.json",
        ),
        (
            "calibrate --data a -o b.json --task denoising --method dps --samples 8",
            "restore PICTURE -o RESULT --task denoising --method dps --settings b.json --samples 8 --save-std",
        ),
    ],
)
def test_the_next_command_is_of_use(words, following):
    name, *words = words.split()
    command = importlib.import_module(f"jaxrestore.cli.{name}").command
    assert _next.NEXT[name](command.make_context(name, words)) == f"jaxrestore {following}"


def test_lists_are_repeated_as_they_were_typed(run):
    assert run("compare", "a.png", "--methods", "spgd,dps")[2].splitlines()[-1] == (
        "  e.g.  jaxrestore compare a.png --methods spgd,dps --task super_resolution --option factor=4"
    )
