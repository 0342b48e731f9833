"""Stopping a run in good order."""

import signal
from collections.abc import Callable


class stop_on_signals:
    """Within this context SIGTERM and Ctrl-C call a function instead of ending the process at once."""

    def __init__(self, callback: Callable[[], None]):
        self.callback = callback

    def __enter__(self):
        self._previous = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, lambda *_: self.callback())

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def ignore_lost_workers() -> None:
    """Lets the loss of loader workers pass from now on, for a run that ends because of one.

    PyTorch's handler raises an error for each lost worker, wherever the program is, so also while it clears up.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
