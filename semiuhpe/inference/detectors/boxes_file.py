"""Detectors without a network: boxes from the user's file, and whole pictures that are head crops.

``boxes:FILE.csv`` has a header and a row per head: ``image``, the picture or video; ``x,y,w,h`` in pixels; optionally
``score``, and ``frame``, counted from 0, for videos. A row without a box (all four fields empty) says that a picture
has no head. Fields are separated by commas, semicolons or tabs.

``boxes:FILE.json`` is an object that maps pictures to lists of boxes ``[x, y, w, h]`` or ``[x, y, w, h, score]``, and
videos to objects that map frames to such lists.

Pictures and videos are matched by the end of their path: ``party/1.jpg`` in the file matches ``photos/party/1.jpg``,
and ``1.jpg`` matches any picture of that name. The kind of slash and the form of Unicode don't matter. A picture or
video that isn't in the file is an error; a frame that isn't in the file has no heads. Boxes smaller than 2 pixels are
left out with a warning. A file in which all boxes are between 0 and 1 is an error, as these are shares of the picture.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from semiuhpe.data.crop import MIN_HEAD_PX
from semiuhpe.data.importers.base import read_json
from semiuhpe.data.importers.boxes import FRACTIONS, numbers
from semiuhpe.errors import ConfigError, DataError
from semiuhpe.files import read_csv
from semiuhpe.inference.detectors.base import (
    Detections,
    Detector,
    Options,
    Source,
    detector_kind,
    register_detector,
)
from semiuhpe.pictures import plain_name, same_but_for_case

logger = logging.getLogger(__name__)

BOX = ("x", "y", "w", "h")
NO_HEAD = "a row with its name and empty x,y,w,h, or an empty list in JSON, says that it has no head"
COLUMNS = ("image", *BOX, "score", "frame")
GIVEN = "boxes"
"""Kind of the detector for boxes of the user's file."""
WHOLE = "whole"
"""Kind of the detector for pictures that are head crops."""

Row = tuple[str, int | None, tuple[float, ...]]
"""Image, frame of a video or None, and (x, y, w, h, score), which is empty if the image has no head."""


