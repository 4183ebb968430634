"""Coverage on photographs: what is counted, and whom it is blamed on."""

import jax
import numpy as np
import pytest
from conftest import isotropic

import jaxrestore as jr
from benchmarks import _coverage_tables, coverage

SHAPE = (12, 16, 3)


def statistics(mean, std):
    return jr.PosteriorStatistics(mean, std, np.zeros((len(mean), 0, *SHAPE), np.float32))


def test_exact_gaussian_samples_are_reliable_and_a_halved_spread_is_not():
    rng = np.random.default_rng(0)
    truths, samples = rng.standard_normal((4, *SHAPE)), rng.standard_normal((8, 4, *SHAPE))
    for width, tolerance in ((1.0, 0.04), (0.5, None)):
        drawn = statistics((width * samples).mean(0), (width * samples).std(0, ddof=1))
        counted = coverage.count(truths, drawn, 8)
        if tolerance:
            np.testing.assert_allclose(
                counted.within, jr.coverage.gaussian_share(coverage.MULTIPLES, 8), atol=tolerance
            )
            np.testing.assert_allclose(counted.reliability, coverage.LEVELS, atol=tolerance)
            assert counted.ratio == pytest.approx(1, abs=0.05)
        else:
            assert counted.within[0] < 0.45
            assert counted.ratio == pytest.approx(np.sqrt((1 + 1 / 32) / (9 / 8 / 4)), rel=0.05)


def test_pixels_are_sorted_by_their_distance_to_an_edge():
    image = np.full((20, 30, 3), -0.5)
    image[:, 10:] = 0.5
    distance = coverage.edge_distance(image)
    columns = np.arange(30)
    expected = np.minimum(np.minimum(np.abs(columns - 9), np.abs(columns - 10)), 8)
    np.testing.assert_array_equal(distance, np.broadcast_to(expected, distance.shape))
    assert (coverage.edge_distance(np.zeros((9, 9, 3))) == 8).all()


def test_what_lies_near_edges_is_counted_apart():
    truths = np.full((1, *SHAPE), -0.5)
    truths[:, :, 8:] = 0.5
    mean = truths.copy()
    mean[:, :, 7:9] += 0.25  # wrong by 2.5 deviations on the edge alone
    counted = coverage.count(truths, statistics(mean, np.full_like(truths, 0.1)), 8)
    assert counted.by_distance["on edges"] == {"pixels": 2 / 16, "within": [0.0, 0.0, 1.0]}
    assert counted.by_distance["1 to 2 pixels"]["within"] == [1.0, 1.0, 1.0]
    assert counted.by_distance["further"] == {"pixels": 0.0, "within": [None, None, None]}
    assert counted.within == [14 / 16, 14 / 16, 1.0]


def test_pictures_that_diverged_are_left_out():
    truths = np.zeros((2, *SHAPE))
    mean = truths + np.array([0.0, np.nan]).reshape(2, 1, 1, 1)
    assert coverage.count(truths, statistics(mean, np.ones_like(truths)), 8).diverged == 1
    assert coverage.count(truths, statistics(np.nan * mean, np.ones_like(truths)), 8).diverged == 2


def test_draws_are_those_of_the_prior():
    draws = coverage.draw(isotropic((4, 4, 3), variance=0.04, mean=0.2), (4, 4, 3), 100, key=jax.random.key(0))
    assert draws.mean() == pytest.approx(0.2, abs=0.02)
    assert draws.std() == pytest.approx(0.2, rel=0.1)


def test_the_prior_is_to_blame_for_what_the_sampler_does_right_on_its_draws():
    """A sampler that is right on draws, and too sure by 2 on photographs: three quarters of the squared error."""
    assert coverage.prior_share(2.0, 1.0) == 0.75
    assert coverage.prior_share(2.0, 2.0) == 0


def test_the_prior_s_share_is_found_where_the_world_is_wider_than_the_prior():
    """Denoising with nearly no information, by a prior of half the world's spread, and exact samples: R is 2 and 1."""
    rng = np.random.default_rng(0)
    prior, world = 0.5 * rng.standard_normal((2, *SHAPE)), rng.standard_normal((2, *SHAPE))
    samples = 0.5 * rng.standard_normal((32, 2, *SHAPE))
    ratios = [
        coverage.count(truths, statistics(samples.mean(0), samples.std(0, ddof=1)), 32).ratio
        for truths in (world, prior)
    ]
    assert coverage.prior_share(*ratios) == pytest.approx(0.75, abs=0.05)


def test_the_table_says_what_was_counted(tmp_path):
    truths = np.zeros((1, *SHAPE))
    counted = coverage.count(truths, statistics(truths + 0.15, np.full_like(truths, 0.1)), 8)._asdict()
    cell = {"samples": 8, "expected": [0.62, 0.9, 0.97], "levels": coverage.LEVELS, "evaluations": {"forward": 9}}
    cells = {"denoising/ddrm": {**cell, "photographs": counted, "draws": counted, "prior_share": 0.0}}
    table = _coverage_tables.table(cells)
    assert (
        "| denoising | ddrm | 9 |  | 0/100/100 | -/-/- | -/-/- | -/-/- | 0/100/100 | 0/100/100 | 1.41 | 1.41 | 0% |"
        in table
    )
    assert "8 of them, have 62/90/97" in table
    lost = coverage.count(truths, statistics(np.nan * truths, np.nan * truths), 8)
    assert coverage.prior_share(lost.ratio, 1.0) is None
    lost = {**cell, "photographs": lost._asdict(), "draws": counted, "prior_share": None}
    table = _coverage_tables.table({"denoising/a": lost, **cells})
    assert "| denoising | a | 9 |  | -/-/- | -/-/- | -/-/- | -/-/- | -/-/- | 0/100/100 | - | 1.41 | - |" in table
    assert "| denoising | ddrm | 9 |  | 0/100/100 |" in table
    pytest.importorskip("matplotlib")
    _coverage_tables.draw(cells, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
