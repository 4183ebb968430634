import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import isotropic

import jaxrestore as jr
from jaxrestore import evaluation, tasks

SHAPE = (64, 64, 3)


@pytest.mark.parametrize("name", [n for n, t in jr.TASKS.items() if "weights" not in t.options])
def test_every_task_measures_and_has_settings_for_every_method(name):
    options = {"kernel_size": 21} if "kernel_size" in jr.TASKS[name].options else {}
    task = jr.task(name, image_shape=SHAPE, **options)
    y = task.degradation.measure(jax.random.key(0), jnp.zeros(SHAPE))
    assert y.shape == task.degradation.measurement_shape
    for settings in tasks.SETTINGS:
        for method in tasks.METHODS:
            if method not in task.settings[settings]:
                assert method in tasks.LINEAR_ONLY or (name, method) == ("motion_deblur", "ddrm")
                with pytest.raises(ValueError, match=f"{method} cannot do {name}: it needs"):
                    task.sampler(method, settings)
                continue
            sampler = task.sampler(method, settings, num_steps=5)
            assert isinstance(sampler, jr.Sampler)
            assert sampler.num_steps == 5


@pytest.mark.parametrize(
    ("name", "method", "setting", "value"),
    [
        ("super_resolution", "spgd", "learning_rate", 7.0),
        ("gaussian_deblur", "spgd", "learning_rate", 1.0),
        ("motion_deblur", "spgd", "learning_rate", 1.0),
        ("inpainting_random", "spgd", "learning_rate", 2.5),
        ("high_dynamic_range", "spgd", "learning_rate", 1.0),
        ("phase_retrieval", "spgd", "learning_rate", 2.0),
        ("super_resolution", "dpps", "scale", 1.0),
        ("gaussian_deblur", "dpps", "scale", 0.4),
        ("super_resolution", "dpps", "num_steps", 1000),
    ],
)
def test_published_settings(name, method, setting, value):
    assert jr.TASKS[name].settings["published"][method][setting] == value


def test_options_reach_the_operator_and_the_key_draws_the_mask():
    task = jr.task("super_resolution", image_shape=SHAPE, factor=8, kernel="average", noise_std=0.0)
    assert task.degradation.measurement_shape == (8, 8, 3)
    assert isinstance(task.degradation.noise, jr.NoNoise)
    masks = [
        jr.task("inpainting_random", image_shape=SHAPE, key=jax.random.key(i), rate=0.5).degradation.operator.mask
        for i in (0, 0, 1)
    ]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: jr.task("sharpen", image_shape=SHAPE), ValueError, "task is 'sharpen', expected one of 'super_res"),
        (lambda: jr.task("denoising", image_shape=SHAPE, factor=2), TypeError, "'denoising' has no option factor"),
        (lambda: jr.task("denoising", image_shape=(64, 64)), ValueError, "image_shape is"),
        (lambda: jr.task("denoising", image_shape=SHAPE, noise_std=-1.0), ValueError, "noise_std is -1.0"),
        (lambda: jr.task("denoising", image_shape=SHAPE).sampler("magic"), ValueError, "method is 'magic'"),
        (lambda: jr.task("denoising", image_shape=SHAPE).sampler("spgd", "best"), ValueError, "settings is 'best'"),
        (
            lambda: jr.task("denoising", image_shape=SHAPE).sampler("dps", num_step=3),
            TypeError,
            "dps has no setting num_step; it takes num_steps, .*, self_ensemble, mean_of",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


class TestSimpleAnswers:
    def test_interpolation_is_exact_for_a_plane(self):
        rows, columns = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-0.5, 0.5, 32), indexing="ij")
        x = np.stack([rows, columns, rows + columns], -1).astype(np.float32)
        mask = np.array(jr.operators.random_mask(jax.random.key(0), x.shape, 0.7))
        mask[[0, 0, -1, -1], [0, -1, 0, -1]] = 1  # with its corners known, every pixel is inside the hull
        degradation = jr.Degradation(jr.operators.Inpainting(jnp.asarray(mask)), jr.NoNoise())
        np.testing.assert_allclose(evaluation.simple_answer(degradation, np.asarray(x * mask)), x, atol=1e-5)

    def test_enlargement_keeps_a_smooth_picture(self):
        ramp = np.linspace(-1, 1, 32, dtype=np.float32)
        x = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 0 * ramp[None]), -1)
        degradation = jr.Degradation(jr.operators.SuperResolution(x.shape, 4), jr.NoNoise())
        simple = evaluation.simple_answer(degradation, np.asarray(degradation.operator(jnp.asarray(x))))
        np.testing.assert_allclose(simple[8:-8, 8:-8], x[8:-8, 8:-8], atol=0.02)

    def test_there_is_none_for_amplitudes(self):
        degradation = jr.Degradation(jr.operators.PhaseRetrieval((8, 8, 3)), jr.NoNoise())
        assert evaluation.simple_answer(degradation, np.zeros((12, 12, 3), np.float32)) is None


def test_evaluation_scores_a_denoiser_better_than_the_noise():
    shape = (32, 32, 3)
    prior = isotropic(shape, variance=0.01)
    task = jr.task("denoising", image_shape=shape, noise_std=0.5)
    truths = 0.1 * np.asarray(jax.random.normal(jax.random.key(0), (2, *shape)))
    sampler = jr.spgd(num_steps=20, warmup_steps=1, learning_rate=1e-3)
    result = evaluation.evaluate(sampler, prior, task.degradation, truths, key=jax.random.key(1))
    assert result.restored.shape == (2, *shape)
    noisy = [evaluation.score(y, t) for y, t in zip(result.measurements, truths, strict=True)]
    assert evaluation.mean_scores(result.scores).psnr > evaluation.mean_scores(noisy).psnr + 3


@pytest.mark.parametrize(
    ("name", "needs"), [("motion_deblur", "singular value decomposition"), ("phase_retrieval", "a linear operator")]
)
def test_a_refusal_says_what_the_method_needs(name, needs):
    with pytest.raises(ValueError, match=needs):
        jr.task(name, image_shape=(64, 64, 3)).sampler("ddrm")
