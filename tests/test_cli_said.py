"""What a user says on the command line either counts, or is answered."""

import functools
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from cli_words import PHOTO, fast, with_settings
from conftest import by_default, isotropic

import jaxrestore as jr
from jaxrestore import images, methods, operators
from jaxrestore.cli import restore as restore_command
from jaxrestore.cli._seeds import key_for

pytest_plugins = ["cli_fixtures"]

TINY = PHOTO[:16, :16]
SHAPE = (8, 8, 3)
KEY = jax.random.key(0)
LINEAR = operators.Denoising(SHAPE)
HOLES = operators.Inpainting(operators.random_mask(KEY, SHAPE, 0.5))
AMPLITUDES = operators.PhaseRetrieval(SHAPE, 2.0)
NOT_LINEAR = operators.HighDynamicRange(SHAPE) @ operators.GaussianBlur(SHAPE, 5, 1.0)
# Small numbers of everything that costs time.
SHORT = {
    "num_steps": 4,
    "warmup_steps": 1,
    "evaluations": 6,
    "ode_steps": 2,
    "langevin_steps": 2,
    "jump_length": 1,
    "jump_repeats": 2,
    "solver_steps": 1,
    "learning_rate": 1e-3,
    "tau": 0.1,
}
OTHER_WORDS = {"spacing": "leading", "end": "state", "solver": "gmres"}  # than the defaults


@pytest.fixture
def not_restored(monkeypatch):
    """Instead of restoring, notes which pictures would be, and by which degradation."""
    seen = []

    def note(sampler, prior, degradation, ys, *, indices, **options):
        seen.append((indices, degradation))
        return iter(())

    monkeypatch.setattr(restore_command, "restore_batches", note)
    return seen


@functools.cache
def compiled(sampler):
    """Once for equal samplers."""
    return jax.jit(sampler.sample)


def result(method, settings, operator, std=0.1):
    """What a method makes of one measurement."""
    row = jr.METHODS[method]
    complete = {name: value for name, value in {**SHORT, **settings}.items() if name in row.defaults}
    y = operator(jax.random.uniform(KEY, SHAPE, minval=-0.5, maxval=0.5))
    degradation = jr.Degradation(operator, jr.GaussianNoise(std))
    return np.asarray(compiled(row.build(**complete))(KEY, isotropic(SHAPE, 0.25), degradation, y).image)


@pytest.mark.parametrize("method", by_default(jr.METHODS, ("spgd", "pspgd", "ddnm", "reddiff")))
def test_methods_are_told_the_noise_as_their_row_says(method):
    quiet, loud = (result(method, {}, LINEAR, std) for std in (0.05, 0.3))
    assert (np.abs(quiet - loud).max() > 1e-4) == jr.METHODS[method].uses_noise


IDLE = [
    ("spgd", LINEAR, {"warmup_steps": 1}, {"momentum": 0.1}),
    ("spgd", LINEAR, {"warmup_steps": 3}, {"momentum": 0.1}),
    ("pspgd", LINEAR, {}, {"solver_steps": 3}),
    ("pspgd", NOT_LINEAR, {}, {"solver_steps": 3}),
    ("pspgd", LINEAR, {"evaluations": 6}, {"detail": 0.0}),
    ("pspgd", LINEAR, {"evaluations": 24}, {"detail": 0.0}),
    ("dpps", LINEAR, {}, {"aligned": False}),
    ("dpps", AMPLITUDES, {}, {"aligned": False}),
    ("pdpps", AMPLITUDES, {}, {"aligned": False}),
    ("pdpps", LINEAR, {}, {"aligned": False}),
    ("pdpps", LINEAR, {}, {"solver_steps": 3}),
    ("pdpps", AMPLITUDES, {}, {"solver_steps": 3}),
    ("repaint", HOLES, {"jump_repeats": 1}, {"jump_length": 2}),
    ("repaint", HOLES, {"jump_repeats": 2}, {"jump_length": 2}),
]


def test_every_condition_of_the_table_is_tried():
    tried = {(method, name) for method, _, _, change in IDLE for name in change}
    assert tried == {(method, name) for method, row in jr.METHODS.items() for name in row.idle_where}


