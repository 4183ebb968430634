import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from conftest import Golden, motion_kernel, relative_error
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

import jaxrestore as jr
from jaxrestore import operators

GOLDEN = Golden("operators")
SHAPE = (64, 64, 3)
PUBLISHED = {
    "down_sampling_x2": operators.SuperResolution(SHAPE, 2),
    "down_sampling_x4": operators.SuperResolution(SHAPE, 4),
    "gaussian_blur_61_3.0": operators.GaussianBlur(SHAPE, 61, 3.0),
    "gaussian_blur_9_1.5": operators.GaussianBlur(SHAPE, 9, 1.5),
    "motion_blur_61_0.5": operators.MotionBlur(SHAPE, GOLDEN.kernel("motion_blur_61_0.5.kernel")),
    "inpainting_random": operators.Inpainting(GOLDEN["inpainting_random.mask"][0]),
    "inpainting_box": operators.Inpainting(GOLDEN["inpainting_box.mask"][0]),
    "phase_retrieval": operators.PhaseRetrieval(SHAPE, 2.0),
    "high_dynamic_range": operators.HighDynamicRange(SHAPE, 2.0),
}

KERNEL = motion_kernel(jax.random.key(1), 5, 0.7)
LINEAR = {
    "bicubic": operators.SuperResolution((12, 18, 3), 3),
    "average": operators.SuperResolution((12, 18, 3), 3, kernel="average"),
    "gaussian": operators.GaussianBlur((12, 18, 3), 9, 1.5),
    "motion": operators.MotionBlur((12, 18, 3), KERNEL),
    "inpainting": operators.Inpainting(operators.random_mask(jax.random.key(0), (12, 18, 3), 0.5)),
    "denoising": operators.Denoising((12, 18, 3)),
    "colorization": operators.Colorization((12, 18, 3)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_values_and_gradients_are_the_published_ones(name):
    @jax.jit
    def both(operator, x, u):
        y, pullback = jax.vjp(jax.vmap(operator), x)
        return y, pullback(u)[0]

    y, gradient = both(PUBLISHED[name], GOLDEN["x"], GOLDEN[f"{name}.u"])
    assert relative_error(y, GOLDEN[f"{name}.y"]) < 1e-5
    assert relative_error(gradient, GOLDEN[f"{name}.vjp"]) < 1e-5


@pytest.mark.parametrize("name", LINEAR)
def test_adjoint_identity(name):
    operator = LINEAR[name]
    v = jax.random.normal(jax.random.key(1), operator.image_shape)
    w = jax.random.normal(jax.random.key(2), operator.measurement_shape)
    forward, backward = float(jnp.vdot(operator(v), w)), float(jnp.vdot(v, operator.adjoint(w)))
    assert abs(forward - backward) < 1e-5 * float(jnp.linalg.norm(v.ravel()) * jnp.linalg.norm(w.ravel()))


@pytest.mark.parametrize("name", LINEAR)
def test_linear_operators_are_linear(name):
    operator = LINEAR[name]
    a, b = jax.random.normal(jax.random.key(1), (2, *operator.image_shape))
    np.testing.assert_allclose(operator(2 * a - b), 2 * operator(a) - operator(b), atol=2e-5)


@pytest.mark.parametrize("name", ["bicubic", "average", "gaussian", "motion", "colorization"])
def test_a_constant_image_stays_constant(name):
    operator = LINEAR[name]
    np.testing.assert_allclose(operator(jnp.full(operator.image_shape, 0.7)), 0.7, atol=1e-5)


def test_gaussian_blur_is_that_of_scipy():
    x = np.asarray(jax.random.normal(jax.random.key(0), (40, 50, 3)))
    blurred = operators.GaussianBlur(x.shape, 25, 2.0)(jnp.asarray(x))
    expected = scipy.ndimage.gaussian_filter(x.astype(np.float64), (2.0, 2.0, 0), mode="mirror")
    np.testing.assert_allclose(blurred, expected, atol=1e-5)


def test_motion_blur_is_a_convolution_with_reflected_borders():
    x = np.asarray(jax.random.normal(jax.random.key(0), (12, 18, 3)))
    blurred = LINEAR["motion"](jnp.asarray(x))
    expected = [scipy.ndimage.convolve(x[..., c], np.asarray(KERNEL), mode="mirror") for c in range(3)]
    np.testing.assert_allclose(blurred, np.stack(expected, -1), atol=1e-5)


def test_average_pooling_is_the_mean_of_blocks():
    x = jnp.arange(16.0).reshape(4, 4, 1)
    np.testing.assert_allclose(
        operators.SuperResolution((4, 4, 1), 2, kernel="average")(x)[..., 0], [[2.5, 4.5], [10.5, 12.5]]
    )


def test_a_bright_pixel_becomes_the_kernel():
    point = jnp.zeros((9, 9, 1)).at[4, 4].set(1.0)
    np.testing.assert_allclose(operators.MotionBlur((9, 9, 1), KERNEL)(point)[2:7, 2:7, 0], KERNEL, atol=1e-6)


@given(st.floats(0, 1), st.sampled_from([(1, 1), (1, 40), (17, 13), (40, 32)]))
def test_random_masks_hide_the_asked_share(rate, sides):
    height, width = sides
    mask = operators.random_mask(jax.random.key(0), (height, width, 3), rate)
    assert mask.shape == (height, width, 1)
    assert int((mask == 0).sum()) == round(rate * height * width)


@given(st.integers(0, 2**31 - 1))
def test_box_masks_keep_their_margin(seed):
    mask = np.asarray(operators.box_mask(jax.random.key(seed), (32, 40, 3), (12, 9), margin=4))[..., 0]
    rows, columns = np.nonzero(mask == 0)
    assert len(rows) == 12 * 9
    assert rows.min() >= 4
    assert rows.max() < 28
    assert columns.min() >= 4
    assert columns.max() < 36


def test_phase_retrieval_has_a_finite_gradient_at_a_black_image():
    operator = operators.PhaseRetrieval((8, 8, 3))
    gradient = jax.grad(lambda x: operator(x).sum())(jnp.full((8, 8, 3), -1.0))
    assert np.isfinite(gradient).all()


def test_phase_retrieval_preserves_energy():
    x = jax.random.uniform(jax.random.key(0), (16, 16, 3), minval=-1)
    np.testing.assert_allclose(
        jnp.sum(operators.PhaseRetrieval((16, 16, 3))(x) ** 2), jnp.sum(((x + 1) / 2) ** 2), rtol=1e-5
    )


def test_phase_retrieval_pads_the_image_in_the_range_that_is_asked_for():
    """Centred transforms by their definition, of the padded image as DAPS and as DPS have it."""
    x = jax.random.uniform(jax.random.key(0), (8, 12, 3), minval=-1)
    for padded, image in {"unit": (np.asarray(x) + 1) / 2, "signed": np.asarray(x)}.items():
        wide = np.pad(np.asarray(image, np.float64), ((2, 2), (3, 3), (0, 0)))
        spectrum = np.fft.fft2(np.fft.ifftshift(wide, axes=(0, 1)), axes=(0, 1), norm="ortho")
        expected = np.abs(np.fft.fftshift(spectrum, axes=(0, 1)))
        task = jr.task("phase_retrieval", image_shape=(8, 12, 3), padded=padded)
        np.testing.assert_allclose(task.degradation.operator(x), expected, atol=1e-5)
    with pytest.raises(ValueError, match="padded is 'grey', expected one of 'unit', 'signed'"):
        operators.PhaseRetrieval((8, 8, 3), padded="grey")


def test_high_dynamic_range_has_no_gradient_where_it_clips():
    operator = operators.HighDynamicRange((1, 2, 1), 2.0)
    x = jnp.array([[[0.2], [0.9]]])
    np.testing.assert_allclose(jax.grad(lambda x: operator(x).sum())(x).ravel(), [2.0, 0.0])


@pytest.mark.parametrize("name", LINEAR)
def test_gradients_agree_with_finite_differences(name):
    x = jax.random.normal(jax.random.key(0), LINEAR[name].image_shape)
    check_grads(LINEAR[name], (x,), order=1, modes=("rev",), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32])
def test_masks_of_whole_numbers_keep_what_is_not_zero(dtype):
    known = np.random.default_rng(0).random((12, 18)) < 0.5
    x = jax.random.normal(jax.random.key(0), (12, 18, 3))
    operator = operators.Inpainting((255 * known).astype(dtype))
    expected = operators.Inpainting(jnp.asarray(known, jnp.float32))
    np.testing.assert_array_equal(operator(x), expected(x))
    np.testing.assert_array_equal(jax.jit(lambda operator, x: operator(x))(operator, x), expected(x))
    np.testing.assert_array_equal(operator.svd().values, expected.svd().values)
    np.testing.assert_array_equal(operator.relevant(x), expected.relevant(x))


def test_settings_can_differ_across_a_batch():
    masks = jax.vmap(lambda k: operators.random_mask(k, (4, 4, 3), 0.5))(jax.random.split(jax.random.key(0), 3))
    x = jnp.ones((3, 4, 4, 3))
    np.testing.assert_array_equal(jax.vmap(lambda m, x: operators.Inpainting(m)(x))(masks, x), masks * x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: operators.SuperResolution((64, 64), 4), r"image_shape is \(64, 64\), expected"),
        (lambda: operators.GaussianBlur((64, 64, 3), 8, 1.0), "kernel_size is 8, expected an odd number"),
        (lambda: operators.GaussianBlur((64, 64, 3), 9, 0.0), "std is 0.0, expected a finite number above 0"),
        (lambda: operators.GaussianBlur((16, 64, 3), 61, 3.0), "reaches beyond the reflection"),
        (lambda: operators.random_mask(jax.random.key(0), (4, 4, 3), 1.2), "rate is 1.2"),
        (lambda: operators.box_mask(jax.random.key(0), (32, 32, 3), (32, 8)), "does not fit into 32x32"),
        (lambda: operators.SuperResolution((8, 8, 3), 4)(jnp.ones((2, 8, 8, 3))), "for a batch use"),
        (
            lambda: operators.Inpainting(jnp.full((4, 4), 255.0))(jnp.ones((4, 4, 3))),
            "mask has values up to 255, expected 1",
        ),
        (
            lambda: operators.Inpainting(jnp.full((4, 4), jnp.nan))(jnp.ones((4, 4, 3))),
            "mask has values up to nan, expected 1",
        ),
        (lambda: operators.Inpainting(jnp.ones((4, 4, 2)))(jnp.ones((4, 4, 3))), r"mask has shape \(4, 4, 2\)"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nonlinear_operators_have_no_adjoint():
    with pytest.raises(TypeError, match="PhaseRetrieval is not linear"):
        operators.PhaseRetrieval((8, 8, 3)).adjoint(jnp.ones((12, 12, 3)))


def test_integers_are_refused():
    with pytest.raises(TypeError, match="dtype int32, expected float32"):
        operators.Denoising((4, 4, 3))(jnp.ones((4, 4, 3), jnp.int32))
