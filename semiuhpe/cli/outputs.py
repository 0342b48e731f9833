"""What a command reads is never what it writes: checks of the files that its options name, before anything is done."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from semiuhpe.errors import require
from semiuhpe.files import partial_path


def check_outputs(outputs: Iterable[tuple[str, Path | None]], inputs: Iterable[str | Path | None] = ()) -> None:
    """Checks that no option names a file to write that is read, or that another option writes.

    Files are compared, not names: ``./``, symbolic and hard links hide none. The temporary names under which files are
    written count too.

    Args:
        outputs: options, and files or folders that will be written for them; None for one that isn't given.
        inputs: files and folders that are read; None and those that aren't there are passed over.

    Raises:
        ConfigError: an output is an input, has one in it, or is another output.
    """
    targets = [(option, path) for option, path in outputs if path is not None]
    found: dict[Path, str] = {}
    for option, path in targets:
        for name in _written(path):
            other = found.setdefault(_real(name), option)
            require(other == option, f"{option} {path}: {other} writes it too; name another")
    there = [(option, path, name) for option, path in targets for name in _written(path) if name.exists()]
    if not there:  # then none is an input, of which there may be very many
        return
    for source in map(Path, (source for source in inputs if source is not None)):
        if not source.exists():
            continue
        for option, path, name in there:
            same = f" {source}" if str(source) != str(path) else ""
            require(not name.samefile(source), f"{option} {path}: is the input{same}; name another")
            inside = name.is_dir() and _real(source).is_relative_to(_real(name))
            require(not inside, f"{option} {path}: has the input {source} in it; name another")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _written(path: Path) -> Iterator[Path]:
    """All names that come and go while a file or store is written."""
    yield path
    if path.name:
        yield partial_path(path)


def store_files(store: Path) -> list[Path]:
    """A store and the files in it."""
    return [store, *store.iterdir()] if store.is_dir() else [store]
