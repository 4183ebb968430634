import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import isotropic

import jaxrestore as jr

restore_module = importlib.import_module("jaxrestore.restore")  # the function of that name hides it

SHAPE = (8, 8, 3)
PRIOR = isotropic(SHAPE)
DEGRADATION = jr.Degradation(jr.operators.GaussianBlur(SHAPE, 5, 1.0), jr.GaussianNoise(0.05))
SAMPLER = jr.spgd(num_steps=7, warmup_steps=2, learning_rate=0.05)
YS = np.asarray(jax.random.normal(jax.random.key(1), (5, *SHAPE)))
KEY = jax.random.key(0)


def test_equals_the_sampler_on_each_image():
    images = jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY)
    for i in range(5):
        key = jax.random.fold_in(jax.random.fold_in(KEY, i), 0)
        np.testing.assert_allclose(images[i], SAMPLER.sample(key, PRIOR, DEGRADATION, YS[i]).image, atol=1e-4)


OTHERS = [
    pytest.param(sampler, marks=pytest.mark.slow) for sampler in (jr.dpps(num_steps=7, n_max=5), jr.dps(num_steps=7))
]


@pytest.mark.parametrize("sampler", [SAMPLER, *OTHERS])
def test_batch_size_does_not_change_results(sampler):
    whole = jr.restore(sampler, PRIOR, DEGRADATION, YS, key=KEY, batch_size=5)
    for size in (1, 2, 16):
        pieces = jr.restore(sampler, PRIOR, DEGRADATION, YS, key=KEY, batch_size=size)
        np.testing.assert_allclose(pieces, whole, atol=1e-4)


def test_samples_differ_and_the_first_is_the_only_one_of_a_single_run():
    samples = jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, num_samples=3)
    assert samples.shape == (5, 3, *SHAPE)
    assert not np.allclose(samples[:, 0], samples[:, 1], atol=1e-3)
    np.testing.assert_allclose(samples[:, 0], jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY), atol=1e-4)


def test_the_best_sample_has_the_smallest_residual():
    samples = jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, num_samples=3)
    best = jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, num_samples=3, keep="best", batch_size=4)
    blurred = jax.vmap(jax.vmap(DEGRADATION.operator))(samples)
    chosen = np.linalg.norm((blurred - YS[:, None]).reshape(5, 3, -1), axis=-1).argmin(1)
    np.testing.assert_allclose(best, samples[np.arange(5), chosen], atol=1e-4)


@pytest.mark.parametrize(
    "std", [jnp.full(5, 0.05), jnp.float32(0.05), 0.05], ids=["one each", "one for all", "a float"]
)
def test_each_image_can_have_its_own_degradation(std):
    masks = jax.vmap(lambda k: jr.operators.random_mask(k, SHAPE, 0.5))(jax.random.split(KEY, 5))
    degradation = jr.Degradation(jr.operators.Inpainting(masks), jr.GaussianNoise(std))
    images = jr.restore(SAMPLER, PRIOR, degradation, YS, key=KEY, batched_degradation=True, batch_size=2)
    for i in (0, 4):
        single = jr.Degradation(jr.operators.Inpainting(masks[i]), jr.GaussianNoise(0.05))
        key = jax.random.fold_in(jax.random.fold_in(KEY, i), 0)
        np.testing.assert_allclose(images[i], SAMPLER.sample(key, PRIOR, single, YS[i]).image, atol=1e-4)


class Listed:
    """No more than a `Stack` has."""

    def __init__(self, ys):
        self.ys, self.shape = list(ys), ys.shape

    def __len__(self):
        return len(self.ys)

    def __getitem__(self, index):
        return self.ys[index]


def test_a_stack_that_is_no_array_is_restored_as_one():
    images = jr.restore(SAMPLER, PRIOR, DEGRADATION, Listed(YS), key=KEY)
    np.testing.assert_array_equal(images, jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY))


