"""Files that are never there in part."""

from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file under a temporary name and renames it; text as UTF-8.

    Raises:
        OSError: it can't be written; nothing new is left then.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    temporary = path.with_name(f"{path.name}.partial")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
