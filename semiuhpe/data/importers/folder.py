"""The user's own heads: a folder of pictures, or a table of pictures and their heads.

- A folder: every picture in it and in the folders below is one head crop, used whole, without labels. Tables in the
  folder are not read; a warning says so.
- A table, ``.csv`` with a header or JSON Lines (``.jsonl``, ``.ndjson``): a row is one head. ``image`` is its picture,
  relative to the table; several rows may name the same. ``x, y, w, h`` are the head's box in pixels; without them the
  whole picture is the crop. Labels, if any, are ``pitch, yaw, roll`` in degrees or ``r00`` to ``r22``, the rotation
  from head to camera row by row. All rows have the same columns; others than these are ignored with a warning.

Fields of a CSV are separated by commas, semicolons or tabs. Pictures are turned by their EXIF orientation, as viewers
show them; boxes refer to the turned picture. Heads are named after their picture, in a table also after the line:
``photo.jpg_2``. ``--split`` says what the store is for: ``train`` keeps loose crops, ``val`` and ``test`` tight ones.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from semiuhpe.data.crop import MIN_HEAD_PX
from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.data.importers.boxes import FRACTIONS, label_lines, numbers
from semiuhpe.errors import DataError
from semiuhpe.files import parse_json, read_csv
from semiuhpe.pictures import files_below, named_file, no_pictures, pictures_among, warn_of_unread

logger = logging.getLogger(__name__)

BOX = ("x", "y", "w", "h")
EULER = ("pitch", "yaw", "roll")
ROTATION = tuple(f"r{row}{column}" for row in range(3) for column in range(3))
GROUPS = (BOX, EULER, ROTATION)
KNOWN = {"image", *BOX, *EULER, *ROTATION}
HEAD, NAME, DECISION = "head", "name", "decision"
OURS = {HEAD, NAME, DECISION}
"""Columns that :mod:`semiuhpe.data.labels` writes and reads: position in a store, name, decision."""

Row = dict[str, Any] | str
"""A row of a table by its columns, or the reason why it can't be read."""
Reader = Callable[[Path], tuple[list[str], Iterator[tuple[int, Row]]]]
"""Returns the columns and the numbered rows of a table."""


class Line(NamedTuple):
    """One row of a table.

    Attributes:
        number: number of its line.
        groups: the columns of the table, all or none of each of :data:`GROUPS`.
        values: values of these columns in this order.
        fault: the reason why the row can't be used; empty if it can.
    """

    number: int
    groups: tuple[tuple[str, ...], ...]
    values: tuple[float, ...] = ()
    fault: str = ""


class Folder(Importer):
    """The user's own heads."""

    name = "folder"
    splits = ("train", "val", "test")
    full_range = True

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        if source.is_dir():
            return _pictures_below(source)
        reader = table_readers().get(source.suffix.lower())
        if reader is None:
            endings = ", ".join(table_readers())
            raise DataError(f"--source {source}: should be a folder of pictures or a table ({endings})")
        columns, rows = reader(source)
        groups = _groups(columns, source)
        found: dict[str, list[Line]] = {}
        unknown = _unknown(columns)
        for number, row in rows:
            image, line = _line(number, row, groups)
            found.setdefault(image, []).append(line)
            unknown |= _unknown(row) if isinstance(row, dict) else {}
        if unknown:
            logger.warning("%s: these columns are not used: %s.", source, ", ".join(map(repr, unknown)))
        if not found:
            raise DataError(f"--source {source}: has no rows")
        boxes = [line.values[:4] for lines in found.values() for line in lines if BOX in groups and line.values]
        if boxes and np.abs(boxes).max() <= 1:
            raise DataError(f"--source {source}: {FRACTIONS}")
        return [
            Picture(image or source.name, named_file(source.parent, image), tuple(lines), True)
            for image, lines in found.items()
        ]

    def heads(self, picture: Picture) -> Iterator[RawHead | Dropped]:
        if picture.labels is None:
            yield RawHead(picture.name)
            return
        for line in picture.labels:
            name = f"{picture.name}_{line.number}"
            if line.fault:
                yield Dropped(name, f"line {line.number}: {line.fault}", broken=True)
                continue
            values = iter(line.values)
            parts = {group: np.array([next(values) for _ in group]) for group in line.groups}
            rotation = parts[ROTATION].reshape(3, 3) if ROTATION in parts else None
            yield RawHead(name, box=parts.get(BOX), euler_deg=parts.get(EULER), rotation=rotation)


