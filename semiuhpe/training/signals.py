"""Handling of SIGTERM and Ctrl-C, so that a run can save its state before it ends."""

import signal
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class _WaitEnded(BaseException):
    """A signal arrived during a wait. A BaseException, as code that waits may catch an Exception and continue."""


class stop_on_signals:
    """Context in which SIGTERM and Ctrl-C call ``callback`` instead of ending the process at once.

    Call functions that may block, such as waiting for a worker, through :meth:`wait`, so that a signal interrupts them.
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
        """Return the result of ``call``; None if a signal arrived before or during the call, which it interrupts."""
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