@pytest.mark.parametrize("rate", [1e3, 1e30])
def test_divergence_names_image_and_step(rate):
    """The named image leaves the finite numbers at the named step, not before and not after."""
    sampler = jr.spgd(num_steps=60, warmup_steps=5, learning_rate=rate, lr_min_ratio=1.0)
    ys = np.zeros((4, *SHAPE), np.float32)
    ys[2] = 1e38 / rate
    with pytest.raises(jr.DivergenceError, match=r"diverged: .* at step \d+.* Lower the step size") as caught:
        jr.restore(sampler, PRIOR, DEGRADATION, ys, key=KEY, batch_size=2)
    state = sampler.init(jax.random.fold_in(jax.random.fold_in(KEY, caught.value.image), 0), PRIOR, DEGRADATION, ys[2])
    for _ in range(caught.value.step + 1):
        assert np.isfinite(state.x).all(), "the state was not finite before the step that is named"
        state, _ = jax.jit(sampler.step)(state, PRIOR, DEGRADATION, ys[caught.value.image])
    assert not np.isfinite(state.x).all()


def answering(value):
    """A sampler whose answer is the same whatever is asked."""

    def step(state, prior, degradation, y):
        state, info = SAMPLER.step(state, prior, degradation, y)
        return state._replace(x=jnp.broadcast_to(value, SHAPE)), info

    return jr.Sampler(SAMPLER.init, step, SAMPLER.num_steps)


STRIPES = jnp.where(jnp.arange(8) % 2, 1.0, -1.0)[:, None, None]
DIFFERENCES = jr.operators.Linear(lambda x: jnp.diff(x, axis=0), SHAPE)  # which make nothing of a grey picture


@pytest.mark.parametrize(
    ("answer", "operator", "is_picture"),
    [
        (9.0, DEGRADATION.operator, True),  # far off, but small steps may go further back than they came
        (11.0, DEGRADATION.operator, False),
        (0.5 * STRIPES, DIFFERENCES, True),
        (6.0 * STRIPES, DIFFERENCES, False),
    ],
)
def test_an_answer_that_is_finite_but_no_picture_has_diverged(answer, operator, is_picture):
    degradation = jr.Degradation(operator, jr.GaussianNoise(0.05))
    y = np.asarray(operator(0.3 * STRIPES * jnp.ones(SHAPE)))
    batch = next(jr.restore_batches(answering(answer), PRIOR, degradation, y[None], key=KEY))
    assert batch.diverged.tolist() == [-1 if is_picture else SAMPLER.num_steps - 1]


def test_finished_batches_come_before_the_end():
    batches = jr.restore_batches(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, batch_size=2)
    first = next(batches)
    np.testing.assert_array_equal(first.image, [0, 1])
    assert first.x.shape == (2, *SHAPE)
    assert [len(b.image) for b in batches] == [2, 1]


def test_a_part_of_a_collection_gives_what_the_whole_does():
    whole = jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY)
    part = list(jr.restore_batches(SAMPLER, PRIOR, DEGRADATION, YS[[1, 4]], key=KEY, indices=[1, 4]))
    np.testing.assert_allclose(part[0].x, whole[[1, 4]], atol=1e-4)


def test_one_program_serves_all_batches_and_calls():
    from jaxrestore.streaming import _advance

    sampler = jr.spgd(num_steps=9, warmup_steps=1, learning_rate=0.05)
    before = _advance._cache_size()
    jr.restore(sampler, PRIOR, DEGRADATION, YS, key=KEY, batch_size=2)
    jr.restore(sampler, PRIOR, DEGRADATION, YS[:3], key=KEY, batch_size=2)
    assert _advance._cache_size() == before + 1


