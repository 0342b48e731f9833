"""Stopping a run in good order."""

import signal
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class _WaitEnded(BaseException):
    """A signal came during a wait. No Exception: those that wait handle such, and would go on."""


class stop_on_signals:
    """Within this context SIGTERM and Ctrl-C call a function instead of ending the process at once.

    What they would have to wait for, such as a worker that doesn't answer, is called through :meth:`wait`.
    """

    def __init__(self, callback: Callable[[], None]):
        self.callback = callback
        self._waiting = False
        self._came = False

    def __enter__(self):
        self._previous = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def wait(self, call: Callable[[], Result]) -> Result | None:
        """What a function returns; None if a signal has come, before or while it is called: it is then left at once."""
        try:
            self._waiting = True
            try:
                return None if self._came else call()
            finally:
                self._waiting = False
        except _WaitEnded:
            return None

    def _handle(self, *_) -> None:
        self._came = True
        self.callback()
        if self._waiting:
            self._waiting = False
            raise _WaitEnded