@pytest.mark.parametrize(
    ("method", "operator", "settings", "change"),
    [
        case if case[0] in ("spgd", "pspgd", "repaint") and i % 2 == 0 else pytest.param(*case, marks=pytest.mark.slow)
        for i, case in enumerate(IDLE)
    ],
)
def test_settings_change_nothing_where_their_row_says_so(method, operator, settings, change):
    (name,) = change
    same = np.array_equal(result(method, settings, operator), result(method, {**settings, **change}, operator))
    complete = {**SHORT, **settings, **change}
    assert (name in jr.METHODS[method].idle(complete, operator)) == same


@pytest.mark.slow
@pytest.mark.parametrize("method", jr.METHODS)
def test_every_other_setting_changes_the_result(method):
    row, operator = jr.METHODS[method], HOLES if jr.METHODS[method].needs != "any" else NOT_LINEAR
    busy = {"num_steps": 16, "warmup_steps": 2, "evaluations": 24}
    before = result(method, busy, operator)
    for name, default in row.defaults.items():
        value = {**{name: default}, **SHORT, **busy}[name]
        # What is shared is tested where it is made; one is about memory, and one about estimates out of range.
        if callable(value) or name in (*methods.SHARED_SETTINGS, "start", "transform", "chunk_size", "clip"):
            continue
        value = 0.3 if value is None else value
        # Counts are doubled: some are rounded to whole levels.
        if isinstance(value, str):
            changed = OTHER_WORDS[name]
        elif isinstance(value, bool):
            changed = not value
        else:
            changed = 2 * value if isinstance(value, int) else 0.5 * value or 0.3
        assert not np.array_equal(before, result(method, {**busy, name: changed}, operator)), name


@pytest.mark.parametrize(
    ("task", "method", "more", "message"),
    [
        (
            "denoising",
            "spgd",
            ["--noise", 0.1],
            "--noise changes nothing: spgd is not told how noisy a measurement is; ",
        ),
        ("denoising", "ddnm", ["--noise", 0.1], None),
        (
            "denoising",
            "ddnm",
            ["--noise", 0.1, "--set", "noise_std=0.2"],
            "--noise changes nothing: --set noise_std is",
        ),
        (
            "denoising",
            "spgd",
            ["--set", "momentum=0.5"],
            "--set momentum changes nothing of spgd for denoising, as it is",
        ),
        ("denoising", "spgd", ["--set", "momentum=0.5", "--set", "warmup_steps=2"], None),
        (
            "inpainting_random",
            "spgd",
            ["--option", "rate=0.5"],
            "--option rate changes nothing: the mask is given, and none is drawn at random",
        ),
        ("inpainting_random", "spgd", [], None),
    ],
)
def test_what_changes_nothing_is_said(run, tmp_path, prior, not_restored, task, method, more, message):
    images.save(tmp_path / "in.png", TINY)
    images.save(tmp_path / "in.mask.png", np.sign(TINY[..., :1]))
    words = with_settings(prior, method, num_steps=2, **({"warmup_steps": 1} if method == "spgd" else {}))
    code, _, err = run("restore", "in.png", "-o", "out.png", "--task", task, *words, *more)
    assert code == 0, err
    if message is None:
        assert err == ""
    else:
        assert err.startswith(f"warning: {message}")
        assert err.count("\n") == 1


def test_the_library_refuses_how_to_make_what_is_given():
    """Of every task that takes a mask or a kernel: there is no option that it neither uses nor refuses beside one."""
    given = {"mask": operators.random_mask(KEY, SHAPE, 0.5), "kernel": jnp.full((3, 3), 1 / 9)}
    other = {"rate": 0.3, "kernel_size": 5, "intensity": 0.3, "std": 2.0, "box": 2, "margin": 1}
    refused = set()
    for name, row in jr.TASKS.items():
        for kind in {kind for kind in given if row.options.get(kind, "no option") is None}:
            for option in (other.keys() & row.options.keys()) - {kind}:
                with pytest.raises(
                    ValueError, match=f"{option} of {name} say how to make a {kind}, and change nothing"
                ):
                    jr.task(name, image_shape=SHAPE, **{kind: given[kind], option: other[option]})
                refused.add(name)
    assert refused == {name for name, row in jr.TASKS.items() if row.drawn in given or row.instead in given}
    assert len(refused) == 6


