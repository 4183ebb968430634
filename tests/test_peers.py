"""The peers of SPGD and DPPS: each against a closed form, and those that azula has against its PyTorch code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import by_default, isotropic, relative_error
from test_closed_forms import DIM, EVERY_OTHER_PIXEL, PRIOR, SHAPE, compare

import jaxrestore as jr
from jaxrestore import operators, samplers, schedules
from jaxrestore._pytree import pytree, static
from jaxrestore.priors.mixture import dense_matrix
from jaxrestore.samplers.ancestral import ReverseProcess, ReverseStep, table_at
from jaxrestore.samplers.daps import probability_flow

KEY = jax.random.key(0)
AVERAGE = jr.Degradation(operators.SuperResolution(SHAPE, 2, kernel="average"), jr.GaussianNoise(0.2))
MASK = jr.Degradation(operators.Inpainting(EVERY_OTHER_PIXEL, 1), jr.GaussianNoise(0.2))
SCHEDULE = schedules.ddpm(20)


@pytree
class _Undecomposed:
    """A linear operator that does not know its singular values."""

    operator: operators.OperatorBase
    linear: bool = static(default=True)

    @property
    def image_shape(self):
        return self.operator.image_shape

    @property
    def measurement_shape(self):
        return self.operator.measurement_shape

    def __call__(self, x):
        return self.operator(x)


class TestClosedForms:
    """One Gaussian, every other pixel measured: error of the mean against the prior's, and spread against the truth's.

    The bounds are what each method does: (sampler, noise, error below this share of the prior's, range of the spread).
    """

    @pytest.mark.parametrize(
        ("sampler", "noise_std", "error", "low", "high"),
        [
            # Told the noise and the denoiser's own covariance, MMPS is exact but for its steps.
            pytest.param(jr.mmps(num_steps=400, solver_steps=8), 0.1, 0.05, 0.95, 1.05, marks=pytest.mark.slow),
            pytest.param(jr.mmps(num_steps=400, solver_steps=8), 0.3, 0.1, 0.95, 1.05, marks=pytest.mark.slow),
            # DDRM treats directions as if the prior had them independent.
            (jr.ddrm(num_steps=100), 0.1, 0.14, 0.85, 1.0),
            (jr.ddrm(num_steps=100), 0.3, 0.15, 0.7, 0.9),
            (jr.diffpir(num_steps=100, zeta=1.0), 0.1, 0.12, 0.65, 0.8),
            (jr.diffpir(num_steps=100, zeta=1.0), 0.3, 0.15, 0.6, 0.8),
            # DDNM+ knows how noisy each direction is, but takes the prior's directions as independent, as DDRM does.
            (jr.ddnm(num_steps=100), 0.1, 0.14, 0.85, 1.0),
            (jr.ddnm(num_steps=100), 0.3, 0.11, 0.7, 0.9),
            # PiGDM follows the noise once it is strong against the prior.
            (jr.pigdm(num_steps=100), 0.1, 0.15, 0.75, 0.9),
            (jr.pigdm(num_steps=100), 0.3, 0.5, 0.55, 0.75),
            # With tau the true noise DAPS hears it rightly; what is left is its isotropic view of the prior.
            pytest.param(
                jr.daps(num_steps=50, ode_steps=3, tau=0.1, learning_rate=1e-3),
                0.1,
                0.2,
                1.0,
                1.3,
                marks=pytest.mark.slow,
            ),
            # RED-diff looks for a mode: its spread is that of its optimiser, far below the posterior's.
            (jr.reddiff(num_steps=200, learning_rate=0.05), 0.1, 0.17, 0.3, 0.6),
        ],
    )
    def test_mean_and_spread(self, sampler, noise_std, error, low, high):
        found, error_of_prior, spread = compare(sampler, noise_std)
        assert found < error * error_of_prior
        assert low < spread < high


@pytest.mark.parametrize("subsampling", by_default([False, True], []))
def test_moment_matching_weighs_what_jpeg_loses_in_quantisation_steps(subsampling):
    """As methods do that use the operator's decomposition: its error is not white in pixels."""
    operator = operators.DecodedJPEG((16, 16, 3), 30, subsampling)
    degradation = jr.Degradation(operator, jr.JPEGNoise(30, subsampling))
    x, y = 0.3 * jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    sigma, shrink = 0.8, 0.4  # x0 = shrink x, so V = sigma^2 shrink
    likelihood = samplers.moment_matching(200)

    @jax.jit
    def pull(x, y):
        return likelihood(lambda x: (shrink * x, ()), x, samplers.likelihood.Level(1.0, sigma), degradation, y).gradient

    score = operators.likelihood_score(operator, y - shrink * x, sigma**2 * shrink, 1 / 12)
    np.testing.assert_allclose(pull(x, y), -shrink * score, atol=2e-3 * float(jnp.abs(score).max()))


def test_reddiff_starts_from_the_image_that_coefficients_are_of():
    camera = operators.CompressedSensing(jnp.ones((2, 2)), channels=1, transform="hadamard")
    coefficients = jnp.zeros((2, 2, 1)).at[0, 0].set(1.0)
    degradation = jr.Degradation(camera, jr.NoNoise())
    state = jr.reddiff(num_steps=2).init(jax.random.key(0), isotropic((2, 2, 1)), degradation, coefficients)
    np.testing.assert_allclose(state.x, 0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (operators.Denoising((16, 16, 3)), "JPEGNoise, whose strength is told in the decomposition of a DecodedJPEG"),
        (operators.DecodedJPEG((16, 16, 3), 80), r"noise are \(30, False\), and of the operator \(80, False\)"),
        (operators.DecodedJPEG((16, 16, 3), 30, True), r"noise are \(30, False\), and of the operator \(30, True\)"),
    ],
)
def test_jpeg_noise_of_another_operator_is_refused(operator, message):
    degradation = jr.Degradation(operator, jr.JPEGNoise(30))
    with pytest.raises(TypeError, match=message):
        samplers.likelihood.noise_variance(degradation, None, jnp.float32)


