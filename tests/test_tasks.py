import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import by_default, isotropic

import jaxrestore as jr
from jaxrestore import evaluation, tasks

SHAPE = (64, 64, 3)


@pytest.mark.parametrize("name", [n for n, t in jr.TASKS.items() if "weights" not in t.options])
def test_every_task_measures_and_has_settings_for_every_method(name):
    options = {"kernel_size": 21} if "kernel_size" in jr.TASKS[name].options else {}
    task = jr.task(name, image_shape=SHAPE, **options)
    y = jax.jit(task.degradation.measure)(jax.random.key(0), jnp.zeros(SHAPE))
    assert y.shape == task.degradation.measurement_shape
    for settings in tasks.SETTINGS:
        for method, row in jr.METHODS.items():
            if row.refusal(task.degradation.operator):
                assert method not in task.settings[settings]
                with pytest.raises(ValueError, match=f"{method} cannot do {name}: it needs"):
                    task.sampler(method, settings)
                continue
            if method not in task.settings[settings]:  # nothing is published, or recommended
                assert settings != "photo"
                with pytest.raises(ValueError, match=r"publishes|published settings|no settings of"):
                    task.sampler(method, settings)
                continue
            assert task.settings[settings][method] == task.for_method(method, settings)
            assert isinstance(task.sampler(method, settings), jr.Sampler)
            if row.length == "num_steps" and method != "repaint":  # whose steps follow from other settings
                assert task.sampler(method, settings, num_steps=5).num_steps == 5


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


@pytest.mark.parametrize("method", ["spgd", "daps"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(("super_resolution", {"factor": f}) for f in (1, 2, 3, 4, 8)),
        *(("super_resolution", {"factor": 4, "kernel": k}) for k in ("average", "bilinear", "gaussian")),
        *(("high_dynamic_range", {"scale": s}) for s in (0.5, 2.0, 8.0)),
    ],
)
def test_tuned_rates_are_as_far_below_the_stable_ones_whatever_the_options(name, options, method):
    def share(task):
        rate = task.for_method(method)["learning_rate"]
        return rate / task.for_method(method, "recommended")["learning_rate"]

    usual, task = (jr.task(name, image_shape=(48, 48, 3), **o) for o in ({}, options))
    assert share(task) == pytest.approx(share(usual), rel=0.08)  # norms are found by iteration, from below


def test_what_was_tuned_for_one_factor_is_stated_for_the_usual_one_and_serves_others():
    """A file that `tune` wrote at factor 2 must not be four times too slow at 4, nor that of 4 diverge at 2."""
    by_two, by_four = (jr.task("super_resolution", image_shape=(256, 256, 3), factor=f) for f in (2, 4))
    found = {"learning_rate": 2.0, "num_steps": 3}
    stated = by_two.adapted("spgd", found, inverse=True)
    assert stated["learning_rate"] == pytest.approx(8.0, rel=0.02)
    assert by_two.adapted("spgd", stated) == pytest.approx(found)
    assert by_four.adapted("spgd", stated) == stated


