"""The README's Python runs, in order, as a reader would type it."""

import pathlib
import re

import numpy as np
import pytest
from conftest import DATA, smallest_network

import jaxrestore as jr
from convert_weights import bkse
from jaxrestore import cli
from jaxrestore.metrics.perceptual import lpips_shapes, save_lpips
from jaxrestore.operators.neural_blur import save_nonlinear_blur

README = pathlib.Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("bundled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_snippets_run(bundled, monkeypatch):
    """With the bundled prior as a reader would type it, or quicker, with a small network under its name."""
    if not bundled:
        prior = smallest_network()
        monkeypatch.setattr(jr, "load_prior", {"photo": prior}.__getitem__)
    names: dict = {}
    for snippet in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
        exec(compile(snippet, str(README), "exec"), names)
    assert names["result"].image.shape == (64, 64, 3)
    assert names["spreads"].shape == (2, 32, 32, 3)
    assert names["images"].shape == (2, 64, 64, 3)
    assert np.isfinite(names["images"]).all()


def test_the_converters_snippet_runs(tmp_path, monkeypatch, adm_tiny):
    """With small networks under the names that the page uses."""
    page = README.parent / "convert_weights" / "README.md"
    jr.save_prior(tmp_path / "ffhq256", adm_tiny)
    save_lpips(
        tmp_path / "lpips_vgg", "vgg", {n: np.zeros(s.shape, np.float16) for n, s in lpips_shapes("vgg").items()}
    )
    with np.load(DATA / "bkse_tiny.npz") as state:
        save_nonlinear_blur(tmp_path / "blur", bkse.convert(dict(state)))
    monkeypatch.chdir(tmp_path)
    names: dict = {"a": np.zeros((32, 32, 3), np.float32), "b": np.ones((32, 32, 3), np.float32)}
    for snippet in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(compile(snippet, str(page), "exec"), names)
    assert names["fast"].config.dtype == "bfloat16"
    assert names["distance"] == 0
    assert names["task"].degradation.image_shape == (256, 256, 3)


def test_pictures_and_pages_exist():
    for target in re.findall(r"\]\(([^)h#][^)]*)\)", README.read_text()):
        assert (README.parent / target).is_file(), target


COMMAND = re.compile(r"(?:python -m (benchmarks|convert_weights)(?:\.(\w+))?|jaxrestore (\w+))(?= |`|$)", re.MULTILINE)
PAGES = ("README.md", "benchmarks/README.md", "convert_weights/README.md")


def named_commands(page):
    """Modules of the benchmarks, the converters, and sub-commands, that a page's commands start."""
    text = (README.parent / page).read_text()
    code = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text))
    return {match.groups() for match in COMMAND.finditer(code)}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_one_that_tests_start(page):
    """The tests of the command line and of the benchmarks start each of theirs once, and fail for a newcomer."""
    benchmarks = {path.stem for path in (README.parent / "benchmarks").glob("[!_]*.py")}
    commands = named_commands(page)
    assert commands
    for package, module, subcommand in commands:
        if subcommand:
            assert subcommand in cli._COMMANDS, subcommand
        elif package == "benchmarks":
            assert module is None or module in benchmarks, module
