"""The pictures of the site: each shows what its record says, and what is finished stays."""

import json
import sys

import jax
import numpy as np
import pytest
from conftest import smallest_network

import jaxrestore as jr
from benchmarks import _photographs
from jaxrestore import evaluation, images
from scripts import pictures
from scripts.drawn import angles, gallery, records, sheets, strips


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
        images.save(tmp_path / "clean" / f"{name}.png", rng.uniform(-1, 1, (64, 64, 3)).astype(np.float32))
    paths = images.find(tmp_path / "clean")
    return _photographs.Photographs(paths, np.stack([images.load(path) for path in paths]))


def start(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["pictures", *map(str, words)])
    pictures.main()


def test_every_task_is_shown_or_left_out_for_a_reason():
    assert {*gallery.TASKS, *gallery.LEFT_OUT} == {*jr.TASKS}
    assert all(gallery.LEFT_OUT.values())
    assert {*gallery.WHOLE} <= {*gallery.TASKS}


def test_the_gallery_is_made_of_what_its_records_say(prior, photographs, tmp_path, monkeypatch, capsys):
    folder = photographs.paths[0].parent
    words = ("gallery", folder, "--tasks", "super_resolution", "compressed_sensing", "--out", tmp_path)
    start(monkeypatch, *words)
    made = {name: json.loads((tmp_path / "gallery" / f"{name}.json").read_text()) for name in words[3:5]}
    record = made["super_resolution"]
    assert [*record["pictures"]] == ["a.png", "b.png"]
    assert record["mean"]["psnr"] == pytest.approx(np.mean([s["psnr"] for s in record["pictures"].values()]))
    assert record["settings"]["evaluations"] == 12
    assert {"lpips", "prior", "revision", "processor"} <= {
        *record["mean"],
        *record,
        *record["environment"],
    }
    sheet = images.load(tmp_path / "gallery" / "super_resolution.jpg")
    assert sheet.shape == (3 * 64 + 2 * sheets.GAP, 2 * 64 + sheets.GAP, 3)
    truth = sheet[-64:, :64]
    assert np.abs(truth - photographs.stack[0]).mean() < 0.3  # as near as JPEG keeps noise
    assert np.abs(truth - photographs.stack[1]).mean() > 0.5
    capsys.readouterr()
    start(monkeypatch, *words)
    assert capsys.readouterr().out.splitlines() == ["super_resolution is there", "compressed_sensing is there"]


def test_other_photographs_or_settings_make_a_sheet_due(prior, photographs, tmp_path, monkeypatch):
    words = ("gallery", photographs.paths[0].parent, "--tasks", "denoising", "--out", tmp_path)
    start(monkeypatch, *words)
    record, picture = (tmp_path / "gallery" / f"denoising.{suffix}" for suffix in ("json", "jpg"))
    task = jr.task("denoising", image_shape=(64, 64, 3))
    facts = gallery.facts_of(task, photographs, prior)
    assert not records.due(record, picture, facts)
    assert records.due(record, picture, {**facts, "settings": {**facts["settings"], "evaluations": 13}})
    assert records.due(record, picture, {**facts, "pixels_sha256": "of others"})
    picture.unlink()
    assert records.due(record, picture, facts)


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


def test_a_run_that_diverged_has_no_scores_and_no_picture(prior, photographs, tmp_path, monkeypatch):
    strip = strips.Strip("super_resolution", {"learning_rate": (1e30,)})
    monkeypatch.setitem(strips.STRIPS, "spgd", strip)
    start(monkeypatch, "settings", photographs.paths[0], "--size", 32, "--methods", "spgd", "--out", tmp_path)
    record = json.loads((tmp_path / "settings" / "spgd.json").read_text())
    assert record["rows"]["learning_rate"] == [{"value": 1e30, "psnr": None, "lpips": None}]
    sheet = images.load(tmp_path / "settings" / "spgd.jpg")
    middle = sheet[4:28, 32 + sheets.GAP + 4 : 64]
    assert (middle > 0.9).all()


def test_every_method_has_a_strip_of_settings_that_it_has():
    assert {*strips.STRIPS} == {*jr.METHODS}
    for method, strip in strips.STRIPS.items():
        task = jr.task(strip.task, image_shape=(64, 64, 3))
        assert task.definition.stored != "array"
        for name in strip.rows:
            for value in strips.values_of(task, method, name):
                task.sampler(method, **{name: value})  # refuses what is out of range


def test_the_angles_are_drawn_and_told(prior, photographs, tmp_path):
    pytest.importorskip("matplotlib")
    small = {"steps": 2, "warmup_steps": 2}
    photograph = _photographs.Photographs(photographs.paths[:1], photographs.stack[:1, :32, :32])
    assert angles.make(photograph, prior, tmp_path, **small)
    variants = json.loads((tmp_path / "angles.json").read_text())["variants"]
    assert {"spgd", "spgd, no momentum", "dps", "dps, both"} <= {*variants}
    assert all(0 <= told["angle_likelihood"] <= 180 for told in variants.values())
    assert images.load(tmp_path / "angles.png").shape[1] > 500
    assert not angles.make(photograph, prior, tmp_path, **small)


def test_rows_break_like_text():
    rows = [[np.full((2, 2, 3), value, np.float32) for value in (-1, 0, 1)] for _ in range(2)]
    sheet = sheets.blocks(rows, 2)
    gap = sheets.GAP
    assert sheet.shape == (2 * (2 * (2 + gap)) + 2 * gap - gap, 4 + gap, 3)
    assert (sheet[:2, :2] == 0).all()
    assert (sheet[:2, 2 + gap :] == 128).all()
    assert (sheet[-2:, 2 + gap :] == 255).all()  # the third has none beside it
