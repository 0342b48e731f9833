"""Resumable result files of ``image.py``, one per process.

An output folder contains

- ``run.json``: the settings of all results in the folder;
- ``heads-RANK-of-PROCESSES.jsonl``: JSON Lines, a line for each finished picture of one process;
- ``heads-RANK-of-PROCESSES.csv``: the same as a table, if requested, written when the process has finished;
- ``failed-RANK-of-PROCESSES.txt``: the pictures that the last run could not read, and why; absent if there are none.

A picture is finished when a complete line of any ``.jsonl`` file has its name, whatever the number of processes was.
A line is written after everything else that belongs to the picture. So a killed run leaves nothing incomplete but the
last line, which the next run removes.
"""

import csv
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from semiuhpe.errors import ConfigError, DataError
from semiuhpe.files import atomic_path, atomic_write, parse_json, release_lock, take_lock

SETTINGS = "run.json"
_ROTATION = [f"r{row}{column}" for row in range(3) for column in range(3)]
CSV_COLUMNS = (
    *("image", "width", "height", "heads", "x", "y", "w", "h", "score", *_ROTATION),
    *(f"{angle}_{span}" for span in ("front", "full") for angle in ("pitch", "yaw", "roll")),
    *("entropy", "confidence", "within_90_deg", "reliable"),
)
"""``heads`` is the number of heads on the picture; a picture without heads has a row with 0 and empty fields."""


class Share(NamedTuple):
    """The part of the pictures that a process works on."""

    rank: int
    processes: int

    def has(self, name: str) -> bool:
        """Return whether a picture is this process's. It depends on the name only, so processes needn't communicate."""
        return zlib.crc32(name.encode("utf-8", "surrogateescape")) % self.processes == self.rank

    def file(self, kind: str, suffix: str) -> str:
        return f"{kind}-{self.rank:05d}-of-{self.processes:05d}{suffix}"

    def is_of_this_run(self, path: Path) -> bool:
        """Return whether a file's name has this number of processes."""
        return path.stem.endswith(f"-of-{self.processes:05d}")


def check_folder(folder: Path) -> None:
    """Raise ConfigError unless results can be written into a folder, which need not exist. Creates nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        what = "is not writable" if there.is_dir() else "is not a folder"
        raise ConfigError(f"--output {folder}: can't be used, {there} {what}; name another folder")


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a run, or compare them with those of the earlier run that it continues.

    Raises:
        ConfigError: the folder has results of other settings, or can't be written to.
    """
    path = folder / SETTINGS
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {folder}: can't be created ({error.strerror}); name another folder") from error
    try:
        if not path.exists():
            atomic_write(path, json.dumps(settings, indent=1) + "\n")
        kept = parse_json(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--output {folder}: can't be used ({error}); name another folder") from error
    changed = [key for key in settings if not isinstance(kept, dict) or kept.get(key) != settings[key]]
    if changed:
        before = kept.get(changed[0]) if isinstance(kept, dict) else kept
        raise ConfigError(
            f"--output {folder}: has results of a run with {changed[0]} {before}, now it is {settings[changed[0]]}; "
            "name another folder, or delete this one"
        )


def done_pictures(folder: Path) -> set[str]:
    """Return the names of all pictures that have a complete line.

    Raises:
        DataError: a result file is damaged.
    """
    return {line["image"] for path in sorted(folder.glob("heads-*.jsonl")) for line in _lines(path)}


def other_files(folder: Path, share: Share) -> list[Path]:
    """Return the result files of earlier runs with other numbers of processes."""
    return [path for path in sorted(folder.glob("heads-*.jsonl")) if not share.is_of_this_run(path)]


def truncate_torn_lines(folder: Path, share: Share) -> None:
    """Remove incomplete last lines from files of runs with other numbers of processes. Call it in one process only.

    Raises:
        ConfigError: another run is writing one of them.
    """
    for path in other_files(folder, share):
        with ResultFile(path):
            pass


class FailedFile:
    """The file that lists pictures that a process can't read; created with the first of them.

    Files of earlier runs are removed, as their pictures are tried again.
    """

    def __init__(self, folder: Path, share: Share) -> None:
        self.path = folder / share.file("failed", ".txt")
        for path in folder.glob("failed-*.txt"):
            if path == self.path or not share.is_of_this_run(path):
                path.unlink(missing_ok=True)
        self.count = 0

    def add(self, message: str) -> None:
        self.count += 1
        with open(self.path, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(" ".join(message.split()) + "\n")


class ResultFile:
    """The result file of one process, locked while it is open. An incomplete last line is removed.

    Args:
        path: path of the file, which is created if it doesn't exist.

    Raises:
        ConfigError: another process is writing it, or it can't be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = open(path, "a+b")  # noqa: SIM115  (closed by __exit__)
        except OSError as error:
            raise ConfigError(f"--output {path.parent}: {path.name} can't be written ({error})") from error
        try:
            take_lock(self._file)
        except BlockingIOError as error:
            self._file.close()
            raise ConfigError(
                f"--output {path.parent}: another run is writing {path.name}; wait, or name another folder"
            ) from error
        self._remove_torn_line()

    def __enter__(self) -> "ResultFile":
        return self

    def __exit__(self, *error: object) -> None:
        release_lock(self._file)

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a picture's line; raise DataError if it can't be written."""
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise DataError(f"{self.path}: can't be written ({error})") from error

    def _remove_torn_line(self) -> None:
        end = self._file.seek(0, 2)
        while end:
            start = max(end - 65536, 0)
            self._file.seek(start)
            newline = self._file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        self._file.truncate(end)


def write_csv(results: Path) -> Path:
    """Write a result file as a CSV table beside it, and return the path of the table.

    Raises:
        DataError: it is damaged, or the table can't be written.
    """
    path = results.with_suffix(".csv")
    try:
        with (
            atomic_path(path) as temporary,
            open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(CSV_COLUMNS)
            for line in _lines(results):
                try:
                    writer.writerows(list(_csv_rows(line)))
                except (ValueError, TypeError, KeyError) as error:  # ValueError for a name that is not valid text
                    raise DataError(f"{results}: the line of {line['image']!a} is damaged; delete it") from error
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error})") from error
    return path


def _csv_rows(line: Mapping[str, Any]) -> Iterator[list[Any]]:
    first = [line["image"], line["width"], line["height"], len(line["heads"])]
    if not line["heads"]:
        yield first + [""] * (len(CSV_COLUMNS) - len(first))
    for head in line["heads"]:
        rotation = [value for row in head["rotation"] for value in row]
        angles = [*head["euler_front_deg"], *head["euler_full_deg"]]
        sureness = (head["entropy"], head["confidence"], head.get("within_90_deg"), head.get("reliable"))
        yield [*first, *head["box"], head["score"], *rotation, *angles, *sureness]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of a result file."""
    with open(path, "rb") as file:
        for number, text in enumerate(file, 1):
            if not text.endswith(b"\n"):
                return
            try:
                line = parse_json(text)
                if not isinstance(line["image"], str) or not isinstance(line["heads"], list):
                    raise TypeError("image is text and heads a list")
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(
                    f"{path}: line {number} is damaged; delete the line, its picture is then processed again"
                ) from error
            yield line
