"""The table of published experiments: that its values are those of its sources, written here a second time."""

import functools
import json
import re

import jax.numpy as jnp
import numpy as np
import pytest

import jaxrestore as jr
from benchmarks import _experiments
from jaxrestore import images, published

SHAPE = (32, 32, 3)

# Copied by hand from the authors' files: SPGD's config/task/*.yaml, DPPS's and DPS's configs/*.yaml.
SPGD = {  # task: learning rate, noise, options
    "super_resolution": (7.0, 0.01, {"factor": 4, "kernel": "bicubic"}),
    "gaussian_deblur": (1.0, 0.01, {"kernel_size": 61, "std": 3.0}),
    "motion_deblur": (1.0, 0.01, {"kernel_size": 61, "intensity": 0.5}),
    "inpainting_random": (2.5, 0.01, {"rate": 0.8}),
    "inpainting_box": (5e-5, 0.05, {"box": 128, "margin": 32}),
    "phase_retrieval": (2.0, 0.05, {"oversample": 2.0}),
    "nonlinear_deblur": (1.0, 0.05, {"intensity": 1.2}),
    "high_dynamic_range": (1.0, 0.05, {"scale": 2.0}),
}
DPPS = {  # task: scale, options or what is drawn
    "super_resolution": (1.0, {"factor": 4, "kernel": "bicubic"}),
    "gaussian_deblur": (0.4, {"kernel_size": 61, "std": 3.0}),
    "motion_deblur": (0.4, {"kernel_size": 61, "intensity": 0.5}),
    "inpainting_random": (1.0, {"rate": (0.7, 0.9)}),
}
DPS = {  # task: scale
    "super_resolution": 0.3,
    "gaussian_deblur": 0.3,
    "motion_deblur": 0.3,
    "inpainting_random": 0.5,
    "inpainting_box": 0.5,
    "nonlinear_deblur": 0.3,
    "phase_retrieval": 1.0,
}
DAPS = {  # task: learning rate
    "super_resolution": 1e-4,
    "gaussian_deblur": 1e-4,
    "motion_deblur": 5e-5,
    "inpainting_random": 1e-4,
    "inpainting_box": 5e-5,
    "phase_retrieval": 5e-5,
    "nonlinear_deblur": 5e-5,
    "high_dynamic_range": 2e-5,
}
PEERS = [  # label, field, value: what was found wrong once, and one value at least of each paper
    ("dps/ffhq/inpainting_random", "drawn.rate", (0.3, 0.7)),
    ("dps/ffhq/inpainting_box", "options.margin", 16),
    ("dps/ffhq/super_resolution", "noise_std", 0.05),
    ("dps/ffhq/phase_retrieval", "options.padded", "signed"),
    ("reddiff/imagenet/phase_retrieval", "options.padded", "signed"),
    ("reddiff/imagenet/phase_retrieval", "settings.learning_rate", 0.5),
    ("diffpir/ffhq/gaussian_deblur", "settings.spacing", "quadratic"),
    ("diffpir/ffhq/inpainting_box", "settings.end", "state"),
    ("ddnm/imagenet/colorization", "settings.spacing", "leading"),
    ("ddrm/imagenet/super_resolution", "settings.spacing", "leading"),
    ("mmps/ffhq/super_resolution", "settings.solver", "gmres"),
    ("daps/ffhq/inpainting_random", "drawn.rate", (0.7, 0.71)),
    ("daps/imagenet/inpainting_box", "options.margin", 32),
    ("daps/ffhq/phase_retrieval", "runs", 4),
    ("diffpir/ffhq/gaussian_deblur", "settings.strength", 1.75),
    ("diffpir/ffhq/gaussian_deblur", "settings.zeta", 0.3),
    ("diffpir/ffhq/gaussian_deblur", "noise_std", 0.1),
    ("diffpir/ffhq/motion_deblur", "settings.strength", 1.75),
    ("diffpir/ffhq/inpainting_random", "settings.num_steps", 20),
    ("diffpir/ffhq/inpainting_random", "settings.zeta", 1.0),
    ("ddrm/imagenet/super_resolution", "noise_std", 0.1),
    ("ddrm/celeba_hq/super_resolution", "settings.num_steps", 20),
    ("ddnm/celeba_hq/super_resolution/x16-noisy", "noise_std", 0.4),
    ("ddnm/imagenet/gaussian_deblur", "options.boundary", "zero"),
    ("ddnm/imagenet/colorization", "settings.eta", 0.85),
    ("ddnm/imagenet/colorization", "noise_std", 0.0),
    ("ddpg/celeba_hq/motion_deblur/noise-0.01", "settings.ridge", 6.0),
    ("ddpg/imagenet/super_resolution/noise-0.05", "settings.gamma", 6),
    ("ddpg/imagenet/motion_deblur/idpg-0.1", "settings.zeta", None),
    ("pigdm/imagenet/super_resolution", "settings.num_steps", 1000),
    ("mmps/ffhq/inpainting_box", "noise_std", 1.0),
    ("mmps/ffhq/inpainting_random", "options.rate", 0.98),
    ("mmps/ffhq/super_resolution", "settings.solver_steps", 1),
    ("mmps/ffhq/super_resolution/5-iterations", "settings.solver_steps", 5),
    ("reddiff/imagenet/inpainting_box", "settings.learning_rate", 0.25),
    ("reddiff/imagenet/inpainting_box/noisy", "noise_std", 0.2),
    ("reddiff/imagenet/gaussian_deblur", "settings.learning_rate", 0.5),
    ("reddiff/imagenet/high_dynamic_range", "settings.learning_rate", 0.5),
    ("reddiff/imagenet/nonlinear_deblur", "settings.learning_rate", 0.5),
    ("repaint/celeba_hq/inpainting_box", "settings.jump_repeats", 10),
]
ROWS = {setup.label: setup for setup in published.SETUPS}


