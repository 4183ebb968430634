import math

import jax
import numpy as np
import pytest
from conftest import Golden
from hypothesis import given
from hypothesis import strategies as st

from jaxrestore import schedules
from jaxrestore.samplers.dpps import candidate_counts

GOLDEN = Golden("schedules")


def test_a_part_keeps_the_levels_within_its_bounds_and_ends_on_the_image():
    whole = schedules.ddpm(1000)
    part = schedules.part_of(schedules.ddpm(12), sigma_max=0.6, sigma_min=0.1)
    sigma = np.sqrt(1 / whole.abar - 1)
    within = np.flatnonzero((sigma >= 0.1) & (sigma <= 0.6))
    assert (part.timesteps[0], part.timesteps[-1]) == (within[0], within[-1])
    np.testing.assert_allclose(part.abar, whole.abar[part.timesteps], rtol=1e-12)
    assert part.abar_previous[0] == 1.0
    with pytest.raises(
        ValueError, match=f"at most the {len(within)} steps that the process has between noise levels 0.1"
    ):
        schedules.part_of(schedules.ddpm(len(within) + 1), sigma_max=0.6, sigma_min=0.1)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_steps_at_levels_are_the_nearest_by_ratio(kind):
    levels = schedules.edm(20, sigma_max=10.0, sigma_min=0.05)[:-1]
    schedule = schedules.at_levels(levels, kind=kind)
    sigma = np.sqrt(1 / schedule.abar - 1)[::-1]
    whole = np.sqrt(1 / schedules.ddpm(1000, kind=kind).abar - 1)
    ratios = np.diff(np.log(whole)).max()
    assert schedule.num_steps == 20
    np.testing.assert_allclose(np.log(sigma), np.log(levels), atol=ratios)
    for unfit in (0.0, np.inf):
        with pytest.raises(ValueError, match=f"sigmas has a level of {unfit}, expected finite and positive ones"):
            schedules.at_levels(np.array([1.0, unfit]))


@pytest.mark.parametrize("steps", [30, 100])
def test_edm_grid_is_the_published_one(steps):
    np.testing.assert_allclose(schedules.edm(steps), GOLDEN.raw(f"edm{steps}_sigma"), rtol=1e-10)


@given(st.integers(2, 200), st.floats(1e-3, 1.0), st.floats(2.0, 200.0), st.floats(0.5, 10.0))
def test_edm_grid_falls_from_sigma_max_over_sigma_min_to_zero(steps, sigma_min, sigma_max, rho):
    sigmas = schedules.edm(steps, sigma_max=sigma_max, sigma_min=sigma_min, rho=rho)
    assert sigmas.shape == (steps + 1,)
    assert (np.diff(sigmas) < 0).all()
    np.testing.assert_allclose(sigmas[[0, -2, -1]], [sigma_max, sigma_min, 0.0], rtol=1e-9)


def test_network_time_of_a_noise_level_is_the_published_one():
    t = jax.jit(schedules.vp_timestep)(GOLDEN.raw("vp_sigma").astype(np.float32))
    np.testing.assert_allclose(t, GOLDEN.raw("vp_c_noise"), rtol=1e-6)


@pytest.mark.parametrize("steps", [12, 20, 100, 1000])
def test_ddpm_tables_are_the_published_ones(steps):
    schedule, prefix = schedules.ddpm(steps), f"ddpm{steps}_"
    np.testing.assert_array_equal(schedule.timesteps, GOLDEN.raw(prefix + "timestep_map"))
    for ours, theirs in {
        "betas": "betas",
        "abar": "alphas_cumprod",
        "posterior_mean_x0": "posterior_mean_coef1",
        "posterior_mean_xt": "posterior_mean_coef2",
        "posterior_log_variance": "posterior_log_variance_clipped",
    }.items():
        np.testing.assert_allclose(getattr(schedule, ours), GOLDEN.raw(prefix + theirs), rtol=1e-10, atol=0)


@pytest.mark.parametrize("steps", [12, 20, 100, 1000])
def test_candidate_counts_are_the_published_ones(steps):
    counts = candidate_counts(schedules.ddpm(steps), 50)
    np.testing.assert_array_equal(counts, GOLDEN.raw(f"ddpm{steps}_n_frequency_nmax50"))


def test_cosine_betas_are_the_published_ones():
    np.testing.assert_allclose(schedules.cosine_betas(1000), GOLDEN.raw("cosine1000_betas"), rtol=1e-10)


