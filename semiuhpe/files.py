"""Files: written at once or not at all, locked against other processes, and read although somebody else wrote them."""

import csv
import fcntl
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from semiuhpe.errors import first_line

logger = logging.getLogger(__name__)

# ---- atomic writes


@contextmanager
def atomic_path(path: Path, durable: bool = True) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to a block that writes the file; it gets its own once the block is done.

    After an error nothing new is left, and what was there before stays.

    Args:
        path: the file.
        durable: as for :func:`publish`.

    Raises:
        OSError: the file can't be written or renamed.
    """
    temporary = partial_path(path)
    try:
        yield temporary
        publish(temporary, path, durable)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path, content: str | bytes, durable: bool = True) -> None:
    """Write a file as :func:`atomic_path`; text as UTF-8.

    Raises:
        OSError: it can't be written; nothing new is left then.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    with atomic_path(path, durable) as temporary:
        temporary.write_bytes(data)


def partial_path(path: Path) -> Path:
    """Return the name of a file while it is written."""
    return path.with_name(f"{path.name}.partial")


def publish(temporary: Path, path: Path, durable: bool = True) -> None:
    """Give a complete file its name, in place of what was there.

    Args:
        temporary: its name so far.
        path: its name from now on.
        durable: wait until it is on the disk, or a power cut may leave an empty file under the name. Thousands of small
            files take longer with it.

    Raises:
        OSError: the disk is full or broken, or the file can't be renamed.
    """
    if durable:
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
    temporary.replace(path)


def is_writable(path: Path) -> bool:
    """Return whether a file can be written there, new or in place of another."""
    return path.parent.is_dir() and os.access(path.parent, os.W_OK) and not path.is_dir()


def sha256(path: Path) -> str:
    """Return the hash of a file's contents, as ``sha256sum`` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- locks, which the system lets go of when a process ends

_held: set[IO] = set()


def take_lock(file: IO) -> None:
    """Lock an open file until the lock is released, or the process ends.

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


def release_lock(file: IO) -> None:
    """Let go of a lock and close its file."""
    _held.discard(file)
    file.close()


def _close_all() -> None:
    """A lock is held until its last copy is closed: forked workers that outlive a killed parent must not keep it."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_close_all)


# ---- foreign texts: whatever is wrong with one comes out as one ValueError

_DELIMITERS = ",;\t"
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError if it is none, one nested too deeply for Python's parser included."""
    try:
        return json.loads(text.removeprefix("\ufeff") if isinstance(text, str) else text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text, plain values only; ValueError if it is none. Never runs code."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except Exception as error:  # a day 2001-99-99 or an `!!int x`: PyYAML lets out what its constructors raise
        raise ValueError(f"a value in it can't be read: {first_line(error)}") from error


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and stripped fields of a CSV file in UTF-8, with or without a byte order mark; no empty rows.

    Fields are separated by what the header has most of: commas, semicolons or tabs. Where these are not commas, numbers
    may have decimal commas, as spreadsheets of many countries write them. Empty columns behind the last name are cut.

    Raises:
        ValueError: it is not CSV in UTF-8, or can't be read.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = next((line for line in file if line.strip()), "")
            delimiter = max(_DELIMITERS, key=header.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
            width = 0
            for row in reader:
                fields = [field.strip() for field in row]
                while len(fields) > width and not fields[-1]:
                    fields.pop()
                width = width or len(fields)
                if delimiter != ",":
                    fields = [field.replace(",", ".") if _DECIMAL_COMMA.fullmatch(field) else field for field in fields]
                if any(fields):
                    yield reader.line_num, fields
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"is not readable CSV in UTF-8 ({error})") from error
