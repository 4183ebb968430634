"""Benchmarks compute what their tables say."""

import argparse
import inspect
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrestore as jr
from benchmarks import (
    _metrics,
    _mixtures,
    _photographs,
    _results,
    _run,
    _tables,
    _truths,
    ablation,
    budget,
    conditions,
    gradient_step,
    large_image,
    networks,
    quality,
    render,
    suite,
    variants,
)
from benchmarks._several_sizes import SeveralSizes
from benchmarks.cases import CASES
from benchmarks.compared import COMPARED
from jaxrestore import evaluation, images
from jaxrestore._pytree import pytree, static
from jaxrestore.layers.conv import conv2d
from jaxrestore.priors._base import predict_from_denoiser


def test_cases_are_listed_and_unknown_ones_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["suite", "--list"])
    suite.main()
    listed = capsys.readouterr().out
    assert all(name in listed for name in CASES)
    monkeypatch.setattr("sys.argv", ["suite", "backward"])
    with pytest.raises(SystemExit):
        suite.main()
    assert "no case backward" in capsys.readouterr().err


@pytest.mark.slow
def test_operations_are_those_of_the_convolutions():
    """The published estimate for one 256x256 pass of the FFHQ network is 388 GFLOP, with multiply and add apart."""
    config = networks.published_config("ffhq256")
    assert sum(np.prod(s.shape) for s in networks.abstract_params(config).values()) == pytest.approx(93.6e6, rel=1e-3)
    prior = networks.load("photo")
    assert networks.forward_flops(prior, 64) == pytest.approx(networks.forward_flops(prior, 128) / 4, rel=0.05)


@pytest.mark.slow
def test_all_variants_of_a_lever_agree(monkeypatch):
    monkeypatch.setattr(variants, "SIZE", 32)
    answers = {name: np.asarray(f(*arguments)) for name, (f, arguments) in variants.blur().items()}
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
    assert _truths.sliced_wasserstein(samples, samples) == 0
    assert _truths.sliced_wasserstein(samples, samples + shift) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("at_end", [False, True])
def test_the_plain_convolution_computes_what_the_librarys_does(stride, at_end):
    assert inspect.signature(gradient_step.plain_conv2d) == inspect.signature(conv2d)
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((1, 8, 8, 2), (3, 3, 2, 4)))
    at_end = at_end and stride > 1  # which only strided layers have
    plain = gradient_step.plain_conv2d(x, kernel, stride=stride, at_end=at_end)
    np.testing.assert_allclose(plain, conv2d(x, kernel, stride=stride, at_end=at_end), atol=1e-5)


def test_tables_state_passes_and_gradients_and_leave_open_what_older_cells_do_not_say():
    assert _tables.evaluations({"evaluations": {"forward": 100, "gradients": 600}}) == ("100", "600")
    assert _tables.evaluations({"evaluations": 500}) == ("500", "")
    assert _tables.evaluations({"network_evaluations": 96}) == ("96", "")
    assert _tables.evaluations({}) == ("", "")


def test_the_quality_table_says_what_diverged():
    scores = {"psnr": 20.0, "ssim": 0.5, "lpips": 0.25}
    cell = {"mean": scores, "simple": None, "seconds_per_image": 3.0, "shape": [4, 8, 8, 3], "diverged": ["a.png"]}
    assert "| denoising | dps (1 of 4 diverged) | 20.000 |" in render.quality_table({"denoising/dps": cell})


class TestComparisonsOnPhotographs:
    """Which cells they measure; the restoring itself is done by a stand-in that returns the truth but for an error."""

    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        def stand_in(sampler, prior, degradation, truths, *, key, lpips):
            ys = evaluation.measure(degradation, truths, key)
            restored = np.clip(truths + 0.1, -1, 1)
            scores = [evaluation.Scores(20.0 if sampler.num_steps % 2 else 10.0, 0.5, 0.1) for _ in truths]
            return evaluation.Evaluation(ys, restored, scores, 1.0, [])

        monkeypatch.setattr(_results, "RESULTS", tmp_path)
        monkeypatch.setattr(evaluation, "evaluate", stand_in)
        rng = np.random.default_rng(0)
        images.save(tmp_path / "photos" / "a.png", rng.uniform(-1, 1, (96, 96, 3)).astype(np.float32))
        return str(tmp_path / "photos")

    @pytest.mark.slow
    def test_every_factor_is_compared_with_the_simple_answer(self, folder, monkeypatch, capsys):
        monkeypatch.setattr(conditions, "FACTORS", (2, 8))
        monkeypatch.setattr("sys.argv", ["conditions", folder, "--methods", "pspgd", "ddpg", "--only", "factor"])
        conditions.main()
        report = json.loads((_results.path("conditions")).read_text())["cells"]
        assert set(report) == {f"super_resolution/factor {f}/{m}" for f in (2, 8) for m in ("pspgd", "ddpg")}
        gains = {f: report[f"super_resolution/factor {f}/ddpg"] for f in (2, 8)}
        worst = min(cell["mean"]["psnr"] - cell["simple"]["psnr"] for cell in gains.values())
        assert f"{worst:+.1f} dB" in capsys.readouterr().out

    def test_each_idea_of_dpps_is_left_out_alone(self, folder, monkeypatch, capsys):
        words = ["ablation", folder, "--size", "32", "--tasks", "denoising", "--methods", "pdpps"]
        monkeypatch.setattr("sys.argv", words)
        ablation.main()
        cells = json.loads((_results.path("ablation")).read_text())["cells"]
        settings = {label: (c["settings"]["n_max"], c["settings"]["aligned"]) for label, c in cells.items()}
        assert settings == {
            "denoising/pdpps, both": (50, True),
            "denoising/pdpps, selection": (50, False),
            "denoising/pdpps, aligned start": (1, True),
            "denoising/pdpps, neither": (1, False),
        }
        head = "both: PSNR / LPIPS (alex) | selection: PSNR / LPIPS (alex) | aligned start: PSNR / LPIPS (alex) | neither: "
        assert head in capsys.readouterr().out


