"""Measures of a spread: what exact samples reach, and what samples too close together do not."""

import numpy as np
import pytest

from jaxrestore import coverage

RNG = np.random.default_rng(0)
EXACT, TRUTHS = RNG.standard_normal((200, 30)), RNG.standard_normal((400, 30))


def log_density(x):
    return -0.5 * np.square(x).sum(1)


@pytest.mark.parametrize("num_samples", [2, 5, 50])
def test_every_level_is_reached_on_average_however_few_samples_there_are(num_samples):
    """10 000 sets of samples with one truth each: a standard error of 0.5 points at most."""
    x = np.random.default_rng(1).standard_normal((num_samples + 1, 10_000))
    levels = (0.25, 0.5, 0.9, 0.99)
    found = coverage.interval_coverage(x[1:], x[:1], levels).mean(1)
    np.testing.assert_allclose(found, levels, atol=0.02)
    ranks = [coverage.density_coverage(column[1:], column[:1], levels) for column in x.T[:2000]]
    np.testing.assert_allclose(np.mean(ranks, 0), levels, atol=0.04)


def test_values_that_are_taken_twice_do_not_matter():
    """On a grid of three values most samples equal the truth; so they do where all are one."""
    x = np.random.default_rng(1).integers(0, 3, (21, 10_000))
    np.testing.assert_allclose(coverage.interval_coverage(x[1:], x[:1]).mean(1), coverage.LEVELS, atol=0.02)
    np.testing.assert_allclose(coverage.interval_coverage(np.ones((7, 1)), np.ones((1, 1)))[:, 0], coverage.LEVELS)
    np.testing.assert_allclose(coverage.density_coverage(np.ones(7), np.ones(3)), coverage.LEVELS)


def test_a_truth_beyond_all_samples_is_in_no_interval_but_the_widest():
    samples = np.arange(9.0)[:, None]
    np.testing.assert_allclose(
        coverage.interval_coverage(samples, [[99.0]], (0.5, 0.8, 0.9, 1.0))[:, 0], [0, 0, 0.5, 1]
    )


def test_intervals_are_those_of_the_normal_distribution():
    """Of samples half as wide as the truths, the central q intervals hold 2 Phi(z_q / 2) - 1."""
    samples = 0.5 * np.random.default_rng(4).standard_normal((4000, 3))
    found = coverage.interval_coverage(samples, TRUTHS.reshape(-1, 3)).mean(1)
    np.testing.assert_allclose(found, [0.2641, 0.5893, 0.8022], atol=0.02)


def test_every_measure_passes_exact_samples_and_finds_a_halved_spread_out():
    for width, right in ((1.0, True), (0.5, False)):
        samples = width * EXACT
        found = {
            "interval": coverage.interval_coverage(samples, TRUTHS, (0.9,)).mean() - 0.9,
            "density": coverage.density_coverage(log_density(samples), log_density(TRUTHS), (0.9,))[0] - 0.9,
            "spread": coverage.spread_ratio(samples, TRUTHS) - 1,
        }
        for name, error in found.items():
            assert (abs(error) < 0.05) == right, (name, width)


def test_the_region_of_highest_density_holds_its_share():
    """|x|^2 of 30 normal numbers has a chi-squared distribution; of samples half as wide, a quarter of that."""
    rng = np.random.default_rng(2)
    truths = log_density(rng.standard_normal((4000, 2)))
    samples = log_density(0.5 * rng.standard_normal((4000, 2)))
    # In two dimensions the chi-squared distribution function is 1 - exp(-r^2 / 2), so that 0.9 becomes 1 - 0.1^(1/4).
    np.testing.assert_allclose(coverage.density_coverage(samples, truths, (0.9,)), 1 - 0.1**0.25, atol=0.03)


def test_the_error_of_the_mean_of_some_samples_is_as_the_formula_says():
    estimates = EXACT.reshape(20, 10, 30).mean(1)  # 20 means of 10 samples
    ratios = [coverage.error_ratio(estimate, np.zeros(30), TRUTHS) for estimate in estimates]
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(ratios))), np.sqrt(1 + 1 / 10), rtol=0.02)


@pytest.mark.parametrize("num_samples", [3, 8])
def test_the_share_within_some_deviations_is_students(num_samples):
    x = np.random.default_rng(3).standard_normal((num_samples + 1, 40_000))
    z = coverage.deviations(x[1:].mean(0), x[1:].std(0, ddof=1), x[0])
    found = [(z <= k).mean() for k in (0.5, 1, 2, 3)]
    np.testing.assert_allclose(coverage.gaussian_share([0.5, 1, 2, 3], num_samples), found, atol=0.01)
    for level in (0.0, 0.5, 0.9, 0.99):
        multiple = coverage.gaussian_multiple(level, num_samples)
        np.testing.assert_allclose(coverage.gaussian_share(multiple, num_samples), level, atol=1e-5)


def test_many_samples_give_the_normal_distributions_shares():
    np.testing.assert_allclose(coverage.gaussian_share([1, 2, 3], 2_000), [0.6827, 0.9545, 0.9973], atol=1e-3)


def test_where_there_is_no_spread_only_a_right_mean_is_within():
    np.testing.assert_array_equal(
        coverage.deviations([1.0, 1.0, 1.0], [0.0, 0.0, 0.5], [1.0, 2.0, 2.0]), [0, np.inf, 2]
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"samples have shape \(2, 3\) and truths \(4,\), expected"):
        coverage.interval_coverage(np.zeros((2, 3)), np.zeros(4))
    with pytest.raises(ValueError, match="not finite"):
        coverage.interval_coverage([[np.nan]], [[0.0]])
    with pytest.raises(ValueError, match="levels is"):
        coverage.interval_coverage([[1.0]], [[0.0]], (90,))
    with pytest.raises(ValueError, match="log-densities hold NaN"):
        coverage.density_coverage([np.nan], [0.0])
    with pytest.raises(ValueError, match="expected at least 2 of each"):
        coverage.spread_ratio([[1.0]], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="num_samples is 1, expected at least 2"):
        coverage.gaussian_share(1.0, 1)