class TestSpacings:
    @pytest.mark.parametrize(
        ("steps", "first", "stride"), [(100, 990, 10), (20, 950, 50), (1000, 999, 1), (300, 897, 3)]
    )
    def test_leading_keeps_multiples_of_the_stride(self, steps, first, stride):
        timesteps = schedules.ddpm(steps, spacing="leading").timesteps
        assert timesteps.tolist() == list(range(0, first + 1, stride))

    @pytest.mark.parametrize("steps", [2, 20, 100, 500])
    def test_quadratic_is_that_of_diffpir(self, steps):
        """Counted from the noisiest as its program does, with Python's arithmetic."""
        from_noisiest = [math.isqrt(1000**2 * i // (steps - 1)) for i in range(steps)]
        expected = [999 - s for s in from_noisiest[:-1]] + [0]
        assert schedules.ddpm(steps, spacing="quadratic").timesteps[::-1].tolist() == expected

    def test_too_many_quadratic_steps_are_refused(self):
        with pytest.raises(ValueError, match="num_steps is 700, expected at most half of the 1000 steps"):
            schedules.ddpm(700, spacing="quadratic")


@given(st.integers(1, 1000), st.sampled_from(["linear", "cosine"]))
def test_respacing_keeps_the_noise_level_of_kept_timesteps(steps, kind):
    schedule, full = schedules.ddpm(steps, kind=kind), schedules.ddpm(1000, kind=kind)
    np.testing.assert_allclose(schedule.abar, full.abar[schedule.timesteps], rtol=1e-8)


@given(st.floats(-1, 1), st.integers(1, 99))
def test_learned_range_stays_between_its_bounds(value, t):
    schedule = schedules.ddpm(100)
    low, high = schedule.posterior_log_variance[t], schedule.log_beta[t]
    log_variance = float(schedules.learned_range_log_variance(np.float32(value), high, low))
    assert low - 1e-4 <= log_variance <= high + 1e-4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: schedules.edm(1), "num_steps is 1, expected at least 2"),
        (lambda: schedules.edm(10, sigma_min=200.0), "sigma_max is 100.0, expected"),
        (lambda: schedules.ddpm(2000), "num_steps is 2000, expected at most"),
        (lambda: schedules.ddpm(10, kind="sigmoid"), "kind is 'sigmoid', expected one of"),
        (lambda: schedules.ddpm(10, base_steps=20), "num_steps is 20, expected at least 21: .* reaches 1"),
        (lambda: schedules.time_travel(10, length=0, repeats=2), "length is 0"),
        (lambda: schedules.time_travel(10, length=2, repeats=0), "repeats is 0"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_cosine_timesteps_are_those_of_the_trained_steps():
    abar = np.cumprod(1 - schedules.cosine_betas(1000))[:999]  # the last beta is clipped
    timesteps = schedules.cosine_timestep(np.sqrt((1 - abar) / abar))
    np.testing.assert_allclose(timesteps, np.arange(999), atol=2e-3)
    assert schedules.cosine_timestep(0.0) == 0
    assert schedules.cosine_timestep(1e9) == 999


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_every_schedule_has_betas_below_one(kind):
    for base_steps in (21, 22, 50, 1000):
        schedule = schedules.ddpm(base_steps, base_steps=base_steps, kind=kind)
        assert ((schedule.betas > 0) & (schedule.betas < 1)).all()
        assert np.isfinite(schedule.posterior_log_variance).all()


def test_a_number_of_steps_stands_for_the_published_process_and_a_schedule_for_itself():
    cosine = schedules.ddpm(30, kind="cosine")
    assert schedules.as_schedule(cosine) is cosine
    np.testing.assert_array_equal(schedules.as_schedule(30).betas, schedules.ddpm(30).betas)


class TestTimeTravel:
    @given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 5))
    def test_goes_down_by_one_and_returns_by_the_length(self, steps, length, repeats):
        walk = schedules.time_travel(steps, length=length, repeats=repeats)
        assert (walk[0], walk[-1]) == (steps - 1, 0)
        moves = np.diff(walk)
        assert set(moves) <= {-1, length - 1}  # a step ends one below it: from there the return begins
        returns = (repeats - 1) * len(range(0, steps - length, length))
        assert len(walk) == steps + length * returns

    def test_without_repeats_it_is_the_way_down(self):
        np.testing.assert_array_equal(schedules.time_travel(7, length=3, repeats=1), np.arange(7)[::-1])

    def test_the_published_walk_has_as_many_moves_as_published(self):
        """RePaint's 250 steps with jumps of 10, each stretch walked 10 times: 4570 moves, down and up."""
        walk = schedules.time_travel(250, length=10, repeats=10)
        up = 10 * 9 * 24
        assert len(walk) + up == 4570
