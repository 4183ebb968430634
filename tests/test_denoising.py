"""The benchmarks of a prior alone: PSNR of denoising as the papers measure it, and whether grey stays grey."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import isotropic, network

from benchmarks import denoising, tint
from jaxrestore import images
from jaxrestore._pytree import pytree


@pytree
class Unchanged:
    """A denoiser that returns its input."""

    def denoise(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        return x


@pytree
class Told:
    """A denoiser that returns the noise level."""

    def denoise(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        return jnp.full_like(x, sigma)


def grey(*shapes):
    """Grey pictures, 128 of 255, far from where noise would be clipped."""
    clean = [np.full((*shape, 3), 128 / 127.5 - 1, np.float32) for shape in shapes]
    return denoising.Pictures([pathlib.Path(f"{i}.png") for i in range(len(clean))], clean)


@pytest.mark.parametrize("sigma", [5, 25])
def test_a_denoiser_that_does_nothing_scores_what_its_noise_leaves(sigma):
    """20 log10(255 / sigma), less what rounding to 8 bits adds to the error: 1/12 of a level squared."""
    cell = denoising.measure(Unchanged(), grey((64, 48), (33, 50)), sigma)
    expected = 20 * np.log10(255) - 10 * np.log10(sigma**2 + 1 / 12)
    assert cell["psnr"] == pytest.approx(expected, abs=0.1)
    assert cell["psnr"] == pytest.approx(np.mean(list(cell["pictures"].values())))
    assert set(cell["pictures"]) == {"0.png", "1.png"}


def test_strong_noise_is_given_to_the_prior_as_it_is_and_what_comes_back_is_clipped():
    x, level = denoising.noisy(grey((32, 32)).clean[0], 75, 0)
    assert np.abs(x).max() > 1.5
    assert level == pytest.approx(2 * 75 / 255)
    assert not np.allclose(x * 127.5, np.round(x * 127.5))
    bright = denoising.Pictures([pathlib.Path("a")], [np.ones((32, 32, 3), np.float32)])
    cell = denoising.measure(Unchanged(), bright, 25)
    assert cell["psnr"] == pytest.approx(20 * np.log10(255 / 25) + 10 * np.log10(2), abs=0.2)  # half of the noise


def test_the_prior_is_told_the_noise_level_on_its_own_scale():
    pictures = grey((8, 8))
    level = 2 * 25 / 255
    expected = denoising.psnr(np.full((8, 8, 3), level, np.float32), pictures.clean[0])
    assert denoising.measure(Told(), pictures, 25)["psnr"] == pytest.approx(expected, abs=1e-4)


def test_noise_depends_on_picture_and_strength_alone():
    clean = np.zeros((8, 8, 3), np.float32)
    first, level = denoising.noisy(clean, 15, 0)
    stronger, stronger_level = denoising.noisy(clean, 50, 0)
    np.testing.assert_allclose(first / level, stronger / stronger_level, rtol=1e-5)
    np.testing.assert_array_equal(first, denoising.noisy(clean, 15, 0)[0])
    assert not np.allclose(first, denoising.noisy(clean, 15, 1)[0])


@pytest.mark.slow
def test_pictures_may_have_sizes_that_the_network_pads():
    prior = network("edm", patch_size=2)  # a stride of 4
    cell = denoising.measure(prior, grey((17, 22), (16, 31)), 25)
    assert np.isfinite(list(cell["pictures"].values())).all()


def cells_of(shapes, *labels):
    return {label: {"psnr": 30.0 + i, "shapes": shapes} for i, label in enumerate(labels)}


def test_published_figures_stand_beside_those_of_cbsd68_only():
    labels = ("set/photo/50", "set/photo/15", "other/photo/15")
    table = denoising.table(cells_of({"321x481": 48, "481x321": 20}, *labels), "set")
    assert table.splitlines()[0] == "| PSNR, dB | sigma 15 | sigma 50 |"
    assert "| photo | 31.00 | 30.00 |" in table
    assert "| DRUNet (published) | 34.30 | 28.51 |" in table
    assert all(f"| {name} (published) |" in table for name in denoising.PUBLISHED)
    for shapes in ({"321x481": 67}, {"321x481": 67, "320x480": 1}, {"512x512": 68}):
        assert "published" not in denoising.table(cells_of(shapes, *labels), "set")


def test_published_figures_fall_with_the_noise():
    for row in denoising.PUBLISHED.values():
        figures = [row[sigma] for sigma in sorted(row)]
        assert figures == sorted(figures, reverse=True)
        assert set(row) <= set(denoising.SIGMAS)


def test_a_cell_states_its_pictures_and_its_prior(tmp_path):
    for index, clean in enumerate(grey((8, 8), (8, 8), (4, 8)).clean):
        images.save(tmp_path / f"{index}.png", clean)
    facts = denoising.load(tmp_path).facts
    assert facts["shapes"] == {"8x8": 2, "4x8": 1}
    images.save(tmp_path / "1.png", np.zeros((8, 8, 3), np.float32) + 0.5, overwrite=True)
    assert denoising.load(tmp_path).facts["files_sha256"] != facts["files_sha256"]
    assert len(denoising.prior_facts("photo")["prior"]) == 64


class TestTint:
    def test_a_colour_cast_is_found_with_its_size(self):
        """The closed form of pictures that hardly vary gives back their grey; a cast of four levels is put on it."""
        prior = isotropic((64, 64, 3), variance=1e-6, mean=0.25)
        clean = [np.full((64, 64, 3), 0.25, np.float32)]

        def faithful(x, level):
            return np.asarray(prior.denoise(jnp.asarray(x), level))

        def tinted(x, level):
            return faithful(x, level) + np.array([0, 0, 4 / 127.5], np.float32)

        assert tint.measure(faithful, clean, 25, patch=2)["tint"] < 1e-3
        found = tint.measure(tinted, clean, 25, patch=2)
        assert [found[name] for name in ("tint", "tint_at_border", "tint_of_whole")] == pytest.approx([4] * 3, abs=1e-3)
        assert found["grid_energy"] == pytest.approx(1, abs=0.9)  # a cast is no pattern

    def test_what_is_left_of_the_noise_is_as_large_as_the_noise(self):
        found = tint.measure(lambda x, level: x, tint.flat_pictures(64), 25, patch=2)
        assert found["tint"] == found["tint_of_noisy"]
        assert 1 < found["tint"] < 5  # the means of 1024 values of deviation 25 deviate by 0.8
        assert 0 < found["tint_of_whole"] < 2
        assert found["grid_energy"] == pytest.approx(1, abs=0.7)  # 45 squares of normal numbers deviate by a fifth
        assert found["grid_at_border_energy"] == pytest.approx(1, abs=0.7)

    def test_a_cast_at_the_border_is_told_from_one_elsewhere(self):
        picture = np.zeros((80, 80, 3), np.float32)
        picture[:40, :40, 0] = 0.1
        assert tint.tints(picture).max() == pytest.approx(12.75, rel=1e-5)
        assert tint.tints(picture)[-1].max() == 0
        assert tint.tints(picture).shape == (49, 49)

    @pytest.mark.parametrize("patch", [2, 3])
    @pytest.mark.parametrize("size", [64, 65])
    def test_a_pattern_of_the_patches_is_found(self, patch, size):
        """A level more in one pixel of every patch, under noise of a level; what is constant in it is no pattern."""
        error = np.random.default_rng(0).standard_normal((size, size, 3)) / 127.5
        at_grid, around = tint.grid_squares(error, patch)
        assert 0.3 < at_grid / around < 2
        error[::patch, ::patch] += 1 / 127.5
        at_grid, around = tint.grid_squares(error, patch)
        assert at_grid / around > 50
        assert 127.5**2 * at_grid == pytest.approx(patch**-2 - patch**-4, rel=0.2)

    def test_a_network_without_patches_has_no_grid(self):
        found = tint.measure(lambda x, level: x, tint.flat_pictures(40), 25, patch=1)
        assert all(name.startswith("tint") for name in found)

    def test_photographs_lose_their_colours(self):
        photographs = np.random.default_rng(0).uniform(-1, 1, (2, 4, 4, 3)).astype(np.float32)
        grey = tint.without_colour(photographs)
        assert grey.shape == photographs.shape
        assert np.ptp(grey, axis=-1).max() == 0


@pytest.mark.slow
def test_a_denoising_run_prints_its_table(tmp_path, monkeypatch, capsys):
    """Pictures of two sizes, and a prior of a folder."""
    monkeypatch.setattr(denoising._results, "RESULTS", tmp_path)
    monkeypatch.setattr(denoising, "prior_facts", lambda name: {"prior": name})
    monkeypatch.setattr(denoising.jr, "load_prior", lambda name: network("edm", channel_mult=(1,)))
    folder = tmp_path / "pictures"
    for i in range(2):
        images.save(folder / f"{i}.png", np.zeros((20 + i, 30, 3), np.float32))
    monkeypatch.setattr("sys.argv", ["denoising", str(folder), "--prior", "priors/mine", "--sigmas", "15", "50"])
    denoising.main()
    printed = capsys.readouterr().out
    assert "| PSNR, dB | sigma 15 | sigma 50 |" in printed
    assert "| mine | " in printed
    (written,) = tmp_path.glob("denoising-*.json")
    cell = json.loads(written.read_text())["cells"]["pictures/mine/15"]
    assert cell["shapes"] == {"20x30": 1, "21x30": 1}
    assert cell["environment"]["device"]