def of(method: str, dataset: str) -> dict[str, published.Setup]:
    return {setup.task: setup for setup in published.find(method, dataset) if not setup.variant}


@pytest.mark.parametrize("dataset", ["ffhq", "imagenet"])
class TestTheSeeds:
    def test_spgd_is_what_its_files_say(self, dataset):
        assert set(of("spgd", dataset)) == set(SPGD)
        for task, setup in of("spgd", dataset).items():
            learning_rate, noise_std, options = SPGD[task]
            grid = {"sigma_max": 100.0, "sigma_min": 0.1, "lr_min_ratio": 0.01, "momentum": 0.9}
            steps = {"num_steps": 100, "warmup_steps": 5, "learning_rate": learning_rate}
            assert setup.plain("settings") == {**steps, **grid}
            assert (setup.noise_std.value, setup.plain("options")) == (noise_std, options)
            assert setup.metrics.value == ("psnr", "ssim", "lpips-piq")
            assert setup.count.value == 100
            assert setup.each is None or not setup.each.value  # one mask, one kernel for all pictures

    def test_dpps_is_what_its_files_say(self, dataset):
        assert set(of("dpps", dataset)) == set(DPPS)
        for task, setup in of("dpps", dataset).items():
            scale, options = DPPS[task]
            assert setup.plain("settings") == {"num_steps": 1000, "scale": scale, "n_max": 50, "aligned": True}
            assert {**setup.plain("options"), **setup.plain("drawn")} == options
            assert setup.noise_std.value == 0.01
            assert setup.metrics.value == ("psnr", "lpips-vgg")
        assert of("dpps", dataset)["inpainting_random"].each.value  # a mask for each picture


@pytest.mark.parametrize("dataset", ["ffhq", "imagenet"])
def test_dps_and_daps_are_what_their_files_say(dataset):
    assert {task: setup.plain("settings")["scale"] for task, setup in of("dps", dataset).items()} == DPS
    assert {task: setup.plain("settings")["learning_rate"] for task, setup in of("daps", dataset).items()} == DAPS
    for setup in (*of("dps", dataset).values(), *of("daps", dataset).values()):
        assert setup.noise_std.value == 0.05