def test_moment_matching_is_the_exact_posterior_mean_of_a_gaussian():
    """E[x0 | x_t, y] of a Gaussian prior, by dense linear algebra."""
    sigma, noise = 0.7, 0.2
    x = jax.random.normal(KEY, SHAPE)
    y = AVERAGE.measure(KEY, PRIOR.sample(KEY))
    likelihood = samplers.moment_matching(20)
    pull = likelihood(lambda x: (PRIOR.denoise(x, sigma), None), x, samplers.likelihood.Level(1.0, sigma), AVERAGE, y)
    result = pull.x0 - sigma**2 * pull.gradient

    matrix, covariance = dense_matrix(AVERAGE.operator), np.asarray(PRIOR.covariance(), np.float64)
    both = np.concatenate([np.eye(DIM), matrix])
    variances = np.diag(np.concatenate([np.full(DIM, sigma**2), np.full(len(matrix), noise**2)]))
    mean = np.full(DIM, 0.2)
    data = np.concatenate([np.asarray(x).ravel(), np.asarray(y).ravel()]) - both @ mean
    expected = mean + covariance @ both.T @ np.linalg.solve(both @ covariance @ both.T + variances, data)
    np.testing.assert_allclose(result.ravel(), expected, atol=1e-4)


def test_probability_flow_takes_a_gaussian_to_itself():
    """Along the flow a Gaussian N(m, v) shrinks by sqrt(v / (v + sigma^2)) around its mean."""
    prior = jr.priors.GaussianMixture(jnp.ones(1), jnp.full((1, *SHAPE), 0.2), jnp.full((1, DIM), 0.25))
    x = 0.2 + 2.0 * jax.random.normal(KEY, SHAPE)
    result = probability_flow(prior, x, jnp.float32(1.5), 400)
    np.testing.assert_allclose(result - 0.2, (x - 0.2) * 0.5 / np.sqrt(0.25 + 1.5**2), rtol=0.02)
    np.testing.assert_allclose(probability_flow(prior, x, jnp.float32(1.5), 1), prior.denoise(x, 1.5), atol=1e-5)


@pytest.mark.parametrize("method", ["ddnm", "diffpir", "ddrm", "repaint"])
def test_without_noise_the_answer_agrees_with_the_measurement(method):
    degradation = jr.Degradation(AVERAGE.operator, jr.NoNoise())
    y = degradation.measure(KEY, PRIOR.sample(KEY))
    result = getattr(jr, method)(num_steps=20).sample(KEY, PRIOR, degradation, y)
    np.testing.assert_allclose(degradation.operator(result.image), y, atol=2e-3)


