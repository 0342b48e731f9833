"""Shared parts of the importers of boxes: reading label files, and making heads of their boxes.

Heads are named after their picture and their position among its labels, from 0: ``val2017/000000000139_2``.
"""

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from semiuhpe.data.importers.base import Dropped, Picture, RawHead, read_json
from semiuhpe.errors import DataError
from semiuhpe.pictures import picture_size

logger = logging.getLogger(__name__)

FRACTIONS = (
    "all its boxes lie between 0 and 1, but boxes are in pixels; multiply x and w by the width of the picture, y and h "
    "by its height"
)
"""Error for a user's file in which no box exceeds 1."""


class BoxLabel(NamedTuple):
    """The label of one head: its box, or the reason to leave it out. ``Picture.labels`` is a tuple of them.

    Attributes:
        box: x, y, w, h, in pixels unless the importer says otherwise; empty if the head is left out.
        reason: the reason to leave it out.
        broken: whether the reason is that its label can't be read.
        euler_deg: pitch, yaw, roll in degrees; empty if the dataset has no poses.
    """

    box: tuple[float, ...] = ()
    reason: str = ""
    broken: bool = False
    euler_deg: tuple[float, ...] = ()


Place = Callable[[np.ndarray, int, int], np.ndarray | str]


def box_heads(picture: Picture, place: Place | None = None) -> list[RawHead | Dropped]:
    """Return the heads of a picture from its labels.

    Args:
        picture: the picture, with a tuple of :class:`BoxLabel` as labels.
        place: returns the box in pixels, or a reason to leave the head out, given a head's box and the picture's width
            and height. Pictures without heads are not opened. Heads are broken if their picture can't be opened.
    """
    size, fault = None, ""
    if place is not None and any(label.box for label in picture.labels):
        try:
            size = picture_size(picture.file)
        except DataError as error:
            fault = str(error)
    heads: list[RawHead | Dropped] = []
    for number, label in enumerate(picture.labels):
        name, box = f"{picture.name}_{number}", np.array(label.box)
        if not label.box:
            heads.append(Dropped(name, label.reason, label.broken))
        elif fault:
            heads.append(Dropped(name, fault, broken=True))
        else:
            placed = place(box, *size) if place and size else box
            euler = np.array(label.euler_deg) if label.euler_deg else None
            heads.append(
                Dropped(name, placed) if isinstance(placed, str) else RawHead(name, box=placed, euler_deg=euler)
            )
    return heads


def numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """Return the values of a label as floats; None if they are not ``count`` finite numbers, or texts of such."""
    if not isinstance(values, (list, tuple)) or len(values) != count or any(isinstance(v, bool) for v in values):
        return None
    try:
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if all(map(math.isfinite, found)) else None


def require_folder(source: Path, folder: str, should_be: str) -> Path:
    """Return a folder inside a raw dataset; raise DataError, which says what the source should be, if it is missing."""
    path = source / folder
    if not path.is_dir():
        raise DataError(f"--source {source}: has no folder {folder}; it should be {should_be}")
    return path


def without_suffix(name: str) -> str:
    """Return a picture's name in a label file, including folders, without ``.jpg``."""
    path = PurePosixPath(name)
    return str(path.parent / path.stem)


def label_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield numbers, from 1, and stripped text of a label file's lines, except empty ones.

    Raises:
        DataError: the file is missing or not UTF-8 text.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if stripped := line.strip():
                    yield number, stripped
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not readable UTF-8 text ({error})") from error


def coco_pictures(path: Path, images: Path, part: str, label: Callable[[dict], BoxLabel]) -> list[Picture]:
    """Return the pictures with heads of a COCO-style label file, in its order.

    Args:
        path: JSON with ``images`` (``id``, ``file_name``) and ``annotations`` (``image_id`` and the keys for
            ``label``).
        images: folder of the pictures.
        part: first part of the pictures' names.
        label: returns the label of an annotation.

    Raises:
        DataError: the file is missing, not JSON, or has another structure. An annotation whose picture is not among
            ``images`` becomes a broken head.
    """
    logger.info("reading %s", path)
    contents = read_json(path)
    try:
        files = {str(image["id"]): str(image["file_name"]) for image in contents["images"]}
        annotations = list(contents["annotations"])
    except (TypeError, KeyError) as error:
        raise DataError(
            f"{path}: is not COCO-style JSON: images with id and file_name, and annotations ({error!r})"
        ) from error
    labels: dict[str, list[BoxLabel]] = {image: [] for image in files}
    lost: list[BoxLabel] = []
    for annotation in annotations:
        image = str(annotation.get("image_id")) if isinstance(annotation, dict) else "None"
        if image in files:
            labels[image].append(label(annotation))
        else:
            lost.append(BoxLabel(reason=f"{path}: its image_id {image} is not among the images", broken=True))
    found = [
        Picture(f"{part}/{without_suffix(files[image])}", images / files[image], tuple(heads))
        for image, heads in labels.items()
        if heads
    ]
    return found + ([Picture(f"{part}/unknown_picture", path, tuple(lost))] if lost else [])
