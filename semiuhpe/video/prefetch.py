"""Stages of a pipeline that work at the same time: an iterator run by a thread, a bounded number of items ahead."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Generic, Self, TypeVar

Item = TypeVar("Item")
_POLL_S = 0.1


class Prefetcher(Generic[Item]):
    """The items of an iterable, in their order, made by a thread while those before them are being used.

    What the iterable raises is raised here, after the items before it. Close it when it is not used to its end (it is
    a context manager): the thread then stops at its next item. Stages that are built on one another share an event for
    that, so that closing one ends all.

    Args:
        items: gone through by the thread.
        depth: how many items wait at most, one more being made.
        closed: shared with other stages; one of its own if None.
        lossy: when there is no room, give up the oldest item that waits instead of waiting.
    """

    def __init__(
        self, items: Iterable[Item], depth: int, closed: threading.Event | None = None, lossy: bool = False
    ) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
        self._closed = threading.Event() if closed is None else closed
        self._lossy = lossy
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        while not (self._ended or self._closed.is_set()):
            try:
                kind, value = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if kind == "item":
                return value
            self._ended = True
            if kind == "error":
                raise value
        raise StopIteration

    def has_waiting(self) -> bool:
        """Whether the next item, or the end, can be had without waiting."""
        return not self._queue.empty()

    def close(self) -> None:
        """Stops the thread, and those of the stages that share its event, and waits until it has stopped."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put("item", item):
                    break
            else:
                self._put("end", None)
        except BaseException as error:
            self._put("error", error)
        finally:
            if hasattr(self._items, "close"):
                self._items.close()

    def _put(self, kind: str, value: Any) -> bool:
        """Whether there was room before the pipeline was closed."""
        while not self._closed.is_set():
            try:
                self._queue.put((kind, value), timeout=0 if self._lossy else _POLL_S)
                return True
            except queue.Full:
                if self._lossy:
                    self._drop_oldest()
        return False

    def _drop_oldest(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return
