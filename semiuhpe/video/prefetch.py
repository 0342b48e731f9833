"""Concurrent stages of a pipeline: an iterator that a thread runs ahead of its reader, by a limited number of items."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Generic, Self, TypeVar

Item = TypeVar("Item")
_POLL_S = 0.1


class Prefetcher(Generic[Item]):
    """Iterates over an iterable in a thread, ahead of the reader, and returns its items in order.

    Errors of the iterable are raised here, after the items before them. Close the prefetcher if it isn't read to its
    end (it is a context manager): the thread then stops at its next item. Stages that read from one another share the
    event ``closed``, so that closing one closes all.

    Args:
        items: the iterable that the thread reads.
        depth: maximum number of items in the queue; one more may be in progress.
        closed: event shared with other stages; a new one if None.
        lossy: if the queue is full, drop its oldest item instead of waiting.
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
        """Return whether the next item, or the end, is available without waiting."""
        return not self._queue.empty()

    def close(self) -> None:
        """Stop the thread and those of the stages that share its event, and wait until this thread has stopped."""
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
        """Put an item into the queue, and return whether that succeeded before the pipeline was closed."""
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
