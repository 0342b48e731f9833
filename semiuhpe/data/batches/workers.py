"""Worker processes whose failure always reaches the parent as an error, so that it never waits forever.

PyTorch's loader sends results of a worker from a separate thread. An error there, such as a lack of shared memory for
the pictures of a batch, is only printed, and the parent waits for that batch forever. Here such an error is sent to the
parent in place of the batch, like errors of the work itself. PyTorch itself reports workers that are killed. Workers
that wait forever for a lock that was held when they were forked are replaced.
"""

import faulthandler
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from multiprocessing.context import ForkContext, ForkProcess
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from semiuhpe.errors import SemiUHPEError, WorkerError, first_line, machine_fault

logger = logging.getLogger(__name__)

PATIENCE_S = 60.0
"""For how long workers may stand still, in seconds, before they are replaced."""
MAX_RESTARTS = 3
_CHECK_S = 5
_TO_PRINT_S = 0.5  # a worker on a busy machine may need some of it
_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}

Job = TypeVar("Job")
Result = TypeVar("Result")


def load(make: Callable[[Job], Result], jobs: Iterable[Job], workers: int, pin: bool = False) -> Iterator[Result]:
    """Return an iterator over the results of a function for jobs, in order, computed by forked worker processes.

    Workers that stand still are replaced, and what they owed is done anew.

    Args:
        make: the function, called in the workers; a job has the same result whenever it is done.
        jobs: the jobs, read in this process a little ahead, and sent to the workers; may be endless.
        workers: number of workers, forked at once; with 0, this process does the work.
        pin: return tensors in pinned memory if there is a GPU.

    Raises:
        WorkerError: a worker can't be started, has failed or was lost, or workers stand still again and again.
        RuntimeError: a worker was lost while this process wasn't waiting for a result; see
            :func:`semiuhpe.errors.machine_fault`.
        SemiUHPEError: an error of ``make``.
    """
    if not workers:
        return _start(make, jobs, 0, pin).results
    jobs = iter(jobs)
    owed: deque[Job] = deque()

    def start() -> _Started:
        again = list(owed)
        owed.clear()
        return _start(make, _remembered(chain(again, jobs), owed), workers, pin)

    return _received(start(), start, owed)


@dataclass(frozen=True)
class _Started:
    """Workers, and the iterator over their results."""

    results: Iterator
    workers: list[BaseProcess]


def _start(make: Callable, jobs: Iterable, workers: int, pin: bool) -> _Started:
    context = _Context()
    try:
        with forking_workers():
            loader = DataLoader(
                _JobResults(make),
                batch_size=None,
                sampler=jobs,
                num_workers=workers,
                collate_fn=_identity,
                pin_memory=pin and torch.cuda.is_available(),
                timeout=_CHECK_S if workers else 0,
                worker_init_fn=own_process_group,
                multiprocessing_context=context if workers else None,
                generator=torch.Generator(),  # draws the workers' seed, so that training's generator isn't used
            )
            results = iter(loader)  # the workers are forked here
    except (OSError, RuntimeError) as error:
        _end_half_started(error)
        raise WorkerError(
            f"{workers} worker processes can't be started ({first_line(error)}); lower --num_workers (--workers in "
            "commands that make stores), or allow more processes, memory and shared memory (/dev/shm; Docker: "
            "--shm-size)"
        ) from error
    return _Started(results, context.workers)


def _remembered(jobs: Iterable[Job], owed: deque[Job]) -> Iterator[Job]:
    for job in jobs:
        owed.append(job)
        yield job


def _end_half_started(error: Exception) -> None:
    """End the workers that were started before an error. PyTorch would do so too, but prints a traceback."""
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        traceback.clear_frames(error.__traceback__)  # they refer to the loader's incomplete iterator, which ends now
    finally:
        sys.unraisablehook = before


