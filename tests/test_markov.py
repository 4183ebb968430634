"""Chains small enough to sum over all their signals, and larger ones against each other."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrestore as jr
from jaxrestore import operators, schedules
from jaxrestore.priors.markov import (
    MarkovChainPrior,
    gaussian_steps,
    laplace_steps,
    sparse_steps,
    student_steps,
)
from jaxrestore.priors.markov_gibbs import _redraw, _State, _target, gibbs, r_hat

KEY = jax.random.key(3)
START = [0.1, 0.3, 0.3, 0.2, 0.1]
FIVE, FINE = np.linspace(-1, 1, 5), np.linspace(-1, 1, 51)
SMALL = MarkovChainPrior.from_steps(4, FIVE, sparse_steps(FIVE, 0.5, 0.3), log_initial=np.log(START))
SHAPE = SMALL.image_shape
LARGE = MarkovChainPrior.from_steps(32, FINE, sparse_steps(FINE, 0.3, 0.1))
STEPS = {
    "gaussian": gaussian_steps(FINE, 0.1),
    "laplace": laplace_steps(FINE, 0.1),
    "student": student_steps(FINE, 0.05, 1.0),
    "sparse": sparse_steps(FINE, 0.3, 0.1),
}
# Compiled once for each shape: eager, every call would compile its loops anew.
denoise = jax.jit(lambda prior, x, sigma: prior.denoise(x, sigma))
statistics = jax.jit(lambda prior, x, sigma: (prior.variance(x, sigma), prior.log_density(x, sigma)))
score = jax.jit(jax.grad(lambda x, prior, sigma: prior.log_density(x, sigma)))
draw = jax.jit(gibbs, static_argnames=("num_chains", "num_samples", "burn_in", "thin"))
summary = jax.jit(lambda p: (p.mean().ravel(), p.variance().ravel(), p.marginals(), p.log_evidence()))
samples = jax.jit(jax.vmap(lambda p, key: p.sample(key), in_axes=(None, 0)))  # of a prior or a posterior
jacobian = jax.jit(jax.jacobian(lambda x, prior, sigma: prior.denoise(x, sigma)))


class Enumeration:
    """All G^N signals with their posterior probabilities, in float64."""

    def __init__(self, prior, matrix, y, std):
        grid, initial, steps = (
            np.asarray(a, np.float64) for a in (prior.grid, prior.log_initial, prior.log_transition)
        )
        self.num_levels = len(grid)
        self.levels = np.array(list(itertools.product(range(self.num_levels), repeat=prior.num_samples)))
        self.signals = grid[self.levels]
        log_prior = initial[self.levels[:, 0]] + steps[self.levels[:, :-1], self.levels[:, 1:]].sum(1)
        misfit = (np.asarray(y, np.float64).ravel() - self.signals @ np.asarray(matrix, np.float64).T) / std
        log_joint = log_prior - 0.5 * np.square(misfit).sum(1) - misfit.shape[1] * np.log(std * np.sqrt(2 * np.pi))
        self.log_evidence = np.logaddexp.reduce(log_joint)
        self.probabilities = np.exp(log_joint - self.log_evidence)
        self.mean = self.probabilities @ self.signals
        self.variance = self.probabilities @ np.square(self.signals - self.mean)
        self.marginals = np.stack([self.probabilities @ (self.levels == k) for k in range(self.num_levels)], 1)

    def frequencies(self, signals, grid):
        """Of each signal, (..., G^N), among signals (..., draws, N, 1, 1)."""
        levels = np.abs(np.asarray(signals)[..., 0] - np.asarray(grid)).argmin(-1)
        codes = levels @ self.num_levels ** np.arange(levels.shape[-1])[::-1]
        count = np.apply_along_axis(np.bincount, -1, codes, minlength=len(self.levels))
        return count / levels.shape[-2]

    def assert_drawn(self, signals, grid):
        """Independent draws have these probabilities: each signal within 5 standard errors, and all by chi squared."""
        found, count = self.frequencies(signals, grid), len(signals)
        common = self.probabilities * count > 20
        z = (found - self.probabilities)[common] / np.sqrt(self.probabilities / count)[common]
        assert np.abs(z).max() < 5
        assert np.square(z).sum() < common.sum() + 5 * np.sqrt(2 * common.sum())
        assert self.probabilities[common].sum() > 0.8


def noisy(prior, sigma, key=KEY):
    return prior.sample(key) + sigma * jax.random.normal(jax.random.fold_in(key, 1), prior.image_shape)


class TestDenoiser:
    @pytest.mark.parametrize("sigma", [0.2, 0.7, 5.0])
    def test_equals_the_sum_over_all_signals(self, sigma):
        x = noisy(SMALL, sigma)
        exact = Enumeration(SMALL, np.eye(4), x, sigma)
        np.testing.assert_allclose(denoise(SMALL, x, sigma).ravel(), exact.mean, atol=1e-5)
        variance, log_density = statistics(SMALL, x, sigma)
        np.testing.assert_allclose(variance.ravel(), exact.variance, atol=1e-5)
        np.testing.assert_allclose(log_density, exact.log_evidence, atol=1e-4)

    @pytest.mark.parametrize("sigma", [1e-3, 0.1])
    def test_is_exact_where_the_measurement_contradicts_the_prior(self, sigma):
        """Steps of 100 standard deviations of the prior, and values far outside the grid."""
        prior = MarkovChainPrior.from_steps(3, FINE, gaussian_steps(FINE, 0.02))
        x = jnp.array([-1.0, 1.0, -3.0]).reshape(3, 1, 1)
        exact = Enumeration(prior, np.eye(3), x, sigma)
        np.testing.assert_allclose(denoise(prior, x, sigma).ravel(), exact.mean, atol=1e-5)

    @pytest.mark.parametrize("name", STEPS)
    def test_is_the_score_of_the_noisy_density(self, name):
        """D = x + sigma^2 grad log p, and the variance is sigma^2 times the diagonal of D's derivative."""
        prior, sigma = MarkovChainPrior.from_steps(16, FINE, STEPS[name]), 0.3
        x = noisy(prior, sigma)
        np.testing.assert_allclose(denoise(prior, x, sigma), x + sigma**2 * score(x, prior, sigma), atol=2e-5)
        derivative = jacobian(x, prior, sigma).reshape(16, 16)
        np.testing.assert_allclose(derivative, derivative.T, atol=1e-4)  # a covariance over sigma^2
        variance, _ = statistics(prior, x, sigma)
        np.testing.assert_allclose(sigma**2 * np.diag(derivative), variance.ravel(), atol=1e-5)

    def test_returns_the_nearest_grid_value_where_there_is_no_noise(self):
        x = jnp.linspace(-1.3, 0.9, 32).reshape(32, 1, 1) + 0.003
        nearest = FINE[np.abs(np.asarray(x)[:, :, 0] - FINE).argmin(1)]
        np.testing.assert_allclose(denoise(LARGE, x, 1e-3).ravel(), nearest, atol=1e-6)

    def test_returns_the_prior_s_mean_where_there_is_nothing_else(self):
        prior_mean = Enumeration(SMALL, np.zeros((1, 4)), 0.0, 1.0).mean
        np.testing.assert_allclose(denoise(SMALL, jnp.ones(SHAPE), 1e4).ravel(), prior_mean, atol=1e-5)

    @pytest.mark.slow
    def test_is_finite_with_its_gradient_wherever_samplers_go(self):
        @jax.jit
        def both(x, sigma):
            x0, pull = jax.vjp(LARGE.denoise, x, sigma)
            return x0, *pull(jnp.ones_like(x0))

        for sigma in (1e-3, 0.03, 1.0, 100.0):
            for x in (noisy(LARGE, sigma), 5 * noisy(LARGE, 1.0), jnp.full((32, 1, 1), 500.0)):
                assert all(np.isfinite(a).all() for a in both(x, sigma))
                assert np.abs(both(x, sigma)[0]).max() <= 1 + 1e-5

    @pytest.mark.slow
    def test_jit_equals_eager_and_vmap_equals_loop(self):
        x = jnp.stack([noisy(LARGE, 0.3, jax.random.key(i)) for i in range(3)])
        sigmas = jnp.array([0.1, 0.3, 1.0])
        together = jax.jit(jax.vmap(denoise, in_axes=(None, 0, 0)))(LARGE, x, sigmas)
        for i in range(3):
            np.testing.assert_allclose(together[i], denoise(LARGE, x[i], sigmas[i]), atol=1e-5)
        np.testing.assert_allclose(LARGE.denoise(x[0], sigmas[0]), denoise(LARGE, x[0], sigmas[0]), atol=1e-5)

    def test_prediction_makes_up_the_state(self):
        schedule, x_t, t = schedules.ddpm(10), jax.random.normal(KEY, SHAPE), 6
        prediction = SMALL.predict(x_t, jnp.int32(t), schedule)
        abar = float(schedule.abar[t])
        again = np.sqrt(abar) * prediction.x0 + np.sqrt(1 - abar) * prediction.eps
        np.testing.assert_allclose(again, x_t, atol=1e-5)
        level = np.sqrt((1 - abar) / abar)
        np.testing.assert_allclose(prediction.x0, denoise(SMALL, x_t / np.sqrt(abar), level), atol=1e-5)

    def test_a_known_first_value_is_kept(self):
        start = np.where(FINE[10] == FINE, 0.0, -np.inf)
        prior = MarkovChainPrior.from_steps(16, FINE, laplace_steps(FINE, 0.1), log_initial=start)
        x = jnp.ones((16, 1, 1))
        np.testing.assert_allclose(denoise(prior, x, 0.3)[0], FINE[10], atol=1e-6)
        assert np.isfinite(jacobian(x, prior, 0.3)).all()

    def test_a_batch_is_refused_with_the_mend(self):
        with pytest.raises(ValueError, match="for a batch use jaxrestore.restore or jax.vmap"):
            SMALL.denoise(jnp.zeros((2, *SHAPE)), 1.0)


