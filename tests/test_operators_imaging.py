"""Sensors and lenses: demosaicing, convolution, blur that differs from place to place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from conftest import assert_adjoint, by_default, isotropic
from hypothesis import given
from hypothesis import strategies as st
from test_methods import NO_DECOMPOSITION, OF_EACH_KIND, SMALL

import jaxrestore as jr
from jaxrestore import methods, operators
from jaxrestore.operators.demosaicing import PATTERNS
from jaxrestore.priors.mixture import dense_matrix

SHAPE = (7, 6, 3)  # odd and even: the highest frequency is its own mirror image in one of them only
KEY = jax.random.key(0)
KERNEL = jax.random.uniform(KEY, (3, 5))
WIDE = jax.random.normal(KEY, (9, 9))  # wider than the image, and not positive
BOX = jnp.full((3, 3), 1 / 9)  # symmetric, with frequencies that it does not measure (of six pixels)
WEIGHTS = jax.random.uniform(KEY, (2, 7, 6))
CIRCULAR = {"circular": KERNEL, "wide": WIDE, "box": BOX, "nothing": jnp.zeros((1, 1))}
LINEAR = {
    **{pattern: operators.Demosaicing(SHAPE, pattern) for pattern in PATTERNS},
    **{name: operators.Convolution(SHAPE, kernel) for name, kernel in CIRCULAR.items()},
    "zero": operators.Convolution(SHAPE, KERNEL, "zero"),
    "reflect": operators.Convolution(SHAPE, KERNEL, "reflect"),
    "varying": operators.SpaceVaryingBlur(SHAPE, jnp.stack([KERNEL, KERNEL[::-1]]), WEIGHTS),
}
DECOMPOSED = [*PATTERNS, *CIRCULAR]
SCIPY = {"circular": "wrap", "zero": "constant", "reflect": "mirror"}  # boundary -> mode of `scipy.ndimage`


@pytest.mark.parametrize("name", LINEAR)
@given(seed=st.integers(0, 2**31 - 1))
def test_adjoint_identity(name, seed):
    assert_adjoint(LINEAR[name], seed)


@pytest.mark.parametrize("name", DECOMPOSED)
class TestDecompositions:
    def test_has_the_singular_values_of_the_matrix(self, name):
        operator = LINEAR[name]
        svd = operator.svd()
        values = np.broadcast_to(svd.values, svd.analyze(jnp.zeros(SHAPE)).shape).ravel()
        matrix = dense_matrix(operator)
        expected = np.zeros(values.size)
        expected[: min(matrix.shape)] = np.linalg.svd(matrix, compute_uv=False)
        assert (values >= 0).all()
        # Float32's rounding relative to the largest.
        np.testing.assert_allclose(np.sort(values)[::-1], expected, atol=2e-6 * max(1.0, expected[0]))

    def test_takes_the_operator_apart(self, name):
        """U^T A x = S V^T x, and V is orthogonal."""
        operator = LINEAR[name]
        svd = operator.svd()
        x = jax.random.normal(KEY, SHAPE)
        scale = max(1.0, float(svd.values.max()))
        np.testing.assert_allclose(svd.measured(operator(x)), svd.values * svd.analyze(x), atol=1e-5 * scale)
        np.testing.assert_allclose(svd.synthesize(svd.analyze(x)), x, atol=1e-5)
        np.testing.assert_allclose(jnp.linalg.norm(svd.analyze(x).ravel()), jnp.linalg.norm(x.ravel()), rtol=1e-5)

    def test_the_adjoint_is_made_of_the_same_parts(self, name):
        """A^T y = V S U^T y, for measurements that no image has too."""
        operator = LINEAR[name]
        svd = operator.svd()
        y = jax.random.normal(KEY, operator.measurement_shape)
        scale = max(1.0, float(svd.values.max()))
        np.testing.assert_allclose(svd.synthesize(svd.values * svd.measured(y)), operator.adjoint(y), atol=1e-5 * scale)

    def test_pseudo_inverse_is_that_of_the_matrix(self, name):
        operator = LINEAR[name]
        y = operator(jax.random.normal(KEY, SHAPE))
        expected = np.linalg.pinv(dense_matrix(operator), rcond=1e-4) @ np.asarray(y, np.float64).ravel()
        result = operators.pseudo_inverse(operator, y)
        # Float32's rounding times the condition number, some hundreds.
        np.testing.assert_allclose(result.ravel(), expected, atol=1e-3 * max(1.0, np.abs(expected).max()))


KINDS = {"RGGB": set(), "circular": set(), "reflect": NO_DECOMPOSITION, "varying": NO_DECOMPOSITION}


@pytest.mark.parametrize("method", by_default(SMALL, OF_EACH_KIND))
@pytest.mark.parametrize("name", KINDS)
def test_goes_through_every_method_that_its_kind_allows(name, method):
    operator = LINEAR[name]
    assert (method in methods.able(operator)) == (method not in KINDS[name])
    if method in KINDS[name]:
        return
    model = jr.Degradation(operator, jr.GaussianNoise(0.05))
    y = jax.ShapeDtypeStruct(model.measurement_shape, jnp.float32)
    result = jax.eval_shape(jr.METHODS[method].build(**SMALL[method]).sample, KEY, isotropic(SHAPE), model, y)
    assert result.image.shape == SHAPE


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_bayer_filter_passes_one_colour_at_each_pixel(pattern):
    x = jax.random.normal(KEY, SHAPE)
    raw = operators.Demosaicing(SHAPE, pattern)(x)
    for row in range(7):
        for column in range(6):
            channel = "RGB".index(pattern[2 * (row % 2) + column % 2])
            assert raw[row, column, 0] == x[row, column, channel]


@pytest.mark.parametrize("kernel", [KERNEL, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("boundary", SCIPY)
def test_convolution_is_that_of_scipy(boundary, kernel):
    x = np.asarray(jax.random.normal(KEY, SHAPE))
    expected = [scipy.ndimage.convolve(x[..., c], np.asarray(kernel), mode=SCIPY[boundary]) for c in range(3)]
    result = operators.Convolution(SHAPE, kernel, boundary)(jnp.asarray(x))
    np.testing.assert_allclose(result, np.stack(expected, -1), atol=1e-5 * np.abs(expected).max())


def test_where_one_weight_is_one_the_blur_is_that_of_its_kernel():
    x = jax.random.normal(KEY, SHAPE)
    left = jnp.zeros((7, 6)).at[:, :3].set(1.0)
    kernels = (KERNEL, KERNEL[::-1, ::-1])
    blurred = operators.SpaceVaryingBlur(SHAPE, jnp.stack(kernels), jnp.stack([left, 1.0 - left]))(x)
    alone = [operators.Convolution(SHAPE, kernel, "reflect")(x) for kernel in kernels]
    np.testing.assert_allclose(blurred[:, :3], alone[0][:, :3], atol=1e-5)
    np.testing.assert_allclose(blurred[:, 3:], alone[1][:, 3:], atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: operators.Demosaicing((8, 8, 1)), r"image_shape is \(8, 8, 1\), expected three channels"),
        (lambda: operators.Demosaicing(SHAPE, "RGBG"), "pattern is 'RGBG', expected one of 'RGGB', 'BGGR'"),
        (
            lambda: operators.Convolution(SHAPE, KERNEL, "edge"),
            "boundary is 'edge', expected one of 'circular', 'zero'",
        ),
        (lambda: operators.Convolution(SHAPE, jnp.ones((3, 4)))(jnp.ones(SHAPE)), r"\(3, 4\), expected odd sides"),
        (lambda: operators.Convolution(SHAPE, jnp.ones(3))(jnp.ones(SHAPE)), r"shape \(3,\), expected \(odd, odd\)"),
        (
            lambda: operators.Convolution(SHAPE, jnp.ones((3, 13)), "reflect")(jnp.ones(SHAPE)),
            r"a kernel of 3x13 reaches beyond the reflection of a 7x6 image; expected at most 13x11",
        ),
        (
            lambda: operators.SpaceVaryingBlur(SHAPE, jnp.ones((3, 3)), WEIGHTS)(jnp.ones(SHAPE)),
            r"kernels has shape \(3, 3\), expected \(number, odd, odd\)",
        ),
        (
            lambda: operators.SpaceVaryingBlur(SHAPE, jnp.ones((3, 3, 3)), WEIGHTS)(jnp.ones(SHAPE)),
            r"weights has shape \(2, 7, 6\), expected \(3, 7, 6\): one image",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_only_a_circular_boundary_has_a_decomposition():
    assert not hasattr(LINEAR["zero"], "svd")
    with pytest.raises(AttributeError, match="boundary is 'reflect'; only a circular convolution"):
        LINEAR["reflect"].svd()


class TestSeparableBlur:
    @pytest.mark.parametrize("boundary", SCIPY)
    def test_it_correlates_along_both_axes_as_scipy_does(self, boundary):
        taps, x = (0.1, 0.2, 0.4, -0.3, 0.6), np.asarray(jax.random.normal(KEY, SHAPE))
        expected = x
        for axis in (0, 1):
            expected = scipy.ndimage.correlate1d(expected, taps, axis=axis, mode=SCIPY[boundary])
        np.testing.assert_allclose(operators.SeparableBlur(SHAPE, taps, boundary)(x), expected, atol=1e-5)

    def test_taps_may_be_an_array(self):
        blurs = [operators.SeparableBlur(SHAPE, np.array([0.25, 0.5, 0.25])) for _ in range(2)]
        shapes = {jax.jit(lambda operator, x: operator(x)).eval_shape(blur, jnp.ones(SHAPE)).shape for blur in blurs}
        assert shapes == {SHAPE}

    @pytest.mark.parametrize(
        ("taps", "boundary", "message"),
        [
            ((0.5, 0.5), "zero", "taps are 2, expected an odd number"),
            ((1.0,), "wrap", "boundary is 'wrap', expected one of 'zero'"),
            ((0.1,) * 15, "reflect", "a kernel of 15x15 reaches beyond"),
        ],
    )
    def test_bad_taps_are_refused(self, taps, boundary, message):
        with pytest.raises(ValueError, match=message):
            operators.SeparableBlur(SHAPE, taps, boundary)

    def test_the_task_takes_a_kernel_of_one_axis_or_two_and_a_boundary(self):
        taps, x = jnp.array([0.25, 0.5, 0.25]), jax.random.normal(KEY, (16, 16, 3))
        blurs = [
            jr.task("gaussian_deblur", image_shape=(16, 16, 3), kernel=kernel, boundary="zero").degradation.operator
            for kernel in (taps, jnp.outer(taps, taps))
        ]
        assert [type(blur) for blur in blurs] == [operators.SeparableBlur, operators.Convolution]
        np.testing.assert_allclose(blurs[0](x), blurs[1](x), atol=1e-5)
        options = {"kernel_size": 9, "std": 1.0}
        reflected, wrapped = (
            jr.task("gaussian_deblur", image_shape=(16, 16, 3), **options, boundary=boundary).degradation.operator(x)
            for boundary in ("reflect", "circular")
        )
        np.testing.assert_allclose(reflected[5:-5, 5:-5], wrapped[5:-5, 5:-5], atol=1e-5)
        assert np.abs(reflected - wrapped).max() > 0.01