class GivenBoxes(Detector):
    """Detector that returns the user's boxes by image and frame.

    Args:
        path: path of the file, for messages.
        rows: all boxes.
        min_score: boxes with a lower score are left out.
    """

    in_file_pixels = True

    def __init__(self, path: Path, rows: Iterator[Row], min_score: float) -> None:
        self.path = path
        heads: dict[tuple[str, ...], dict[int | None, list[tuple[float, ...]]]] = {}
        largest, small = 0.0, 0
        for image, frame, values in rows:
            found = heads.setdefault(PurePosixPath(image).parts, {}).setdefault(frame, [])
            largest = max([largest, *map(abs, values[:4])])
            if not values:
                continue
            width, height, score = values[2:]
            if min(width, height) < MIN_HEAD_PX:
                small += 1
            elif score >= min_score:
                found.append(values)
        if not heads:
            raise DataError(f"{path}: has no boxes")
        if 0 < largest <= 1:
            raise DataError(f"{path}: {FRACTIONS}")
        if small:
            message = "%s: %d boxes are smaller than %d pixels and left out; boxes are x, y, w, h in pixels"
            logger.warning(message, path, small, MIN_HEAD_PX)
        self._outside = 0
        self._last_frame: dict[tuple[str, ...], int] = {}
        self._plain: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for parts in heads:
            self._plain.setdefault(_plain(parts), []).append(parts)
        self._heads = {
            image: {frame: np.array(found, np.float32).reshape(-1, 5) for frame, found in frames.items()}
            for image, frames in heads.items()
        }

    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        found = [self._find(source) for source in sources]
        self._outside += sum(
            int(_outside(heads, image).sum()) for heads, image in zip(found, images, strict=True) if len(heads)
        )
        return [Detections(heads[:, :4].copy(), heads[:, 4].copy()) for heads in found]

    def remarks(self) -> list[str]:
        beyond = sum(
            len(boxes)
            for image, last in self._last_frame.items()
            for frame, boxes in self._heads[image].items()
            if frame is not None and frame > last
        )
        last = max(self._last_frame.values(), default=0)
        message = {
            f"{self._outside} boxes of {self.path} lie outside their frame and are left out": self._outside,
            f"{beyond} boxes of {self.path} are of frames beyond the video's last, number {last}": beyond,
        }
        return [line for line, count in message.items() if count]

    def _find(self, source: Source | None) -> np.ndarray:
        """Return (N, 5) boxes and scores of an image."""
        if source is None:
            raise DataError(f"{self.path}: boxes are looked up by file name; pass source=Source(path, frame)")
        parts = Path(source.path).parts
        image = self._image(parts)
        if image is None:
            near = same_but_for_case(parts[-1], (image[-1] for image in self._heads))
            raise DataError(f"{source.path}: is not among the images of {self.path}{near or f'; {NO_HEAD}'}")
        frames = self._heads[image]
        if source.frame is not None:
            self._last_frame[image] = max(self._last_frame.get(image, 0), source.frame)
        if set(frames) == {None} and not len(frames[None]):
            return frames[None]
        if (source.frame is None) != (None in frames):
            has, needs = ("frames", "picture") if source.frame is None else ("no frames", "video")
            raise DataError(f"{self.path}: has {has} for {source.path}, which is a {needs}")
        return frames.get(source.frame, np.zeros((0, 5), np.float32))

    def _image(self, parts: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the longest name in the file with which a path ends; None if there is none."""
        for ending in (parts[i:] for i in range(len(parts))):
            if ending in self._heads:
                return ending
            if len(same := self._plain.get(_plain(ending), [])) == 1:
                return same[0]
        return None


def _outside(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return (N,) bool: which boxes (N, 5) lie completely outside the image."""
    end = boxes[:, :2] + boxes[:, 2:4]
    return ((end <= 0) | (boxes[:, :2] >= image.shape[1::-1])).any(axis=1)


def _plain(parts: tuple[str, ...]) -> tuple[str, ...]:
    return PurePosixPath(plain_name("/".join(parts))).parts


class WholePicture(Detector):
    """Detector that takes every whole picture as one head."""

    crop_rule = None

    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        one = np.ones(1, np.float32)
        return [Detections(np.array([[0, 0, *image.shape[1::-1]]], np.float32), one.copy()) for image in images]


def _csv_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a table with a header.

    Raises:
        DataError: a column is missing or unknown, or a field can't be read.
    """
    try:
        rows = read_csv(path)
        _, columns = next(rows, (1, []))
        _check_columns(path, columns)
        for number, fields in rows:
            if len(fields) != len(columns):
                raise DataError(f"{path}: line {number} has {len(fields)} fields, but the header {len(columns)}")
            yield _csv_row(dict(zip(columns, fields, strict=True)), f"{path}: line {number}")
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [column for column in ("image", *BOX) if column not in columns]
    unknown = [column for column in columns if column not in COLUMNS or columns.count(column) > 1]
    if missing or unknown:
        what = f"has no column {', '.join(missing)}" if missing else f"has unknown columns: {', '.join(unknown)}"
        raise DataError(f"{path}: {what}; its header should be image,x,y,w,h and optionally score,frame")


def _csv_row(row: dict[str, str], where: str) -> Row:
    image, frame, score = row["image"], row.get("frame", ""), row.get("score", "")
    if not image:
        raise DataError(f"{where} names no image")
    box = [row[column] for column in BOX]
    values = _box([*box, score] if score else box, where) if any(box) else ()
    return image, _frame(frame, where) if frame else None, values


def _json_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a JSON object of images."""
    contents = read_json(path)
    if not isinstance(contents, dict):
        raise DataError(f"{path}: should be an object from images to lists of boxes")
    for image, heads in contents.items():
        if not image.strip():
            raise DataError(f"{path}: an entry names no image")
        frames = heads if isinstance(heads, dict) else {None: heads}
        if not frames:
            raise DataError(f"{path}: {image}: has no frames")
        for frame, boxes in frames.items():
            where = f"{path}: {image}" + ("" if frame is None else f", frame {frame}")
            if not isinstance(boxes, list):
                raise DataError(f"{where}: should be a list of boxes, or an object from frames to such lists")
            number = None if frame is None else _frame(frame, where)
            if not boxes:
                yield image, number, ()
            for box in boxes:
                yield image, number, _box(box, where)


def _frame(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise DataError(f"{where}: the frame is {text!r}; it should be a whole number from 0")
    return int(text)


def _box(values: Any, where: str) -> tuple[float, ...]:
    """Return x, y, w, h, score of a list of four or five numbers; the score is 1 if not given."""
    box = numbers(values, 4) or numbers(values, 5)
    if box is None:
        raise DataError(f"{where}: {values!r} is not a box: x, y, w, h and optionally a score, all finite numbers")
    if min(box[2:4]) <= 0:
        raise DataError(f"{where}: w and h are {box[2]:g} and {box[3]:g}; they must be positive")
    if len(box) == 5 and not 0 <= box[4] <= 1:
        raise DataError(f"{where}: the score is {box[4]:g}; it must lie in [0, 1]")
    return box if len(box) == 5 else (*box, 1.0)


_READERS = {".csv": _csv_rows, ".json": _json_rows}


def _file(argument: str) -> Path:
    path = Path(argument)
    if path.suffix.lower() not in _READERS:
        raise ConfigError(f"--detector boxes:{argument}: should be {detector_kind('boxes').usage}")
    if not path.is_file():
        raise DataError(f"{path}: is missing")
    return path


@register_detector(GIVEN, f"{GIVEN}:FILE.json|csv", _file)
def _build_boxes(options: Options) -> Detector:
    path = _file(options.argument)
    return GivenBoxes(path, _READERS[path.suffix.lower()](path), options.min_score or 0.0)


def _nothing(argument: str) -> None:
    if argument:
        raise ConfigError(f"--detector {WHOLE}:{argument}: {WHOLE} takes nothing after it")


@register_detector(WHOLE, WHOLE, _nothing)
def _build_whole(options: Options) -> Detector:
    _nothing(options.argument)
    return WholePicture()
