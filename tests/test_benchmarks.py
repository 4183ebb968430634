"""The benchmarks run, go on where they stopped, and compute what their tables say."""

import json
import sys
from collections.abc import Callable

import jax
import numpy as np
import pytest

import jaxrestore as jr
from benchmarks import __main__ as suite
from benchmarks import _run, large_image, levers, networks, posterior, render
from benchmarks.cases import CASES
from jaxrestore._pytree import pytree, static
from jaxrestore.priors._base import predict_from_denoiser


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(_run, "RESULTS", tmp_path)
    monkeypatch.setitem(suite._MATRIX, "cpu", 512)
    yield tmp_path
    jax.config.update("jax_enable_compilation_cache", True)  # the suite, which measures compilation, switches it off


def run(monkeypatch, module, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", *words])
    module.main()


def test_the_suite_measures_writes_goes_on_and_is_rendered(results, monkeypatch, capsys):
    options = ("--size", "32", "--turns", "1", "--seconds", "0.1")
    run(monkeypatch, suite, "forward", "spgd_short", *options)
    first = json.loads((results / "suite-cpu.json").read_text())
    assert set(first["cells"]) == {"photo/32/float32/1/forward", "photo/32/float32/1/spgd_short"}
    assert first["environment"]["versions"]["jax"]
    for cell in first["cells"].values():
        assert cell["fraction_of_matmul"] == pytest.approx(cell["tflops_per_s"] / cell["matmul_tflops_per_s"])
        assert cell["images_per_s"] == pytest.approx(1 / cell["seconds_per_turn"])
    assert first["cells"]["photo/32/float32/1/spgd_short"]["temporary_mb"] > 0

    run(monkeypatch, suite, "forward", "--batch-sizes", "1", "2", *options)
    second = json.loads((results / "suite-cpu.json").read_text())["cells"]
    assert second["photo/32/float32/1/forward"] == first["cells"]["photo/32/float32/1/forward"]
    assert set(second) == {*first["cells"], "photo/32/float32/2/forward"}

    run(monkeypatch, suite, "forward", "--again", *options)
    third = json.loads((results / "suite-cpu.json").read_text())["cells"]
    assert {name for name, cell in third.items() if cell != second[name]} == {"photo/32/float32/1/forward"}

    pytest.importorskip("matplotlib")
    run(monkeypatch, render)
    assert "| photo | 32 | float32 | 1 | spgd_short |" in (results / "suite-cpu.md").read_text()
    assert (results / "suite-cpu.png").stat().st_size > 1000
    assert "forward" in capsys.readouterr().out


def test_a_run_out_of_time_measures_nothing(results, monkeypatch, capsys):
    run(monkeypatch, suite, "forward", "--minutes", "0")
    assert "out of time" in capsys.readouterr().out
    assert not list(results.iterdir())


def test_cases_are_listed_and_unknown_ones_refused(results, monkeypatch, capsys):
    run(monkeypatch, suite, "--list")
    listed = capsys.readouterr().out
    assert all(name in listed for name in CASES)
    with pytest.raises(SystemExit):
        run(monkeypatch, suite, "backward")
    assert "no case backward" in capsys.readouterr().err


def test_operations_are_those_of_the_convolutions():
    """The published estimate for one 256x256 pass of the FFHQ network is 388 GFLOP, with multiply and add apart."""
    config = networks.published_config("ffhq256")
    assert sum(np.prod(s.shape) for s in networks.abstract_params(config).values()) == pytest.approx(93.6e6, rel=1e-3)
    prior = networks.load("photo")
    assert networks.forward_flops(prior, 64) == pytest.approx(networks.forward_flops(prior, 128) / 4, rel=0.05)


def test_all_variants_of_a_lever_agree():
    variants = levers.blur()
    answers = {name: np.asarray(f(*arguments)) for name, (f, arguments) in variants.items()}
    for name in ("direct", "fourier"):
        np.testing.assert_allclose(answers[name], answers["separable"], atol=1e-3)


def test_seams_are_found_where_they_are():
    rng = np.random.default_rng(0)
    places = large_image.borders(96, 48, 16)
    smooth = 0.1 * rng.standard_normal((96, 96, 3))
    clean = large_image.seams(smooth, places)
    assert clean["error"] == pytest.approx(1, abs=0.05)
    assert clean["jump"] == pytest.approx(1, abs=0.1)
    seam = smooth.copy()
    seam[places[0] :] += 0.5
    assert large_image.seams(seam, places)["jump"] > 1.5


def test_sliced_wasserstein_is_that_of_shifted_gaussians():
    """A shift by m moves every projection by <m, u>, whose root mean square over directions is ||m|| / sqrt(D)."""
    samples = np.random.default_rng(0).standard_normal((400, 8))
    shift = np.full(8, 0.5)
    assert posterior.sliced_wasserstein(samples, samples) == 0
    assert posterior.sliced_wasserstein(samples, samples + shift) == pytest.approx(0.5, rel=0.1)


def test_a_cell_of_the_posterior_benchmark_is_measured_again_for_other_values(results, monkeypatch, capsys):
    monkeypatch.setattr(posterior, "NUM_SAMPLES", {8: 20})
    monkeypatch.setattr(posterior, "PROBLEMS", (1,))
    monkeypatch.setattr(posterior, "TUNING_PROBLEMS", (0,))
    words = ("--dimensions", "8", "--noises", "0.1", "--methods", "ddnm")
    for values in ((0.2,), (0.2, 0.9)):
        monkeypatch.setitem(posterior.COMPARED, "ddnm", posterior.COMPARED["ddnm"]._replace(values=values))
        run(monkeypatch, posterior, *words)
        cells = json.loads((results / "posterior-cpu.json").read_text())["cells"]
        assert cells["8/0.1/ddnm"]["values"] == list(values)
    assert cells["8/0.1/exact"]["spread"] == pytest.approx(1.0, abs=0.5)
    monkeypatch.setattr(posterior, "measure", None)  # which nothing calls when all cells are there
    run(monkeypatch, posterior, *words)
    assert "| ddnm | 100 |" in capsys.readouterr().out


@pytree
class Counting:
    """A prior that counts how often it is asked."""

    prior: jr.priors.GaussianMixture
    count: Callable[[], None] = static()

    def denoise(self, x, sigma):
        jax.debug.callback(self.count)
        return self.prior.denoise(x, sigma)

    def predict(self, x_t, t, schedule):
        return predict_from_denoiser(self.denoise, x_t, t, schedule)


@pytest.mark.slow
@pytest.mark.parametrize("name", posterior.COMPARED)
def test_stated_evaluations_are_those_that_are_made(name):
    asked = []
    method = posterior.COMPARED[name]
    mixture, degradation, y = posterior.problem(1, 8, 0.1)
    prior = Counting(mixture, count=lambda: asked.append(1))
    jax.jit(method.build(method.values[0]).sample)(jax.random.key(0), prior, degradation, y)
    jax.effects_barrier()
    assert len(asked) == method.evaluations
