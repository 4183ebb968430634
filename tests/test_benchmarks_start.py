"""Every benchmark starts, and every command that the documents show is one that it understands."""

import argparse
import dataclasses
import importlib.util
import json
import pathlib
import re
import shlex

import conftest
import jax
import numpy as np
import pytest

import jaxrestore as jr
from benchmarks import __main__ as overview
from benchmarks import _results, _truths, gradient_step, levers, networks, posterior, suite, variants
from jaxrestore import images
from jaxrestore.metrics import inception

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "benchmarks" / "NOTES.md",
    *(ROOT / "docs").rglob("*.md"),
]
NAMES = [benchmark.name for benchmark in overview.benchmarks()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """Two pictures."""
    path = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 9, 9, 3)).astype(np.float32)
    for i, picture in enumerate(noise):
        images.save(path / f"{i}.png", images.resize(picture, (64 + 8 * i, 64)))
    return path


@pytest.fixture
def start(tmp_path, monkeypatch, folder):
    """Starts a benchmark with a small network in place of large ones; gives what it has written."""
    monkeypatch.setattr(_results, "RESULTS", tmp_path)
    monkeypatch.setattr(jr, "load_prior", lambda name: conftest.smallest_network())
    monkeypatch.setitem(suite._MATRIX_SIDES, "cpu", 256)
    monkeypatch.setattr(gradient_step, "_MATRIX_SIDE", 256)
    smallest = posterior.PROBLEMS["8/0.1"]._replace(sizes=_truths.Sizes(20, 20, 20, (0,), (1,)))
    monkeypatch.setattr(posterior, "PROBLEMS", {"8/0.1": smallest})
    monkeypatch.setattr(variants, "SIZE", 32)
    networks._float32.cache_clear()

    def run(name: str, words: str) -> dict:
        words = words.replace("FOLDER", str(folder)).replace("RESULTS", str(tmp_path))
        monkeypatch.setattr("sys.argv", [name, *shlex.split(words)])
        importlib.import_module(f"benchmarks.{name}").main()
        written = list(tmp_path.glob(f"{name}-*.json"))
        return json.loads(written[0].read_text()) if written else {}

    yield run
    networks._float32.cache_clear()
    jax.config.update("jax_enable_compilation_cache", True)  # the suite, which measures compilation, switches it off


SMALLEST = {
    "denoising": "FOLDER --sigmas 25",
    "levers": "blur --repeats 1",
    "render": "",
    "suite": "forward --size 32 --turns 1 --seconds 0.1",
    "tint": "FOLDER --size 40 --sigmas 25",
}
LONGER = {
    "papers": "ddrm --prior photo --data FOLDER --count 1 --size 32 --set num_steps=2 --no-lpips",
    "quality": "FOLDER --size 64 --pictures 1 --tasks denoising --methods ddrm",
    "posterior": "--problems 8/0.1 --methods exact ddnm",
    "precision": "FOLDER --size 64 --pictures 1 --tasks super_resolution --methods ddrm",
    "large_image": "FOLDER --size 48 --tile 32 --overlap 8 --method ddrm",
    "gradient_step": "--size 32 --steps 1 --repeats 1",
    "coverage": "FOLDER --size 16 --pictures 2 --samples 2 --tasks denoising --methods ddrm",
    "budget": "FOLDER --size 32 --pictures 1 --tasks denoising --methods ddrm --budget 3",
    "ablation": "FOLDER --size 32 --pictures 1 --tasks denoising --methods pdpps",
    "conditions": "FOLDER --pictures 1 --only size --methods ddrm",
    "against_torch": "--size 32 --repeats 1",
    "conversion": "ffhq256",
    "fid": "FOLDER FOLDER --weights RESULTS/inception --batch-size 2 --out RESULTS/fid-test.json",
    "first_step": "--repeats 1",
    "one_picture": "--sizes 32 --batch-sizes 1 --repeats 1",
    "trials": "--count 2",
}


def test_every_benchmark_is_started_here():
    assert sorted([*SMALLEST, *LONGER]) == NAMES


@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_starts_and_writes_its_result(name, start):
    written = start(name, SMALLEST[name])
    if name != "render":
        assert written["environment"]["device"]