def test_degrade_says_what_a_given_mask_makes_idle(run, tmp_path):
    images.save(tmp_path / "a.png", TINY)
    images.save(tmp_path / "mask.png", np.sign(TINY[..., :1]))
    words = ["--task", "inpainting_random", "--mask", "mask.png", "--option", "rate=0.5"]
    code, _, err = run("degrade", "a.png", "-o", "out.png", *words)
    assert code == 0, err
    assert err.startswith("warning: --option rate changes nothing")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            "inpainting_random",
            "needs the mask that the picture was made with; expected --mask FILE, or a.mask.png beside",
        ),
        (
            "inpainting_box",
            "needs the mask that the picture was made with; expected --mask FILE, or a.mask.png beside it",
        ),
        ("motion_deblur", "needs the kernel that the picture was made with; expected --kernel FILE, or a.kernel.png"),
        ("nonlinear_deblur", "needs the code that the picture was made with; expected a.code.npy beside it, as"),
    ],
)
def test_restore_invents_no_mask_and_no_kernel(run, tmp_path, task, message):
    images.save(tmp_path / "a.png", TINY)
    code, _, err = run("restore", "a.png", "-o", "out.png", "--task", task)
    assert code == 1
    assert err.startswith(f"error: a.png: {task} {message}")
    assert err.count("\n") == 1


def test_each_picture_of_a_folder_has_its_own_mask(run, tmp_path, prior, not_restored):
    masks = {name: np.random.default_rng(ord(name)).random((16, 16)) < 0.5 for name in "ab"}
    for name in "abc":
        images.save(tmp_path / "in" / f"{name}.png", TINY)
        images.save(tmp_path / "in" / f"{name}.mask.png", 2.0 * masks[name.replace("c", "a")][..., None] - 1.0)
    assert run("restore", "in", "-o", "out", "--task", "inpainting_random", *fast(prior))[0] == 0
    assert [indices for indices, _ in not_restored] == [[0, 2], [1]]
    for (_, degradation), name in zip(not_restored, "ab", strict=True):
        np.testing.assert_array_equal(degradation.operator.mask[..., 0], masks[name])


def test_a_kernel_blurs_as_scipy_convolves(run, tmp_path):
    kernel = np.random.default_rng(3).random((5, 3))
    picture = images.from_uint8(images.to_uint8(TINY))
    images.save(tmp_path / "in.png", picture)
    np.save(tmp_path / "k.npy", kernel)
    words = ["--task", "motion_deblur", "--noise", 0, "--kernel", "k.npy"]
    assert run("degrade", "in.png", "-o", "out.png", *words)[0] == 0
    expected = [scipy.ndimage.convolve(picture[..., c], kernel / kernel.sum(), mode="mirror") for c in range(3)]
    np.testing.assert_allclose(images.load(tmp_path / "out.png"), np.stack(expected, -1), atol=0.51 * 2 / 255)


def test_seeds_of_any_size_draw_each_their_own(run, tmp_path):
    images.save(tmp_path / "in.png", TINY)
    drawn = set()
    for seed in (0, 2**32 - 1, 2**32, 2**63, -1, 10**30, -(10**30)):
        code, _, err = run("degrade", "in.png", "-o", "y.png", "--force", "--task", "denoising", "--seed", seed)
        assert code == 0, err
        drawn.add((tmp_path / "y.png").read_bytes())
    assert len(drawn) == 7
    small = jax.random.fold_in(jax.random.key(5), 0)  # as ever
    assert (jax.random.key_data(key_for("operator", 5)) == jax.random.key_data(small)).all()


def test_there_need_be_no_home_folder(run, tmp_path, monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    folder = jax.config.values["jax_compilation_cache_dir"]
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE", "XDG_CACHE_HOME", "JAXRESTORE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(pathlib.Path, "home", unknown)
    try:
        code, _, err = run("info")
    finally:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # that of the suite
    assert (code, err) == (0, "")


def test_an_array_on_another_scale_is_named(run, tmp_path, prior, not_restored):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", (TINY + 1.0) / 2.0)
    np.save(tmp_path / "in" / "b.npy", TINY)
    images.save(tmp_path / "in" / "c.png", np.abs(TINY))  # a bright picture is none
    code, _, err = run("restore", "in", "-o", "out", "--task", "denoising", *fast(prior))
    assert code == 0
    assert err.startswith("warning: in/a.npy has nothing below 0, which is mid-grey; what was in [0, 1] is 2 y - 1")
    assert err.count("\n") == 1
