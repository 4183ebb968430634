"""Progress bars: of steps, and of bytes."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class StepBar(NamedTuple):
    """What moves a bar."""

    advance: Callable[[int], Any]  # by so many steps
    expect: Callable[[int], Any]  # so many steps from here on


@contextlib.contextmanager
def step_bar(total: int, *, enabled: bool) -> Iterator[StepBar]:
    """A bar of `total` steps, or one that is not shown."""
    if not enabled:
        yield StepBar(lambda steps: None, lambda steps: None)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Rate(TextColumn):
        def render(self, task):
            speed = task.finished_speed or task.speed
            self.text_format = f"{speed:.2f} steps/s" if speed else "compiling"
            return super().render(task)

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        Rate(""),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(TextColumn("restoring"), *columns, speed_estimate_period=120) as bar:
        task = bar.add_task("", total=total)
        yield StepBar(
            lambda steps: bar.advance(task, steps),
            lambda steps: bar.update(task, total=bar.tasks[task].completed + steps),
        )


@contextlib.contextmanager
def byte_bar(name: str, total: int, done: int) -> Iterator[Callable[[int], Any]]:
    """A function that advances a bar by so many bytes of `total`; on standard error, and only where a person looks."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TextColumn("left"), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(TextColumn(name), *columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda count: bar.advance(task, count)
