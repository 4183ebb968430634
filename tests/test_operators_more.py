"""Reductions, compressed sensing, haze, decoded JPEG files, and noise that is not Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from conftest import by_default

import jaxrestore as jr
from jaxrestore import operators
from jaxrestore.operators.compressed import hadamard, hartley
from jaxrestore.operators.jpeg import coefficient_map
from jaxrestore.operators.resize import KERNELS, reduction_matrix
from jaxrestore.priors.mixture import dense_matrix

KEY = jax.random.key(0)


class TestReductions:
    @pytest.mark.parametrize("kernel", KERNELS)
    @pytest.mark.parametrize(("size", "factor"), [(12, 3), (13, 4), (7, 2), (5, 8)])
    def test_sides_are_rounded_up_and_brightness_kept(self, kernel, size, factor):
        matrix = reduction_matrix(size, factor, kernel)
        assert matrix.shape == (-(-size // factor), size)
        np.testing.assert_allclose(matrix.sum(1), 1.0, atol=1e-12)

    def test_a_triangle_has_the_weights_of_its_formula(self):
        np.testing.assert_allclose(reduction_matrix(8, 2, "bilinear")[1], np.array([0, 1, 3, 3, 1, 0, 0, 0]) / 8)

    def test_means_of_blocks_are_those_of_the_matrix(self):
        x = jax.random.normal(KEY, (6, 9, 3))
        rows, columns = (reduction_matrix(n, 3, "average") for n in (6, 9))
        np.testing.assert_allclose(
            operators.SuperResolution((6, 9, 3), 3, kernel="average")(x),
            np.einsum("ih,hwc,jw->ijc", rows, x, columns),
            atol=1e-6,
        )


class TestCompressedSensing:
    def test_hadamard_is_that_of_scipy_and_its_own_inverse(self):
        x = jax.random.normal(KEY, (8, 16, 2))
        rows, columns = (scipy.linalg.hadamard(n) / n**0.5 for n in (8, 16))
        np.testing.assert_allclose(hadamard(x), np.einsum("ih,hwc,jw->ijc", rows, x, columns), atol=1e-5)
        np.testing.assert_allclose(hadamard(hadamard(x)), x, atol=1e-5)
        np.testing.assert_allclose(hartley(hartley(x)), x, atol=1e-5)

    @pytest.mark.parametrize("transform", by_default(["hadamard", "fourier"], ["fourier"]))
    def test_inverses_are_those_of_the_matrix(self, transform):
        camera = operators.CompressedSensing(operators.sampling_mask(KEY, (8, 4, 1), 0.6, transform), 1, transform)
        matrix = dense_matrix(camera)
        y = jax.random.normal(KEY, (8, 4, 1))
        expected = np.linalg.pinv(matrix) @ np.asarray(y, np.float64).ravel()
        np.testing.assert_allclose(operators.pseudo_inverse(camera, y).ravel(), expected, atol=1e-5)
        np.testing.assert_allclose(camera.adjoint(y).ravel(), matrix.T @ np.asarray(y).ravel(), atol=1e-5)

    def test_a_frequency_and_its_negative_are_measured_together(self):
        mask = jnp.zeros((8, 8)).at[3, 6].set(1.0)
        measured = operators.CompressedSensing(mask, 1).relevant(jnp.ones((8, 8, 1)))[..., 0]
        assert np.argwhere(measured).tolist() == [[3, 6], [5, 2]]

    @pytest.mark.parametrize("transform", ["hadamard", "fourier"])
    def test_masks_keep_the_brightness_and_their_share(self, transform):
        mask = operators.sampling_mask(KEY, (32, 16, 3), 0.75, transform)
        assert mask.sum() == 128
        assert mask[0, 0, 0] == 1
        frequency = operators.compressed._FREQUENCIES[transform](32)
        kept = np.asarray(mask.mean((1, 2)))
        assert kept[frequency < 4].mean() > 1.5 * kept[frequency >= 8].mean()

    def test_low_frequencies_of_hadamard_have_few_sign_changes(self):
        changes = (np.diff(scipy.linalg.hadamard(16), axis=1) != 0).sum(1)
        np.testing.assert_array_equal(operators.compressed._sign_changes(16) * 2, changes)

    def test_sides_that_are_no_powers_of_two_are_refused(self):
        with pytest.raises(ValueError, match="sides 12x8, expected powers of two"):
            operators.CompressedSensing(jnp.ones((12, 8)), 3, "hadamard")(jnp.zeros((12, 8, 3)))


def test_haze_is_between_the_picture_and_the_air():
    x = jax.random.normal(KEY, (4, 4, 3))
    clear, air = (operators.Haze((4, 4, 3), jnp.full((4, 4, 1), t), jnp.array([0.1, 0.2, 0.3])) for t in (1.0, 0.0))
    np.testing.assert_allclose(clear(x), x)
    np.testing.assert_allclose(air(x), jnp.broadcast_to(jnp.array([0.1, 0.2, 0.3]), x.shape))
    with pytest.raises(ValueError, match=r"airlight has shape \(2,\), expected \(\) or \(3,\)"):
        operators.Haze((4, 4, 3), 0.5, jnp.ones(2))(x)
    with pytest.raises(ValueError, match=r"transmission is 1.5, expected a finite number in \[0, 1\]"):
        operators.Haze((4, 4, 3), 1.5, 0.8)(x)
    with pytest.raises(ValueError, match=r"airlight is 204.0, expected a finite number in \[-1, 1\]"):
        operators.Haze((4, 4, 3), 0.5, 204.0)(x)


class TestDecodedJPEG:
    @pytest.mark.parametrize("subsampling", [False, True])
    def test_the_pull_is_that_of_the_coefficients(self, subsampling):
        """T^T (v T T^T + s^2 I)^-1 T r with T the map to coefficients in quantisation steps."""
        operator = operators.DecodedJPEG((16, 16, 3), 30, subsampling)
        residual = jax.random.normal(KEY, (16, 16, 3))
        whole = operators.likelihood_score(operator, residual, 0.04, 1 / 12)
        side = 16 if subsampling else 8
        matrix, unit = coefficient_map(30, subsampling), np.asarray(residual, np.float64)[:side, :side].ravel()
        inner = 0.04 * matrix @ matrix.T + np.eye(len(matrix)) / 12
        expected = matrix.T @ np.linalg.solve(inner, matrix @ unit)
        np.testing.assert_allclose(whole[:side, :side].ravel(), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())

    def test_a_files_error_is_white_with_the_deviation_of_rounding(self):
        """Where steps are small against the picture: coefficients are then spread evenly over them."""
        shape = (32, 32, 3)
        operator, noise = operators.DecodedJPEG(shape, 95), jr.JPEGNoise(95)
        x = 0.2 * jax.random.normal(KEY, shape)
        error = (noise(KEY, x) - x).reshape(4, 8, 4, 8, 3).swapaxes(1, 2).reshape(16, -1)
        steps = np.asarray(error) @ coefficient_map(95, False).T
        np.testing.assert_allclose(steps.std(), noise.std, rtol=0.03)
        np.testing.assert_allclose(operator.svd().nonzero().sum(), 192)

    def test_noise_is_the_operator_and_tasks_have_both(self):
        task = jr.task("jpeg", image_shape=(16, 32, 3), quality=20, subsampling=True)
        x = jax.random.uniform(KEY, (16, 32, 3), minval=-1)
        y = operators.JPEG((16, 32, 3), 20, subsampling=True)(x)
        np.testing.assert_array_equal(task.degradation.measure(KEY, x), y)
        with pytest.raises(ValueError, match="noise_std is 0.1, expected 0"):
            jr.task("jpeg", image_shape=(16, 32, 3), noise_std=0.1)

    def test_a_run_takes_the_blocks_away(self):
        """A smooth ramp, whose steps the quantisation makes visible, under a prior of smooth pictures."""
        ramp = jnp.broadcast_to(jnp.linspace(-0.5, 0.5, 16)[:, None, None], (16, 16, 3))
        task = jr.task("jpeg", image_shape=ramp.shape, quality=5)
        y = task.degradation.measure(KEY, ramp)
        mixture = jr.priors.GaussianMixture(jnp.ones(1), ramp[None], jnp.full((1, ramp.size), 1e-3))
        restored = jax.jit(task.sampler("ddnm").sample)(KEY, mixture, task.degradation, y).image
        assert jr.metrics.psnr(restored, ramp) > jr.metrics.psnr(y, ramp) + 3


NOISES = {
    "PoissonNoise": jr.PoissonNoise(0.5),
    "PoissonGaussianNoise": jr.PoissonGaussianNoise(0.5, 0.1),
    "SpeckleNoise": jr.SpeckleNoise(0.2),
    "SaltAndPepperNoise": jr.SaltAndPepperNoise(0.1),
}


@pytest.mark.parametrize("name", NOISES)
def test_the_equivalent_deviation_is_that_of_the_error(name):
    """From the measurement alone; impulses inflate what they are estimated from, by a tenth at this rate."""
    x = jnp.broadcast_to(jnp.linspace(-0.4, 0.3, 100)[:, None, None], (100, 100, 3))
    y = NOISES[name](KEY, x)
    tolerance = 0.07 if name == "SaltAndPepperNoise" else 0.03
    np.testing.assert_allclose(NOISES[name].equivalent_std(y), jnp.std(y - x), rtol=tolerance)


def test_salt_and_pepper_are_as_many_and_take_whole_pixels():
    y = jr.SaltAndPepperNoise(0.2)(KEY, jnp.zeros((200, 200, 3)))
    shares = [(y == value).all(-1).mean() for value in (-1.0, 1.0, 0.0)]
    np.testing.assert_allclose(shares, [0.1, 0.1, 0.8], atol=0.008)  # 5 standard errors


@pytest.mark.parametrize("name", NOISES)
def test_a_method_that_asks_for_one_strength_says_what_to_give_it(name):
    degradation = jr.Degradation(operators.Denoising((8, 8, 3)), NOISES[name])
    y = degradation.measure(KEY, jnp.zeros((8, 8, 3)))
    prior = jr.priors.GaussianMixture(jnp.ones(1), jnp.zeros((1, 8, 8, 3)), jnp.ones((1, 192)))
    run = lambda sampler: jax.eval_shape(sampler.sample, KEY, prior, degradation, y)  # noqa: E731
    with pytest.raises(TypeError, match=rf"{name}, which has no one .* noise_std, e.g. degradation.noise.equiv"):
        run(jr.ddnm(num_steps=3))
    assert run(jr.ddnm(num_steps=3, noise_std=degradation.noise.equivalent_std(y))).image.shape == y.shape
