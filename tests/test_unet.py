import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ADM_TINY, SMALL, Golden, randomised, relative_error, run_unet
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrestore.layers.conv import conv2d
from jaxrestore.layers.group_norm import group_norm
from jaxrestore.priors import UNetConfig
from jaxrestore.priors.network import apply_unet, init_params


def test_output_and_input_gradient_are_the_published_ones(adm_tiny):
    golden = Golden("adm_tiny_io")
    t = jnp.asarray(golden.raw("t"))

    @jax.jit
    def value_and_pullback(params, x, v):
        output, pullback = jax.vjp(lambda x: apply_unet(ADM_TINY, params, x, t), x)
        return output, pullback(v)[0]

    output, gradient = value_and_pullback(adm_tiny.params, golden["x"], golden["v"])
    assert relative_error(output, golden["output"]) < 2e-5
    assert relative_error(gradient, golden["grad_x"]) < 1e-4


@pytest.mark.slow
def test_rematerialisation_changes_nothing():
    config = dataclasses.replace(SMALL, channel_mult=(1,), attention_resolutions=(1,))
    params, x, t = randomised(config), jax.random.normal(jax.random.key(0), (1, 8, 8, 3)), jnp.array([10.0])

    def gradient(config):
        return jax.jit(jax.grad(lambda x: (apply_unet(config, params, x, t) ** 2).sum()))(x)

    assert relative_error(gradient(dataclasses.replace(config, remat=True)), gradient(config)) < 1e-5


@pytest.mark.slow
def test_bfloat16_is_close_and_returns_float32(adm_tiny):
    golden = Golden("adm_tiny_io")
    config = dataclasses.replace(ADM_TINY, dtype="bfloat16")
    output = run_unet(config, adm_tiny.params, golden["x"], jnp.asarray(golden.raw("t")))
    assert output.dtype == jnp.float32
    assert 1e-5 < relative_error(output, golden["output"]) < 3e-2  # 8 bits of mantissa, some 20 layers


OPTIONS = st.fixed_dictionaries(
    {
        "channel_mult": st.sampled_from([(1,), (1, 2), (2, 1)]),
        "attention_resolutions": st.sampled_from([(), (1,)]),
        "middle_attention": st.sampled_from([None, True, False]),
        "num_head_channels": st.sampled_from([None, 16, 32]),
        "attention_order": st.sampled_from(["legacy", "new"]),
        "num_classes": st.sampled_from([None, 5]),
        "scale_shift_norm": st.booleans(),
        "resblock_updown": st.booleans(),
        "conv_resample": st.booleans(),
        "patch_size": st.sampled_from([1, 2]),
        "out_channels": st.sampled_from([3, 6]),
        "dtype": st.sampled_from(["float32", "bfloat16"]),
    }
)


@pytest.mark.slow
@settings(max_examples=6)  # each compiles a network
@given(OPTIONS)
def test_every_option_gives_a_network_that_depends_on_all_its_inputs(options):
    assert_depends_on_all_inputs(options)


@pytest.mark.parametrize(
    "options",
    [
        {"channel_mult": (1, 2), "attention_resolutions": (1,), "num_head_channels": 16, "attention_order": "new"}
        | {"num_classes": 5, "scale_shift_norm": False, "resblock_updown": False, "conv_resample": True},
        {"channel_mult": (2, 1), "middle_attention": True, "resblock_updown": True, "patch_size": 2}
        | {"out_channels": 6, "dtype": "bfloat16"},
    ],
    ids=["classes", "bfloat16"],
)
def test_a_network_depends_on_all_its_inputs(options):
    assert_depends_on_all_inputs(options)


def assert_depends_on_all_inputs(options):
    # Two channels a group: with one, the norm takes away whatever is added to a whole channel, and the timestep with it.
    config = UNetConfig(model_channels=32, norm_groups=16, num_res_blocks=1, **options)
    label = None if config.num_classes is None else jnp.array([1, 2])
    x, t = jax.random.normal(jax.random.key(0), (2, 8, 8, 3)), jnp.array([1.0, 500.5])
    run = functools.partial(run_unet, config, randomised(config))
    output = run(x, t, label)
    assert output.shape == (2, 8, 8, config.out_channels)
    assert output.dtype == jnp.float32
    assert np.isfinite(output).all()
    assert relative_error(run(x + 1.0, t, label), output) > 1e-2
    assert relative_error(run(x, t + 100.0, label), output) > 1e-2
    if label is not None:
        assert relative_error(run(x, t, label + 1), output) > 1e-2


