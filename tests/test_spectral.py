"""Decompositions and inverses of operators against dense linear algebra."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import motion_kernel

from jaxrestore import operators
from jaxrestore.priors.mixture import dense_matrix

SHAPE = (12, 8, 3)
KEY = jax.random.key(0)
OPERATORS = {
    "bicubic": operators.SuperResolution(SHAPE, 2),
    "average": operators.SuperResolution(SHAPE, 4, kernel="average"),
    "bilinear": operators.SuperResolution(SHAPE, 5, kernel="bilinear"),
    "reduced": operators.SuperResolution(SHAPE, 2, kernel="gaussian"),
    "bayer": operators.Demosaicing(SHAPE),
    "circular": operators.Convolution(SHAPE, motion_kernel(KEY, 5, 0.3)),
    "fourier": operators.CompressedSensing(operators.sampling_mask(KEY, SHAPE, 0.5)),
    "gaussian": operators.GaussianBlur(SHAPE, 7, 0.8),
    "motion": operators.MotionBlur(SHAPE, motion_kernel(KEY, 5, 0.3)),
    "mask": operators.Inpainting(operators.random_mask(KEY, SHAPE, 0.5)),
    "soft_mask": operators.Inpainting(jax.random.uniform(KEY, SHAPE, minval=-1.0)),
    "denoising": operators.Denoising(SHAPE),
    "grey": operators.Colorization(SHAPE),
    "matrix": operators.LinearMap.from_matrix(SHAPE, np.random.default_rng(0).standard_normal((40, 288))),
}


class Blind:
    """An operator without its decomposition, so that conjugate gradients have to do."""

    def __init__(self, operator):
        self.operator, self.image_shape = operator, operator.image_shape

    def __call__(self, x):
        return self.operator(x)


@functools.cache
def problem(name):
    operator = OPERATORS[name]
    matrix = dense_matrix(operator)
    y = jax.random.normal(jax.random.fold_in(KEY, 1), operator.measurement_shape)
    return operator, matrix, y, np.asarray(y, np.float64).ravel()


@pytest.mark.parametrize("name", [n for n in OPERATORS if hasattr(OPERATORS[n], "svd")])
class TestSVD:
    def test_has_the_singular_values_of_the_matrix(self, name):
        operator, matrix, _, _ = problem(name)
        svd = operator.svd()
        values = np.broadcast_to(svd.values, svd.analyze(jnp.zeros(SHAPE)).shape).ravel()
        expected = np.zeros(values.size)
        expected[: min(matrix.shape)] = np.linalg.svd(matrix, compute_uv=False)
        np.testing.assert_allclose(np.sort(values)[::-1], expected, atol=1e-5)

    def test_takes_the_operator_apart(self, name):
        """U^T A x = S V^T x where A measures, and V is orthogonal."""
        operator, _, _, _ = problem(name)
        svd = operator.svd()
        x = jax.random.normal(KEY, SHAPE)
        np.testing.assert_allclose(svd.measured(operator(x)), svd.values * svd.analyze(x), atol=1e-4)
        np.testing.assert_allclose(svd.synthesize(svd.analyze(x)), x, atol=1e-5)
        np.testing.assert_allclose(jnp.linalg.norm(svd.analyze(x).ravel()), jnp.linalg.norm(x.ravel()), rtol=1e-5)


# Conjugate gradients square the condition number: where that is large, float32 has few digits left.
CASES = [(name, False, 1e-3) for name in OPERATORS] + [
    ("average", True, 1e-3),
    ("mask", True, 1e-3),
    ("grey", True, 1e-3),
]


@pytest.mark.parametrize(("name", "blind", "tolerance"), CASES)
def test_pseudo_inverse(name, blind, tolerance):
    operator, matrix, _, _ = problem(name)
    y = operator(jax.random.normal(KEY, SHAPE))  # in the range: what is out of it is amplified by rounding alone
    expected = np.linalg.pinv(matrix, rcond=1e-4) @ np.asarray(y, np.float64).ravel()
    result = jax.jit(lambda y: operators.pseudo_inverse(Blind(operator) if blind else operator, y))(y)
    if name in ("motion", "gaussian"):  # badly conditioned: the measurement is met, the image less exactly
        np.testing.assert_allclose(operator(result), y, atol=2e-3)
    else:
        np.testing.assert_allclose(result.ravel(), expected, atol=tolerance * np.abs(expected).max())


# Without their decompositions all operators go through the same conjugate gradients.
WAYS = [
    pytest.param(name, blind, marks=pytest.mark.slow if blind and name not in ("bicubic", "mask", "matrix") else [])
    for blind in (False, True)
    for name in OPERATORS
]


@pytest.mark.parametrize(("name", "blind"), WAYS)
def test_proximal_step(name, blind):
    operator, matrix, y, flat = problem(name)
    z = jax.random.normal(jax.random.fold_in(KEY, 2), SHAPE)
    step = jax.jit(lambda y, z, rho: operators.proximal_step(Blind(operator) if blind else operator, y, z, rho))
    for rho in (0.01, 1.0):
        expected = np.linalg.solve(
            matrix.T @ matrix + rho * np.eye(matrix.shape[1]), matrix.T @ flat + rho * np.asarray(z, np.float64).ravel()
        )
        np.testing.assert_allclose(step(y, z, rho).ravel(), expected, atol=3e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "blind"), WAYS)
def test_likelihood_score(name, blind):
    operator, matrix, y, flat = problem(name)
    score = jax.jit(lambda y, noise: operators.likelihood_score(Blind(operator) if blind else operator, y, 0.7, noise))
    for noise_variance in (0.04, 1.0):
        covariance = 0.7 * matrix @ matrix.T + noise_variance * np.eye(len(matrix))
        expected = matrix.T @ np.linalg.solve(covariance, flat)
        np.testing.assert_allclose(score(y, noise_variance).ravel(), expected, atol=3e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["average", "mask", "grey", "matrix"])
def test_without_noise_the_pull_is_the_pseudo_inverse(name):
    operator, _, y, _ = problem(name)
    pull = operators.likelihood_score(operator, y, 2.0, 0.0)
    np.testing.assert_allclose(2.0 * pull, operators.pseudo_inverse(operator, y), atol=1e-4)


def test_what_is_not_linear_has_no_inverse():
    clipped, x = operators.HighDynamicRange(SHAPE), jnp.ones(SHAPE)
    for call in (
        lambda: operators.pseudo_inverse(clipped, x),
        lambda: operators.proximal_step(clipped, x, x, 1.0),
        lambda: operators.likelihood_score(clipped, x, 1.0, 1.0),
    ):
        with pytest.raises(TypeError, match="HighDynamicRange is not linear, expected a linear operator"):
            call()


def test_a_matrix_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"matrix has shape \(4, 5\), expected \(m, 288\)"):
        operators.LinearMap.from_matrix(SHAPE, np.zeros((4, 5)))
