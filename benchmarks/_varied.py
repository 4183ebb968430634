"""Methods with several of their settings over a folder of clean pictures, for the benchmarks that compare these."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax

import jaxrestore as jr
from benchmarks import _cells, _metrics, _photographs, _run, quality, render
from jaxrestore import methods

Variants = Iterable[tuple[str, Mapping[str, Any]]]  # words for each, and what is changed of the task's settings


def parser(text: str | None, tasks: Sequence[str], names: Sequence[str]) -> argparse.ArgumentParser:
    """A parser of what these benchmarks have in common, for some tasks and methods."""
    common = _run.parser(text)
    _photographs.add_options(common, size=128)
    common.add_argument("--tasks", nargs="+", default=tasks, choices=tasks)
    common.add_argument("--methods", nargs="+", default=names, choices=names)
    _metrics.add_options(common)
    _cells.add_options(common)
    return common


def measure(benchmark: str, arguments: argparse.Namespace, variants: Callable[[jr.Task, str], Variants]) -> None:
    """Measure the cells "task/method, words" that are due, then print the table.

    Args:
      benchmark: Name of the result file.
      arguments: Those of `parser`.
      variants: Of a task and a method's name, what is tried.
    """
    lpips = _metrics.load(arguments)
    photographs = _photographs.load(arguments)
    cells = _cells.Cells(_metrics.file_name(benchmark, lpips), arguments)
    prior = jr.load_prior("photo")
    for name in arguments.tasks:
        task = jr.task(name, image_shape=photographs.stack.shape[1:], key=jax.random.key(1))
        for method in (m for m in arguments.methods if m in methods.able(task.degradation.operator)):
            for words, changed in variants(task, method):
                label = f"{name}/{method}, {words}"
                if quality.measure(cells, label, task, method, prior, photographs, lpips, changed) is not None:
                    print(label, flush=True)
    if cells.path.exists():
        render.render(cells.path)