def test_tables_name_the_variant_of_lpips_and_results_of_each_have_a_file_of_their_own():
    scores = {"psnr": 20.0, "ssim": 0.5, "lpips": 0.25}
    old = {"mean": scores, "simple": None, "seconds_per_image": 3.0, "shape": [4, 8, 8, 3]}
    assert "LPIPS (alex) (simple)" in render.quality_table({"denoising/dps": old})
    assert "LPIPS (vgg) (simple)" in render.quality_table({"denoising/dps": {**old, "lpips_variant": "vgg"}})
    assert "both: PSNR / LPIPS (alex)" in render.ablation_table({"denoising/dps, both": old})
    variants = {v: evaluation.Perceptual(v, {}) for v in ("alex", "vgg")}
    assert [_metrics.file_name("quality-128", v) for v in variants.values()] == ["quality-128", "quality-128-vgg"]


@pytest.mark.parametrize("budget_in_passes", [4, 30])
def test_what_is_tried_within_a_budget_costs_no_more_and_one_step_more_would(budget_in_passes):
    task = jr.task("gaussian_deblur", image_shape=(64, 64, 3))
    for method, (bounded, _) in budget.TRIED.items():
        for _, changed in budget.affordable(task, method, budget_in_passes):
            settings = {**task.for_method(method), **changed}
            assert budget.cost(method, settings) <= budget_in_passes
            assert budget.cost(method, {**settings, bounded: changed[bounded] + 1}) > budget_in_passes


def test_the_table_of_a_budget_names_what_is_better_in_both():
    def cell(psnr, lpips):
        return {"mean": {"psnr": psnr, "lpips": lpips}, "evaluations": {"forward": 3, "gradients": 0}}

    cells = {"a/x, zeta 1": cell(20, 0.5), "a/y": cell(21, 0.4), "a/z": cell(22, 0.6), "b/y": cell(30, 0.1)}
    last = [line.strip("| ").split(" | ") for line in render.budget_table(cells).splitlines()[2:]]
    assert [row[6].strip(" |") if len(row) > 6 else "" for row in last] == ["y", "", "", ""]


def test_a_variant_of_lpips_without_weights_is_refused_with_the_mend():
    parser = argparse.ArgumentParser()
    _metrics.add_options(parser)
    assert _metrics.load(parser.parse_args([])).title == "LPIPS (alex)"
    with pytest.raises(SystemExit, match="'piq' needs weights that are not bundled.*--lpips-weights"):
        _metrics.load(parser.parse_args(["--lpips", "piq"]))


@pytest.mark.parametrize("file", sorted(_results.RESULTS.glob("*.json")), ids=lambda file: file.name)
def test_the_quoted_results_are_rendered_to_the_tables_beside_them(file, tmp_path, capsys):
    name = json.loads(file.read_text())["benchmark"].partition("-")[0]
    copy = tmp_path / file.name
    copy.write_text(file.read_text())
    if name not in render.RENDERINGS:
        with pytest.raises(SystemExit, match=f"holds results of {name}, expected one of suite"):
            render.render(copy)
        return
    render.render(copy)
    assert copy.with_suffix(".md").read_text() == file.with_suffix(".md").read_text()


def test_only_tasks_that_need_no_weights_are_asked_of_photographs():
    assert "nonlinear_deblur" not in _photographs.TASKS
    assert set(_photographs.TASKS) < set(jr.TASKS)


def test_a_task_that_cannot_do_the_pictures_size_is_passed_over(capsys):
    assert quality.suits("denoising", (2, 30, 30, 3))
    assert not quality.suits("super_resolution", (2, 30, 30, 3))
    assert "multiples of 4" in capsys.readouterr().out


def test_pictures_that_are_too_small_are_left_out(tmp_path):
    for name, side in (("a", 8), ("b", 16), ("c", 12)):
        images.save(tmp_path / f"{name}.png", np.zeros((side, side, 3), np.float32))
    parser = _run.parser(None)
    _photographs.add_options(parser, size=12)
    photographs = _photographs.load(parser.parse_args([str(tmp_path)]))
    assert [path.name for path in photographs.paths] == ["b.png", "c.png"]
    assert photographs.stack.shape == (2, 12, 12, 3)
    with pytest.raises(SystemExit, match="lower --size"):
        _photographs.load(parser.parse_args([str(tmp_path), "--size", "32"]))


@pytree
class Counting:
    """A prior that counts how often it is asked."""

    prior: SeveralSizes
    count: Callable[[], None] = static()

    def denoise(self, x, sigma):
        jax.debug.callback(self.count)
        return self.prior.denoise(x, sigma)

    def predict(self, x_t, t, schedule):
        return predict_from_denoiser(self.denoise, x_t, t, schedule)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARED)
def test_stated_evaluations_are_those_that_are_made(name):
    asked = []
    method = COMPARED[name]
    mixture, degradation, y = _mixtures.problem(1, 8, 0.1)
    sizes = SeveralSizes((mixture, _mixtures.halved(mixture)))
    prior = Counting(sizes, count=lambda: asked.append(1))
    jax.jit(method.build(method.values[0]).sample)(jax.random.key(0), prior, degradation, y)
    jax.effects_barrier()
    assert len(asked) == method.evaluations.forward