def test_progress_is_shown(capsys):
    jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, batch_size=2, progress=True)
    assert "21/21" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: jr.restore(SAMPLER, PRIOR, DEGRADATION, YS[0], key=KEY), ValueError, "for one measurement use ys"),
        (
            lambda: jr.restore(SAMPLER, PRIOR, DEGRADATION, YS[:, :4], key=KEY),
            ValueError,
            r"shape \(4, 8, 3\), expected",
        ),
        (lambda: jr.restore(SAMPLER, PRIOR, DEGRADATION, YS[:0], key=KEY), ValueError, "holds no measurement"),
        (lambda: jr.restore(SAMPLER, PRIOR, DEGRADATION, YS * np.nan, key=KEY), ValueError, "not finite"),
        (
            lambda: jr.restore(SAMPLER, PRIOR, DEGRADATION, (YS * 100).astype(np.uint8), key=KEY),
            TypeError,
            "dtype uint8, expected float32",
        ),
        (lambda: jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, keep="mean"), ValueError, "keep is 'mean'"),
        (lambda: jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, batch_size=0), ValueError, "batch_size is 0"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_statistics_are_those_of_the_samples_whatever_the_batch():
    arguments = (jr.dps(num_steps=4), PRIOR, DEGRADATION, YS)
    samples = jr.restore(*arguments, key=KEY, num_samples=5)
    for batch_size in (2, 15):
        found = jr.posterior_statistics(*arguments, key=KEY, num_samples=5, batch_size=batch_size)
        np.testing.assert_allclose(found.mean, samples.mean(1), atol=1e-5)
        np.testing.assert_allclose(found.std, samples.std(1, ddof=1), atol=1e-5)
    with pytest.raises(ValueError, match="num_samples is 1, expected at least 2"):
        jr.posterior_statistics(*arguments, key=KEY, num_samples=1)


@pytest.mark.parametrize(
    "sampler",
    [
        jr.spgd(num_steps=4, warmup_steps=2, learning_rate=0.05),
        pytest.param(jr.dpps(num_steps=4), marks=pytest.mark.slow),
    ],
)
def test_the_mean_of_chains_is_the_mean_of_their_runs(sampler):
    mean = jr.mean_of(sampler, 3)
    runs = [sampler.sample(jax.random.fold_in(KEY, i), PRIOR, DEGRADATION, YS[0]) for i in range(3)]
    result = mean.sample(KEY, PRIOR, DEGRADATION, YS[0])
    np.testing.assert_allclose(result.image, np.mean([r.image for r in runs], 0), atol=1e-4)
    np.testing.assert_allclose(result.info.residual, runs[0].info.residual, rtol=1e-3)
    images = jr.restore(mean, PRIOR, DEGRADATION, YS[:2], key=KEY)
    key = jax.random.fold_in(jax.random.fold_in(KEY, 1), 0)
    np.testing.assert_allclose(images[1], mean.sample(key, PRIOR, DEGRADATION, YS[1]).image, atol=1e-4)
    assert jr.mean_of(sampler, 1) is sampler
    with pytest.raises(ValueError, match="mean_of is 0, expected at least 1"):
        jr.mean_of(sampler, 0)


def diverging(images):
    """A sampler and measurements of which the named images leave the finite numbers."""
    sampler = jr.spgd(num_steps=6, warmup_steps=2, learning_rate=0.05, lr_min_ratio=1.0)
    ys = YS.copy()
    ys[list(images)] = 1e38
    return sampler, ys


