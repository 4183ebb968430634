"""Samplers inside other people's programs: double precision, `shard_map`, the search for NaN, derivatives."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import by_default, smallest_network
from test_conformance import KEY, OPERATORS, PRIOR, SAMPLERS, SHAPE, degraded

import jaxrestore as jr
from jaxrestore._pytree import pytree


@pytree
class Identity:
    """A prior of pictures of any size."""

    def denoise(self, x, sigma):
        return x


IDENTITY = Identity()
HERE = pathlib.Path(__file__).parent
DTYPES = [jnp.float32, jnp.float64]


def real(tree, dtype):
    """The tree with its real numbers in one dtype."""
    return jax.tree.map(
        lambda a: jnp.asarray(a, dtype) if jnp.issubdtype(jnp.result_type(a), jnp.floating) else a, tree
    )


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", SAMPLERS)
def test_under_x64_a_run_has_the_dtype_of_its_measurement(name, double):
    """Whatever that of the prior and the operator; traced, for nearly all of the time goes into compiling."""
    degradation, _ = degraded(name)
    for dtype, other in zip(DTYPES, reversed(DTYPES), strict=True):
        y = jax.ShapeDtypeStruct(SHAPE, dtype)
        result = jax.eval_shape(SAMPLERS[name].sample, KEY, real(PRIOR, other), real(degradation, other), y)
        assert result.image.dtype == dtype
        assert {a.dtype for a in jax.tree.leaves(result.info) if jnp.issubdtype(a.dtype, jnp.floating)} == {
            jnp.dtype(dtype)
        }


def test_under_x64_settings_of_numpy_do_not_widen_a_run(double):
    degradation, _ = degraded("spgd")
    for sampler in (
        jr.spgd(num_steps=3, learning_rate=np.float64(0.1)),
        jr.pspgd(evaluations=4, momentum=np.float64(0.5)),
        jr.diffpir(num_steps=3, zeta=np.float64(1)),
        jr.daps(num_steps=3, ode_steps=2, sigma_min=np.float64(0.001)),
    ):
        result = jax.eval_shape(sampler.sample, KEY, PRIOR, degradation, jax.ShapeDtypeStruct(SHAPE, jnp.float32))
        assert result.image.dtype == jnp.float32


def test_under_x64_numbers_of_numpy_do_not_widen_an_image(double):
    number, x = np.float64(0.5), jax.ShapeDtypeStruct((8, 8, 3), jnp.float32)
    blur = jr.operators.GaussianBlur((8, 8, 3), 3, 1.0)
    rows = jr.operators.Linear(lambda x: x[::2], (8, 8, 3))  # without a decomposition
    for function in (
        jr.operators.HighDynamicRange((8, 8, 3), number),
        lambda x: jr.operators.proximal_step(blur, x, x, number),
        lambda x: jr.operators.proximal_step(rows, rows(x), x, number),
        lambda x: jr.operators.likelihood_score(blur, x, number, number),
        lambda x: jr.operators.likelihood_score(rows, rows(x), number, number),
        lambda x: jr.schedules.learned_range_log_variance(x, number, number),
        lambda x: jr.priors.TiledPrior(IDENTITY, tile=8, overlap=2).denoise(jnp.tile(x, (2, 1, 1)), jnp.float32(0.5)),
        lambda x: jr.metrics.psnr(x, 0.5 * x),
        lambda x: jr.operators.motion_kernel(KEY, 5, number),
    ):
        assert jax.eval_shape(function, x).dtype == jnp.float32


def test_under_x64_the_perceptual_distance_of_images_in_double_precision_is_that_in_single(double):
    a = jax.ShapeDtypeStruct((32, 32, 3), jnp.float64)
    assert jax.eval_shape(jr.metrics.lpips, a, a).dtype == jnp.float32


def test_a_network_answers_in_the_dtype_of_its_image(double):
    prior = smallest_network()
    for dtype in DTYPES:
        x, t = jax.ShapeDtypeStruct(SHAPE, dtype), jax.ShapeDtypeStruct((), jnp.int32)
        assert jax.eval_shape(prior.denoise, x, 0.5).dtype == dtype
        prediction = jax.eval_shape(lambda x, t: prior.predict(x, t, jr.schedules.ddpm(5)), x, t)
        assert {a.dtype for a in prediction} == {jnp.dtype(dtype)}


def test_under_x64_restoring_is_exact_in_either_precision(double):
    """The same run in both; they differ by float32's rounding, and only by that."""
    degradation, _ = degraded("dps")
    ys = np.asarray(0.5 * jax.random.normal(jax.random.key(1), (2, *SHAPE)))
    single, twice = (
        jr.restore(jr.ddnm(num_steps=4), PRIOR, degradation, ys.astype(dtype), key=KEY) for dtype in ("f4", "f8")
    )
    assert (single.dtype, twice.dtype) == (np.float32, np.float64)
    assert not np.array_equal(single, twice)  # the draws differ, by their precision


