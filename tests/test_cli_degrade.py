"""`jaxrestore degrade`, and that `restore` understands what it writes."""

import numpy as np
import pytest
from cli_words import PHOTO, fast, with_settings
from conftest import DATA, by_default

import jaxrestore as jr
from convert_weights import bkse
from jaxrestore import images, tasks
from jaxrestore.cli import _task_choice
from jaxrestore.operators.neural_blur import save_nonlinear_blur

pytest_plugins = ["cli_fixtures"]

SMALL_OPTIONS = {
    "super_resolution": ["factor=3"],
    "gaussian_deblur": ["kernel_size=5"],
    "motion_deblur": ["kernel_size=5"],
    "nonlinear_deblur": ["weights=blur"],
    "jpeg": ["subsampling=true"],
    "deconvolution": ["kernel_size=5"],
}


@pytest.mark.parametrize("name", by_default(tasks.TASKS, ("super_resolution",)))
def test_every_task_goes_there_and_back(run, tmp_path, prior, name):
    """Odd sizes too: restored pictures have the size of the clean ones, cut as the task's row says."""
    with np.load(DATA / "bkse_tiny.npz") as state:
        save_nonlinear_blur(tmp_path / "blur", bkse.convert(dict(state)))
    sizes = [(131, 140)] if name == "nonlinear_deblur" else [(17, 23), (24, 19)]
    for height, width in sizes:
        images.save(tmp_path / "clean" / f"{height}.png", np.resize(PHOTO, (height, width, 3)))
    words = [word for option in SMALL_OPTIONS.get(name, []) for word in ("--option", option)]
    code, _, err = run("degrade", "clean", "-o", "measured", "--task", name, *words)
    assert code == 0, err
    code, _, err = run("restore", "measured", "-o", "restored", "--task", name, *words, *with_settings(prior, "reddiff", num_steps=2))  # fmt: skip
    assert code == 0, err
    multiple = {"super_resolution": 3, "jpeg": 16, "nonlinear_deblur": 128}.get(name, 1)
    for height, width in sizes:
        restored = images.load(tmp_path / "restored" / f"{height}.png")
        assert restored.shape == (height - height % multiple, width - width % multiple, 3)


@pytest.mark.slow
def test_amplitudes_travel_as_arrays(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO)
    assert run("degrade", "in.png", "-o", "y.npy", "--task", "phase_retrieval")[0] == 0
    assert np.load(tmp_path / "y.npy").shape == (48, 60, 3)
    code, _, _ = run("restore", "y.npy", "-o", "x.png", "--task", "phase_retrieval", "--samples", "2", *fast(prior))
    assert code == 0
    assert images.load(tmp_path / "x.png").shape == PHOTO.shape


def test_the_suffix_of_an_array_may_be_in_capitals(run, tmp_path):
    images.save(tmp_path / "in.png", PHOTO)
    code, _, err = run("degrade", "in.png", "-o", "y.NPY", "--task", "phase_retrieval")
    assert code == 0, err
    assert np.load(tmp_path / "y.NPY").ndim == 3


@pytest.mark.slow
def test_masks_lie_beside_every_result_and_are_read_back(run, tmp_path, prior):
    for name, picture in {"a.png": PHOTO, "b.png": PHOTO[:20], "c.png": PHOTO}.items():
        images.save(tmp_path / "in" / name, picture)
    words = ["degrade", "in", "-o", "out", "--task", "inpainting_random", "--seed", 3]
    assert run(*words)[0] == 0
    masks = [images.load(tmp_path / "out" / f"{name}.mask.png")[..., 0] > 0 for name in "abc"]
    assert [mask.shape for mask in masks] == [(32, 40), (20, 40), (32, 40)]
    assert abs(masks[0].mean() - 0.2) < 0.001
    np.testing.assert_array_equal(masks[0], masks[2])
    task = ["--task", "inpainting_random", *fast(prior)]
    assert run("restore", "out/a.png", "-o", "a.png", "--mask", "out/a.mask.png", *task)[0] == 0
    assert run("restore", "out/a.png", "-o", "b.png", *task)[0] == 0  # the mask beside it
    np.testing.assert_array_equal(images.load(tmp_path / "a.png"), images.load(tmp_path / "b.png"))
    given = ["--task", "inpainting_random", "--mask", "out/a.mask.png"]
    assert run("degrade", "in/a.png", "-o", "given.png", *given)[0] == 0
    assert not (tmp_path / "given.mask.png").exists()


def test_a_mask_of_another_size_is_named_with_its_picture(run, tmp_path):
    for name, picture in {"a.png": PHOTO, "b.png": PHOTO[:20], "mask.png": PHOTO}.items():
        images.save(tmp_path / ("in" if name != "mask.png" else ".") / name, picture)
    code, _, err = run("degrade", "in", "-o", "out", "--task", "inpainting_box", "--mask", "mask.png")
    assert code == 1
    assert "  in/b.png: mask.png has 32x40 pixels, expected the picture's 20x40" in err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.png"]


def test_a_mask_that_exists_is_found_before_anything_is_written(run, tmp_path):
    for name in ("a.png", "b.png"):
        images.save(tmp_path / "in" / name, PHOTO)
    images.save(tmp_path / "out" / "b.mask.png", PHOTO)
    code, _, err = run("degrade", "in", "-o", "out", "--task", "inpainting_box")
    assert code == 1
    assert "b.mask.png exists" in err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b.mask.png"]


@pytest.mark.slow
def test_kernels_are_written_and_read_back(run, tmp_path, prior):
    images.save(tmp_path / "in.png", PHOTO)
    assert run("degrade", "in.png", "-o", "m.png", "--task", "motion_deblur", "--option", "kernel_size=9")[0] == 0
    kernel = images.read(tmp_path / "m.kernel.png")
    assert (kernel.pixels.shape, kernel.depth) == ((9, 9, 1), 16)
    words = ["restore", "m.png", "-o", "c.png", "--task", "motion_deblur", "--kernel", "m.kernel.png"]
    assert run(*words, *fast(prior))[0] == 0


def test_one_seed_draws_one_mask_for_all_commands(run, tmp_path, prior, monkeypatch):
    drawn = []

    def spy(*args, **kwargs):
        drawn.append(jr.task(*args, **kwargs))
        return drawn[-1]

    monkeypatch.setattr(_task_choice, "task", spy)
    images.save(tmp_path / "in" / "a.png", PHOTO)
    task = ["--task", "inpainting_random", "--seed", 3]
    assert run("degrade", "in/a.png", "-o", "y.png", *task)[0] == 0
    assert run("evaluate", "in", *task, *fast(prior))[0] == 0
    masks = [np.asarray(task.degradation.operator.mask) for task in drawn]
    assert len(masks) == 2
    for mask in masks:
        np.testing.assert_array_equal(mask[..., 0], images.load(tmp_path / "y.mask.png")[..., 0] > 0)
