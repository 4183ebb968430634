"""Cells of a result file: measured one by one, written as they come, kept from run to run.

A benchmark asks for each of its cells whether it is due, measures it, and writes it:

    cells = Cells("posterior", arguments)
    for label, facts in ...:
        if cells.due(label, facts):
            cells.write({label: {**facts, **measured}})

A run that was stopped, or ran out of its minutes, goes on with the same command.
"""

import argparse
import json
import math
import pathlib
import time
from collections.abc import Collection, Mapping
from typing import Any

from benchmarks import _metrics, _results

_OF_THE_FILE = ("benchmark", "date", "revision", "environment", "cells", "cases")  # not what its cells are made of
Facts = Mapping[str, Any]  # what a cell is made of: settings, prior, pictures, sizes


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that all benchmarks with cells have."""
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no further cell after this time")
    parser.add_argument("--again", action="store_true", help="measure finished cells again; all others are kept")


class Cells:
    """The cells of a benchmark's result file, by label."""

    def __init__(self, benchmark: str, options: argparse.Namespace) -> None:
        """Read what there is.

        Args:
          benchmark: Name of the result file.
          options: Those of `add_options`.
        """
        self.benchmark = benchmark
        self.path: pathlib.Path = _results.path(benchmark)
        self._stored = _read(benchmark)
        self.again: bool = options.again
        self._end = time.monotonic() + 60 * options.minutes
        self._told = False  # that time is over

    def due(self, label: str, facts: Facts, *, results: Collection[str] = ()) -> bool:
        """Whether a cell is to be measured now: it is missing, made of other things, lacks results, or asked for again.

        Once time is over nothing is due.

        Args:
          label: Of the cell.
          facts: What it is to be made of. Whoever measures it writes them into the cell, to be compared the next time.
          results: Names of what is to come out, which cells of earlier versions may lack.
        """
        cell = self._stored.get(label)
        if not self.again and cell is not None and _agrees(cell, facts) and set(results) <= set(cell):
            return False
        if time.monotonic() < self._end:
            return True
        if not self._told:
            rest = "cells that were not reached stay as they are" if self.again else "the same command goes on"
            print(f"out of time; {rest}", flush=True)
            self._told = True
        return False

    def write(self, measured: Mapping[str, Mapping[str, Any]]) -> None:
        """Put cells into the file, each with its own stamp, and leave all others as they are.

        The file is read again, so that what another process has written meanwhile stays.
        """
        stamp = _results.stamp()
        stamped = {label: {**cell, **stamp} for label, cell in measured.items()}
        _results.write(self.benchmark, {"cells": {**_read(self.benchmark), **stamped}})


def _read(benchmark: str) -> dict[str, dict[str, Any]]:
    """The cells of a result file.

    Files of earlier versions state once, beside the cells, what all of these have in common. Each cell takes that over
    here, for those that are measured from now on may be made of something else. The conversions had a list of cases.
    """
    report = _results.read(benchmark)
    common = {name: value for name, value in report.items() if name not in _OF_THE_FILE}
    cells = report.get("cells") or {case["case"]: case for case in report.get("cases", ())}
    return {label: {**_metrics.stated(cell), **common, **cell} for label, cell in cells.items()}


def _agrees(cell: Mapping[str, Any], facts: Facts) -> bool:
    """Whether all that a cell states of some facts is so. Cells of earlier versions state fewer, and stay finished."""
    asked = json.loads(json.dumps(facts))  # tuples are lists in the file
    return all(_is_stated(cell[name], value) for name, value in asked.items() if name in cell)


def _is_stated(stated: Any, asked: Any) -> bool:
    if isinstance(stated, dict) and isinstance(asked, dict):
        return stated.keys() <= asked.keys() and all(_is_stated(value, asked[name]) for name, value in stated.items())
    return stated == asked
