"""Files: atomic writes, locks, hashes, and reading of JSON, YAML and CSV from other programs."""

import csv
import fcntl
import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from semiuhpe.errors import first_line

logger = logging.getLogger(__name__)

# ---- atomic writes


@contextmanager
def atomic_path(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` for a block that writes the file, and rename the file after the block.

    After an error, the new file is removed and an earlier file at ``path`` is unchanged.

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
    """Write a file as with :func:`atomic_path`; text is encoded as UTF-8.

    Raises:
        OSError: the file can't be written; the new file is removed.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    with atomic_path(path, durable) as temporary:
        temporary.write_bytes(data)


def partial_path(path: Path) -> Path:
    """Return the temporary path of a file while it is written."""
    return path.with_name(f"{path.name}.partial")


def publish(temporary: Path, path: Path, durable: bool = True) -> None:
    """Rename a complete file to its final path, replacing an earlier file.

    Args:
        temporary: present path of the file.
        path: final path of the file.
        durable: wait until the file is on the disk. Without it a power failure may leave an empty file at ``path``, but
            thousands of small files are written faster.

    Raises:
        OSError: the disk is full or broken, or the file can't be renamed.
    """
    if durable:
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
    temporary.replace(path)


def is_writable(path: Path) -> bool:
    """Return whether a file can be created or replaced at the path."""
    return path.parent.is_dir() and os.access(path.parent, os.W_OK) and not path.is_dir()


def sha256(path: Path) -> str:
    """Return the hash of a file's contents, as ``sha256sum`` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- locks, which the system releases when a process ends

_held: set[IO] = set()


def take_lock(file: IO) -> None:
    """Lock an open file until the lock is released, or the process ends.

    Some network file systems don't support locks. The file is then used without a lock, with a warning.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        logger.warning("%s: can't be locked (%s): make sure that no other process writes to it.", file.name, error)
    _held.add(file)


def release_lock(file: IO) -> None:
    """Release a lock and close its file."""
    _held.discard(file)
    file.close()


def _close_all() -> None:
    """Close the locked files in a forked child, as a child that outlives a killed parent would keep its locks."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_close_all)


# ---- texts of other programs: any error becomes a ValueError

_DELIMITERS = ",;\t"
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; raise ValueError if it is invalid or too deeply nested for Python's parser."""
    try:
        return json.loads(text.removeprefix("\ufeff") if isinstance(text, str) else text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text, limited to plain values, without running code; raise ValueError if invalid."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except Exception as error:  # such as ValueError for 2001-99-99 or `!!int x`, which PyYAML doesn't catch
        raise ValueError(f"a value in it can't be read: {first_line(error)}") from error


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV, with commas and lines that end in a line feed."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and stripped fields of the rows of a CSV file, except empty rows.

    The file is in UTF-8, with or without a byte order mark. Fields are separated by commas, semicolons or tabs,
    whichever the header has most of. If these are not commas, numbers may have decimal commas, as in spreadsheets of
    many countries. Empty columns after the last name are dropped.

    Raises:
        ValueError: the file is not CSV in UTF-8, or can't be read.
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