def map_in_workers(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Return results as :func:`load` does, for jobs that workers inherit by the fork instead of receiving them."""
    return load(lambda index: function(jobs[index]), range(len(jobs)), workers)


class _Failure:
    """An error in place of a result. Raised in a worker, it would arrive wrapped into its traceback, or not at all."""

    def __init__(self, error: Exception):
        self.error = error if isinstance(error, SemiUHPEError) else WorkerError(_failure_line(error))


def _failure_line(error: Exception) -> str:
    """Return one line on an error in a worker."""
    if message := machine_fault(error):
        return message
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"a worker process failed: {type(error).__name__}: {first_line(error)} ({Path(frame.filename).name}, line "
        f"{frame.lineno}); --num_workers 0 (or the smallest --workers) shows more"
    )


class _JobResults(Dataset):
    """The results of the jobs. In a worker, errors that the machine may have caused are results; others are bugs."""

    def __init__(self, make: Callable):
        self.make = make

    def __getitem__(self, job: Any) -> Any:
        if isinstance(job, _Failure):  # the job couldn't be sent
            return job
        if get_worker_info() is None:
            return self.make(job)
        try:
            return self.make(job)
        except (SemiUHPEError, RuntimeError, OSError, MemoryError) as error:
            return _Failure(error)


class _Queue(Queue):
    """Sends an error in place of a result that can't be sent."""

    def _on_queue_feeder_error(self, error: Exception, item: Any) -> None:
        """Handle an error in the sending thread. An item is a job's number and its result, or bytes once encoded."""
        sent = isinstance(item, tuple) and not isinstance(item[1], _Failure)
        if not sent:
            os._exit(1)  # the parent notices the end of a process
        self.put((item[0], _Failure(error)))


class _Context(ForkContext):
    """Forks; its queues are :class:`_Queue`, and it remembers its processes."""

    def __init__(self) -> None:
        super().__init__()
        self.workers: list[BaseProcess] = []

    def Queue(self, maxsize: int = 0) -> Any:
        return _Queue(maxsize, ctx=self)

    def Process(self, *args: Any, **options: Any) -> Any:  # type: ignore[override]  # there it is a class
        worker = ForkProcess(*args, **options)
        self.workers.append(worker)
        return worker


def _identity(result: Result) -> Result:
    return result


def _received(started: _Started, start: Callable[[], _Started], owed: deque) -> Iterator:
    """Return results in order; ``start`` starts new workers, which begin with what is ``owed``."""
    restarts = 0
    still = _Stillness(started.workers)
    try:
        while True:
            try:
                result = next(started.results)
            except StopIteration:
                return
            except RuntimeError as error:
                if "DataLoader timed out" not in str(error):
                    raise
                if still.lasts():
                    restarts += 1
                    _end_still_workers(started.workers, restarts)
                    started = start()
                    still = _Stillness(started.workers)
                continue
            if isinstance(result, _Failure):
                raise result.error
            still.since = None
            owed.popleft()
            yield result
    except (RuntimeError, OSError, EOFError, WorkerError) as error:
        ignore_lost_workers()
        # A RuntimeError is a bug in a worker, with its traceback.
        if isinstance(error, (WorkerError, RuntimeError)) or machine_fault(error):
            raise
        raise WorkerError(
            f"a worker process was lost while it sent its work ({first_line(error)}); use fewer"
        ) from error


class _Stillness:
    """Tells whether workers have slept all along while they were waited for, without any work.

    A forked process inherits locks as they are. One that another thread holds at that moment is never released in the
    worker: whoever waits for it there waits forever.
    """

    def __init__(self, workers: list[BaseProcess]):
        self.workers = workers
        self.since: float | None = None
        self.ticks: list[int | None] = []

    def lasts(self) -> bool:
        """Look again, and return whether it has lasted for :data:`PATIENCE_S`."""
        ticks, now = [_ticks_of_sleeper(worker.pid) for worker in self.workers], time.monotonic()
        if self.since is None or None in ticks or ticks != self.ticks:
            self.since, self.ticks = now, ticks
        return now - self.since >= PATIENCE_S


def _ticks_of_sleeper(pid: int | None) -> int | None:
    """Return the processor time of a process that sleeps; None if it runs, waits for a disk, or isn't there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12]) if fields[0] == "S" else None


def _end_still_workers(workers: list[BaseProcess], restarts: int) -> None:
    for worker in workers:  # one after the other, as what several print at once is mixed
        if worker.pid and worker.is_alive():
            os.kill(worker.pid, signal.SIGUSR1)  # it prints where it stands
            time.sleep(_TO_PRINT_S)
        worker.terminate()
        worker.join(_CHECK_S)
    message = f"the worker processes stood still for {PATIENCE_S:g} s without working"
    if restarts > MAX_RESTARTS:
        raise WorkerError(f"{message}, {restarts} times; --num_workers 0 (or the smallest --workers) does without them")
    logger.warning("%s, where the lines above say; new ones do their work", message)


def ignore_lost_workers() -> None:
    """Ignore lost workers from now on, in a process that ends because of one.

    PyTorch's handler raises an error for each lost worker, wherever the program is, even during cleanup.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def own_process_group(worker: int) -> None:
    """Take a worker out of its parent's process group, so that signals such as Ctrl-C don't end it before the parent.

    Signals that arrived between the fork and this call are pending (:func:`forking_workers`) and are discarded. The
    parent's signal handlers are not run in its workers.
    """
    faulthandler.register(signal.SIGUSR1, 2)  # standard error, see _end_still_workers
    os.setpgrp()
    while signal.sigtimedwait(_STOP_SIGNALS, 0):
        pass
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    # For errors of the thread that passes on shared memory, which would print them and let the parent wait.
    sys.excepthook = lambda *_: os._exit(1)


@contextmanager
def forking_workers() -> Iterator[None]:
    """Let workers that are forked in this context use OpenCV, and block signals until :func:`own_process_group`.

    OpenCV's threads don't survive a fork, but its thread pool in the child would wait for them forever.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)  # a pending signal may raise here
