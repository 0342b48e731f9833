"""Locks that keep two processes from writing the same files. The system lets go of them when a process ends."""

import fcntl
import logging
import os
from typing import IO

logger = logging.getLogger(__name__)

_held: set[IO] = set()


def take(file: IO) -> None:
    """Locks an open file until it is released, or the process ends.

    Some network file systems have no locks. There a warning says so, and the file is used without.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        logger.warning("%s: can't be locked (%s): take care that no other process writes there.", file.name, error)
    _held.add(file)


def release(file: IO) -> None:
    """Lets go of a lock and closes its file."""
    _held.discard(file)
    file.close()


def _close_all() -> None:
    """A lock is held until its last copy is closed: forked workers that outlive a killed parent must not keep it."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_close_all)