class TestRePaint:
    """Without noise: the posterior of one Gaussian, of which every other pixel is known exactly."""

    DEGRADATION = jr.Degradation(operators.Inpainting(EVERY_OTHER_PIXEL, 1), jr.NoNoise())

    def compare(self, sampler, num=1000):
        """Error of the hidden pixels' mean over that of the prior's, and their spread over the posterior's."""
        truth = PRIOR.sample(jax.random.key(5))
        y = self.DEGRADATION.measure(KEY, truth)
        almost = jr.Degradation(self.DEGRADATION.operator, jr.GaussianNoise(1e-3))
        posterior = PRIOR.posterior(almost, y)
        sample = jax.jit(jax.vmap(lambda key: sampler.sample(key, PRIOR, self.DEGRADATION, y).image))
        images = np.asarray(sample(jax.random.split(jax.random.key(0), num)))
        hidden = np.asarray(EVERY_OTHER_PIXEL) == 0
        np.testing.assert_allclose(
            images[:, ~hidden], np.broadcast_to(np.asarray(y)[~hidden], (num, DIM // 2)), atol=1e-4
        )
        error = np.sqrt(np.mean((images.mean(0) - posterior.mean())[hidden] ** 2))
        error_of_prior = np.sqrt(np.mean((PRIOR.mean() - posterior.mean())[hidden] ** 2))
        variance = np.diag(posterior.covariance()).reshape(SHAPE)[hidden].mean()
        return error / error_of_prior, np.sqrt(images.var(0)[hidden].mean() / variance)

    @pytest.mark.slow
    def test_mean_and_spread_come_near_the_posterior(self):
        error, spread = self.compare(jr.repaint(num_steps=200, jump_length=10, jump_repeats=10), num=300)
        assert error < 0.15  # what so few samples leave is about 0.1, and depends on the truth, which LAPACK turns
        assert 0.95 < spread < 1.05

    @pytest.mark.slow
    def test_returns_are_what_brings_them_there(self):
        without, error = (
            self.compare(jr.repaint(num_steps=50, jump_length=5, jump_repeats=repeats))[0] for repeats in (1, 3)
        )
        assert error < 0.7 * without

    def test_a_return_adds_as_much_noise_as_lies_between(self):
        """A process whose every step ends at the true level of one image, exactly and without noise of its own."""
        shape, image = (64, 64, 3), 0.5

        def step(x, t, memory, prior, degradation, y):
            mean = jnp.full(x.shape, image) * jnp.sqrt(table_at(SCHEDULE.abar_previous, t, x))
            return ReverseStep(mean, jnp.zeros_like, x, x, x, jnp.float32(0)), memory

        walk = schedules.time_travel(20, length=5, repeats=2)
        sampler = samplers.ancestral(ReverseProcess(SCHEDULE, lambda degradation, y: (), step), walk=walk)
        degradation = jr.Degradation(operators.Denoising(shape), jr.NoNoise())
        run = jax.jit(lambda y: sampler.sample(KEY, isotropic(shape), degradation, y, record_every=1))
        states = np.asarray(run(jnp.zeros(shape)).recording.x)
        # After a step at t the state is that of t - 1; where the next step is not at t - 1, that of the next step.
        reached = np.append(walk[1:], -1)
        before = np.append(SCHEDULE.abar, 1.0)[walk - 1]
        after = np.append(SCHEDULE.abar, 1.0)[reached]
        tolerance = 4 / np.sqrt(states[0].size)
        np.testing.assert_allclose(states.mean((1, 2, 3)), image * np.sqrt(after), atol=tolerance)
        np.testing.assert_allclose(states.std((1, 2, 3)), np.sqrt(1 - after / before), atol=tolerance)
        assert (reached > walk - 1).sum() == 3

    def test_published_settings_are_the_defaults(self):
        assert jr.METHODS["repaint"].complete({}) == {
            "num_steps": 250, "jump_length": 10, "jump_repeats": 10, "grids": 1, "mean_of": 1
        }  # fmt: skip
        assert jr.repaint().num_steps == 2410

    @pytest.mark.parametrize(
        ("walk", "message"),
        [
            ([3, 2, 1], "expected steps from 3 to 0"),
            ([3, 1, 0], "walk goes to step 1 without the one above it"),
            ([3, 4, 3, 2, 1, 0], "all of them in that range"),
        ],
    )
    def test_walks_that_leave_the_schedule_or_skip_a_step_are_refused(self, walk, message):
        with pytest.raises(ValueError, match=message):
            samplers.ancestral(samplers.replacement_process(schedules.ddpm(4)), walk=walk)


class TestDDPG:
    @pytest.mark.parametrize("t", by_default([0, 1, 8, 19], [0, 8]))
    @pytest.mark.parametrize("noise_std", [0.0, 0.2])
    @pytest.mark.parametrize(("zeta", "shrink"), [(0.6, False), (0.6, True), (None, False)])
    def test_each_step_is_that_of_the_paper(self, t, noise_std, zeta, shrink):
        """By its formulas in float64, with dense linear algebra."""
        gamma, ridge = 3.0, 0.7
        degradation = jr.Degradation(AVERAGE.operator, jr.GaussianNoise(noise_std) if noise_std else jr.NoNoise())
        matrix = dense_matrix(AVERAGE.operator)
        x = jax.random.normal(KEY, SHAPE)
        y = AVERAGE.operator(PRIOR.sample(KEY))
        abar, previous = SCHEDULE.abar[t], SCHEDULE.abar_previous[t]
        prediction = PRIOR.predict(x, jnp.int32(t), SCHEDULE)
        x0 = np.asarray(prediction.x0, np.float64).ravel()
        misfit = np.asarray(y, np.float64).ravel() - matrix @ x0
        eta = max(1e-4, ridge * noise_std**2)
        projected = matrix.T @ np.linalg.solve(matrix @ matrix.T + eta * np.eye(len(matrix)), misfit)
        delta = previous**gamma if noise_std else 0.0
        rate = (1 - previous) / (1 - abar) if shrink else 1.0
        corrected = x0 + rate * ((1 - delta) * projected + delta * matrix.T @ misfit)
        eps = (np.asarray(x, np.float64).ravel() - np.sqrt(abar) * corrected) / np.sqrt(1 - abar)
        kept = 0.0 if zeta is None else np.sqrt(1 - zeta) * (delta if noise_std else 1.0)
        mean = np.sqrt(previous) * corrected + np.sqrt(1 - previous) * kept * eps
        if t == 0 and noise_std:
            mean = x0
        process = samplers.preconditioned_process(SCHEDULE, gamma=gamma, zeta=zeta, ridge=ridge, shrink=shrink)
        ours, _ = process.step(x, jnp.int32(t), (), PRIOR, degradation, y)
        np.testing.assert_allclose(ours.mean.ravel(), mean, atol=2e-5)
        fresh = 0.0 if zeta is None else np.sqrt(1 - previous) * np.sqrt(zeta)
        np.testing.assert_allclose(ours.spread(jnp.ones(SHAPE)), fresh, atol=1e-6)

    def test_it_ends_near_an_exact_posterior(self):
        error, error_of_prior, spread = compare(jr.ddpg(num_steps=100, zeta=1.0, shrink=False), 0.1)
        assert error < 0.25 * error_of_prior
        assert 0.4 < spread < 1.0


def test_moment_matching_needs_no_forward_mode_of_the_operator():
    """An operator with a reverse-mode rule alone gives what the same one gives without the rule."""

    @jax.custom_vjp
    def squashed(x):
        return jnp.tanh(x)

    squashed.defvjp(lambda x: (jnp.tanh(x), x), lambda x, g: (g * (1 - jnp.tanh(x) ** 2),))

    @pytree
    class Squashing:
        function: object = static()
        linear: bool = static(default=False)
        image_shape = SHAPE
        measurement_shape = SHAPE

        def __call__(self, x):
            return self.function(x)

    x, sigma = jax.random.normal(KEY, SHAPE), 0.7
    y = 0.5 * jax.random.normal(jax.random.key(1), SHAPE)
    gradients = [
        samplers.moment_matching(4)(
            lambda x: (PRIOR.denoise(x, sigma), None),
            x,
            samplers.likelihood.Level(1.0, sigma),
            jr.Degradation(Squashing(function), jr.GaussianNoise(0.1)),
            y,
        ).gradient
        for function in (squashed, jnp.tanh)
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-5)


class TestDDNM:
    PRIOR = isotropic((8, 8, 1))

    @pytest.mark.parametrize("noise_std", [0.0, 0.1, 0.5])
    @pytest.mark.parametrize(
        ("operator", "unmeasured"),
        [
            (operators.GaussianBlur((8, 8, 1), 5, 0.8), set()),
            (operators.SuperResolution((8, 8, 1), 2, kernel="average"), {"unmeasured"}),
        ],
        ids=["blur", "average"],
    )
    def test_each_step_is_the_published_one(self, operator, unmeasured, noise_std):
        """The rule of DDNM+ in float64, direction by direction of a dense decomposition."""
        eta = 0.85
        degradation = jr.Degradation(operator, jr.GaussianNoise(noise_std) if noise_std else jr.NoNoise())
        shapes = (8, 8, 1), operator.measurement_shape, (8, 8, 1)
        x, y, z = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes))
        process = samplers.null_space_process(SCHEDULE, eta=eta)

        @jax.jit
        def step(x, t, y):
            reverse, _ = process.step(x, t, (), self.PRIOR, degradation, y)
            return reverse.mean, reverse.spread(z)

        left, values, right = np.linalg.svd(dense_matrix(operator))
        values = np.pad(values, (0, 64 - len(values)))
        measured = left.T @ np.asarray(y, np.float64).ravel()
        cases = set()
        for t in range(20):
            prediction = self.PRIOR.predict(x, jnp.int32(t), SCHEDULE)
            x0, eps, fresh = (right @ np.asarray(a, np.float64).ravel() for a in (prediction.x0, prediction.eps, z))
            signal, sigma_t = np.sqrt(SCHEDULE.abar_previous[t]), np.sqrt(1 - SCHEDULE.abar_previous[t])
            mean, spread = np.zeros(64), np.zeros(64)
            for i, s in enumerate(values):
                m = signal * noise_std / s if s > 0 else np.inf
                case = "unmeasured" if s == 0 else "no noise" if noise_std == 0 else "clear" if m < sigma_t else "noisy"
                cases.add(case)
                weight, drawn, kept = 1.0, eta * sigma_t, np.sqrt(1 - eta**2) * sigma_t
                if case == "clear":
                    drawn, kept = np.sqrt(sigma_t**2 - m**2), 0.0
                elif case == "noisy":
                    weight, kept = np.sqrt(1 - eta**2) * sigma_t / m, 0.0
                toward = weight * (measured[i] / s - x0[i]) if s > 0 else 0.0
                mean[i] = signal * (x0[i] + toward) + kept * eps[i]
                spread[i] = drawn * fresh[i]
            ours = step(x, jnp.int32(t), y)
            # The least singular value of the blur is 0.04: its inverse amplifies rounding 25 times.
            np.testing.assert_allclose(ours[0].ravel(), right.T @ mean, atol=2e-4)
            np.testing.assert_allclose(ours[1].ravel(), right.T @ spread, atol=2e-4)
        assert cases == ({"clear", "noisy"} if noise_std else {"no noise"}) | unmeasured

    @pytest.mark.parametrize("decomposed", [True, False])
    def test_noise_is_bounded_in_every_direction(self, decomposed):
        """An ill-conditioned blur, whose pseudo-inverse would amplify the measurement's noise beyond all bounds."""
        blur, noise_std, eta = operators.GaussianBlur((8, 8, 1), 5, 1.5), 0.05, 0.85
        degradation = jr.Degradation(blur if decomposed else _Undecomposed(blur), jr.GaussianNoise(noise_std))
        process = samplers.null_space_process(SCHEDULE, eta=eta)

        @jax.jit
        def noises(t):
            """Derivatives of the next state with respect to the measurement and to the noise that is drawn."""

            def mean(y):
                return process.step(0.1 * jnp.ones((8, 8, 1)), t, (), self.PRIOR, degradation, y)[0].mean

            def spread(z):
                return process.step(z, t, (), self.PRIOR, degradation, z)[0].spread(z)

            return jax.jacobian(mean)(jnp.zeros((8, 8, 1))), jax.jacfwd(spread)(jnp.zeros((8, 8, 1)))

        for t in (1, 5, 15):
            brought, drawn = (np.asarray(a, np.float64).reshape(64, 64) for a in noises(jnp.int32(t)))
            variance = 1.0 - SCHEDULE.abar_previous[t]
            ours = noise_std * np.linalg.norm(brought, 2) / np.sqrt(variance)
            total = np.linalg.eigvalsh(noise_std**2 * brought @ brought.T + drawn @ drawn.T) / variance
            if decomposed:
                assert 0.1 < ours < 1.001
                # All directions are measured and none keeps eps: what is brought and drawn is all there is.
                np.testing.assert_allclose(total, 1.0, atol=1e-3)
            else:
                assert 0.1 * eta < ours < 0.51 * eta
                assert total[-1] < 1.27 * eta**2

    def test_without_a_decomposition_it_comes_as_near_an_exact_posterior(self):
        error, error_of_prior, spread = compare(jr.ddnm(num_steps=100), 0.3, wrap=_Undecomposed)
        assert error < 0.1 * error_of_prior
        assert 0.75 < spread < 0.95


