"""Priors of one channel and of classes, from the command line: grey pictures stay grey, and a class must be chosen."""

import json

import numpy as np
import pytest
from cli_words import PHOTO, fast
from conftest import smallest_network

import jaxrestore as jr
from jaxrestore import images
from jaxrestore.cli import _prior
from jaxrestore.priors import PriorError

pytest_plugins = ["cli_fixtures"]

GREY = PHOTO[:32, :32, :1]
COLOUR = PHOTO[:32, :32]
CLASSES = 7


@pytest.fixture(scope="module")
def grey_prior(tmp_path_factory):
    """The folder of a network of one channel."""
    network = smallest_network(in_channels=1, out_channels=1)
    return jr.save_prior(tmp_path_factory.mktemp("priors") / "grey", network)


@pytest.fixture(scope="module")
def class_prior(tmp_path_factory):
    """The folder of a network of several classes."""
    return jr.save_prior(tmp_path_factory.mktemp("priors") / "classes", smallest_network(num_classes=CLASSES))


class TestGrey:
    @pytest.mark.parametrize(("task", "side"), [("super_resolution", 64), ("inpainting_random", 32)])
    def test_grey_pictures_are_restored_as_grey_pictures(self, run, tmp_path, grey_prior, task, side):
        images.save(tmp_path / "in.png", GREY)
        images.save(tmp_path / "mask.png", np.where(GREY > 0, 1.0, -1.0).astype(np.float32))
        words = {"super_resolution": ["--option", "factor=2"], "inpainting_random": ["--mask", "mask.png"]}[task]
        code, _, error = run("restore", "in.png", "-o", "out.png", "--task", task, *words, *fast(grey_prior))
        assert code == 0, error
        assert images.read(tmp_path / "out.png").pixels.shape == (side, side, 1)

    def test_colour_pictures_that_are_grey_are_taken_for_grey(self, run, tmp_path, grey_prior):
        images.save(tmp_path / "in.png", np.repeat(GREY, 3, axis=2))
        images.save(tmp_path / "same.png", GREY)
        for name in ("in", "same"):
            words = ["--task", "denoising", *fast(grey_prior)]
            code, _, error = run("restore", f"{name}.png", "-o", f"{name}-out.png", *words)
            assert code == 0, error
        out, same = (images.read(tmp_path / f"{name}-out.png") for name in ("in", "same"))
        assert out.mode == "grey"
        np.testing.assert_array_equal(out.pixels, same.pixels)

    @pytest.mark.parametrize(
        "words",
        [
            ["restore", "in.png", "-o", "out.png"],
            ["evaluate", "."],
            ["tune", "--data", ".", "-o", "best.json", "--size", 32, "--grid", "sigma_min=0.01,0.1"],
        ],
    )
    def test_pictures_in_colour_are_refused_with_the_mend(self, run, tmp_path, grey_prior, words):
        images.save(tmp_path / "in.png", COLOUR)
        code, _, error = run(*words, "--task", "denoising", *fast(grey_prior))
        assert code == 1
        assert "in.png is in colour, and the prior knows grey pictures only; make it grey first" in error

    def test_grey_pictures_are_evaluated_and_saved_as_grey(self, run, tmp_path, grey_prior):
        (tmp_path / "in").mkdir()
        images.save(tmp_path / "in" / "a.png", GREY)
        words = ["evaluate", "in", "-o", "scores.json", "--save", "out", "--task", "denoising"]
        code, _, error = run(*words, *fast(grey_prior))
        assert code == 0, error
        assert images.read(tmp_path / "out" / "a.png").mode == "grey"
        (picture,) = json.loads((tmp_path / "scores.json").read_text())["pictures"]
        assert picture["shape"] == [32, 32, 1]
        assert all(np.isfinite(list(picture["restored"].values())))

    @pytest.mark.slow
    def test_settings_are_tuned_on_grey_pictures(self, run, tmp_path, grey_prior):
        (tmp_path / "in").mkdir()
        images.save(tmp_path / "in" / "a.png", GREY)
        words = ["tune", "--data", "in", "-o", "best.json", "--size", 32, "--grid", "learning_rate=0.5,1"]
        code, _, error = run(*words, "--task", "denoising", *fast(grey_prior))
        assert code == 0, error
        assert json.loads((tmp_path / "best.json").read_text())["tuned_at"] == [32, 32, 1]

    def test_nothing_is_coloured_by_a_prior_of_grey_pictures(self, run, tmp_path, grey_prior):
        images.save(tmp_path / "in.png", GREY)
        code, _, error = run("restore", "in.png", "-o", "out.png", "--task", "colorization", *fast(grey_prior))
        assert code == 1
        assert "colorization makes pictures in colour, and the prior knows pictures of 1 channels" in error

    @pytest.mark.parametrize(("channels", "folder"), [(1, "prior"), (3, "grey_prior"), (2, "prior")])
    def test_arrays_have_the_channels_of_the_prior(self, run, tmp_path, request, channels, folder):
        np.save(tmp_path / "in.npy", np.random.default_rng(0).uniform(-1, 1, (16, 16, channels)))
        prior = request.getfixturevalue(folder)
        code, _, error = run("restore", "in.npy", "-o", "out.png", "--task", "denoising", *fast(prior))
        assert code == 1
        assert "in.npy" in error

    def test_channels_may_differ_by_what_profiles_leave(self, tmp_path):
        almost = np.repeat(GREY, 3, axis=2) + np.float32([0, 0.003, 0])
        assert _prior.known_clean(almost, 1, tmp_path).shape == (32, 32, 1)
        with pytest.raises(images.ImageError, match="is in colour"):
            _prior.known_clean(almost + np.float32([0, 0.003, 0]), 1, tmp_path)


