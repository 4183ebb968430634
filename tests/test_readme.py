"""The Python of the README and of the pages runs, in order, as a reader would type it; they say what is so."""

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
from scripts.site import methods

README = pathlib.Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["small", "bundled"])
def prior(request, monkeypatch):
    """The bundled prior as a reader has it, or, quicker, a small network under its name."""
    if not request.param:
        monkeypatch.setattr(jr, "load_prior", {"photo": smallest_network()}.__getitem__)


def run_snippets(*pages):
    """The names that the pages' Python leaves behind, one after the other."""
    names: dict = {}
    for page in pages:
        snippets = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
        assert snippets
        for snippet in snippets:
            exec(compile(snippet, str(page), "exec"), names)
    return names


@pytest.mark.slow
@pytest.mark.usefixtures("prior")
def test_snippets_of_the_first_pages_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_snippets(README)
    assert names["result"].image.shape == (64, 64, 3)
    jr.images.save(tmp_path / "small.png", names["y"][:16, :16])
    source = (DOCS / "index.md").read_text().replace("(256, 256, 3)", "(64, 64, 3)")
    (tmp_path / "index.md").write_text(source)
    run_snippets(tmp_path / "index.md")
    assert jr.images.load(tmp_path / "large.png").shape == (64, 64, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("prior")
def test_snippets_of_the_start_pages_run():
    names = run_snippets(DOCS / "start" / "library.md", DOCS / "start" / "scale.md")
    assert names["result"].image.shape == (64, 64, 3)
    assert names["spreads"].shape == (2, 32, 32, 3)
    assert names["uncertain"].std.shape == (2, 64, 64, 3)
    assert names["images"].shape == (2, 64, 64, 3)
    assert np.isfinite(names["images"]).all()


@pytest.mark.slow
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
PAGES += tuple(f"docs/start/{name}.md" for name in ("index", "own-picture", "scale", "own-checkpoint"))


def test_the_readme_is_short_and_its_table_says_what_rows_and_results_say():
    """`python -m scripts.site.methods` prints the table."""
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert methods.readme_table() in text


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