def test_the_tuned_rate_minds_the_last_pixels_of_a_side_that_the_factor_does_not_divide():
    rates = [jr.task("super_resolution", image_shape=(n, n, 3), factor=3).for_method("spgd") for n in (63, 64)]
    norms = [jr.task("super_resolution", image_shape=(n, n, 3), factor=3).operator_norm for n in (63, 64)]
    assert rates[0]["learning_rate"] == pytest.approx(9 * (3 / 4) ** 2, rel=0.02)
    assert rates[1]["learning_rate"] / rates[0]["learning_rate"] == pytest.approx((norms[0] / norms[1]) ** 2, rel=0.05)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: jr.task("sharpen", image_shape=SHAPE), ValueError, "task is 'sharpen', expected one of 'super_res"),
        (lambda: jr.task("denoising", image_shape=SHAPE, factor=2), TypeError, "'denoising' has no option factor"),
        (lambda: jr.task("denoising", image_shape=(64, 64)), ValueError, "image_shape is"),
        (
            lambda: jr.task("denoising", image_shape=64),
            ValueError,
            r"image_shape is 64, expected \(height, width, chan",
        ),
        *(
            (
                lambda name=name: jr.task(name, image_shape=SHAPE, mask=np.ones((32, 64))),
                ValueError,
                r"mask is for images of shape \(32, 64, 3\), expected image_shape = \(64, 64, 3\)",
            )
            for name, row in jr.TASKS.items()
            if row.drawn == "mask"
        ),
        *(
            (
                lambda method=method: jr.METHODS[method].recommended(lambda: 0.0),
                ValueError,
                "the operator's norm is 0: it measures nothing",
            )
            for method in ("spgd", "daps")
        ),
        (lambda: jr.task("denoising", image_shape=SHAPE, noise_std=-1.0), ValueError, "noise_std is -1.0"),
        (lambda: jr.task("denoising", image_shape=SHAPE).sampler("magic"), ValueError, "method is 'magic'"),
        (lambda: jr.task("denoising", image_shape=SHAPE).sampler("spgd", "best"), ValueError, "settings is 'best'"),
        (
            lambda: jr.task("denoising", image_shape=SHAPE).sampler("dps", num_step=3),
            TypeError,
            "dps has no setting num_step; it takes num_steps, .*, mean_of",
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
        task = jr.task("inpainting_random", image_shape=x.shape, mask=jnp.asarray(mask))
        np.testing.assert_allclose(task.simple_answer(np.asarray(x * mask)), x, atol=1e-5)

    @pytest.mark.parametrize("mask", [np.eye(4)[..., None], np.eye(4), np.eye(4)[..., None] * [1, 1, 0]])
    def test_masks_of_all_shapes_interpolate(self, mask):
        """Here from a diagonal, around which there is no hull: from the nearest known pixel of each channel."""
        task = jr.task("inpainting_random", image_shape=(4, 4, 3), mask=mask)
        known = np.broadcast_to(mask.reshape(4, 4, -1), (4, 4, 3)) > 0
        np.testing.assert_array_equal(task.simple_answer(np.where(known, 0.5, 0.0))[..., :2], 0.5)
        assert np.isfinite(task.simple_answer(np.where(known, 0.5, 0.0))).all()

    def test_enlargement_keeps_a_smooth_picture(self):
        ramp = np.linspace(-1, 1, 32, dtype=np.float32)
        x = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 0 * ramp[None]), -1)
        task = jr.task("super_resolution", image_shape=x.shape)
        simple = task.simple_answer(np.asarray(task.degradation.operator(jnp.asarray(x))))
        np.testing.assert_allclose(simple[8:-8, 8:-8], x[8:-8, 8:-8], atol=0.02)

    def test_there_is_none_for_amplitudes(self):
        task = jr.task("phase_retrieval", image_shape=(8, 8, 3))
        assert task.simple_answer(np.zeros((12, 12, 3), np.float32)) is None


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


OPTIONS = {"super_resolution": {"factor": 3}, "phase_retrieval": {"oversample": 1.3}, "jpeg": {"subsampling": True}}


@pytest.mark.parametrize("sides", by_default([(48, 96), (67, 51), (128, 130)], [(67, 51)]))
@pytest.mark.parametrize("name", [n for n, t in jr.TASKS.items() if "weights" not in t.options])
def test_the_shape_of_an_image_is_known_from_that_of_its_measurement(name, sides):
    """Once its sides are multiples of what the task asks for."""
    definition = jr.TASKS[name]
    options = definition.complete(OPTIONS.get(name, {}))
    multiple = definition.multiple(options)
    shape = (sides[0] - sides[0] % multiple, sides[1] - sides[1] % multiple, 3)
    kernel = {"kernel_size": 9} if "kernel_size" in options else {}
    task = jr.task(name, image_shape=shape, **OPTIONS.get(name, {}), **kernel)
    measured = task.degradation.measurement_shape
    assert definition.image_shape(measured, options) == shape
    assert measured[2] == (1 if definition.stored == "grey" else 3)


def test_amplitudes_that_no_image_has_are_refused():
    definition = jr.TASKS["phase_retrieval"]
    with pytest.raises(ValueError, match="amplitudes of 48x47 fit no image with oversample=2"):
        definition.image_shape((48, 47, 3), definition.complete({}))


@pytest.mark.parametrize("settings", tasks.COMMON)
def test_settings_are_differences_from_the_defaults(settings):
    for name, definition in jr.TASKS.items():
        for method, row in jr.METHODS.items():
            for setting, value in definition.changes(method, settings).items():
                assert setting in row.defaults, (name, method, setting)
                if setting == row.weight:  # tuned for each task, it may come out at the default
                    continue
                common = tasks.COMMON[settings].get(method, {})
                assert value != row.defaults[setting] or setting in common, (name, method, setting)


def test_settings_name_only_tasks_and_methods_that_there_are():
    for settings in tasks.COMMON:
        assert set(tasks.COMMON[settings]) <= set(jr.METHODS)
        assert set(tasks.TASK_SETTINGS[settings]) <= set(jr.TASKS)
        for methods in tasks.TASK_SETTINGS[settings].values():
            assert set(methods) <= set(jr.METHODS)
