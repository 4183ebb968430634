"""Large images by tiles: the same answers, bounded memory, no seams."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import by_default, smallest_network

import jaxrestore as jr
from jaxrestore._pytree import pytree
from jaxrestore.priors import TiledPrior
from jaxrestore.priors._base import predict_from_denoiser
from jaxrestore.priors.tiled import blending_weights, tile_starts


@pytree
class PixelPrior:
    """Independent Gaussian pixels: its denoiser is local, so tiles lose nothing."""

    variance: jax.Array

    def denoise(self, x, sigma):
        return jnp.tanh(x) * self.variance / (self.variance + sigma**2)

    def predict(self, x_t, t, schedule):
        return predict_from_denoiser(self.denoise, x_t, t, schedule)


LOCAL = PixelPrior(jnp.float32(0.3))


@hypothesis.given(st.integers(1, 300), st.integers(8, 64), st.integers(0, 32))
def test_tiles_cover_overlap_and_sum_to_one(length, tile, overlap):
    hypothesis.assume(2 * overlap <= tile)
    starts, weights = tile_starts(length, tile, overlap), blending_weights(length, tile, overlap)
    total, covered = np.zeros(length), np.zeros(length, int)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + len(weight)] += weight
        covered[start : start + len(weight)] += 1
    np.testing.assert_allclose(total, 1.0, atol=1e-5)
    assert (np.diff(starts) <= tile - overlap).all()
    assert starts[0] == 0
    assert (weights >= 0).all()
    assert len(starts) == 1 or (covered.min() >= 1 and starts[-1] + tile == length)


@pytest.mark.parametrize(
    "shape", by_default([(20, 20, 3), (70, 33, 3), (16, 90, 1), (9, 9, 3)], [(70, 33, 3), (9, 9, 3)])
)
def test_a_local_denoiser_is_unchanged_with_its_gradient(shape):
    x, cotangent = jax.random.normal(jax.random.key(0), (2, *shape))
    tiled = TiledPrior(LOCAL, tile=16, overlap=5)
    for evaluate in (
        lambda prior, x: prior.denoise(x, jnp.float32(0.7)),
        lambda prior, x: prior.predict(x, 3, jr.schedules.ddpm(10)),
    ):
        whole, tiles = (jax.jit(evaluate)(prior, x) for prior in (LOCAL, tiled))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), tiles, whole)

    def product(prior, x):
        return jnp.vdot(prior.denoise(x, 0.7), cotangent)

    gradients = [jax.grad(product, argnums=(0, 1), allow_int=True)(prior, x) for prior in (LOCAL, tiled)]
    np.testing.assert_allclose(gradients[1][1], gradients[0][1], atol=1e-5)
    np.testing.assert_allclose(gradients[1][0].prior.variance, gradients[0][0].variance, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", by_default(["spgd", "dpps", "ddnm"], ["spgd"]))
def test_samplers_and_batches_take_tiles(method):
    shape = (40, 24, 3)
    task = jr.task("super_resolution", image_shape=shape)
    sampler = task.sampler(method, num_steps=3)
    ys = jax.random.uniform(jax.random.key(0), (3, 10, 6, 3), minval=-1)
    whole, tiled = (
        jr.restore(sampler, prior, task.degradation, ys, key=jax.random.key(1), batch_size=2)
        for prior in (LOCAL, TiledPrior(LOCAL, tile=16, overlap=4))
    )
    np.testing.assert_allclose(tiled, whole, atol=1e-4)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_image():
    prior = smallest_network()

    def temporary_bytes(prior, size):
        gradient = jax.jit(jax.grad(lambda x, prior: jnp.sum(jnp.square(prior.denoise(x, 1.0)))))
        compiled = gradient.lower(jax.ShapeDtypeStruct((size, size, 3), jnp.float32), prior).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    tiled = TiledPrior(prior, tile=32, overlap=8)
    small, large = temporary_bytes(tiled, 48), temporary_bytes(tiled, 160)
    assert large < small + 12 * 160 * 160 * 3 * 4  # a few images, but no further activations
    assert temporary_bytes(prior, 160) > 5 * large


@pytest.mark.parametrize(
    ("arguments", "message"), [({"tile": 4}, "tile is 4"), ({"tile": 64, "overlap": 33}, "at most half the tile")]
)
def test_bad_tiles_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TiledPrior(LOCAL, **arguments)