def test_head_orders_are_different_functions():
    config = dataclasses.replace(SMALL, channel_mult=(1,), attention_resolutions=(1,), num_heads=2)
    x, t, params = jax.random.normal(jax.random.key(0), (1, 8, 8, 3)), jnp.ones(1), randomised(config)
    a, b = (run_unet(dataclasses.replace(config, attention_order=o), params, x, t) for o in ("legacy", "new"))
    assert not np.allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (13, 17), (3, 5)])
def test_any_size_keeps_its_shape(size):
    output = jax.eval_shape(run_unet, SMALL, randomised(SMALL), jnp.ones((1, *size, 3)), jnp.ones(1))
    assert output.shape == (1, *size, 3)


def test_padding_is_a_reflection_that_is_cropped():
    x = jax.random.normal(jax.random.key(0), (1, 7, 8, 3))
    padded = jnp.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0)), mode="reflect")
    params, t = randomised(SMALL), jnp.ones(1)
    np.testing.assert_allclose(run_unet(SMALL, params, x, t), run_unet(SMALL, params, padded, t)[:, :7], atol=1e-5)


def test_without_attention_the_network_is_convolutional():
    """A periodic image gives a periodic output away from the borders: no position is special."""
    assert not SMALL.middle_attention
    tile = jax.random.normal(jax.random.key(0), (1, 8, 8, 3))
    output = run_unet(SMALL, randomised(SMALL), jnp.tile(tile, (1, 8, 1, 1)), jnp.ones(1))
    np.testing.assert_allclose(output[:, 24:32], output[:, 32:40], rtol=1e-3, atol=1e-3 * np.abs(output).max())


def test_a_fresh_network_returns_zero_as_published():
    output = run_unet(SMALL, init_params(jax.random.key(0), SMALL), jnp.ones((1, 8, 8, 3)), jnp.ones(1))
    np.testing.assert_array_equal(output, 0.0)


@pytest.mark.parametrize("size", [1, 3])
def test_the_fast_convolution_has_the_gradients_of_the_plain_one(size):
    keys = jax.random.split(jax.random.key(0), 3)
    x, g = jax.random.normal(keys[0], (2, 6, 5, 4)), jax.random.normal(keys[1], (2, 6, 5, 7))
    kernel = jax.random.normal(keys[2], (size, size, 4, 7))

    def plain(x, kernel):
        pad = size // 2
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), ((pad, pad), (pad, pad)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    ours, theirs = jax.vjp(conv2d, x, kernel), jax.vjp(plain, x, kernel)
    for a, b in zip((ours[0], *ours[1](g)), (theirs[0], *theirs[1](g)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_channels": 48}, "no multiple of 32"),
        ({"attention_resolutions": (3,)}, r"attention_resolutions has \[3\]"),
        ({"channel_mult": ()}, "channel_mult is empty"),
        ({"attention_resolutions": (1,), "num_heads": 5}, "do not divide into heads"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
    ],
)
def test_bad_configurations_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        UNetConfig(**fields)


def test_a_missing_class_label_is_refused():
    config = dataclasses.replace(SMALL, num_classes=4)
    with pytest.raises(ValueError, match="expects a class label below 4"):
        apply_unet(config, randomised(config), jnp.ones((1, 8, 8, 3)), jnp.ones(1))


@pytest.mark.slow
@pytest.mark.parametrize("silu", [True, False])
def test_group_norm_has_the_derivatives_of_its_formula_to_the_second_order(silu):
    """With respect to the image, gain and shift; the second order is what gradients through whole samplers need."""
    rng = np.random.default_rng(0)
    arguments = [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((2, 3, 2, 4), (2, 4), (2, 4))]
    weights = jnp.asarray(rng.standard_normal((2, 3, 2, 4)), jnp.float32)

    def formula(x, gain, shift):
        grouped = x.reshape(2, 6, 2, 2)
        mean, variance = (f(grouped, axis=(1, 3), keepdims=True) for f in (jnp.mean, jnp.var))
        normed = ((grouped - mean) / jnp.sqrt(variance + 1e-3)).reshape(x.shape)
        z = gain[:, None, None] * normed + shift[:, None, None]
        return z / (1.0 + jnp.exp(-z)) if silu else z

    def ours(x, gain, shift):
        return group_norm(x, gain, shift, 2, 1e-3, silu)

    np.testing.assert_allclose(ours(*arguments), formula(*arguments), rtol=1e-5, atol=1e-6)
    first, second = (
        jax.jit(jax.grad(lambda *a, f=f: jnp.sum(weights * jnp.sin(f(*a))), (0, 1, 2))) for f in (ours, formula)
    )
    for found, expected in zip(first(*arguments), second(*arguments), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    chosen = [
        jax.jit(jax.grad(lambda *a, g=g: sum(jnp.sum(jnp.cos(d)) for d in g(*a)), (0, 1, 2)))(*arguments)
        for g in (first, second)
    ]
    for found, expected in zip(*chosen, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
