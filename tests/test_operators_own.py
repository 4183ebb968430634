"""Operators of the user's own: from functions, from classes, and made of others."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_adjoint, by_default, isotropic
from hypothesis import given
from hypothesis import strategies as st
from test_methods import NO_DECOMPOSITION, NOT_LINEAR, OF_EACH_KIND, SMALL

import jaxrestore as jr
from jaxrestore import methods, operators
from jaxrestore.priors.mixture import dense_matrix

SHAPE = (8, 6, 3)
KEY = jax.random.key(0)
CODE = jax.random.uniform(KEY, (8, 6, 1))


def coded(x, code):
    return (x * code).sum(0)


def fourier(x):
    spectrum = jnp.fft.rfft2(x, axes=(0, 1))
    return jnp.stack([spectrum.real, spectrum.imag])


def saturated(x, params):
    return jnp.tanh(params["gain"] * x + params["offset"])


@flax.struct.dataclass
class Vignette(operators.OperatorBase):
    gains: jax.Array
    image_shape: tuple[int, int, int] = flax.struct.field(pytree_node=False)

    def _apply(self, x):
        return self.gains * x


GREY = operators.Colorization(SHAPE)
SMALLER = operators.SuperResolution(SHAPE, 2)
BLUR = operators.GaussianBlur(SHAPE, 3, 0.8)
LINEAR = {
    "function": operators.Linear(coded, SHAPE, CODE),
    "fourier": operators.Linear(fourier, SHAPE),
    "mean": operators.Linear(jnp.mean, SHAPE),
    "closure": operators.Linear(lambda x: CODE * x, SHAPE),
    "base": Vignette(CODE, SHAPE),
    "composed": SMALLER @ BLUR,
    "stacked": operators.Stacked((SMALLER, GREY, operators.Linear(jnp.mean, SHAPE))),
}
NONLINEAR = {
    "function": operators.Nonlinear(saturated, SHAPE, {"gain": 2.0, "offset": CODE}),
    "composed": operators.HighDynamicRange(SHAPE) @ BLUR,
    "stacked": operators.Stacked((GREY, operators.HighDynamicRange(SHAPE))),
}


@pytest.mark.parametrize("name", LINEAR)
@given(seed=st.integers(0, 2**31 - 1))
def test_adjoint_identity(name, seed):
    assert_adjoint(LINEAR[name], seed)


@pytest.mark.parametrize("name", LINEAR)
def test_pseudo_inverse_is_that_of_the_matrix(name):
    operator = LINEAR[name]
    matrix = dense_matrix(operator)
    y = operator(jax.random.normal(KEY, SHAPE))
    if name == "composed":  # badly conditioned: the measurement is met, the image less exactly
        np.testing.assert_allclose(operator(operators.pseudo_inverse(operator, y)), y, atol=2e-3)
        return
    expected = np.linalg.pinv(matrix, rcond=1e-4) @ np.asarray(y, np.float64).ravel()
    result = operators.pseudo_inverse(operator, y)
    # Conjugate gradients square the condition number, which leaves float32 three digits.
    np.testing.assert_allclose(result.ravel(), expected, atol=2e-3 * np.abs(expected).max())


KINDS = {
    "Linear": (LINEAR["function"], NO_DECOMPOSITION),
    "Nonlinear": (NONLINEAR["function"], NOT_LINEAR),
    "OperatorBase": (LINEAR["base"], NO_DECOMPOSITION),
    "Composed": (NONLINEAR["composed"], NOT_LINEAR),
    "Stacked": (LINEAR["stacked"], NO_DECOMPOSITION),
}


@pytest.mark.parametrize("method", by_default(SMALL, OF_EACH_KIND))
@pytest.mark.parametrize("kind", KINDS)
def test_goes_through_every_method_that_its_kind_allows(kind, method):
    operator, excluded = KINDS[kind]
    assert (method in methods.able(operator)) == (method not in excluded)
    if method in excluded:
        return
    model = jr.Degradation(operator, jr.GaussianNoise(0.05))
    y = jax.ShapeDtypeStruct(model.measurement_shape, jnp.float32)
    run = jr.METHODS[method].build(**SMALL[method]).sample
    result = jax.eval_shape(run, KEY, isotropic(SHAPE), model, y)
    assert result.image.shape == SHAPE


def test_a_function_restores_as_the_operator_that_it_stands_for():
    mask = operators.random_mask(KEY, SHAPE, 0.5)
    known = operators.Inpainting(mask)
    y = known(jax.random.normal(KEY, SHAPE))

    def restore(operator):
        model = jr.Degradation(operator, jr.GaussianNoise(0.05))
        return jax.jit(jr.dps(num_steps=4).sample)(KEY, isotropic(SHAPE), model, y).image

    own = operators.Linear(lambda x, mask: mask * x, SHAPE, mask)
    np.testing.assert_allclose(restore(own), restore(known), atol=1e-5)


class TestStructure:
    def test_programs_are_reused_by_operators_of_one_function(self):
        traced = []

        @jax.jit
        def measure(operator, x):
            traced.append(operator)
            return operator(x)

        x = jnp.ones(SHAPE)
        for factor in (1.0, 2.0, 3.0):
            made = operators.Linear(coded, list(SHAPE), factor * CODE)
            np.testing.assert_allclose(measure(made, x), factor * coded(x, CODE), rtol=1e-5)
        assert len(traced) == 1
        structures = [jax.tree.structure(operators.Linear(coded, SHAPE, c)) for c in (CODE, 2 * CODE)]
        assert structures[0] == structures[1]
        assert structures[0] != jax.tree.structure(operators.Nonlinear(coded, SHAPE, CODE))

    def test_the_arrays_are_leaves_that_gradients_and_vmap_reach(self):
        made = LINEAR["function"]
        assert [a.shape for a in jax.tree.leaves(made)] == [CODE.shape]
        gradient = jax.grad(lambda operator: operator(jnp.ones(SHAPE)).sum())(made)
        np.testing.assert_allclose(gradient.arrays[0], 3.0)
        codes = jnp.stack([CODE, 2 * CODE])
        batched = jax.vmap(lambda code: operators.Linear(coded, SHAPE, code)(jnp.ones(SHAPE)))(codes)
        np.testing.assert_allclose(batched[1], 2 * batched[0], rtol=1e-5)

    def test_can_be_made_while_tracing(self):
        x = jnp.ones(SHAPE)
        argument = jax.jit(lambda code, x: operators.Linear(coded, SHAPE, code)(x))
        np.testing.assert_allclose(argument(CODE, x), coded(x, CODE), rtol=1e-5)
        captured = jax.vmap(lambda code: operators.Linear(lambda x: coded(x, code), SHAPE)(x))
        np.testing.assert_allclose(captured(CODE[None])[0], coded(x, CODE), rtol=1e-5)
        neither = jax.jit(lambda x: operators.Linear(jnp.mean, SHAPE)(x))
        np.testing.assert_allclose(neither(x), 1.0, rtol=1e-5)

    def test_a_function_that_computes_in_bfloat16_counts_as_linear(self):
        rounded = operators.Linear(lambda x, code: coded(x.astype(jnp.bfloat16), code).astype(x.dtype), SHAPE, CODE)
        assert rounded.linear


class TestComposed:
    def test_a_pipe_has_the_order_in_which_the_image_meets_them(self):
        piped = BLUR | SMALLER
        assert (type(piped), piped.inner, piped.outer) == (operators.Composed, BLUR, SMALLER)
        with pytest.raises(TypeError, match="unsupported operand"):
            BLUR | 3

    def test_is_one_after_the_other(self):
        x = jax.random.normal(KEY, SHAPE)
        np.testing.assert_array_equal((SMALLER @ BLUR)(x), SMALLER(BLUR(x)))

    def test_is_linear_if_both_are(self):
        clipped = operators.HighDynamicRange(SHAPE)
        assert [(a @ b).linear for a, b in ((BLUR, BLUR), (BLUR, clipped), (clipped, BLUR))] == [True, False, False]
        with pytest.raises(TypeError, match="Composed is not linear"):
            (clipped @ BLUR).adjoint(jnp.ones(SHAPE))

    def test_shapes_that_do_not_follow_on_one_another_are_refused(self):
        with pytest.raises(
            ValueError, match=r"SuperResolution measures \(4, 3, 3\), expected \(8, 6, 3\), the image sh"
        ):
            (BLUR @ SMALLER)(jnp.ones(SHAPE))

    def test_what_the_outer_one_hides_is_not_heard(self):
        mask = operators.random_mask(KEY, SHAPE, 0.5)
        hidden = operators.Inpainting(mask) @ BLUR
        np.testing.assert_array_equal(hidden.relevant(jnp.ones(SHAPE)), jnp.broadcast_to(mask, SHAPE))

    def test_an_array_is_no_operator(self):
        with pytest.raises(TypeError, match="unsupported operand"):
            BLUR @ np.ones(SHAPE).tolist()


class TestStacked:
    def test_splits_into_what_each_measures(self):
        x = jax.random.normal(KEY, SHAPE)
        stacked = LINEAR["stacked"]
        for piece, operator in zip(stacked.split(stacked(x)), stacked.operators, strict=True):
            np.testing.assert_array_equal(piece, operator(x))

    def test_is_linear_if_all_are(self):
        assert LINEAR["stacked"].linear
        assert not NONLINEAR["stacked"].linear

    def test_what_one_of_them_hides_is_not_heard(self):
        mask = operators.random_mask(KEY, SHAPE, 0.5)
        views = operators.Stacked((GREY, operators.Inpainting(mask)))
        grey, seen = views.split(views.relevant(jnp.ones(views.measurement_shape)))
        np.testing.assert_array_equal(grey, 1.0)
        np.testing.assert_array_equal(seen, jnp.broadcast_to(mask, SHAPE))

    def test_one_view_of_two_images_is_refused(self):
        with pytest.raises(ValueError, match=r"images of shapes \[\(8, 6, 3\), \(4, 4, 3\)\], expected one shape"):
            operators.Stacked((GREY, operators.Denoising((4, 4, 3)))).image_shape  # noqa: B018
        with pytest.raises(ValueError, match=r"images of shapes \[\], expected one shape of at least one"):
            operators.Stacked(()).measurement_shape  # noqa: B018
        with pytest.raises(ValueError, match=r"y has shape \(3,\), expected \(\d+,\)"):
            LINEAR["stacked"].split(jnp.ones(3))


@jax.custom_vjp
def own_gradient(x):
    return 2.0 * x


own_gradient.defvjp(lambda x: (2.0 * x, None), lambda _, g: (2.0 * g,))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: x + 1e-4,
            r"function <lambda> is not linear: \|\|A\(0\)\|\| is .*; use jaxrestore.operators.Nonlinear",
        ),
        (lambda x: jnp.ones(3), r"is not linear: \|\|A\(0\)\|\|"),
        (jnp.tanh, r"function tanh is not linear: A\(a x \+ b y\) differs .* use jaxrestore.operators.Nonlinear"),
        (jnp.abs, r"is not linear: A\(a x \+ b y\) differs"),
        (jnp.log, r"is not linear: \|\|A\(0\)\|\| is (nan|inf)"),
        (lambda x: x * jnp.nan, r"is not linear: \|\|A\(0\)\|\| is nan"),
        (lambda x: jnp.clip(x, -100, 100), "<lambda> cannot be transposed, .* use jaxrestore.operators.Nonlinear"),
        (lambda x: jnp.round(127.5 * x), "cannot be transposed, .* 'round'"),
        (own_gradient, "own_gradient cannot be transposed"),
    ],
)
def test_what_is_not_linear_is_found_and_works_as_nonlinear(function, message):
    with pytest.raises(ValueError, match=message):
        operators.Linear(function, SHAPE)
    assert not operators.Nonlinear(function, SHAPE).linear


@pytest.mark.parametrize("kind", [operators.Linear, operators.Nonlinear])
@pytest.mark.parametrize(
    ("function", "arrays", "error", "message"),
    [
        (lambda x: x.astype(jnp.float16), (), ValueError, "returns float16 for an image in float32, expected float32"),
        (jnp.fft.fft, (), ValueError, "function fft returns complex64 .* stack the real and imaginary part"),
        (lambda x: (x, x), (), ValueError, "returns a tuple, expected one array; .*Stacked"),
        (lambda x: None, (), ValueError, "returns a NoneType, expected one array"),
        (
            lambda x, code: x @ code,
            (jnp.ones((5, 5)),),
            ValueError,
            r"does not take an image of shape \(8, 6, 3\) and 1",
        ),
        (lambda x: x, (CODE,), ValueError, r"1 arrays .*takes 1 positional argument but 2 were given"),
        (lambda x: np.asarray(x), (), ValueError, "expected a JAX function .*It says: The numpy.ndarray conversion"),
        (lambda x, n: x, ("two",), TypeError, "is given 'two', expected arrays; let the function capture"),
        (CODE, (), TypeError, "expected a function of an image"),
    ],
)
def test_functions_that_cannot_measure_are_refused(kind, function, arrays, error, message):
    with pytest.raises(error, match=message):
        kind(function, SHAPE, *arrays)


def test_a_function_that_does_not_hash_is_refused():
    class Gain:
        __hash__ = None

        def __call__(self, x):
            return x

    with pytest.raises(TypeError, match="function Gain does not hash, .* give what it holds as arrays"):
        operators.Linear(Gain(), SHAPE)


def test_the_image_shape_is_checked():
    with pytest.raises(ValueError, match=r"image_shape is \(8, 8\), expected"):
        operators.Linear(jnp.mean, (8, 8))
    with pytest.raises(ValueError, match="for a batch use"):
        LINEAR["function"](jnp.ones((2, *SHAPE)))


class Bare:
    """Satisfies the protocol, but JAX sees one opaque leaf."""

    linear = True
    image_shape = measurement_shape = (4, 4, 3)

    def __call__(self, x):
        return x


@pytest.mark.parametrize("operator", [Bare(), lambda x: x], ids=["a class", "a function"])
def test_what_is_no_pytree_is_refused_with_the_mend(operator):
    with pytest.raises(TypeError, match="expected a pytree; make it of a function with jaxrestore.operators.Linear"):
        jr.Degradation(operator, jr.NoNoise())
