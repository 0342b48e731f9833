"""WIDER FACE (Yang et al., CVPR 2016): boxes of faces, used as unlabeled heads in the front range.

``wider_face_split/wider_face_{val,train}_bbx_gt.txt`` has, for each picture, its name, the number of its faces, and a
row per face: x, y, w, h, blur, expression, illumination, invalid, occlusion, pose. A picture without faces has one row
of zeros. Pictures are in ``images_original/{val,train}`` or ``WIDER_{val,train}/images``. As in the paper's code both
parts form one dataset, val first (12,737 and 49,363 faces of at least 25 pixels), and faces marked as blurred or
invalid are kept.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from semiuhpe.data.crop import FACE_BOX
from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.data.importers.boxes import (
    BoxLabel,
    box_heads,
    label_lines,
    numbers,
    require_folder,
    without_suffix,
)
from semiuhpe.errors import DataError

PARTS = ("val", "train")
IMAGES = ("images_original/{part}", "WIDER_{part}/images")
SHOULD_BE = "the folder of WIDER FACE with wider_face_split and images_original or WIDER_val and WIDER_train"
ROW_SIZE = 10
NO_FACE = (0.0,) * ROW_SIZE
BROKEN = BoxLabel(reason=f"its row is not {ROW_SIZE} numbers that begin with x, y, w, h", broken=True)


class WiderFace(Importer):
    """WIDER FACE."""

    name = "WiderFace"
    crop_rule = FACE_BOX
    min_size = 25.0
    counts: ClassVar = {"train": 62100}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        labels = require_folder(source, "wider_face_split", SHOULD_BE)
        images = {part: _images(source, part) for part in PARTS}
        return [
            Picture(f"{part}/{without_suffix(name)}", images[part] / name, faces)
            for part in PARTS
            for name, faces in _faces(labels / f"wider_face_{part}_bbx_gt.txt")
        ]

    def heads(self, picture: Picture) -> Sequence[RawHead | Dropped]:
        return box_heads(picture)


def _images(source: Path, part: str) -> Path:
    folders = [pattern.format(part=part) for pattern in IMAGES]
    for folder in folders:
        if (source / folder).is_dir():
            return source / folder
    raise DataError(f"--source {source}: has neither the folder {' nor '.join(folders)}; it should be {SHOULD_BE}")


def _faces(path: Path) -> list[tuple[str, tuple[BoxLabel, ...]]]:
    """Return name and labels of each picture in a label file."""
    lines = list(label_lines(path))
    found, position = [], 0
    while position < len(lines):
        number, name = lines[position]
        count = lines[position + 1][1] if position + 1 < len(lines) else ""
        if not count.isdecimal():
            raise DataError(f"{path}: the line after {number}, the picture {name}, is not its number of faces")
        first, position = position + 2, position + 2 + int(count)
        if position > len(lines):
            raise DataError(f"{path}: ends before the {count} faces of {name}, line {number}")
        found.append((name, tuple(_label(row) for _, row in lines[first:position])))
        if int(count) == 0 and position < len(lines) and numbers(lines[position][1].split(), ROW_SIZE) == NO_FACE:
            position += 1
    return found


def _label(row: str) -> BoxLabel:
    values = numbers(row.split(), ROW_SIZE)
    return BROKEN if values is None else BoxLabel(values[:4])