class TestPrior:
    def test_draws_have_their_probabilities(self):
        exact = Enumeration(SMALL, np.zeros((1, 4)), 0.0, 1.0)
        exact.assert_drawn(samples(SMALL, jax.random.split(KEY, 20_000)), FIVE)

    def test_probabilities_are_those_of_enumeration_and_found_from_nearby(self):
        exact = Enumeration(SMALL, np.zeros((1, 4)), 0.0, 1.0)
        near = jnp.asarray(exact.signals, jnp.float32).reshape(-1, *SHAPE) + 0.2
        signals, logs = jax.jit(jax.vmap(lambda x: (SMALL.nearest(x), SMALL.log_probability(x))))(near)
        np.testing.assert_allclose(signals.reshape(exact.signals.shape), exact.signals, atol=1e-6)
        np.testing.assert_allclose(np.exp(logs), exact.probabilities, rtol=1e-4)
        np.testing.assert_allclose(SMALL.nearest(jnp.full(SHAPE, 7.0)), 1.0)

    def test_sparse_signals_jump_at_the_rate(self):
        draws = samples(LARGE, jax.random.split(KEY, 2000))[..., 0, 0]
        steps = np.diff(draws, axis=1)
        assert abs((np.abs(steps) > 1e-3).mean() - 0.1) < 5 * np.sqrt(0.1 * 0.9 / steps.size)

    def test_steps_have_their_tails(self):
        """Odds of a step of 0.4 against one of 0.2, from the middle, by each density's formula."""
        odds = {name: np.exp(s[25, 35] - s[25, 30]) for name, s in STEPS.items()}
        np.testing.assert_allclose(odds["gaussian"], np.exp(-0.5 * (16 - 4)), rtol=1e-6)
        np.testing.assert_allclose(odds["laplace"], np.exp(-2), rtol=1e-6)
        np.testing.assert_allclose(odds["student"], (1 + 16) / (1 + 64), rtol=1e-6)
        np.testing.assert_allclose(odds["sparse"], np.exp(-0.2 / 0.3), rtol=1e-6)
        for steps in STEPS.values():
            np.testing.assert_allclose(np.exp(steps).sum(1), 1, rtol=1e-9)

    def test_impossible_steps_become_most_unlikely_ones(self):
        prior = MarkovChainPrior.from_steps(4, FIVE, np.where(np.eye(5), 0.0, -np.inf))
        np.testing.assert_allclose(prior.log_transition, np.where(np.eye(5), 0.0, -60.0), atol=1e-5)

    def test_what_is_no_prior_is_refused(self):
        with pytest.raises(ValueError, match="expected ascending values at equal distances"):
            MarkovChainPrior.from_steps(4, [0.0, 1.0, 3.0], np.zeros((3, 3)))
        with pytest.raises(ValueError, match=r"expected \(5, 5\) and \(5,\) for a grid of 5 values"):
            MarkovChainPrior.from_steps(4, FIVE, np.zeros((4, 4)))
        with pytest.raises(ValueError, match="a row without a finite largest value"):
            MarkovChainPrior.from_steps(4, FIVE, np.full((5, 5), -np.inf))
        with pytest.raises(ValueError, match="rate is 1.5"):
            sparse_steps(FIVE, 0.3, 1.5)


