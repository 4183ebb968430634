import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import Golden, by_default, golden_operator, isotropic, relative_error

import jaxrestore as jr
from jaxrestore import schedules

TASKS = ["down_sampling_x4", "gaussian_blur_9_1.5", "inpainting_random", "high_dynamic_range", "phase_retrieval"]


@functools.cache
def replay(task):
    """A golden file, and its run from one start as one program for both variants."""
    golden = Golden(f"spgd_{task}")
    settings = {k: golden.config[k] for k in ("num_steps", "warmup_steps", "learning_rate", "lr_min_ratio")}
    degradation = jr.Degradation(golden_operator(golden, task), jr.NoNoise())

    def run(prior, momentum, x, y):
        sampler = jr.spgd(**settings, momentum=momentum)
        state = sampler.init(jax.random.key(0), prior, degradation, y)._replace(x=x)

        def body(state, _):
            state, info = sampler.step(state, prior, degradation, y)
            return state, (state.x, state.x0, info.momentum_weight)

        return jax.lax.scan(body, state, length=sampler.num_steps)[1]

    return golden, jax.jit(run)


@pytest.mark.parametrize("task", by_default(TASKS, ["down_sampling_x4", "phase_retrieval"]))
@pytest.mark.parametrize(("variant", "momentum"), [("released", 0.0), ("paper", 0.9)])
@pytest.mark.parametrize("picture", by_default([0, 1], [0]))
def test_trajectories_are_the_published_ones(adm_tiny, task, variant, momentum, picture):
    golden, run = replay(task)
    x, x0, weight = run(adm_tiny, jnp.float32(momentum), golden["x_start"][picture], golden["y"][picture])
    for step in range(golden.config["num_steps"]):
        assert relative_error(x[step], golden[f"{variant}.x"][step, picture]) < 1e-4
        assert relative_error(x0[step], golden[f"{variant}.x0"][step, picture]) < 1e-4
    if variant == "paper":  # the released code measures alpha against a smoothed gradient that it does not use
        alpha = golden.raw("paper.alpha").reshape(8, 2, 2).mean(1)
        np.testing.assert_allclose(weight, alpha[:, picture], atol=5e-4)


class TestMomentum:
    def test_first_update_returns_the_gradient_unchanged(self):
        gradient = jax.random.normal(jax.random.key(0), (4, 4, 3))
        transform = jr.adaptive_directional_momentum(0.9)
        update, _ = transform.update(gradient, transform.init(gradient))
        np.testing.assert_array_equal(update, gradient)

    def test_a_repeated_gradient_stays_itself(self):
        gradient = jax.random.normal(jax.random.key(0), (4, 4, 3))
        transform = jr.adaptive_directional_momentum(0.9)
        state = transform.init(gradient)
        for _ in range(3):
            update, state = transform.update(gradient, state)
        np.testing.assert_allclose(update, gradient, rtol=1e-5)
        np.testing.assert_allclose(state.weight, 1.0, rtol=1e-5)

    def test_an_opposed_gradient_is_taken_as_it_is(self):
        gradient = jax.random.normal(jax.random.key(0), (4, 4, 3))
        transform = jr.adaptive_directional_momentum(0.9)
        _, state = transform.update(gradient, transform.init(gradient))
        update, state = transform.update(-2 * gradient, state)
        np.testing.assert_allclose(update, -2 * gradient, rtol=1e-5)
        np.testing.assert_allclose(state.weight, 0.0, atol=1e-6)

    def test_weights_are_between_zero_and_one_and_zero_gradients_are_finite(self):
        transform = jr.adaptive_directional_momentum(0.9)
        state = transform.init(jnp.zeros((4, 4, 3)))
        for key in jax.random.split(jax.random.key(0), 5):
            update, state = transform.update(jax.random.normal(key, (4, 4, 3)), state)
            assert 0.0 <= float(state.weight) <= 1.0
        update, state = transform.update(jnp.zeros((4, 4, 3)), state)
        assert np.isfinite(update).all()
        np.testing.assert_allclose(state.weight, 0.5)

    def test_it_composes_with_optax(self):
        transform = optax.chain(jr.adaptive_directional_momentum(0.9), optax.scale(-0.1))
        tree = {"a": jnp.ones((2, 2, 3)), "b": jnp.ones((3,))}
        updates, _ = transform.update(tree, transform.init(tree))
        np.testing.assert_allclose(updates["a"], -0.1, rtol=1e-6)

    def test_beta_outside_its_range_is_refused(self):
        with pytest.raises(ValueError, match="beta is 1.5"):
            jr.adaptive_directional_momentum(1.5)


