"""Motion kernels: their form, and their distribution against that of the generator that the papers use."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import by_default

from jaxrestore.operators import motion_kernel

# Quartiles over 4000 kernels of github.com/LeviBorodenko/motionblur, 61x61: intensity -> (root mean squared radius in
# pixels, elongation: the ratio of the deviations along and across the longest direction).
PUBLISHED = {
    0.0: ((4.55, 9.48, 14.06), (7.95, 16.79, 24.72)),
    0.5: ((7.00, 11.14, 15.14), (5.47, 8.85, 14.17)),
    1.0: ((5.84, 9.32, 15.07), (3.01, 4.96, 9.21)),
}
NUM = 1000


@functools.partial(jax.jit, static_argnums=1)
def draw(keys, size, intensities):
    return jax.vmap(lambda key, intensity: motion_kernel(key, size, intensity))(keys, intensities)


def radii_and_elongations(kernels):
    """(N, 2) of (N, size, size), in float64."""
    kernels = np.asarray(kernels, np.float64)
    rows = np.arange(kernels.shape[1])
    down, right = kernels.sum(2), kernels.sum(1)
    rest = [rows - marginals @ rows[:, None] for marginals in (down, right)]
    a, c = ((marginals * r**2).sum(1) for marginals, r in zip((down, right), rest, strict=True))
    b = np.einsum("ni,nij,nj->n", rest[0], kernels, rest[1])
    large, small = ((a + c) / 2 + sign * np.sqrt(((a - c) / 2) ** 2 + b**2) for sign in (1, -1))
    return np.stack([np.sqrt(a + c), np.sqrt(large / small)], -1)


@pytest.mark.parametrize("intensity", by_default(PUBLISHED, []))
def test_lengths_and_curvatures_are_distributed_as_published(intensity):
    """Quartiles of 1000 draws have standard errors of about 3 % of the median, and those published half of that."""
    drawn = radii_and_elongations(draw(jax.random.split(jax.random.key(0), NUM), 61, jnp.full(NUM, intensity)))
    found = np.quantile(drawn, [0.25, 0.5, 0.75], axis=0).T
    for ours, theirs in zip(found, PUBLISHED[intensity], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.13 * theirs[1])


@pytest.mark.parametrize("size", [1, 19])
def test_kernels_are_finite_and_normalised_and_centred(size):
    """The sizes that the published generator cannot draw; 100 kernels at each of four intensities."""
    intensities = jnp.repeat(jnp.array([0.0, 0.3, 0.7, 1.0]), 100)
    kernels = np.asarray(draw(jax.random.split(jax.random.key(1), 400), size, intensities))
    assert np.isfinite(kernels).all()
    assert (kernels >= 0).all()
    np.testing.assert_allclose(kernels.sum((1, 2)), 1.0, rtol=1e-5)
    rows = np.arange(size) - size // 2
    centres = np.stack([kernels.sum(2) @ rows, kernels.sum(1) @ rows], -1)
    # The path's points are centred, and the line but for its first step, which is not drawn, and what the border cuts.
    np.testing.assert_allclose(centres.mean(0), 0, atol=0.2)
    assert (len(np.unique(kernels.reshape(400, -1), axis=0)) > 380) == (size > 1)


@pytest.mark.parametrize(
    ("size", "intensity", "message"),
    [(8, 0.5, "size is 8, expected an odd number"), (9, 1.5, r"intensity is 1.5, expected .* \[0, 1\]")],
)
def test_bad_arguments_are_refused(size, intensity, message):
    with pytest.raises(ValueError, match=message):
        motion_kernel(jax.random.key(0), size, intensity)