class TestPosterior:
    @pytest.mark.parametrize(
        ("operator", "matrix"),
        [
            (operators.Denoising(SHAPE), np.eye(4)),
            (operators.Inpainting(jnp.array([[1.0], [0.0], [0.5], [0.0]]), 1), np.diag([1, 0, 0.5, 0])),
            (operators.HighDynamicRange(SHAPE, 0.5), 0.5 * np.eye(4)),
        ],
        ids=lambda a: type(a).__name__,
    )
    def test_equals_the_sum_over_all_signals(self, operator, matrix):
        degradation = jr.Degradation(operator, jr.GaussianNoise(0.3))
        y = degradation.measure(KEY, SMALL.sample(jax.random.key(4)))
        posterior, exact = SMALL.posterior(degradation, y), Enumeration(SMALL, matrix, y, 0.3)
        mean, variance, marginals, log_evidence = summary(posterior)
        np.testing.assert_allclose(mean, exact.mean, atol=1e-5)
        np.testing.assert_allclose(variance, exact.variance, atol=1e-5)
        np.testing.assert_allclose(marginals, exact.marginals, atol=1e-5)
        np.testing.assert_allclose(log_evidence, exact.log_evidence, atol=1e-4)
        exact.assert_drawn(samples(posterior, jax.random.split(KEY, 20_000)), FIVE)

    def test_clipped_samples_say_that_they_were_bright(self):
        degradation = jr.Degradation(operators.HighDynamicRange(SHAPE, 2.0), jr.GaussianNoise(0.05))
        _, _, marginals, _ = summary(SMALL.posterior(degradation, jnp.ones(SHAPE)))
        np.testing.assert_allclose(marginals[:, 3:].sum(1), 1, atol=1e-5)
        assert marginals[:, 3:].min() > 0.1

    @pytest.mark.slow
    def test_denoising_is_the_denoiser(self):
        x, sigma = noisy(LARGE, 0.2), 0.2
        posterior = LARGE.posterior(jr.Degradation(operators.Denoising((32, 1, 1)), jr.GaussianNoise(sigma)), x)
        np.testing.assert_allclose(posterior.mean(), denoise(LARGE, x, sigma), atol=1e-6)
        np.testing.assert_array_equal(posterior.sample(KEY), LARGE.posterior_sample(KEY, x, sigma))

    def test_draws_agree_with_mean_and_variance(self):
        degradation = jr.Degradation(
            operators.Inpainting(operators.random_mask(KEY, (32, 1, 1), 0.5), 1), jr.GaussianNoise(0.1)
        )
        posterior = LARGE.posterior(degradation, degradation.measure(KEY, LARGE.sample(jax.random.key(4))))
        mean, variance, _, _ = summary(posterior)
        draws = samples(posterior, jax.random.split(KEY, 4000))[..., 0, 0]
        assert (np.abs(draws.mean(0) - mean) <= 5 * np.sqrt(variance / 4000) + 1e-6).all()
        np.testing.assert_allclose(draws.var(0).mean(), variance.mean(), rtol=0.1)

    def test_others_are_refused_with_the_mend(self):
        matrix = operators.LinearMap.from_matrix(SHAPE, np.eye(4))
        with pytest.raises(TypeError, match="LinearMap may mix samples.*draw from the posterior with .*gibbs"):
            SMALL.posterior(jr.Degradation(matrix, jr.GaussianNoise(0.1)), jnp.zeros(4))
        with pytest.raises(TypeError, match="noise is NoNoise, expected GaussianNoise"):
            SMALL.posterior(jr.Degradation(operators.Denoising(SHAPE), jr.NoNoise()), jnp.zeros(SHAPE))
        with pytest.raises(ValueError, match=r"takes images \(5, 1, 1\), the prior's are \(4, 1, 1\)"):
            SMALL.posterior(jr.Degradation(operators.Denoising((5, 1, 1)), jr.GaussianNoise(0.1)), jnp.zeros((5, 1, 1)))


