"""The posterior benchmark: exact samples come out right, wrong ones are found out, and what the tables say of them."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrestore as jr
from benchmarks import _chains, _mixtures, _posterior_tables, _truths, posterior
from benchmarks._several_sizes import SeveralSizes
from benchmarks._truths import Sizes

SMALL = Sizes(100, 100, 100, (0,), (1, 2))
LABELS = ("8/1", "laplace-64-mask/0.1", "sparse-64-mask/0.1")


@pytest.fixture(params=LABELS)
def truths(request):
    return known(request.param)


@functools.cache
def known(label):
    return [posterior.PROBLEMS[label].known(seed) for seed in SMALL.seeds]


def scores_of(truths, change):
    """Mean of the measures over problems, of exact samples that were changed."""
    scores = [_truths.compare(change(truth.again, truth), truth) for truth in truths]
    return {name: np.mean([s[name] for s in scores]) for name in _truths.MEASURES}


def test_exact_samples_come_out_right_by_every_measure(truths):
    scores = scores_of(truths, lambda samples, truth: samples)
    # 64 samples of two problems: a coordinate's 90 % interval is sure to 4 points, the mean over coordinates to less.
    for name, level in (("interval_50", 0.5), ("interval_90", 0.9), ("interval_99", 0.99), ("density_90", 0.9)):
        assert scores[name] == pytest.approx(level, abs=0.05), name
    assert scores["spread"] == pytest.approx(1, abs=0.12)
    assert scores["error_ratio"] == pytest.approx(1, abs=0.03)


def test_a_halved_spread_is_found_out_by_every_measure_of_spread(truths):
    def half(samples, truth):
        return (truth.mean + 0.5 * (samples - truth.mean)).astype(np.float32)

    exact, halved = scores_of(truths, lambda samples, truth: samples), scores_of(truths, half)
    for name, level in (("interval_50", 0.5), ("interval_90", 0.9), ("interval_99", 0.99), ("density_90", 0.9)):
        assert abs(halved[name] - level) > 0.04, name
        assert abs(halved[name] - level) > 2 * abs(exact[name] - level), name
    assert halved["interval_90"] < 0.75
    assert halved["spread"] == pytest.approx(0.5, abs=0.1)
    assert halved["sliced_wasserstein"] > 1.1 * exact["sliced_wasserstein"]


def test_a_shifted_mean_is_found_out(truths):
    def shifted(samples, truth):
        return samples + np.float32(0.3)

    scores = scores_of(truths, shifted)
    assert scores["error_ratio"] > 1.1
    assert scores["interval_90"] < 0.85


def test_samples_that_are_not_finite_have_no_coverage():
    truth = known("8/1")[0]
    scores = _truths.compare(np.full_like(truth.again, np.nan), truth)
    assert scores["sliced_wasserstein"] == np.inf
    assert posterior._mean([scores])["interval_90"] is None


def test_halved_mixtures_are_the_distribution_of_pairs_means():
    prior, _, _ = _mixtures.problem(1, 8, 0.1)
    pairs = jax.vmap(prior.sample)(jax.random.split(jax.random.key(0), 20_000)).reshape(-1, 4, 2).mean(2)
    half = _mixtures.halved(prior)
    np.testing.assert_allclose(pairs.mean(0), half.mean().ravel(), atol=0.02)
    np.testing.assert_allclose(np.cov(pairs.T), half.covariance(), atol=0.01)


@pytest.mark.slow
def test_every_second_sample_of_a_chain_is_the_coarse_chain():
    fine, coarse = _chains.prior_of("sparse", 8).priors
    draws = jax.vmap(fine.sample)(jax.random.split(jax.random.key(0), 20_000))[:, ::2, 0, 0]
    again = jax.vmap(coarse.sample)(jax.random.split(jax.random.key(1), 20_000))[..., 0, 0]
    for a in (draws, again):
        assert (np.abs(np.diff(a, axis=1)) > 1e-3).mean() == pytest.approx(1 - 0.94**2, abs=0.01)


@pytest.mark.slow
def test_several_sizes_answer_by_the_length_they_are_shown():
    fine, coarse = jr.priors.GaussianMixture(jnp.ones(1), jnp.zeros((1, 4, 1, 1)), jnp.ones((1, 4))), None
    coarse = jr.priors.GaussianMixture(jnp.ones(1), jnp.zeros((1, 2, 1, 1)), jnp.full((1, 2), 3.0))
    prior = SeveralSizes((fine, coarse))
    np.testing.assert_allclose(prior.denoise(jnp.ones((4, 1, 1)), jnp.float32(1.0)), 0.5, rtol=1e-6)
    np.testing.assert_allclose(prior.denoise(jnp.ones((2, 1, 1)), jnp.float32(1.0)), 0.75, rtol=1e-6)
    with pytest.raises(ValueError, match="expected one of"):
        prior.denoise(jnp.ones((3, 1, 1)), jnp.float32(1.0))


def test_patterns_choose_problems(monkeypatch):
    parsed = posterior.argparse.Namespace(quick=False, problems=["sparse-64-*"])
    assert posterior.chosen(parsed) == [f"sparse-64-{task}/0.1" for task in ("mask", "noise", "blur")]
    assert posterior.chosen(posterior.argparse.Namespace(quick=True, problems=["*"])) == list(posterior.QUICK)
    with pytest.raises(SystemExit, match="no problem is called dense"):
        posterior.chosen(posterior.argparse.Namespace(quick=False, problems=["dense"]))


def cell(coverage, spread, error=1.0, **more):
    measures = dict.fromkeys(_truths.MEASURES, 0.5) | {"interval_90": coverage, "spread": spread, "error_ratio": error}
    return {"family": "Markov chains", "evaluations": {"forward": 100, "gradients": 7}, **measures, **more}


def test_verdicts_follow_from_the_figures():
    def verdict(*cells):
        by_label = {f"sparse-64-mask/{i}/dps": c for i, c in enumerate(cells)}
        (sentence,) = _posterior_tables.verdicts(by_label, "dps")
        return sentence

    assert "for uncertainty and for its mean (on all of 2 problems): " in verdict(cell(0.88, 0.9), cell(0.94, 1.2))
    assert "for uncertainty (on all of 1 problems): " in verdict(cell(0.88, 0.9, 1.5))
    assert "for its mean; for uncertainty on 1 of 2" in verdict(cell(0.9, 1.0), cell(0.8, 1.0))
    assert "for neither; for uncertainty on 0 of 1" in verdict(cell(0.9, 1.5, 1.5))
    assert "88 to 94 %" in verdict(cell(0.88, 0.9), cell(0.94, 1.2))
    assert "100 passes and 7 gradients" in verdict(cell(0.9, 1.0))
    assert verdict(cell(None, None, None)) == "`dps`, Markov chains: diverges."


def test_tables_show_what_was_measured_and_leave_open_what_older_cells_do_not_say(tmp_path):
    older = {"evaluations": 500, "sliced_wasserstein": 0.25, "spread": 0.75}
    cells = {"sparse-64-mask/0.1/dps": cell(0.875, 1.25), "80/1/dps": older, "8/1/exact": older}
    table = _posterior_tables.table(cells)
    assert "| method | forward passes | gradients | 8/1 | 80/1 | sparse-64-mask/0.1 |" in table
    assert "| dps | 500 |  |  | 0.25 | 0.50 |" in table
    assert "| dps | 500 |  |  |  | 50/88/50 (50) |" in table
    assert "| dps | 500 |  |  | 0.75 | 1.25 (1.00) |" in table
    assert "problems: 8/1 1.250" in _posterior_tables.table({**cells, "8/1/exact": {**older, "r_hat": 1.25}})
    assert "central 50" not in _posterior_tables.table({"80/1/dps": older})
    pytest.importorskip("matplotlib")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # of the logarithm of a spread of 0
        _posterior_tables.draw({**cells, "8/1/dps": cell(0.9, 0.0)}, tmp_path / "a.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a-coverage.png", "a-spread.png", "a.png"]
