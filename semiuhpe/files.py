"""Files that are never there in part."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``, for a block that writes the file; ``path`` is there once the block is done.

    After an error nothing new is left, and what was there before stays.

    Raises:
        OSError: the file can't be renamed.
    """
    temporary = path.with_name(f"{path.name}.partial")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path, content: str | bytes) -> None:
    """Writes a file under a temporary name and renames it; text as UTF-8.

    Raises:
        OSError: it can't be written; nothing new is left then.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def sha256(path: Path) -> str:
    """Return the hash of a file's contents, as ``sha256sum`` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
