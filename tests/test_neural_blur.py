import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DATA, Golden, relative_error

import jaxrestore as jr
from convert_weights import bkse
from convert_weights.cli import command
from convert_weights.reading import ConversionError
from jaxrestore.operators.neural_blur import blur_shapes, save_nonlinear_blur

SHAPE = (128, 128, 3)


@pytest.fixture(scope="module")
def state():
    with np.load(DATA / "bkse_tiny.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def params(state):
    return {name: jnp.asarray(value) for name, value in bkse.convert(state).items()}


def test_output_and_gradient_are_the_published_ones(params):
    golden = Golden("bkse_tiny_io")
    operator = jr.operators.NonlinearBlur(SHAPE, params, golden["kernel"][0])

    @jax.jit
    def value_and_pullback(operator, x, u):
        y, pullback = jax.vjp(jax.vmap(operator), x)
        return y, pullback(u)[0]

    y, gradient = value_and_pullback(operator, golden["x"], golden["u"])
    assert relative_error(y, golden["y"]) < 2e-5
    assert relative_error(gradient, golden["grad_x"]) < 1e-4
    # Most of the gradient is that of the identity: the network's own part must agree too.
    assert relative_error(gradient - golden["u"], golden["grad_x"] - golden["u"]) < 1e-3


def test_a_batch_is_its_images_and_the_code_matters(params):
    key_x, key_code = jax.random.split(jax.random.key(0))
    x = 0.5 * jax.random.normal(key_x, (2, *SHAPE))
    code = jr.operators.random_blur_code(key_code, SHAPE, params)
    operator = jr.operators.NonlinearBlur(SHAPE, params, code)
    apply = jax.jit(lambda operator, x: operator(x))
    batched = jax.jit(jax.vmap(apply, in_axes=(None, 0)))(operator, x)
    np.testing.assert_allclose(batched[1], apply(operator, x[1]), atol=1e-6)
    other = jr.operators.NonlinearBlur(SHAPE, params, -code)
    assert relative_error(apply(other, x[1]), batched[1]) > 1e-6
    assert not operator.linear


def test_codes_have_the_stated_spread(params):
    code = jr.operators.random_blur_code(jax.random.key(1), (1280, 1280, 3), params, intensity=0.5)
    assert code.shape == (10, 10, 64)
    np.testing.assert_allclose(code.std(), 0.5, rtol=0.03)


def test_round_trip_through_a_folder(params, tmp_path):
    save_nonlinear_blur(tmp_path / "blur", params)
    loaded = jr.operators.load_nonlinear_blur(tmp_path / "blur")
    assert set(loaded) == set(params)
    for name, value in params.items():
        np.testing.assert_array_equal(loaded[name], value)
    with pytest.raises(FileExistsError):
        save_nonlinear_blur(tmp_path / "blur", params)
    with pytest.raises(jr.WeightsError, match="missing trunk.3.bias"):
        save_nonlinear_blur(tmp_path / "other", {n: v for n, v in params.items() if n != "trunk.3.bias"})
    with pytest.raises(jr.WeightsError, match="holds no blur"):
        jr.operators.load_nonlinear_blur(tmp_path)


@pytest.mark.slow
def test_the_converter_reads_the_checkpoint_and_makes_the_task_work(state, params, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, tmp_path / "blur.pth")
    result = CliRunner().invoke(command, ["bkse", str(tmp_path / "blur.pth"), "--out", str(tmp_path / "blur")])
    assert result.exception is None, result.exception
    assert '"front_blocks": 2, "back_blocks": 3' in result.output
    with pytest.raises(ValueError, match="option weights"):
        jr.task("nonlinear_deblur", image_shape=SHAPE)
    task = jr.task("nonlinear_deblur", image_shape=SHAPE, weights=str(tmp_path / "blur"))
    x = jnp.zeros(SHAPE)
    y = task.degradation.measure(jax.random.key(0), x)
    assert y.shape == SHAPE
    assert bool(jnp.isfinite(y).all())


def test_the_published_size_is_that_of_the_published_network():
    count = sum(np.prod(s.shape) for s in blur_shapes(64, 10, 20).values())
    assert round(count / 1e6, 1) == 23.7


def test_states_that_do_not_fit_are_refused(state):
    with pytest.raises(ConversionError, match="lacks feature_extractor.0.weight"):
        bkse.convert({})
    changed = {**state, "recon_trunk.9.bias": np.full(64, np.nan, np.float32), "more": np.zeros(1)}
    del changed["adapter.model.up.1.bias"]
    with pytest.raises(
        ConversionError, match=r"missing adapter.model.up.1.bias.*recon_trunk.9.bias has.*unexpected more"
    ):
        bkse.convert(changed)


def test_shapes_are_checked_before_computing(params):
    code = jnp.zeros((1, 1, 64))
    with pytest.raises(ValueError, match="multiples of 128"):
        jr.operators.NonlinearBlur((100, 128, 3), params, code)
    with pytest.raises(ValueError, match=r"code has shape \(2, 1, 64\), expected \(1, 1, 64\)"):
        jr.operators.NonlinearBlur(SHAPE, params, jnp.zeros((2, 1, 64)))(jnp.zeros(SHAPE))
