"""Progress bars: of steps, and of bytes."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class StepBar(NamedTuple):
    """What moves a bar."""

    advance: Callable[[int], Any]  # by so many steps
    expect: Callable[[int], Any]  # so many steps from here on


@contextlib.contextmanager
def step_bar(total: int, *, enabled: bool, of_batch: int, pictures: int) -> Iterator[StepBar]:
    """A bar of `total` steps, or one that is not shown.

    It is advanced by 0 when the first program is compiled and runs: so the first piece that is done has a rate already,
    and the time that is left can be told.

    Args:
      total: Steps in all.
      enabled: Whether the bar is shown.
      of_batch: Steps of each batch, of which the bar counts the batches.
      pictures: Number of pictures.
    """
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
            begun = "first steps" if task.fields["begun"] else "compiling"
            self.text_format = f"{speed:.2f} steps/s" if speed else begun
            return super().render(task)

    class Where(TextColumn):
        def render(self, task):
            self.text_format = where(int(task.completed), int(task.total or total), of_batch, pictures)
            return super().render(task)

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        Rate(""),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(Where(""), *columns, speed_estimate_period=120) as bar:
        task = bar.add_task("", total=total, begun=False)

        def advance(steps: int) -> None:
            bar.update(task, begun=True)
            bar.advance(task, steps)

        yield StepBar(advance, lambda steps: bar.update(task, total=bar.tasks[task].completed + steps))


def where(done: int, total: int, of_batch: int, pictures: int) -> str:
    """What is running: how many pictures, and which batch of them."""
    batches = max(1, -(-total // of_batch))
    what = "restoring" if pictures == 1 else f"restoring {pictures} pictures"
    return f"{what}, batch {min(done // of_batch + 1, batches)} of {batches}" if batches > 1 else what


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
