import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrestore as jr

KEY = jax.random.key(0)


def test_gaussian_noise_has_its_standard_deviation():
    y = jr.GaussianNoise(0.3)(KEY, jnp.full((100, 100, 3), 0.2))
    np.testing.assert_allclose([y.mean(), y.std()], [0.2, 0.3], atol=0.01)  # 5 standard errors


def test_poisson_noise_is_unbiased_with_variance_in_proportion_to_brightness():
    rate = 0.5
    for level in (-0.8, 0.0, 0.6):
        y = jr.PoissonNoise(rate)(KEY, jnp.full((200, 200, 1), level))
        np.testing.assert_allclose(y.mean(), level, atol=0.01)
        np.testing.assert_allclose(y.var(), 2 * (level + 1) / (255 * rate), rtol=0.05)


def test_poisson_noise_treats_values_below_black_as_black():
    np.testing.assert_array_equal(jr.PoissonNoise(1.0)(KEY, jnp.full((4, 4, 1), -3.0)), -1.0)


def test_no_noise_returns_the_measurement():
    y = jax.random.normal(KEY, (4, 4, 3))
    assert jr.NoNoise()(KEY, y) is y


def test_a_degradation_measures_with_its_operator_and_noise():
    degradation = jr.Degradation(jr.operators.SuperResolution((8, 8, 3), 4), jr.GaussianNoise(0.1))
    assert (degradation.image_shape, degradation.measurement_shape) == ((8, 8, 3), (2, 2, 3))
    x = jax.random.normal(KEY, (8, 8, 3))
    np.testing.assert_allclose(
        degradation.measure(KEY, x), degradation.operator(x) + 0.1 * jax.random.normal(KEY, (2, 2, 3)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (jr.GaussianNoise(-0.1), "std is -0.1"),
        (jr.GaussianNoise(jnp.nan), "std is nan"),
        (jr.PoissonNoise(0.0), "rate is 0.0"),
        (jr.PoissonGaussianNoise(0.0, 0.1), "rate is 0.0"),
        (jr.PoissonGaussianNoise(1.0, -0.1), "std is -0.1"),
        (jr.SaltAndPepperNoise(1.5), "rate is 1.5"),
        (jr.SpeckleNoise(-0.1), "std is -0.1"),
    ],
)
def test_a_strength_out_of_range_is_refused(noise, message):
    with pytest.raises(ValueError, match=message):
        noise(KEY, jnp.zeros((2, 2, 1)))