class TestGibbs:
    @pytest.mark.parametrize("steps", [sparse_steps, laplace_steps])
    def test_sweeps_leave_the_posterior_as_it_is(self, steps):
        """From exact draws, five sweeps: any move without detailed balance would show. N = 6 has runs of all kinds."""
        grid = np.linspace(-1, 1, 3)
        rows = steps(grid, 0.7, 0.3) if steps is sparse_steps else steps(grid, 0.7)
        prior = MarkovChainPrior.from_steps(6, grid, rows, log_initial=np.log([0.5, 0.3, 0.2]))
        matrix = np.random.default_rng(0).standard_normal((4, 6)) / 2
        degradation = jr.Degradation(operators.LinearMap.from_matrix((6, 1, 1), matrix), jr.GaussianNoise(0.8))
        y = degradation.measure(KEY, prior.sample(jax.random.key(4)))
        exact = Enumeration(prior, matrix, y, 0.8)
        draws = np.random.default_rng(1).choice(len(exact.signals), 10_000, p=exact.probabilities)
        initial = jnp.asarray(exact.signals[draws].reshape(-1, 6, 1, 1), jnp.float32)
        exact.assert_drawn(initial, grid)
        after = draw(KEY, prior, degradation, y, num_chains=10_000, num_samples=1, burn_in=4, initial=initial)[:, 0]
        exact.assert_drawn(after, grid)
        assert (after != initial).mean() > 0.2

    @pytest.mark.parametrize("reach", [1, 2])
    def test_a_redrawn_run_keeps_the_posterior(self, reach):
        """Without chance: a thousand evenly spread draws give its probabilities to 1e-3, from every signal."""
        grid = np.linspace(-1, 1, 3)
        prior = MarkovChainPrior.from_steps(4, grid, gaussian_steps(grid, 1.0), log_initial=np.log([0.5, 0.3, 0.2]))
        matrix = np.random.default_rng(0).standard_normal((3, 4)) / 2
        degradation = jr.Degradation(operators.LinearMap.from_matrix(SHAPE, matrix), jr.GaussianNoise(0.8))
        y = degradation.measure(KEY, prior.sample(KEY))
        exact, target = Enumeration(prior, matrix, y, 0.8), _target(prior, degradation, y)

        @jax.jit
        @jax.vmap
        def probabilities(levels, first):
            def redraw(reach, draw):
                state = _State(levels, target.offset - levels @ target.columns)
                return _redraw(target, state, first, reach, draw).levels @ jnp.array([27, 9, 3, 1])

            draws = (jnp.arange(1000) + 0.5) / 1000
            codes = jax.vmap(jax.vmap(redraw, (None, 0)), (0, None))(jnp.array([reach, -reach]), draws)
            return jnp.bincount(codes.ravel(), length=81) / 2000

        for first in range(4):
            moved = probabilities(jnp.asarray(exact.levels), jnp.full(81, first))
            np.testing.assert_allclose(exact.probabilities @ moved, exact.probabilities, atol=1e-3)
            assert exact.probabilities @ np.diagonal(moved) < 0.9  # signals that stay as they are

    @pytest.mark.slow
    def test_chains_from_afar_find_the_posterior_and_r_hat_tells_when(self):
        """Only the sum is measured: to keep it two samples must move at once, which few moves do."""
        degradation = jr.Degradation(operators.LinearMap.from_matrix(SHAPE, np.ones((1, 4))), jr.GaussianNoise(0.2))
        up = jnp.array([-1.0, -1.0, 1.0, 1.0])
        initial = jnp.where(jnp.arange(50)[:, None] % 2, up, -up).reshape(50, *SHAPE)
        draws = draw(
            KEY, SMALL, degradation, jnp.zeros(1), num_chains=50, num_samples=500, burn_in=0, thin=2, initial=initial
        )
        assert r_hat(draws[:, :10]).max() > 1.5
        draws = draws[:, 50:]
        assert r_hat(draws).max() < 1.03
        exact = Enumeration(SMALL, np.ones((1, 4)), 0.0, 0.2)
        found = exact.frequencies(draws, FIVE)  # (chains, signals): chains are independent, their draws are not
        likely = exact.probabilities > 0.005
        error = np.abs(found.mean(0) - exact.probabilities)[likely]
        assert (error < 5 * found.std(0, ddof=1)[likely] / np.sqrt(50)).all()

    @pytest.mark.slow
    def test_agrees_with_the_recursions(self):
        grid = np.linspace(-1, 1, 21)
        prior = MarkovChainPrior.from_steps(16, grid, sparse_steps(grid, 0.3, 0.15))
        degradation = jr.Degradation(
            operators.Inpainting(operators.random_mask(KEY, (16, 1, 1), 0.5), 1), jr.GaussianNoise(0.2)
        )
        y = degradation.measure(KEY, prior.sample(jax.random.key(4)))
        draws = draw(KEY, prior, degradation, y, num_chains=20, num_samples=100, burn_in=10)
        assert r_hat(draws).max() < 1.03
        mean, variance, _, _ = summary(prior.posterior(degradation, y))
        means = draws.mean(1)[..., 0, 0]
        assert (np.abs(means.mean(0) - mean) < 5 * means.std(0, ddof=1) / np.sqrt(20)).all()
        np.testing.assert_allclose(draws.var((0, 1)).ravel(), variance, rtol=0.2)

    def test_others_are_refused(self):
        run = {"num_chains": 2, "num_samples": 2, "burn_in": 0}
        nonlinear = jr.Degradation(operators.HighDynamicRange(SHAPE), jr.GaussianNoise(0.1))
        with pytest.raises(TypeError, match="HighDynamicRange is not linear"):
            gibbs(KEY, SMALL, nonlinear, jnp.zeros(SHAPE), **run)
        denoising = jr.Degradation(operators.Denoising(SHAPE), jr.GaussianNoise(0.1))
        with pytest.raises(ValueError, match=r"initial has shape \(3, 4, 1, 1\), expected \(2, 4, 1, 1\)"):
            gibbs(KEY, SMALL, denoising, jnp.zeros(SHAPE), **run, initial=jnp.zeros((3, *SHAPE)))