@pytest.mark.slow
@pytest.mark.parametrize("name", LONGER)
@pytest.mark.filterwarnings("ignore:FID")  # of two pictures
def test_a_longer_benchmark_starts_and_writes_its_result(name, start, monkeypatch, tmp_path):
    if name in ("against_torch", "conversion", "one_picture"):
        pytest.importorskip("torch")
    if name == "against_torch":
        pytest.importorskip("azula")
        small = dataclasses.replace(conftest.ADM_TINY, middle_attention=True)
        monkeypatch.setattr(networks, "published_config", lambda preset: small)
    if name == "fid":
        zeros = {name: np.zeros(a.shape, np.float32) for name, a in inception.inception_shapes().items()}
        inception.save_inception(tmp_path / "inception", zeros)
    assert start(name, LONGER[name])["environment"]["device"]


@pytest.mark.slow
def test_every_lever_runs(start, monkeypatch):
    monkeypatch.setitem(levers.FLAGS, "cpu", ())
    cells = start("levers", "--repeats 1")["cells"]
    assert set(cells) == {*levers.LEVERS, *levers.OTHER_LEVERS}
    assert all(np.isfinite(costs["median_s"]) for cell in cells.values() for costs in cell["variants"].values())


@pytest.mark.slow
def test_the_suite_goes_on_measures_again_and_is_rendered(start, tmp_path):
    options = "--size 32 --turns 1 --seconds 0.1"
    first = start("suite", f"forward spgd_short {options}")["cells"]
    assert set(first) == {"photo/32/float32/1/forward", "photo/32/float32/1/spgd_short"}
    for cell in first.values():
        assert cell["fraction_of_matmul"] == pytest.approx(cell["tflops_per_s"] / cell["matmul_tflops_per_s"])
        assert cell["images_per_s"] == pytest.approx(1 / cell["seconds_per_turn"])
    assert first["photo/32/float32/1/spgd_short"]["temporary_mb"] > 0
    assert first["photo/32/float32/1/spgd_short"]["evaluations"] == {"forward": 12, "gradients": 12}

    second = start("suite", f"forward --batch-sizes 1 2 {options}")["cells"]
    assert set(second) == {*first, "photo/32/float32/2/forward"}
    assert all(second[label] == cell for label, cell in first.items())

    third = start("suite", f"forward --again {options}")["cells"]
    assert {label for label, cell in third.items() if cell != second[label]} == {"photo/32/float32/1/forward"}

    start("render", "")
    assert "| photo | 32 | float32 | 1 | spgd_short |" in (tmp_path / "suite-cpu.md").read_text()
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "suite-cpu.png").stat().st_size > 1000


def commands(text: str) -> list[str]:
    """The benchmarks' commands in a text, with and without what is in brackets."""
    shown = re.findall(r"python -m benchmarks\b[^`\n]*", text.replace("\\\n", " "))
    return sorted({form.strip() for c in shown for form in (re.sub(r"\[[^]]*\]", "", c), re.sub(r"[][]", "", c))})


def shown_commands() -> list[str]:
    listed = "\n".join(benchmark.command for benchmark in overview.benchmarks())
    return commands("\n".join([listed, *(document.read_text() for document in DOCUMENTS)]))


class Understood(Exception):
    pass


@pytest.mark.parametrize("command", shown_commands())
def test_a_shown_command_is_understood(command, monkeypatch, folder):
    _, _, target, *words = shlex.split(command)
    if target == "benchmarks":
        assert not words
        return

    def parse_and_stop(self, *arguments):
        parse(self, *arguments)
        raise Understood

    parse = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr("sys.argv", [target, *words])
    with pytest.raises(Understood):
        importlib.import_module(target).main()


def test_the_overview_names_every_benchmark_of_the_readme(capsys):
    overview.main()
    printed = capsys.readouterr().out
    shown = set(re.findall(r"`python -m benchmarks\.(\w+)", (ROOT / "benchmarks" / "README.md").read_text()))
    assert shown == set(NAMES)
    assert all(f"python -m benchmarks.{name}" in printed for name in NAMES)


@pytest.mark.parametrize(
    ("name", "words", "error", "message"),
    [
        (
            "large_image",
            "FOLDER --size 48 --tile 32 --overlap 8 --method ddrm --grids 1 2",
            ValueError,
            "one grid only",
        ),
        ("large_image", "FOLDER --size 48 --tile 64 --overlap 8", SystemExit, "2"),
        ("fid", "FOLDER FOLDER --weights none --out FOLDER", IsADirectoryError, "choose another name"),
    ],
)
def test_what_would_fail_at_the_end_fails_before_any_measuring(start, name, words, error, message):
    with pytest.raises(error, match=message):
        start(name, words)
    assert not list(_results.RESULTS.glob("*.json"))