class TestClasses:
    def test_a_class_is_asked_for(self, run, tmp_path, class_prior):
        images.save(tmp_path / "in.png", GREY)
        code, _, error = run("restore", "in.png", "-o", "out.png", "--task", "denoising", *fast(class_prior))
        assert code == 2
        assert "knows 7 classes of pictures: choose one by --label 0 to 6" in error

    @pytest.mark.slow
    def test_the_class_changes_the_result(self, run, tmp_path, class_prior):
        images.save(tmp_path / "in.png", COLOUR)
        for label in (0, 6):
            words = ["--task", "denoising", "--label", label, *fast(class_prior)]
            code, _, error = run("restore", "in.png", "-o", f"{label}.png", *words)
            assert code == 0, error
        assert (images.load(tmp_path / "0.png") != images.load(tmp_path / "6.png")).any()

    @pytest.mark.parametrize(
        ("folder", "label", "message"),
        [
            ("class_prior", 7, "label is 7, expected one of this prior's 7 classes, 0 to 6"),
            ("class_prior", -1, "label is -1, expected one of this prior's 7 classes"),
            ("prior", 0, "label is 0, but this prior knows no classes; leave it out"),
        ],
    )
    def test_classes_that_there_are_not_are_refused(self, run, tmp_path, request, folder, label, message):
        images.save(tmp_path / "in.png", GREY)
        words = ["--task", "denoising", "--label", label, *fast(request.getfixturevalue(folder))]
        code, _, error = run("restore", "in.png", "-o", "out.png", *words)
        assert code == 1
        assert message in error

    def test_results_say_which_class(self, run, tmp_path, class_prior):
        (tmp_path / "in").mkdir()
        images.save(tmp_path / "in" / "a.png", COLOUR)
        words = ["evaluate", "in", "-o", "out.json", "--task", "denoising", "--label", 6]
        code, _, error = run(*words, *fast(class_prior))
        assert code == 0, error
        assert json.loads((tmp_path / "out.json").read_text())["label"] == 6

    ANGLES = ("analyze", "in.png", "--task", "denoising", "--method", "spgd", "--size", 32, "--steps", 2)

    def test_angles_need_a_class_too(self, run, tmp_path, class_prior):
        pytest.importorskip("matplotlib")
        images.save(tmp_path / "in.png", COLOUR)
        code, _, error = run(*self.ANGLES, "--prior", class_prior)
        assert code == 2
        assert "choose one by --label 0 to 6" in error

    @pytest.mark.slow
    def test_angles_are_drawn_for_a_class(self, run, tmp_path, class_prior):
        pytest.importorskip("matplotlib")
        images.save(tmp_path / "in.png", COLOUR)
        code, _, error = run(*self.ANGLES, "--warmup-steps", 2, "--prior", class_prior, "--label", 1)
        assert code == 0, error

    def test_a_class_is_chosen_when_loading(self, class_prior):
        prior = jr.load_prior(class_prior, label=5)
        assert prior.label is not None
        assert int(prior.label) == 5
        with pytest.raises(ValueError, match="label is 8"):
            jr.load_prior(class_prior, label=8)
        with pytest.raises(PriorError, match="holds no prior"):
            jr.load_prior("absent", label=8)
