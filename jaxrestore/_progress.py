"""Progress bars: of steps, and of bytes."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def step_bar(total: int, *, enabled: bool) -> Iterator[Callable[[int], Any]]:
    """A function that advances a bar by so many steps of `total`, or does nothing."""
    if not enabled:
        yield lambda steps: None
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
        yield lambda steps: bar.advance(task, steps)


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
