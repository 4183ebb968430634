"""Stopping on Ctrl-C and SIGTERM, without an exception in the middle of anything.

Python's own way, `KeyboardInterrupt` at whatever line is being run, does not suit programs that compile: a compilation
takes minutes in native code during which no exception can be raised, and one that is raised in a callback of the
compiler ends in a crash or is lost. Here a signal is noted. The program calls `check` where it can stop; where it does
not within a few seconds, or if a second signal comes, a thread removes what is half written and ends the process.

Nothing of this touches programs that use the library: only `watched`, which the command line calls, takes the signals.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

from jaxrestore.storage import temporary

_GRACE = 1.0  # seconds from a signal to the end of a program that does not stop by itself
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last not on Windows
_SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it


class Stopped(BaseException):
    """A signal asked the program to stop; no `Exception`, for what goes on after errors is not to go on after it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class _Watch:
    """What is known of signals while they are taken."""

    def __init__(self) -> None:
        self.number: int | None = None  # of the first signal
        self.grace = _GRACE
        self.woken, self.wake = socket.socketpair()
        self.wake.setblocking(False)
        self.over = False

    def note(self, number: int, _: object = None) -> None:
        """What Python calls between two instructions of the main thread; `follow` may have been told before."""
        self.number = self.number or number

    def follow(self) -> None:
        """Wait for a signal in a thread of its own: it is told while the main thread is in native code."""
        number = None
        while number is None and not self.over:
            number = self._next(None)
        if number is None:
            return
        self.note(number)
        told = time.monotonic()
        while not self.over and time.monotonic() < told + self.grace:  # which may change meanwhile
            if self._next(0.1) is not None:  # the second one
                break
        if not self.over:
            leave(number)

    def _next(self, seconds: float | None) -> int | None:
        """The number of the next signal; None where none came in time, or signals are taken no longer."""
        ready, _, _ = select.select([self.woken], [], [], seconds)
        received = self.woken.recv(1) if ready else b""
        self.over = self.over or bool(ready and not received)
        return received[0] if received and received[0] in _numbers() else None


_watch: _Watch | None = None


def _numbers() -> list[int]:
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Take SIGINT, SIGTERM and SIGHUP while the block runs; those that are ignored (`nohup`, background) stay ignored.

    Elsewhere than in the main thread, where Python allows no handlers, it does nothing.
    """
    global _watch
    if threading.current_thread() is not threading.main_thread() or _watch is not None:
        yield
        return
    watch = _watch = _Watch()
    taken = [number for number in _numbers() if signal.getsignal(number) is not signal.SIG_IGN]
    earlier_fd = signal.set_wakeup_fd(watch.wake.fileno(), warn_on_full_buffer=False)
    earlier = {number: signal.signal(number, watch.note) for number in taken}
    threading.Thread(target=watch.follow, daemon=True, name="signals").start()
    try:
        yield
    finally:
        for number, handler in earlier.items():
            _ = signal.signal(number, handler)
        _ = signal.set_wakeup_fd(earlier_fd)
        watch.over = True
        watch.wake.close()  # ends the thread
        _watch = None


def requested() -> int | None:
    """The number of the signal that asks the program to stop, or None."""
    return None if _watch is None else _watch.number


def check() -> None:
    """Stop here, if a signal has asked for it.

    Raises:
      Stopped: Then.
    """
    number = requested()
    if number is not None:
        raise Stopped(number)


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Give the block so long to stop by itself after a signal: it has something to save."""
    if _watch is None:
        yield
        return
    watch, earlier = _watch, _watch.grace
    watch.grace = seconds
    try:
        yield
    finally:
        watch.grace = earlier


def leave(number: int) -> None:
    """End the process at once, after one line and without half-written files, with the exit code that shells expect.

    Nothing else is waited for: neither threads, nor what a device still computes.
    """
    temporary.remove_all()
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    with contextlib.suppress(OSError, ValueError):  # a terminal that is gone
        if threading.current_thread() is threading.main_thread():  # which may be waiting inside of a flush
            sys.stdout.flush()
        if sys.stdout.isatty():
            _ = os.write(1, _SHOW_CURSOR.encode())
        _ = os.write(2, f"stopped by {name}; what is finished stays\n".encode())
    os._exit(128 + number)