@pytest.mark.parametrize(("label", "field", "value"), PEERS)
def test_the_peers_are_what_their_files_say(label, field, value):
    assert dict(ROWS[label].values())[field].value == value


@pytest.mark.parametrize(
    ("label", "taps"), [("ddnm/imagenet/gaussian_deblur", 10.0), ("reddiff/imagenet/gaussian_deblur", 25.0)]
)
def test_a_cut_gaussian_is_normalised_after_it_is_cut(label, taps):
    """Five values of exp(-x^2 / 2 std^2), over their sum; SciPy's filter would fold the rest of the bell inside."""
    kernel = ROWS[label].plain("options")["kernel"]
    bell = [np.exp(-0.5 * (x / taps) ** 2) for x in (-2, -1, 0, 1, 2)]
    np.testing.assert_allclose(kernel, np.array(bell) / sum(bell), rtol=1e-12)


def test_every_paper_has_rows_and_every_row_is_known():
    assert {setup.method for setup in published.SETUPS} == set(published.PAPERS) <= set(jr.METHODS)
    assert len(ROWS) == len(published.SETUPS)
    for setup in published.SETUPS:
        assert setup.dataset in published.DATASETS
        assert setup.metrics is None or set(setup.metrics.value) <= set(published.METRICS)
        jr.METHODS[setup.method].check_settings(setup.plain("settings"))
        given = {**setup.options, **setup.drawn, **setup.given}
        assert set(given) <= set(jr.TASKS[setup.task].options)
        assert len(given) == len(setup.options) + len(setup.drawn) + len(setup.given)
        # What is drawn is drawn once or for each picture, and the row says which.
        assert (setup.each is not None) >= bool(setup.drawn)


def test_every_value_has_a_source():
    for setup in published.SETUPS:
        stated = dict(setup.values())
        assert {"noise_std", *(f"settings.{name}" for name in setup.settings)} <= set(stated)
        for name, value in stated.items():
            assert re.fullmatch(r"[0-9a-f]{40}", value.source.paper.commit), (setup.label, name)
            assert value.source.paper.repository == published.PAPERS[setup.method].repository
            assert value.source.file, (setup.label, name)
            assert value.source.link.startswith("https://github.com/")


def test_noise_that_is_stated_on_the_unit_interval_is_doubled():
    doubled = [value for setup in published.SETUPS for _, value in setup.values() if value.note.endswith("on [0, 1]")]
    notes = [(value.value, float(value.note.split()[0])) for value in doubled if "lambda" not in value.note]
    assert len(notes) > 20
    assert all(value == 2.0 * on_unit for value, on_unit in notes)


@pytest.fixture(scope="module")
def mask_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("masks") / "mask.png"
    picture = np.ones((256, 256, 3), np.float32)
    picture[:100] = -1.0
    images.save(file, picture)
    return file


def test_every_row_makes_its_task_and_sampler_at_the_size_of_its_network(mask_file):
    @functools.lru_cache
    def operator_of(task: str, facts: str):
        return experiment.task(3, mask_file).degradation.operator

    for setup in published.SETUPS:
        experiment = _experiments.Experiment(setup, mask=mask_file if "mask" in setup.given else None)
        assert jr.METHODS[setup.method].build(**experiment.settings).num_steps >= 10
        if "weights" in setup.given:
            continue
        options = _experiments.json_safe({name: setup.plain(name) for name in ("options", "drawn", "given")})
        operator = operator_of(setup.task, json.dumps(options))
        assert operator.image_shape == (256, 256, 3)
        assert jr.METHODS[setup.method].refusal(operator) is None, setup.label


