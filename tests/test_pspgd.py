"""SPGD with a preconditioned likelihood: what the metric is, and that no step size depends on the operator."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import motion_kernel
from hypothesis import given
from hypothesis import strategies as st
from test_closed_forms import compare

import jaxrestore as jr
from jaxrestore import operators, samplers
from jaxrestore._pytree import pytree
from jaxrestore.samplers.likelihood import Level
from jaxrestore.samplers.pspgd import levels_of

SHAPE, KEY = (8, 8, 3), jax.random.key(0)
PRIOR = jr.priors.GaussianMixture(jnp.ones(1), jnp.zeros((1, *SHAPE)), jnp.full((1, 192), 0.25))
LINEAR = {
    "decomposed": operators.SuperResolution(SHAPE, 2),
    "by conjugate gradients": operators.MotionBlur(SHAPE, motion_kernel(KEY, 5, 0.5)),
}


@pytree
class CalledNonlinear:
    """A linear operator whose linearity is not known."""

    operator: operators.Operator
    linear = False

    @property
    def image_shape(self):
        return self.operator.image_shape

    @property
    def measurement_shape(self):
        return self.operator.measurement_shape

    def __call__(self, x):
        return self.operator(x)


@functools.partial(jax.jit, static_argnums=0)
def gradient(likelihood, operator, y, sigma=0.7, noise_std=0.1):
    x = jax.random.normal(jax.random.key(1), operator.image_shape)
    prior = jr.priors.GaussianMixture(jnp.ones(1), jnp.zeros((1, *operator.image_shape)), jnp.full((1, x.size), 0.25))
    degradation = jr.Degradation(operator, jr.GaussianNoise(noise_std))
    return likelihood(lambda x: (prior.denoise(x, sigma), None), x, Level(1.0, sigma), degradation, y)


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_operator_is_its_own_linearisation(name):
    y = jax.random.normal(KEY, LINEAR[name].measurement_shape)
    likelihood = samplers.preconditioned_residual(solver_steps=60)
    known, unknown = (gradient(likelihood, o, y).gradient for o in (LINEAR[name], CalledNonlinear(LINEAR[name])))
    np.testing.assert_allclose(unknown, known, atol=2e-4)


@pytest.mark.parametrize(
    "operator",
    [
        operators.SuperResolution((4, 4, 1), 2),
        operators.MotionBlur((4, 4, 1), motion_kernel(KEY, 3, 0.5)),
        operators.HighDynamicRange((4, 4, 1)),
        operators.PhaseRetrieval((4, 4, 1)),
    ],
    ids=lambda operator: type(operator).__name__,
)
def test_it_is_a_gauss_newton_step(operator):
    """By dense linear algebra in float64."""
    sigma, noise = 0.7, 0.1
    y = jnp.abs(jax.random.normal(KEY, operator.measurement_shape))
    likely = gradient(samplers.preconditioned_residual(solver_steps=60), operator, y, sigma, noise)
    jacobian = np.asarray(jax.jacobian(operator)(likely.x0), np.float64).reshape(y.size, 16)
    residual = np.asarray(y - operator(likely.x0), np.float64).ravel()
    variance = sigma**2 / (1 + sigma**2)
    system = variance * jacobian @ jacobian.T + noise**2 * np.eye(y.size)
    shrinkage = 0.25 / (0.25 + sigma**2)  # derivative of the denoiser
    expected = -shrinkage * variance * jacobian.T @ np.linalg.solve(system, residual)
    np.testing.assert_allclose(likely.gradient.ravel(), expected, rtol=2e-3, atol=1e-4)


SIX = jax.jit(jr.pspgd(evaluations=6).sample)


@given(st.floats(0.05, 20.0))
def test_units_of_the_measurement_do_not_matter(scale):
    """Plain gradient descent takes steps in proportion to the square of the operator's scale."""
    matrix = np.random.default_rng(0).standard_normal((50, 192)) / 14
    images = []
    for factor in (1.0, scale):
        operator = operators.LinearMap.from_matrix(SHAPE, factor * matrix)
        degradation = jr.Degradation(operator, jr.GaussianNoise(factor * 0.1))
        y = factor * jax.random.normal(KEY, (50,))
        images.append(SIX(KEY, PRIOR, degradation, y).image)
    np.testing.assert_allclose(*images, atol=2e-3)


@pytest.mark.parametrize("noise_std", [0.1, 0.3])
def test_mean_and_spread_against_an_exact_posterior(noise_std):
    """A restorer: near the posterior's mean, and far too sure of it, for its likelihood steps outweigh its noise."""
    error, error_of_prior, spread = compare(jr.pspgd(evaluations=60, detail=1.0, sigma_min=0.02), noise_std)
    assert error < 0.5 * error_of_prior
    assert spread < 0.9


@given(st.integers(4, 200), st.floats(0.0, 1.0))
def test_the_budget_is_kept(evaluations, detail):
    forward, gradients = jr.METHODS["pspgd"].evaluations({"evaluations": evaluations, "detail": detail})
    assert forward == gradients
    assert abs(forward - evaluations) <= levels_of(evaluations, detail) / 2 + 1e-9


def test_more_detail_means_more_levels():
    levels = [levels_of(24, detail) for detail in (0.0, 0.5, 1.0)]
    assert levels == [3, 6, 12]
    assert [jr.pspgd(evaluations=24, detail=d).num_steps for d in (0.0, 0.5, 1.0)] == levels


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"evaluations": 3}, "evaluations is 3, expected at least 4"),
        ({"detail": 1.5}, "detail is 1.5"),
        ({"momentum": -0.1}, "momentum is -0.1"),
        ({"solver_steps": 0}, "solver_steps is 0"),
        ({"noise_std": -1.0}, "noise_std is -1.0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        jr.pspgd(**settings)