@pytest.mark.parametrize(
    "name",
    by_default(
        [n for n in OPERATORS if n != "Enlarged"],
        ("SuperResolution", "MotionBlur", "PhaseRetrieval", "JPEG", "CompressedSensing", "Linear"),
    ),
)
def test_operators_keep_the_dtype_and_have_exact_adjoints_in_double_precision(name, double):
    operator = OPERATORS[name]
    x = jax.random.normal(KEY, operator.image_shape, jnp.float64)
    assert jax.eval_shape(operator, x.astype(jnp.float32)).dtype == jnp.float32
    assert jax.eval_shape(operator, x).dtype == jnp.float64
    if operator.linear:
        y = jax.random.normal(jax.random.key(1), operator.measurement_shape, jnp.float64)
        left, right = jax.jit(lambda op, x, y: (jnp.vdot(op(x), y), jnp.vdot(x, op.adjoint(y))))(operator, x, y)
        np.testing.assert_allclose(left, right, rtol=1e-10)


@pytest.mark.slow
def test_the_conformance_suite_holds_in_double_precision():
    files = [str(HERE / f"test_{name}.py") for name in ("conformance", "spectral")]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *files]
    subprocess.run(command, env={**os.environ, "JAX_ENABLE_X64": "1"}, check=True)


@pytest.mark.parametrize("name", ["spgd", "dps", "dpps", "ddnm", "ddrm"])
def test_a_run_makes_no_value_that_is_not_a_number(name):
    """So that a program that hosts it may search its own; the second shows all that the first lacks."""
    lengths = {"num_steps": 3, **({"warmup_steps": 1} if name == "spgd" else {})}
    sampler = jr.METHODS[name].factory(**lengths)
    with jax.debug_nans(True):
        info = jax.jit(sampler.sample)(KEY, PRIOR, *degraded(name)).info
    assert info.angle_likelihood[0] == info.angle_denoising[0] == -1
    assert info.angle_likelihood[1] >= 0


@pytest.mark.slow
def test_gradients_go_back_through_a_whole_run_of_dpps():
    """Both modes, against a difference quotient: the choice of a candidate is constant, the candidate is not."""
    sampler = jr.dpps(num_steps=4, n_max=6)
    degradation, y = degraded("dpps")
    v, w = jax.random.normal(jax.random.key(3), (2, *SHAPE))

    @jax.jit
    def loss(y):
        return jnp.vdot(w, sampler.sample(KEY, PRIOR, degradation, y).image)

    with jax.enable_x64(True):
        y, v = y.astype(jnp.float64), v.astype(jnp.float64)
        quotient = (loss(y + 1e-5 * v) - loss(y - 1e-5 * v)) / 2e-5
        np.testing.assert_allclose(jnp.vdot(jax.grad(loss)(y), v), quotient, rtol=1e-5)
        np.testing.assert_allclose(jax.jvp(loss, (y,), (v,))[1], quotient, rtol=1e-5)


def test_forward_mode_through_a_network_is_refused_with_one_sentence():
    prior = smallest_network()
    x = jnp.zeros(SHAPE)
    with pytest.raises(TypeError, match="forward-mode .* to a custom_vjp function"):
        jax.jvp(lambda x: prior.denoise(x, 0.5), (x,), (x,))


@pytest.mark.slow
def test_gradients_of_a_network_under_shard_map_are_those_outside():
    """In a process of its own, with two devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parent)}
    subprocess.run([sys.executable, str(HERE / "two_devices.py")], env=environment, check=True)
