"""Coarse to fine: operators behind an enlargement, and samplers that go on from a smaller picture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import by_default, isotropic, network, smallest_network
from hypothesis import given
from hypothesis import strategies as st

import jaxrestore as jr
from jaxrestore import images, operators, samplers
from jaxrestore._pytree import pytree
from jaxrestore.cli.demo import PHOTOGRAPH
from jaxrestore.operators.enlarged import enlarge, enlargement_error, reduce
from jaxrestore.priors._base import predict_from_denoiser
from jaxrestore.samplers import starts
from jaxrestore.samplers.likelihood import noise_variance
from jaxrestore.samplers.multigrid import coarse_degradation

KEY = jax.random.key(0)
SHAPE = (16, 12, 3)
FINE = jr.Degradation(operators.GaussianBlur(SHAPE, 5, 1.0), jr.GaussianNoise(0.05))
Y = FINE.measure(KEY, 0.3 * jax.random.normal(jax.random.key(1), SHAPE))


@pytree
class AnySize:
    """Independent pixels of variance 1/4, however many: a prior that compiles at once."""

    variance: float = 0.25

    def denoise(self, x, sigma):
        return self.variance / (self.variance + sigma**2) * x

    def predict(self, x_t, t, schedule):
        return predict_from_denoiser(self.denoise, x_t, t, schedule)


class TestEnlarged:
    @pytest.mark.parametrize(("height", "width", "factor"), [(20, 7, 1), (5, 18, 2), (13, 5, 3), (19, 20, 4)])
    def test_sides_that_are_no_multiples_of_the_factor_go_with_it(self, height, width, factor):
        self.check(height, width, factor)

    @pytest.mark.slow
    @given(st.integers(5, 20), st.integers(5, 20), st.integers(1, 4))
    def test_any_sides_and_factors_go_together(self, height, width, factor):
        self.check(height, width, factor)

    def check(self, height, width, factor):
        coarse = operators.Enlarged(operators.Denoising((height, width, 3)), factor)
        assert coarse.image_shape == (-(-height // factor), -(-width // factor), 3)
        assert coarse(jnp.zeros(coarse.image_shape)).shape == (height, width, 3)
        flat = jnp.full(coarse.image_shape, 0.3)
        np.testing.assert_allclose(coarse(flat), 0.3, atol=1e-6)
        np.testing.assert_allclose(reduce(coarse(flat), factor), flat, atol=1e-6)

    def test_factor_one_changes_nothing(self):
        x = jax.random.normal(KEY, SHAPE)
        np.testing.assert_allclose(operators.Enlarged(FINE.operator, 1)(x), FINE.operator(x), atol=1e-6)

    def test_a_ramp_is_enlarged_to_a_ramp(self):
        ramp = jnp.broadcast_to(jnp.arange(8.0)[:, None, None], (8, 4, 1))
        fine = enlarge(ramp, (16, 8, 1), 2)
        np.testing.assert_allclose(jnp.diff(fine[1:-1], axis=0), 0.5, atol=1e-5)

    def test_the_typical_error_is_about_that_of_a_photograph(self):
        photograph = jnp.asarray(images.load(PHOTOGRAPH))[:256, :256]
        for operator in (operators.Denoising(photograph.shape), operators.GaussianBlur(photograph.shape)):
            for factor in (2, 4):
                coarse = enlarge(reduce(photograph, factor), photograph.shape, factor)
                real = float(jnp.sqrt(jnp.mean((operator(photograph) - operator(coarse)) ** 2)))
                assert 0.4 * real < float(enlargement_error(operator, factor)) < 2.5 * real

    def test_pixels_under_a_mask_do_not_make_the_error_smaller(self):
        shape = (64, 64, 3)
        whole = enlargement_error(operators.Denoising(shape), 2)
        masked = enlargement_error(operators.Inpainting(operators.random_mask(KEY, shape, 0.8)), 2)
        np.testing.assert_allclose(masked, whole, rtol=0.1)


def pair(start=None):
    return jr.pspgd(evaluations=4, sigma_max=0.6, start=start)


COARSE = jr.pspgd(evaluations=4, sigma_max=5.0, sigma_min=0.5)
AGAIN = jr.coarse_to_fine(COARSE, pair)


@pytest.fixture(scope="module")
def prior():
    return AnySize()


def test_it_is_the_coarse_run_enlarged_and_the_fine_run_from_there(prior):
    key_coarse, key_fine = jax.random.split(KEY)
    image = COARSE.sample(key_coarse, prior, coarse_degradation(FINE, 2), Y).image
    assert image.shape == (8, 6, 3)
    expected = pair(lambda degradation, y: enlarge(image, SHAPE, 2)).sample(key_fine, prior, FINE, Y)
    result = jax.jit(AGAIN.sample)(KEY, prior, FINE, Y)
    np.testing.assert_allclose(result.image, expected.image, atol=1e-4)
    assert result.info.residual.shape == (AGAIN.num_steps,)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampler", [pytest.param(AGAIN, marks=pytest.mark.slow), jr.coarse_to_fine(AGAIN, pair)], ids=["two", "three"]
)
def test_batches_on_several_grids(sampler, prior):
    many = jr.restore(sampler, prior, FINE, jnp.stack([Y, -Y]), key=KEY)
    key = jax.random.fold_in(jax.random.fold_in(KEY, 1), 0)
    np.testing.assert_allclose(many[1], jax.jit(sampler.sample)(key, prior, FINE, -Y).image, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    by_default(["high_dynamic_range", "phase_retrieval", "inpainting_random", "jpeg"], ["phase_retrieval", "jpeg"]),
)
def test_any_operator_goes_with_it(name, prior):
    restored_by(prior, name)


@pytest.mark.parametrize("name", by_default(["inpainting_random", "phase_retrieval", "jpeg"], []))
def test_a_network_goes_with_it(name):
    restored_by(smallest_network(), name)  # which denoises any size


def restored_by(prior, name):
    degradation = jr.task(name, image_shape=(16, 16, 3)).degradation
    y = degradation.measure(KEY, jnp.zeros((16, 16, 3)))
    image = jax.jit(AGAIN.sample)(KEY, prior, degradation, y).image
    assert image.shape == (16, 16, 3)
    assert np.isfinite(image).all()


def test_ancestral_samplers_go_on_from_the_middle_of_a_schedule(prior):
    rest = jr.schedules.part_of(jr.schedules.ddpm(10), sigma_max=0.6)
    sampler = jr.coarse_to_fine(COARSE, lambda start: jr.diffpir(num_steps=rest, start=samplers.image_start(start)))
    assert sampler.num_steps == 10
    assert np.isfinite(jax.jit(sampler.sample)(KEY, prior, FINE, Y).image).all()


@pytest.mark.slow
def test_over_grids_each_passes_on_at_twice_the_noise_of_the_next(prior):
    made = []

    def part(*, sigma_max, sigma_min, start):
        made.append((sigma_max, sigma_min, start is None))
        return jr.pspgd(evaluations=4, sigma_max=min(sigma_max, 10.0), sigma_min=max(sigma_min, 0.05), start=start)

    sampler = samplers.over_grids(part, 3)
    assert made == [(np.inf, 1.0, True), (1.2, 0.5, False), (0.6, 0.0, False)]
    by_hand = jr.coarse_to_fine(
        jr.coarse_to_fine(
            jr.pspgd(evaluations=4, sigma_min=1.0),
            lambda start: jr.pspgd(evaluations=4, sigma_max=1.2, sigma_min=0.5, start=start),
        ),
        lambda start: jr.pspgd(evaluations=4, sigma_max=0.6, start=start),
    )
    np.testing.assert_array_equal(*(s.sample(KEY, prior, FINE, Y).image for s in (sampler, by_hand)))
    made.clear()
    samplers.over_grids(part, 1)
    assert made == [(np.inf, 0.0, True)]


def test_what_enlargement_cannot_express_is_noise():
    coarse = coarse_degradation(FINE, 2)
    error = enlargement_error(FINE.operator, 2)
    variance = noise_variance(coarse, None, jnp.float32)
    np.testing.assert_allclose(variance, 0.05**2 + error**2, rtol=1e-5)
    coarser = coarse_degradation(coarse, 2)
    further = enlargement_error(coarse.operator, 2)
    np.testing.assert_allclose(noise_variance(coarser, None, jnp.float32), variance + further**2, rtol=1e-5)
    poisson = jr.Degradation(FINE.operator, jr.PoissonNoise(1.0))
    assert coarse_degradation(poisson, 2).noise is poisson.noise
    np.testing.assert_allclose(noise_variance(coarse_degradation(poisson, 2), 0.05, jnp.float32), variance, rtol=1e-5)


@pytest.mark.parametrize("method", ["pspgd", "pdpps", "diffpir", "ddpg", "pigdm"])
def test_noise_that_is_stated_gives_what_the_same_noise_of_the_degradation_gives(method):
    small = {"evaluations": 4} if method == "pspgd" else {"num_steps": 6}
    ways = [jr.METHODS[method].build(grids=2, **small, **stated) for stated in ({}, {"noise_std": 0.05})]
    np.testing.assert_allclose(*(way.sample(KEY, AnySize(), FINE, Y).image for way in ways), atol=1e-5)


@pytest.mark.parametrize("sides", [(16, 12), (15, 13)])
def test_a_coarser_grid_starts_from_the_measurement_reduced(sides):
    for operator in (operators.Denoising((*sides, 3)), operators.Inpainting(jnp.ones(sides), 3)):
        coarse = coarse_degradation(jr.Degradation(operator, jr.NoNoise()), 2)
        y = jax.random.normal(KEY, (*sides, 3))
        np.testing.assert_array_equal(starts.upsample(coarse, y), reduce(y, 2))
        twice = coarse_degradation(coarse, 2)
        assert starts.upsample(twice, y).shape == twice.image_shape


@pytest.mark.parametrize("quality", [5, 50])
def test_what_jpeg_loses_is_noise_of_pixels_on_a_coarser_grid(quality):
    """Not of coefficients in steps, as it is for the operator's own decomposition, whatever the quality."""
    shape = (64, 64, 3)
    fine = jr.task("jpeg", image_shape=shape, quality=quality).degradation
    photograph = jnp.asarray(images.load(PHOTOGRAPH)[:64, :64])
    lost = jnp.sqrt(jnp.mean(jnp.square(fine.measure(KEY, photograph) - photograph)))
    assert 0.3 * lost < coarse_degradation(fine, 2).noise.std < 3 * lost


def test_a_prior_of_one_size_is_warned_of():
    attending = network("edm", attention_resolutions=(2,), num_head_channels=16)
    with pytest.warns(UserWarning, match="knows pictures of one size only"):
        jax.eval_shape(AGAIN.init, KEY, attending, FINE, Y)
    assert not jr.priors.SelfEnsemble(attending).any_size
    assert not jr.priors.TiledPrior(attending, tile=16, overlap=4).any_size
    with pytest.raises(ValueError, match="x has shape"):
        AGAIN.init(KEY, isotropic(SHAPE), FINE, Y)


def test_a_factor_below_two_is_refused():
    with pytest.raises(ValueError, match="factor is 1, expected at least 2"):
        jr.coarse_to_fine(COARSE, pair, factor=1)


def test_grids_that_pass_on_at_no_noise_are_refused():
    with pytest.raises(ValueError, match="crossing is 0.0, expected a finite number above 0"):
        samplers.over_grids(lambda **levels: COARSE, 2, crossing=0.0)
