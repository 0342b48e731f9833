"""Errors for the user, with one-line messages.

Public functions of the package raise these errors. The command line prints the message as one line and exits with code
2, so a message says what is wrong, with which file or option, and how to fix it.
"""

import difflib
import errno
from collections.abc import Iterable

_DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
# PyTorch's messages if it can't create, map or write shared memory.
_SHARED_MEMORY = ("shared memory", "unable to resize file", "unable to mmap", "Bus error")
_NO_MEMORY = ("can't allocate memory", "can't start new thread")
_TOO_MANY_FILES = "too many files are open; lower --num_workers, or allow more with `ulimit -n`"


class SemiUHPEError(Exception):
    """Base class of all errors that the user can fix."""


class ConfigError(SemiUHPEError):
    """An option, a settings file, or a combination of both is wrong."""


class DataError(SemiUHPEError):
    """A raw dataset, an image or a box can't be used."""


class StoreError(SemiUHPEError):
    """A store is missing, broken, or of the wrong kind."""


class CheckpointError(SemiUHPEError):
    """A checkpoint is missing, broken, or that of another network."""


class TrainingError(SemiUHPEError):
    """Training can't continue."""


class WorkerError(SemiUHPEError):
    """A worker process can't be started, has failed or was lost; a run can be continued from its checkpoint."""


class Stopped(Exception):
    """A signal stopped a command with several runs. The current run was saved; repeat the command to continue."""


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """Return the end of a message on an unknown name, which suggests the most similar known name; ignores case.

    It is empty if no known name is similar.
    """
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(text.lower(), names, n=1)
    return f"; did you mean {names[close[0]]}?" if close else ""


def machine_fault(error: BaseException) -> str | None:
    """Return a message for an error that is caused by the machine and not by the program; None for other errors.

    Such errors are a full or broken disk; a lack of GPU memory, CPU memory or shared memory; too many open files or
    processes; and a worker process that was killed or has failed.
    """
    if isinstance(error, WorkerError):
        return str(error)
    if isinstance(error, OSError):
        return _system_fault(error)
    words = first_line(error)
    if type(error).__name__ == "OutOfMemoryError":  # torch's class; importing torch would slow down --help
        return f"the GPU has no memory left; lower --batch_size, or stop what else uses the GPU ({words})"
    if isinstance(error, MemoryError):
        return f"there is no memory left; lower --batch_size or --num_workers ({words})"
    if not isinstance(error, RuntimeError):
        return None
    if "Too many open files" in words:
        return f"{_TOO_MANY_FILES} ({words})"
    if any(part in words for part in _SHARED_MEMORY):
        return (
            "shared memory (/dev/shm), in which workers hand over pictures, is full; lower --num_workers (0 needs "
            f"none) or --batch_size, or enlarge it (Docker: --shm-size 8g; else remount /dev/shm) ({words})"
        )
    if any(part in words for part in _NO_MEMORY):
        return f"there is no memory left; lower --batch_size or --num_workers ({words})"
    if words.startswith(("DataLoader worker", "Pin memory thread")):
        return f"a worker process was lost, perhaps killed because memory ran out; use fewer workers ({words})"
    return None


def _system_fault(error: OSError) -> str | None:
    if error.errno in _DISK_FAULTS:
        return f"{error.filename or 'a file'}: can't be written or read ({error.strerror}); is the disk full?"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{_TOO_MANY_FILES} ({error.strerror})"
    if error.errno == errno.ENOMEM:
        return f"there is no memory left; lower --batch_size or --num_workers ({error.strerror})"
    return None


def first_line(error: BaseException) -> str:
    """Return the first line of another library's error, for our message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