def test_a_gaussian_prior_gives_the_closed_form():
    """With an isotropic Gaussian prior and identity operator every pixel follows a scalar affine recursion."""
    num_steps, warmup, rate, variance = 20, 3, 0.05, 0.25
    sampler = jr.spgd(num_steps=num_steps, warmup_steps=warmup, learning_rate=rate, momentum=0.0, sigma_min=0.05)
    prior = isotropic((8, 8, 3), variance)
    degradation = jr.Degradation(jr.operators.Denoising((8, 8, 3)), jr.NoNoise())
    y = jax.random.normal(jax.random.key(1), (8, 8, 3))
    state = sampler.init(jax.random.key(0), prior, degradation, y)
    x, target = np.asarray(state.x, np.float64), np.asarray(y, np.float64)
    sigmas = schedules.edm(num_steps, sigma_min=0.05)
    for i in range(num_steps):
        shrink = variance / (variance + sigmas[i] ** 2)
        step = rate * (1 + i / num_steps * (0.01 - 1))
        for _ in range(warmup):
            direction = shrink * x - x
            x = x - step * 2 * shrink * (shrink * x - target)
        x = x + (sigmas[i] - sigmas[i + 1]) / sigmas[i] * direction
    result = jax.jit(sampler.sample)(jax.random.key(0), prior, degradation, y)
    assert relative_error(result.image, x) < 1e-4


def test_settings_can_be_vmapped():
    prior = isotropic()
    degradation = jr.Degradation(jr.operators.Denoising((8, 8, 3)), jr.NoNoise())
    y = jnp.full((8, 8, 3), 0.5)

    def residual(rate):
        sampler = jr.spgd(num_steps=10, warmup_steps=2, learning_rate=rate)
        return jnp.linalg.norm((sampler.sample(jax.random.key(0), prior, degradation, y).image - y).ravel())

    rates = jnp.array([0.001, 0.01, 0.1])
    together = jax.jit(jax.vmap(residual))(rates)
    np.testing.assert_allclose(together, [residual(float(r)) for r in rates], rtol=1e-4)
    assert together[2] < together[0]


def test_diagnostics_are_what_they_say():
    prior = isotropic()
    degradation = jr.Degradation(jr.operators.Denoising((8, 8, 3)), jr.NoNoise())
    y = jax.random.normal(jax.random.key(1), (8, 8, 3))
    sampler = jr.spgd(num_steps=12, warmup_steps=2, learning_rate=0.02)
    info = sampler.sample(jax.random.key(0), prior, degradation, y).info
    np.testing.assert_allclose(info.sigma, schedules.edm(12)[:-1], rtol=1e-6)
    # At sigma = 100 the estimate is the prior's mean, 0, whatever the state.
    np.testing.assert_allclose(info.residual[0], jnp.linalg.norm(y.ravel()), rtol=0.02)
    for angles in (info.angle_likelihood_denoising, info.angle_likelihood, info.angle_denoising):
        assert ((np.asarray(angles[1:]) >= 0) & (np.asarray(angles[1:]) <= np.pi)).all()
    assert info.angle_likelihood[0] == -1
    # Far from the data both directions point at the same image, so they agree better than chance (pi / 2).
    assert info.angle_denoising[2] < 0.5
    assert ((info.momentum_weight >= 0) & (info.momentum_weight <= 1)).all()


def test_a_single_warm_up_step_has_no_momentum_weight():
    prior = isotropic()
    degradation = jr.Degradation(jr.operators.Denoising((8, 8, 3)), jr.NoNoise())
    info = jr.spgd(num_steps=2, warmup_steps=1).sample(jax.random.key(0), prior, degradation, jnp.ones((8, 8, 3))).info
    assert (info.momentum_weight == 0).all()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_steps": 1}, ValueError, "num_steps is 1, expected at least 2"),
        ({"num_steps": 10.0}, TypeError, "expected a Python integer"),
        ({"warmup_steps": 0}, ValueError, "warmup_steps is 0"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate is -1.0, expected a finite number above 0"),
        ({"lr_min_ratio": 2.0}, ValueError, "lr_min_ratio is 2.0"),
        ({"momentum": 1.5}, ValueError, "beta is 1.5"),
        ({"sigma_min": 200.0}, ValueError, "sigma_max is 100.0"),
    ],
)
def test_bad_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        jr.spgd(**settings)


@pytest.mark.parametrize("shape", [(8, 8, 1), (1, 8, 8, 3), ()])
def test_an_image_of_another_shape_to_start_from_is_refused(shape):
    degradation = jr.Degradation(jr.operators.Denoising((8, 8, 3)), jr.GaussianNoise(0.1))
    y = jnp.zeros((8, 8, 3))

    def image(degradation, y):
        return np.zeros(shape)

    for sampler in (jr.spgd(start=image), jr.pdpps(start=image)):
        with pytest.raises(ValueError, match="the image to start from has shape"):
            sampler.init(jax.random.key(0), isotropic((8, 8, 3)), degradation, y)
