"""Benchmarks keep what they have measured: the loop over the cells of a result file."""

import argparse
import json
import math
import pathlib

import pytest

from benchmarks import _cells, _results, posterior
from benchmarks._truths import MEASURES, Problem

BRIGHT, DARK = {"settings": {"scale": 1.0}}, {"settings": {"scale": 2.0}}


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(_results, "RESULTS", tmp_path)
    return tmp_path


def opened(*, again: bool = False, minutes: float = math.inf) -> _cells.Cells:
    return _cells.Cells("test", argparse.Namespace(again=again, minutes=minutes))


def stored(benchmark: str = "test") -> dict:
    return _results.read(benchmark)["cells"]


def without_stamp(cell: dict) -> dict:
    return {name: value for name, value in cell.items() if name not in ("date", "revision", "environment")}


def test_a_cell_is_due_until_it_is_written():
    assert opened().due("a", BRIGHT)
    opened().write({"a": {**BRIGHT, "score": 1.0}})
    assert not opened().due("a", BRIGHT)
    assert opened().due("b", BRIGHT)


def test_a_cell_that_is_made_of_something_else_is_due():
    opened().write({"a": {**BRIGHT, "score": 1.0}})
    assert opened().due("a", DARK)
    assert opened().due("a", {"settings": {"strength": 1.0}})


def test_a_cell_is_compared_by_what_it_states():
    opened().write({"a": {"settings": {"scale": 1.0}}})
    assert not opened().due("a", {"settings": {"scale": 1.0, "num_steps": 5}, "prior": "checksum"})


def test_scores_that_name_no_lpips_are_of_the_variant_that_there_was_before_there_were_several():
    opened().write({"a": {**BRIGHT, "mean": {"lpips": 0.1}}, "b": BRIGHT})
    assert not opened().due("a", {**BRIGHT, "lpips_variant": "alex"})
    assert opened().due("a", {**BRIGHT, "lpips_variant": "vgg"})
    opened().write({"c": BRIGHT})
    assert stored()["a"]["lpips_variant"] == "alex"
    assert "lpips_variant" not in stored()["b"]


def test_a_cell_that_lacks_a_result_is_due():
    opened().write({"a": {**BRIGHT, "score": 1.0}})
    assert not opened().due("a", BRIGHT, results=("score",))
    assert opened().due("a", BRIGHT, results=("score", "coverage"))


def test_tuples_are_the_lists_that_the_file_has():
    opened().write({"a": {"values": (1, 2)}})
    assert not opened().due("a", {"values": (1, 2)})
    assert opened().due("a", {"values": (1, 2, 3)})


def test_writing_one_cell_leaves_all_others_as_they_are():
    opened().write({"a": {"score": 1.0}, "b": {"score": 2.0}})
    before = stored()
    cells = opened(again=True)
    assert cells.due("b", {})
    cells.write({"b": {"score": 3.0}, "c": {"score": 4.0}})
    assert stored()["a"] == before["a"]
    assert [without_stamp(stored()[label])["score"] for label in "abc"] == [1.0, 3.0, 4.0]


def test_cells_that_another_run_has_written_meanwhile_stay():
    first, second = opened(), opened()
    first.write({"a": {"score": 1.0}})
    second.write({"b": {"score": 2.0}})
    assert set(stored()) == {"a", "b"}


def test_each_cell_says_where_and_when_it_was_measured(monkeypatch):
    monkeypatch.setattr(_results, "REVISION", "first")
    opened().write({"a": {}})
    monkeypatch.setattr(_results, "REVISION", "second")
    opened().write({"b": {}})
    assert [stored()[label]["revision"] for label in "ab"] == ["first", "second"]
    assert stored()["a"]["environment"]["versions"]["jax"]
    assert _results.read("test")["revision"] == "second"


def test_out_of_time_nothing_is_due_and_it_is_said_once(results, capsys):
    cells = opened(minutes=0.0)
    assert not cells.due("a", BRIGHT)
    assert not cells.due("b", BRIGHT)
    assert capsys.readouterr().out.count("out of time") == 1
    assert not list(results.iterdir())