class TestDivergence:
    def test_the_other_images_are_those_of_an_undisturbed_run(self):
        sampler, ys = diverging([1, 3])
        with pytest.raises(jr.DivergenceError, match="2 of 5 samples diverged: image 1") as caught:
            jr.restore(sampler, PRIOR, DEGRADATION, ys, key=KEY, batch_size=2)
        assert [d.image for d in caught.value.divergences] == [1, 3]
        undisturbed = jr.restore(sampler, PRIOR, DEGRADATION, YS, key=KEY, batch_size=2)
        np.testing.assert_allclose(caught.value.result[[0, 2, 4]], undisturbed[[0, 2, 4]], atol=1e-5)
        assert np.isnan(caught.value.result[[1, 3]]).all()

    def test_of_all_samples_those_that_diverged_are_missing(self):
        sampler, ys = diverging([1])
        with pytest.raises(jr.DivergenceError) as caught:
            jr.restore(sampler, PRIOR, DEGRADATION, ys, key=KEY, batch_size=2, num_samples=2)
        missing = np.isnan(caught.value.result).all((2, 3, 4))
        np.testing.assert_array_equal(missing, np.repeat(np.arange(5) == 1, 2).reshape(5, 2))
        assert np.isfinite(caught.value.result[~missing]).all()

    def test_the_stream_marks_them_and_goes_on(self):
        sampler, ys = diverging([1])
        batches = list(jr.restore_batches(sampler, PRIOR, DEGRADATION, ys, key=KEY, batch_size=2, num_samples=2))
        diverged = np.concatenate([b.diverged for b in batches])
        np.testing.assert_array_equal(diverged >= 0, np.repeat(np.arange(5) == 1, 2))
        np.testing.assert_array_equal(np.concatenate([b.last for b in batches]), [False, True] * 5)

    @pytest.mark.slow
    def test_a_batch_that_is_lost_as_a_whole_ends_early(self):
        """Of a run of very many steps, which would take minutes to its end."""
        sampler = jr.spgd(num_steps=200_000, warmup_steps=1, learning_rate=1e30, lr_min_ratio=1.0)
        with pytest.raises(jr.DivergenceError):
            jr.restore(sampler, PRIOR, DEGRADATION, YS, key=KEY)

    def test_statistics_are_those_of_the_finite_images(self):
        sampler, ys = diverging([0])
        with pytest.raises(jr.DivergenceError) as caught:
            jr.posterior_statistics(sampler, PRIOR, DEGRADATION, ys, key=KEY, num_samples=2)
        assert np.isnan(caught.value.result.mean[0]).all()
        assert np.isfinite(caught.value.result.std[1:]).all()


class TestReducers:
    """Over a stream of known numbers."""

    @pytest.fixture
    def samples(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((3, 4, 2, 2, 1)).astype(np.float32)
        residual, diverged = rng.uniform(size=(3, 4)), np.full((3, 4), -1)
        diverged[1, 2], diverged[2] = 5, 0
        flat = [
            restore_module.Sample(i, s, s == 3, x[i, s], residual[i, s], diverged[i, s])
            for i in range(3)
            for s in range(4)
        ]
        return x, residual, diverged, flat

    def test_the_best_has_the_smallest_residual_among_the_finite(self, samples):
        _, residual, diverged, flat = samples
        best = {b.image: b for b in restore_module.best_samples(flat)}
        assert set(best) == {0, 1}
        for i in (0, 1):
            assert best[i].sample == np.where(diverged[i] < 0, residual[i], np.inf).argmin()

    def test_moments_are_those_of_the_finite(self, samples):
        x, _, diverged, flat = samples
        for found in restore_module.moments(flat, quantiles=np.array([0.5, 0.9])):
            finite = x[found.image][diverged[found.image] < 0]
            np.testing.assert_allclose(found.mean, finite.mean(0), atol=1e-6)
            np.testing.assert_allclose(found.std, finite.std(0, ddof=1), atol=1e-6)
            np.testing.assert_allclose(found.quantiles, [np.median(finite, 0), finite.max(0)], atol=1e-6)

    def test_quantiles_are_those_of_so_many_samples_whatever_follows(self, samples, monkeypatch):
        x, *_, flat = samples
        monkeypatch.setattr(restore_module, "QUANTILE_SAMPLES", 3)
        first = next(restore_module.moments(flat, quantiles=(0.5,)))
        np.testing.assert_allclose(first.quantiles[0], np.median(x[0, :3], 0), atol=1e-6)
        np.testing.assert_allclose(first.mean, x[0].mean(0), atol=1e-6)
        assert next(restore_module.moments(flat)).quantiles.shape == (0, 2, 2, 1)

    def test_an_image_is_handed_out_before_the_next_is_asked_for(self, samples):
        *_, flat = samples
        asked = []

        def watched():
            for sample in flat:
                asked.append(sample.image)
                yield sample

        next(restore_module.best_samples(watched()))
        assert asked == [0, 0, 0, 0]