class TestTheSetPublished:
    def test_it_gives_what_the_row_says(self):
        task = jr.task("super_resolution", image_shape=SHAPE)
        expected = ROWS["spgd/imagenet/super_resolution"].plain("settings")
        assert task.for_method("spgd", "published") == task.for_method("spgd", "published/imagenet") == expected
        assert task.sampler("ddrm", "published").num_steps == 20
        assert task.sampler("ddrm", "published", num_steps=7).num_steps == 7

    def test_rows_that_differ_by_noise_are_told_apart_by_that_of_the_task(self):
        task = jr.task("super_resolution", image_shape=SHAPE, noise_std=0.1)
        assert task.for_method("ddpg", "published/imagenet")["gamma"] == 6
        assert task.for_method("ddpg", "published/celeba_hq")["gamma"] == 10
        assert task.for_method("ddpg", "published/celeba_hq/idpg-0.05")["gamma"] == 16

    @pytest.mark.parametrize(
        ("task", "method", "settings", "message"),
        [
            (
                "denoising",
                "dpps",
                "published",
                "no settings of dpps for denoising; it does for super_resolution, gauss",
            ),
            ("denoising", "pspgd", "published", "no paper publishes pspgd; expected one of spgd, dpps"),
            (
                "super_resolution",
                "mmps",
                "published/imagenet",
                "'published/imagenet', expected one of 'published/ffhq'",
            ),
            ("super_resolution", "ddpg", "published", "several published .* 'published/celeba_hq/noise-0', 'published"),
            ("super_resolution", "spgd", "photo/ffhq", "settings is 'photo/ffhq', expected one of 'photo'"),
        ],
    )
    def test_what_is_not_published_is_refused_with_what_is(self, task, method, settings, message):
        with pytest.raises(ValueError, match=message):
            jr.task(task, image_shape=SHAPE).sampler(method, settings)

    def test_an_unknown_data_set_is_refused(self):
        with pytest.raises(ValueError, match="dataset is 'lsun', expected one of 'ffhq'"):
            published.find(dataset="lsun")


class TestTheSetRecommended:
    def test_spgd_steps_half_of_what_is_stable(self):
        for name in ("super_resolution", "high_dynamic_range"):
            task = jr.task(name, image_shape=SHAPE)
            rate = task.for_method("spgd", "recommended")["learning_rate"]
            assert rate * task.operator_norm**2 == pytest.approx(0.5)
            assert task.for_method("daps", "recommended")["learning_rate"] * task.operator_norm**2 == pytest.approx(
                1e-4
            )

    def test_preconditioned_methods_keep_their_defaults(self):
        task = jr.task("inpainting_random", image_shape=SHAPE)
        for method in ("pspgd", "pdpps", "pigdm", "mmps", "diffpir", "ddnm", "ddrm", "ddpg", "reddiff", "repaint"):
            assert task.for_method(method, "recommended") == {}

    def test_a_step_that_nothing_tells_is_refused_unless_it_is_given(self):
        task = jr.task("denoising", image_shape=SHAPE)
        for method in ("dps", "dpps"):
            with pytest.raises(ValueError, match=f"no settings of {method} are recommended: .* set scale"):
                task.sampler(method, "recommended", num_steps=5)
            assert task.sampler(method, "recommended", num_steps=5, scale=1.0).num_steps == 5


@pytest.mark.parametrize("name", ["super_resolution", "colorization", "inpainting_random", "gaussian_deblur"])
def test_the_norm_of_an_operator_is_its_largest_singular_value(name):
    task = jr.task(name, image_shape=SHAPE, **({"kernel_size": 9} if name == "gaussian_deblur" else {}))
    largest = float(jnp.max(task.degradation.operator.svd().values))
    assert 0.97 * largest < task.operator_norm < 1.001 * largest


@pytest.mark.parametrize("name", ["super_resolution", "gaussian_deblur", "phase_retrieval"])
def test_the_derived_step_of_spgd_is_near_the_one_that_its_authors_found(name):
    derived = jr.task(name, image_shape=(64, 64, 3)).for_method("spgd", "recommended")["learning_rate"]
    assert 0.4 < derived / SPGD[name][0] < 1.3