def test_out_of_time_again_would_begin_anew_and_does_not_say_otherwise(capsys):
    opened().write({"a": BRIGHT})
    assert not opened(again=True, minutes=0.0).due("a", BRIGHT)
    assert "stay as they are" in capsys.readouterr().out


def test_finished_cells_need_no_time(capsys):
    opened().write({"a": BRIGHT})
    assert not opened(minutes=0.0).due("a", BRIGHT)
    assert "out of time" not in capsys.readouterr().out


def test_an_interrupted_write_leaves_the_file_whole(results, monkeypatch):
    opened().write({"a": {"score": 1.0}})
    before = stored()

    def half(path: pathlib.Path, text: str) -> None:
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise KeyboardInterrupt

    cells = opened()
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_text", half)
        with pytest.raises(KeyboardInterrupt):
            cells.write({"b": {"score": 2.0}})
    assert stored() == before
    assert [path.name for path in results.iterdir()] == ["test-cpu.json"]


def test_what_an_older_file_states_of_all_cells_moves_into_each(results):
    report = {"benchmark": "test", "revision": "old", "tile": 64, "cells": {"a": {"score": 1.0}}}
    (results / "test-cpu.json").write_text(json.dumps(report))
    assert opened().due("a", {"tile": 32})
    assert not opened().due("a", {"tile": 64})
    opened().write({"b": {"tile": 32}})
    assert stored()["a"] == {"tile": 64, "score": 1.0}
    assert stored()["b"]["tile"] == 32


def test_an_older_list_of_cases_is_read_as_cells(results):
    (results / "test-cpu.json").write_text(json.dumps({"benchmark": "test", "cases": [{"case": "a", "seconds": 1.0}]}))
    assert not opened().due("a", {})
    opened().write({"b": {}})
    assert set(stored()) == {"a", "b"}


class Measurements:
    """Stands in for the posterior benchmark's measuring, and counts."""

    def __init__(self, monkeypatch) -> None:
        self.labels: list[str] = []
        self.stop_at: int | None = None
        monkeypatch.setattr(posterior, "measure", self)
        monkeypatch.setattr(posterior, "measure_exact", lambda problem: self("exact", problem))
        monkeypatch.setattr(posterior.render, "render", lambda file: None)

    def __call__(self, method: str, problem: Problem) -> dict:
        if len(self.labels) == self.stop_at:
            raise KeyboardInterrupt
        self.labels.append(f"8/0.1/{method}")
        return {"value": 0.1, **dict.fromkeys(MEASURES, float(len(self.labels)))}


@pytest.fixture
def measurements(monkeypatch):
    return Measurements(monkeypatch)


def run_posterior(monkeypatch, *words: str) -> dict:
    monkeypatch.setattr("sys.argv", ["posterior", "--problems", "8/0.1", *words])
    posterior.main()
    return stored("posterior")


@pytest.mark.slow
def test_again_for_one_method_keeps_all_other_cells(measurements, monkeypatch):
    before = run_posterior(monkeypatch, "--methods", "exact", "spgd", "dps", "ddnm")
    after = run_posterior(monkeypatch, "--methods", "dps", "--again")
    assert set(after) == set(before)
    assert {label for label in after if after[label] != before[label]} == {"8/0.1/dps"}


def test_a_changed_setting_of_a_method_measures_it_again(measurements, monkeypatch):
    run_posterior(monkeypatch, "--methods", "dps", "ddnm")
    measurements.labels.clear()
    changed = posterior.COMPARED["ddnm"]._replace(settings={"num_steps": 50})
    monkeypatch.setitem(posterior.COMPARED, "ddnm", changed)
    assert run_posterior(monkeypatch, "--methods", "dps", "ddnm")["8/0.1/ddnm"]["settings"] == {"num_steps": 50}
    assert measurements.labels == ["8/0.1/ddnm"]


def test_a_stopped_run_goes_on(measurements, monkeypatch):
    measurements.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        run_posterior(monkeypatch, "--methods", "exact", "spgd", "dps")
    assert set(stored("posterior")) == {"8/0.1/exact", "8/0.1/spgd"}
    measurements.stop_at = None
    run_posterior(monkeypatch, "--methods", "exact", "spgd", "dps")
    assert measurements.labels == ["8/0.1/exact", "8/0.1/spgd", "8/0.1/dps"]
