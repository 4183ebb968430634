"""Entry point of the `jaxrestore` command, outside of the package: importing that loads JAX, which takes a while.

Ctrl-C and SIGTERM are taken from the first moment on; while libraries load there is nothing to save or to remove.
"""

import os
import signal


def _leave(number: int, _: object) -> None:
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    _ = os.write(2, f"stopped by {name}\n".encode())
    os._exit(128 + number)


def main() -> None:
    """Run the command; `jaxrestore.console` takes the signals over."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            _ = signal.signal(number, _leave)
    from jaxrestore.cli import main as run

    run()
    for number in (signal.SIGINT, signal.SIGTERM):
        _ = signal.signal(number, signal.SIG_IGN)  # what was asked for is done


if __name__ == "__main__":
    main()
