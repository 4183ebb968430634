"""The pictures of the site: each shows what its record says, and what is finished stays."""

import json
import sys

import jax
import numpy as np
import pytest
from conftest import smallest_network

import jaxrestore as jr
from benchmarks import _photographs, quality
from jaxrestore import analysis, evaluation, images
from scripts import pictures
from scripts.drawn import angles, gallery, records, sheets, strips
from scripts.site import gallery as site_gallery
from scripts.site import provenance
from scripts.site import strips as site_strips


@pytest.fixture
def prior(monkeypatch):
    """The smallest network under the bundled prior's name."""
    network = smallest_network()
    monkeypatch.setattr(jr, "load_prior", {"photo": network}.__getitem__)
    return network


@pytest.fixture
def photographs(tmp_path):
    """A folder of two pictures of 64x64."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        patches = np.kron(rng.uniform(-1, 1, (4, 4, 1)), np.ones((16, 16, 3)))
        images.save(tmp_path / "clean" / f"{name}.png", patches.astype(np.float32))
    paths = images.find(tmp_path / "clean")
    return _photographs.Photographs(paths, np.stack([images.load(path) for path in paths]))


def start(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["pictures", *map(str, words)])
    pictures.main()


def test_every_task_is_shown_or_left_out_for_a_reason():
    assert {*gallery.TASKS, *gallery.LEFT_OUT} == {*jr.TASKS}
    assert all(gallery.LEFT_OUT.values())
    assert {*gallery.WHOLE} <= {*gallery.TASKS}


@pytest.mark.slow
def test_a_sheet_shows_what_its_record_says_and_is_made_once(prior, photographs, tmp_path, monkeypatch, capsys):
    words = ("gallery", photographs.paths[0].parent, "--tasks", "compressed_sensing", "--out", tmp_path)
    start(monkeypatch, *words)
    record, picture = (tmp_path / "gallery" / f"compressed_sensing.{suffix}" for suffix in ("json", "jpg"))
    told = json.loads(record.read_text())
    assert [*told["pictures"]] == ["a.png", "b.png"]
    assert told["mean"]["lpips"] == pytest.approx(np.mean([scores["lpips"] for scores in told["pictures"].values()]))
    task = jr.task("compressed_sensing", image_shape=(64, 64, 3))
    assert told["settings"]["evaluations"] == jr.METHODS["pspgd"].complete(task.for_method("pspgd"))["evaluations"]
    assert {"prior", "revision", "date", "environment", "lpips_variant"} <= told.keys()
    sheet = images.load(picture)
    assert sheet.shape == (3 * 64 + 2 * sheets.GAP, 2 * 64 + sheets.GAP, 3)
    for left, truth in zip((0, 64 + sheets.GAP), photographs.stack, strict=True):
        assert np.abs(sheet[-64:, left : left + 64] - truth).mean() < 0.05  # JPEG's error

    facts = gallery.facts_of(task, photographs, prior)
    assert not records.due(record, picture, facts)
    assert records.due(record, picture, {**facts, "settings": {**facts["settings"], "evaluations": -1}})
    assert records.due(record, picture, {**facts, "files_sha256": "of others"})
    capsys.readouterr()
    start(monkeypatch, *words)
    assert capsys.readouterr().out == "compressed_sensing is there\n"
    page = site_gallery.pages(tmp_path / "gallery")["results/gallery.md"]
    assert "](../pictures/gallery/compressed_sensing.jpg)" in page
    assert f"| a | {told['pictures']['a.png']['psnr']:.1f} |" in page
    assert f"to {told['mean']['psnr']:.1f} dB" in page
    assert "To be made: `super_resolution`" in page
    picture.unlink()
    assert records.due(record, picture, facts)


def test_what_is_measured_is_shown_at_the_images_size():
    small = jr.task("super_resolution", image_shape=(8, 8, 3), factor=2)
    y = np.arange(48, dtype=np.float32).reshape(4, 4, 3)
    shown = sheets.measured(small, y)
    assert shown is not None
    assert (shown[::2, 1::2] == y).all()
    grey = sheets.measured(jr.task("colorization", image_shape=(8, 8, 3)), np.zeros((8, 8, 1), np.float32))
    assert grey is not None
    assert grey.shape == (8, 8, 3)
    sensed = jr.task("compressed_sensing", image_shape=(8, 8, 3))
    assert sheets.measured(sensed, np.zeros(sensed.degradation.measurement_shape, np.float32)) is None


@pytest.mark.slow
def test_a_strip_shows_each_value_of_its_settings(prior, photographs, tmp_path, monkeypatch):
    strip = strips.Strip("super_resolution", {"scale": strips.Times((0.5, 1)), "num_steps": (2, 3)})
    monkeypatch.setitem(strips.STRIPS, "pigdm", strip)
    start(monkeypatch, "settings", photographs.paths[1], "--size", 64, "--methods", "pigdm", "--out", tmp_path)
    record = json.loads((tmp_path / "settings" / "pigdm.json").read_text())
    assert [cell["value"] for cell in record["rows"]["scale"]] == [0.5, 1.0]
    assert record["photograph"] == "b.png"
    assert images.load(tmp_path / "settings" / "pigdm.jpg").shape[1] == 4 * (64 + sheets.GAP) - sheets.GAP
    # The same as without tracing the scale, or compiling for it alone.
    task = jr.task("super_resolution", image_shape=(64, 64, 3), key=jax.random.key(1))
    key_noise, key = jax.random.split(jax.random.key(0))
    truth = photographs.stack[1]
    y = evaluation.measure(task.degradation, truth[None], key_noise)[0]
    for setting, place, value in (("scale", 0, 0.5), ("num_steps", 1, 3)):
        image = jax.jit(task.sampler("pigdm", **{setting: value}).sample)(key, prior, task.degradation, y).image
        expected = evaluation.score(np.asarray(image), truth)
        assert record["rows"][setting][place]["psnr"] == pytest.approx(expected.psnr, abs=0.02)
    told = site_strips.strip("pigdm", tmp_path / "settings")
    assert "![A crop of the photograph b, super resolution by pigdm: measured, restored with scale of 0.5, 1;" in told
    assert f"| PSNR | {record['rows']['num_steps'][0]['psnr']:.1f} |" in told
    assert "`scale=1`, `num_steps=50`" in told  # those of the task


@pytest.mark.slow
def test_a_run_that_diverged_has_no_scores_and_no_picture(prior, photographs, tmp_path, monkeypatch):
    strip = strips.Strip("super_resolution", {"learning_rate": (1e30,)})
    monkeypatch.setitem(strips.STRIPS, "spgd", strip)
    start(monkeypatch, "settings", photographs.paths[0], "--size", 32, "--methods", "spgd", "--out", tmp_path)
    record = json.loads((tmp_path / "settings" / "spgd.json").read_text())
    assert record["rows"]["learning_rate"] == [{"value": 1e30, "psnr": None, "lpips": None}]
    sheet = images.load(tmp_path / "settings" / "spgd.jpg")
    middle = sheet[4:28, 32 + sheets.GAP + 4 : 64]
    assert (middle > 0.9).all()
    assert "| PSNR | diverged |" in site_strips.strip("spgd", tmp_path / "settings")


def test_every_method_has_a_strip_of_settings_that_it_has():
    assert {*strips.STRIPS} == {*jr.METHODS}
    for method, strip in strips.STRIPS.items():
        task = jr.task(strip.task, image_shape=(64, 64, 3))
        assert task.definition.stored != "array"
        for name in strip.rows:
            for value in strips.values_of(task, method, name):
                task.sampler(method, **{name: value})  # refuses what is out of range


@pytest.mark.slow
def test_the_angles_are_drawn_and_told(prior, photographs, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.delitem(analysis.VARIANTS, "spgd")  # fewer programs to compile
    small = {"steps": 2, "warmup_steps": 2}
    photograph = _photographs.Photographs(photographs.paths[:1], photographs.stack[:1, :32, :32])
    assert angles.make(photograph, prior, tmp_path, **small)
    variants = json.loads((tmp_path / "angles.json").read_text())["variants"]
    assert [*variants] == ["dps", "dps, momentum", "dps, warm-up", "dps, both"]
    assert all(0 <= told["angle_likelihood"] <= 180 for told in variants.values())
    assert images.load(tmp_path / "angles.png").shape[1] > 500
    assert not angles.make(photograph, prior, tmp_path, **small)
    assert f"| `dps` | {variants['dps']['angle_likelihood_denoising']:.0f} |" in site_strips.angles("spgd", tmp_path)


def test_what_is_not_made_yet_names_its_command(tmp_path):
    assert "scripts.pictures gallery" in site_gallery.pages(tmp_path)["results/gallery.md"]
    assert "scripts.pictures settings" in site_strips.strip("dps", tmp_path)
    assert "scripts.pictures angles" in site_strips.angles("spgd", tmp_path)


def test_authors_are_named_of_what_is_shown():
    told = provenance.credits_of(["red_leaves.png", "coffee.png", "mine.png"])
    assert "red leaves by W.carter" in told
    assert "CC-BY-SA-4.0" in told
    assert "mine" not in told
    assert provenance.credits_of(["mine.png"]) == ""


def test_rows_break_like_text():
    rows = [[np.full((2, 2, 3), value, np.float32) for value in (-1, 0, 1)] for _ in range(2)]
    sheet = sheets.blocks(rows, 2)
    gap = sheets.GAP
    assert sheet.shape == (2 * (2 * (2 + gap)) + 2 * gap - gap, 4 + gap, 3)
    assert (sheet[:2, :2] == 0).all()
    assert (sheet[:2, 2 + gap :] == 128).all()
    assert (sheet[-2:, 2 + gap :] == 255).all()  # the third has none beside it


def test_pictures_of_an_earlier_prior_or_other_settings_are_called_so():
    task = jr.task("super_resolution", image_shape=(64, 64, 3))
    facts = {"task": "super_resolution", "method": "dps", "shape": [1, 64, 64, 3], **quality.facts_of(task, "dps")}
    assert provenance.warning(facts) == ""
    assert "earlier" in provenance.warning({**facts, "prior": "of another"})
    assert "earlier" in provenance.warning({**facts, "settings": {**facts["settings"], "num_steps": 7}})
    assert provenance.warning({"prior": facts["prior"]}) == ""
