import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import DATA
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jaxrestore import metrics

with np.load(DATA / "lpips_golden.npz") as stored:
    A, B, DISTANCES = stored["a"], stored["b"], stored["lpips_alexnet"]


def test_lpips_is_that_of_the_published_package():
    distances = jax.jit(jax.vmap(metrics.lpips, in_axes=(None, 0, None)))(A, B, metrics.load_lpips())
    np.testing.assert_allclose(distances, DISTANCES, atol=1e-4)


def test_lpips_is_zero_with_a_finite_gradient_at_equal_images():
    x = jnp.zeros((32, 32, 3))  # flat: many features are exactly zero
    for image in (x, jnp.asarray(A[:64, :64])):
        value, gradient = jax.value_and_grad(metrics.lpips)(image, image)
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)


def test_lpips_gradient_descends():
    a, b = jnp.asarray(A[:64, :64]), jnp.asarray(B[1, :64, :64])
    value, gradient = jax.value_and_grad(metrics.lpips)(b, a)
    assert metrics.lpips(b - 1e-1 * gradient / jnp.linalg.norm(gradient.ravel()), a) < value


@pytest.mark.parametrize("i", range(1, 5))
def test_psnr_and_ssim_are_those_of_scikit_image(i):
    unit = [(np.asarray(x) + 1) / 2 for x in (A, B[i])]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    expected = structural_similarity(*unit, data_range=1.0, **settings)
    np.testing.assert_allclose(metrics.ssim(A, B[i]), expected, atol=1e-4)
    np.testing.assert_allclose(metrics.psnr(A, B[i]), peak_signal_noise_ratio(A, B[i], data_range=2.0), atol=1e-4)


def test_equal_images_are_perfect():
    assert metrics.psnr(A, A) == np.inf
    np.testing.assert_allclose(metrics.ssim(A, A), 1.0, atol=1e-6)


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim, metrics.lpips])
def test_images_of_different_shapes_are_refused(metric):
    with pytest.raises(ValueError, match=r"b has shape \(32, 64, 3\), expected \(64, 64, 3\)"):
        metric(A[:64, :64], B[0, :32, :64])
    with pytest.raises(ValueError, match=r"expected one image \(H, W, C\); for a batch use jax.vmap"):
        metric(B, B)


def test_images_too_small_for_a_window_are_refused():
    with pytest.raises(ValueError, match="sides of at least 11"):
        metrics.ssim(A[:8, :8], A[:8, :8])
    with pytest.raises(ValueError, match="sides of at least 31"):
        metrics.lpips(A[:16, :16], A[:16, :16])