@pytest.mark.parametrize("method", ["ddnm", "diffpir", "ddrm", "pigdm", "ddpg"])
def test_linear_methods_refuse_what_is_not_linear(method):
    degradation = jr.Degradation(operators.PhaseRetrieval((8, 8, 3)), jr.GaussianNoise(0.1))
    prior = jr.priors.GaussianMixture(jnp.ones(1), jnp.zeros((1, 8, 8, 3)), jnp.ones((1, 192)))
    with pytest.raises(TypeError, match=f"{method} takes linear operators only and PhaseRetrieval is not linear"):
        getattr(jr, method)(num_steps=4).sample(KEY, prior, degradation, jnp.ones(degradation.measurement_shape))


def test_ddrm_refuses_operators_without_a_decomposition():
    blur = operators.MotionBlur((8, 8, 3), operators.motion_kernel(KEY, 5))
    prior = jr.priors.GaussianMixture(jnp.ones(1), jnp.zeros((1, 8, 8, 3)), jnp.ones((1, 192)))
    with pytest.raises(TypeError, match="MotionBlur has no method svd"):
        jr.ddrm(num_steps=4).sample(KEY, prior, jr.Degradation(blur, jr.NoNoise()), jnp.ones((8, 8, 3)))


@pytest.mark.parametrize(
    "method", by_default(["ddnm", "diffpir", "ddrm", "pigdm", "mmps", "ddpg", "pspgd", "pdpps"], ["ddrm", "pspgd"])
)
def test_noise_of_no_one_strength_must_be_stated(method):
    degradation = jr.Degradation(operators.Denoising(SHAPE), jr.PoissonNoise(1.0))
    y, short = jnp.zeros(SHAPE), {jr.METHODS[method].length: 4}
    with pytest.raises(TypeError, match="PoissonNoise, which has no one strength; give the sampler noise_std"):
        jr.METHODS[method].build(**short).sample(KEY, PRIOR, degradation, y)
    stated = jr.METHODS[method].build(**short, noise_std=0.1).sample(KEY, PRIOR, degradation, y)
    assert np.isfinite(stated.image).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jr.ddnm(eta=1.5), "eta is 1.5"),
        (lambda: jr.ddrm(eta_b=-1.0), "eta_b is -1.0"),
        (lambda: jr.diffpir(zeta=2.0), "zeta is 2.0"),
        (lambda: jr.diffpir(strength=0.0), "strength is 0.0"),
        (lambda: jr.pigdm(noise_std=-1.0), "noise_std is -1.0"),
        (lambda: jr.diffpir(end="best"), "end is 'best', expected one of 'data', 'state'"),
        (lambda: jr.diffpir(spacing="cubic"), "spacing is 'cubic', expected one of 'linspace', 'leading', 'quadratic'"),
        (lambda: jr.ddnm(num_steps=SCHEDULE, spacing="leading"), "num_steps is a schedule, which has one already"),
        (lambda: jr.mmps(solver_steps=0), "solver_steps is 0"),
        (lambda: jr.mmps(solver="lu"), "solver is 'lu', expected one of 'cg', 'gmres'"),
        (lambda: jr.daps(tau=0.0), "tau is 0.0"),
        (lambda: jr.daps(langevin_steps=0), "langevin_steps is 0"),
        (lambda: jr.reddiff(learning_rate=-1.0), "learning_rate is -1.0"),
        (lambda: jr.reddiff(num_steps=2000), "expected at most base_steps = 1000"),
        (lambda: jr.dps(warmup_steps=0), "warmup_steps is 0"),
        (lambda: jr.ddpg(gamma=0.0), "gamma is 0.0"),
        (lambda: jr.ddpg(zeta=1.5), "zeta is 1.5"),
        (lambda: jr.ddpg(ridge=-1.0), "ridge is -1.0"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


class TestDiffPIR:
    @pytest.mark.parametrize("t", by_default([0, 1, 8, 19], [0, 8]))
    @pytest.mark.parametrize(("clip", "end"), [(True, "state"), (False, "data")])
    def test_each_step_is_that_of_the_authors_program(self, t, clip, end):
        """Their formulas in float64, with pictures and noise on [0, 1] and lambda as they give it."""
        noise, lambda_, zeta = 0.05, 7.0, 0.3
        degradation = jr.Degradation(AVERAGE.operator, jr.GaussianNoise(2 * noise))
        x, z = 3.0 * jax.random.normal(KEY, SHAPE), jax.random.normal(jax.random.key(1), SHAPE)
        y = degradation.measure(KEY, PRIOR.sample(KEY))
        process = samplers.proximal_process(SCHEDULE, strength=lambda_ / 4, zeta=zeta, clip=clip, end=end)
        ours, _ = process.step(x, jnp.int32(t), (), PRIOR, degradation, y)

        matrix = dense_matrix(AVERAGE.operator)
        x0 = np.asarray(PRIOR.predict(x, jnp.int32(t), SCHEDULE).x0, np.float64).ravel()
        assert t == 19 or np.abs(x0).max() > 1  # there is something to clip
        x0 = np.clip(x0, -1, 1) if clip else x0
        state = np.asarray(x, np.float64).ravel()
        abar, previous = SCHEDULE.abar[t], SCHEDULE.abar_previous[t]
        rho = lambda_ * noise**2 / ((1 - abar) / abar)
        unit_y, unit_x0 = np.asarray(y, np.float64).ravel() / 2 + 0.5, x0 / 2 + 0.5
        solved = np.linalg.solve(matrix.T @ matrix + rho * np.eye(DIM), matrix.T @ unit_y + rho * unit_x0)
        corrected = 2 * solved - 1
        eps = (state - np.sqrt(abar) * corrected) / np.sqrt(1 - abar)
        mean = np.sqrt(previous) * corrected + np.sqrt(1 - zeta) * np.sqrt(1 - previous) * eps
        if t == 0 and end == "state":
            mean = state
        np.testing.assert_allclose(ours.mean.ravel(), mean, atol=5e-5)
        np.testing.assert_allclose(ours.spread(z), np.sqrt(zeta) * np.sqrt(1 - previous) * np.asarray(z), atol=1e-5)

    def test_the_authors_program_ends_with_the_state_at_the_first_timestep(self):
        """No network and no data there: it is the last state of the run, with the noise of that timestep."""
        sampler = jr.diffpir(num_steps=10, spacing="quadratic", clip=True, end="state")
        y = MASK.measure(KEY, PRIOR.sample(KEY))
        result = jax.jit(lambda y: sampler.sample(KEY, PRIOR, MASK, y, record_every=1))(y)
        assert result.info.timestep.tolist() == [999, 666, 528, 422, 333, 254, 183, 118, 57, 0]
        np.testing.assert_array_equal(result.recording.x[-1], result.recording.x[-2])


@pytest.mark.parametrize("solver_steps", by_default([1, 2, 4, 6], [2, 4]))
def test_gmres_solves_systems_that_are_not_symmetric(solver_steps):
    """A denoiser that is a matrix: the least residual in the Krylov space, in float64; four dimensions exhaust it."""
    rng, sigma, noise = np.random.default_rng(0), 0.7, 0.2
    jacobian = np.eye(DIM) + 0.3 * rng.standard_normal((DIM, DIM))
    x, y = rng.standard_normal(SHAPE), rng.standard_normal((2, 2, 1))
    pull = samplers.moment_matching(solver_steps, noise, solver="gmres")(
        lambda x: ((jnp.asarray(jacobian, jnp.float32) @ x.ravel()).reshape(SHAPE), None),
        jnp.asarray(x, jnp.float32),
        samplers.likelihood.Level(1.0, sigma),
        AVERAGE,
        jnp.asarray(y, jnp.float32),
    )
    matrix = dense_matrix(AVERAGE.operator)
    system = noise**2 * np.eye(4) + sigma**2 * matrix @ jacobian.T @ matrix.T
    assert np.abs(system - system.T).max() > 0.05
    residual = y.ravel() - matrix @ jacobian @ x.ravel()
    krylov = np.stack([np.linalg.matrix_power(system, k) @ residual for k in range(min(solver_steps, 4))], -1)
    solution = krylov @ np.linalg.lstsq(system @ krylov, residual, rcond=None)[0]
    np.testing.assert_allclose(pull.gradient.ravel(), -jacobian.T @ matrix.T @ solution, rtol=1e-3, atol=1e-4)


class TestAzula:
    """One reverse step of azula's PyTorch samplers from the same state, with the same denoiser and no fresh noise."""

    @pytest.fixture
    def pieces(self):
        torch = pytest.importorskip("torch")
        pytest.importorskip("azula")
        from azula.denoise import Denoiser, DiracPosterior

        covariance = torch.tensor(np.asarray(PRIOR.covariance(), np.float64), dtype=torch.float32)

        class Schedule(torch.nn.Module):
            def forward(self, t):
                abar = torch.tensor(np.append(1.0, SCHEDULE.abar), dtype=torch.float32)[t.round().long()]
                return torch.sqrt(abar), torch.sqrt(1 - abar)

        class Gaussian(Denoiser):
            schedule = Schedule()

            def forward(self, x_t, t, **kwargs):
                alpha, sigma = self.schedule(t)
                noisy = covariance + (sigma / alpha) ** 2 * torch.eye(DIM)
                mean = 0.2 + torch.linalg.solve(noisy, (x_t / alpha - 0.2).T).T @ covariance
                return DiracPosterior(mean=mean)

        matrix = torch.tensor(dense_matrix(AVERAGE.operator), dtype=torch.float32)
        x = jax.random.normal(KEY, SHAPE)
        y = AVERAGE.measure(KEY, PRIOR.sample(KEY))
        flat = {name: torch.tensor(np.asarray(a).reshape(1, -1).copy()) for name, a in {"x": x, "y": y}.items()}
        return torch, Gaussian(), matrix, x, y, flat

    @pytest.mark.parametrize("t", by_default([1, 8, 19], [8]))
    def test_pigdm(self, pieces, t, monkeypatch):
        torch, denoiser, matrix, x, y, flat = pieces
        from azula.guidance.pgdm import PGDMSampler

        inverse = torch.linalg.pinv(matrix)
        sampler = PGDMSampler(denoiser, flat["y"], lambda x: x @ matrix.T, lambda y: y @ inverse.T, eta=1.0, steps=4)
        monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
        theirs = sampler.step(flat["x"], torch.tensor(t + 1.0), torch.tensor(float(t)))
        reverse = samplers.guided(
            samplers.pseudo_inverse_guidance(0.0), SCHEDULE, weights=np.sqrt(SCHEDULE.abar * SCHEDULE.abar_previous)
        )
        ours, _ = reverse.step(x, jnp.int32(t), reverse.init(AVERAGE, y), PRIOR, AVERAGE, y)
        assert relative_error(ours.mean.ravel(), theirs.ravel()) < 1e-4

    @pytest.mark.parametrize(
        ("solver", "solver_steps"),
        by_default([("cg", 1), ("cg", 3), ("gmres", 1), ("gmres", 3)], [("cg", 3), ("gmres", 3)], several=True),
    )
    @pytest.mark.parametrize("t", by_default([1, 8, 19], [8]))
    def test_mmps(self, pieces, t, solver, solver_steps):
        torch, denoiser, matrix, x, y, flat = pieces
        from azula.guidance.mmps import MMPSDenoiser
        from azula.linalg.covariance import IsotropicCovariance

        guided = MMPSDenoiser(
            denoiser, flat["y"], lambda x: x @ matrix.T, IsotropicCovariance(torch.tensor(0.04)), solver, solver_steps
        )
        theirs = guided(flat["x"], torch.tensor(t + 1.0)).mean
        abar = SCHEDULE.abar[t]
        level = samplers.likelihood.Level(np.sqrt(abar), np.sqrt((1 - abar) / abar))
        pull = samplers.moment_matching(solver_steps, solver=solver)(
            lambda x: (PRIOR.predict(x, jnp.int32(t), SCHEDULE).x0, None), x, level, AVERAGE, y
        )
        ours = pull.x0 - (1 - abar) / np.sqrt(abar) * pull.gradient
        assert relative_error(ours.ravel(), theirs.ravel()) < 1e-3

    @pytest.mark.parametrize("t", by_default([1, 8, 19], [8]))
    def test_diffpir(self, pieces, t):
        torch, denoiser, matrix, x, y, flat = pieces
        from azula.guidance.diffpir import DiffPIRDenoiser

        guided = DiffPIRDenoiser(denoiser, flat["y"], lambda x: x @ matrix.T, 0.04, 2.0, "cg", 10)
        theirs = guided(flat["x"], torch.tensor(t + 1.0)).mean
        reverse = samplers.proximal_process(SCHEDULE, strength=2.0, zeta=1.0)
        ours, _ = reverse.step(x, jnp.int32(t), (), PRIOR, AVERAGE, y)
        assert relative_error(ours.mean.ravel() / np.sqrt(SCHEDULE.abar_previous[t]), theirs.ravel()) < 1e-3