def _unknown(columns: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(column for column in columns if column not in KNOWN | OURS)


def _pictures_below(folder: Path) -> list[Picture]:
    """Return all pictures in a folder and below it; warn of tables, which are not read.

    Raises:
        DataError: there are no pictures.
    """
    files = sorted(files_below(folder))
    tables = [path for path in files if path.suffix.lower() in table_readers()]
    images, unread = pictures_among(files)
    if not images:
        remedy = f"; to read the table in it, pass --source {tables[0]}" if tables else ""
        raise DataError(f"--source {folder}: {no_pictures(unread)}{remedy}")
    warn_of_unread(unread, folder)
    if tables:
        others = f" and {len(tables) - 1} more table{'s' * (len(tables) > 2)} are" if len(tables) > 1 else " is"
        logger.warning(
            "%s%s not read: pictures of a folder have no boxes and no labels. To use a table, pass --source %s.",
            tables[0], others, tables[0],
        )  # fmt: skip
    return [Picture(image.relative_to(folder).as_posix(), image, upright=True) for image in images]


def table_readers() -> dict[str, Reader]:
    """Return the reader of tables of each ending."""
    return {".csv": _csv_table, ".jsonl": _json_table, ".ndjson": _json_table}


def _groups(columns: Sequence[str], source: Path) -> tuple[tuple[str, ...], ...]:
    """Return the groups of :data:`GROUPS` that a table has.

    Raises:
        DataError: a group is incomplete, or there are two kinds of labels.
    """
    if not columns:
        raise DataError(f"--source {source}: is empty")
    if "image" not in columns:
        raise DataError(f"--source {source}: has no column image; its columns are {', '.join(columns)}")
    if twice := [column for column in sorted(KNOWN) if columns.count(column) > 1]:
        raise DataError(f"--source {source}: has the column {', '.join(twice)} twice")
    for group in GROUPS:
        missing = [column for column in group if column not in columns]
        if 0 < len(missing) < len(group):
            present = [column for column in group if column in columns]
            others = [column for column in columns if column not in KNOWN]
            raise DataError(
                f"--source {source}: has the columns {', '.join(present)}, but not {', '.join(missing)}"
                + (f"; is one of these misspelt: {', '.join(others)}?" if others else "")
            )
    groups = tuple(group for group in GROUPS if group[0] in columns)
    if EULER in groups and ROTATION in groups:
        raise DataError(f"--source {source}: has both {', '.join(EULER)} and r00 to r22; keep one of them")
    return groups


def _line(number: int, row: Row, groups: tuple[tuple[str, ...], ...]) -> tuple[str, Line]:
    """Return the picture that a row names, empty if it names none, and the checked row."""
    if isinstance(row, str):
        return "", Line(number, groups, fault=row)
    image = row.get("image")
    if not isinstance(image, str) or not image:
        return "", Line(number, groups, fault="image names no picture")
    columns = [column for group in groups for column in group]
    others = [column for column in row if column in KNOWN and column not in ("image", *columns)]
    missing = [column for column in columns if column not in row]
    if others or missing:
        what = f"has no {', '.join(missing)}" if missing else f"has {', '.join(others)}"
        return image, Line(number, groups, fault=f"{what}, unlike the first row")
    values: tuple[float, ...] = ()
    for column in columns:
        value = numbers([row[column]], 1)
        if value is None:
            return image, Line(number, groups, fault=f"{column} is {row[column]!r}, not a finite number")
        values += value
    if BOX in groups and min(values[2:4]) <= 0:
        return image, Line(number, groups, fault=f"w and h are {values[2]:g} and {values[3]:g}; they must be positive")
    if BOX in groups and min(values[2:4]) < MIN_HEAD_PX:
        fault = f"w and h are {values[2]:g} and {values[3]:g} pixels; a head has at least {MIN_HEAD_PX}"
        return image, Line(number, groups, values, fault)
    return image, Line(number, groups, values)


def _csv_table(source: Path) -> tuple[list[str], Iterator[tuple[int, Row]]]:
    """Return columns and numbered rows of a CSV file with a header."""
    rows = _csv_rows(source)
    _, header = next(rows, (1, []))
    columns = header

    def by_column() -> Iterator[tuple[int, Row]]:
        for number, fields in rows:
            if len(fields) == len(columns):
                yield number, dict(zip(columns, fields, strict=True))
            else:
                yield number, f"has {len(fields)} fields, but the header {len(columns)}"

    return columns, by_column()


def _csv_rows(source: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        yield from read_csv(source)
    except ValueError as error:
        raise DataError(f"--source {source}: {error}") from error


def _json_table(source: Path) -> tuple[list[str], Iterator[tuple[int, Row]]]:
    """Return columns and numbered rows of JSON Lines; the columns are those of the first row."""
    rows = ((number, _json_row(line)) for number, line in label_lines(source))
    number, first = next(rows, (1, {}))
    if isinstance(first, str):
        raise DataError(f"--source {source}: line {number} {first}")

    def with_first() -> Iterator[tuple[int, Row]]:
        if first:
            yield number, first
        yield from rows

    return list(first), with_first()


def _json_row(line: str) -> Row:
    try:
        row = parse_json(line)
    except ValueError as error:
        return f"is not JSON ({error})"
    return row if isinstance(row, dict) else "is not a JSON object"