class TestRHat:
    def test_of_independent_draws_is_1(self):
        np.testing.assert_allclose(r_hat(jax.random.normal(KEY, (8, 1000, 5))), 1, atol=0.01)

    def test_is_the_books_formula(self):
        draws = np.random.default_rng(0).standard_normal((3, 10)) + np.arange(3)[:, None]
        halves = draws.reshape(6, 5)
        between, within = 5 * halves.mean(1).var(ddof=1), halves.var(1, ddof=1).mean()
        expected = np.sqrt((4 / 5 * within + between / 5) / within)
        np.testing.assert_allclose(r_hat(jnp.asarray(draws, jnp.float32)), expected, rtol=1e-5)

    def test_tells_chains_that_drift_together(self):
        drift = jnp.linspace(0, 4, 100) + 0.3 * jax.random.normal(KEY, (4, 100))
        assert r_hat(drift) > 1.5

    def test_of_chains_that_never_move(self):
        assert r_hat(jnp.zeros((2, 10))) == 1
        assert r_hat(jnp.stack([jnp.zeros(10), jnp.ones(10)])) == np.inf

    def test_asks_for_four_draws(self):
        with pytest.raises(ValueError, match="the number of draws is 3, expected at least 4"):
            r_hat(jnp.zeros((2, 3)))
