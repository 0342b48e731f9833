"""Open Images V6 (Kuznetsova et al., IJCV 2020), as FiftyOne downloads it.

Each of the folders ``validation``, ``test`` and ``train`` has ``data/<ImageID>.jpg`` and ``labels/detections.csv``. The
label files name all pictures of the dataset; pictures that are not in ``data`` are skipped, as most copies are partial.
All existing parts form one dataset, in the paper's order. Boxes refer to the unturned pictures and are clipped to the
picture as in the paper's code.
"""

import csv
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from tqdm import tqdm

from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.data.importers.boxes import BoxLabel, box_heads, label_lines, numbers
from semiuhpe.errors import DataError

logger = logging.getLogger(__name__)

PARTS = ("validation", "test", "train")
HUMAN_HEAD = "/m/04hgtk"
SIDES = ("XMin", "YMin", "XMax", "YMax")
FLAGS = {
    "IsGroupOf": BoxLabel(reason="a group of heads"),
    "IsDepiction": BoxLabel(reason="a depiction"),
    "IsInside": BoxLabel(reason="seen from inside"),
}
COLUMNS = ("ImageID", "LabelName", *SIDES, *FLAGS)
BROKEN = BoxLabel(reason=f"its {', '.join((*SIDES, *FLAGS))} are not all numbers", broken=True)


class OpenImages(Importer):
    """Open Images V6."""

    name = "OpenImageV6"
    full_range = True
    min_size = 30.0
    counts: ClassVar = {"train": 165797}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        present = [part for part in PARTS if (source / part / "data").is_dir()]
        if not present:
            raise DataError(
                f"--source {source}: has none of the folders {', '.join(f'{part}/data' for part in PARTS)}; it should "
                "be Open Images as FiftyOne downloads it"
            )
        if len(present) < len(PARTS):
            missing = [f"{part}/data" for part in PARTS if part not in present]
            logger.warning("%s has no %s: the heads of the other parts are used.", source, " and no ".join(missing))
        return [picture for part in present for picture in _part_pictures(source / part)]

    def heads(self, picture: Picture) -> Sequence[RawHead | Dropped]:
        return box_heads(picture, _in_pixels)


def _in_pixels(corners: np.ndarray, width: int, height: int) -> np.ndarray:
    scale, last = np.array([width, height]), np.array([width - 1, height - 1])
    low = np.maximum(corners[:2] * scale, 0)
    high = np.minimum(corners[2:] * scale, last)
    return np.concatenate([low, high - low])


def _part_pictures(folder: Path) -> list[Picture]:
    """Return the existing pictures of one part that have a labeled head, in the order of the label file."""
    path, data = folder / "labels" / "detections.csv", folder / "data"
    images = set(os.listdir(data))
    labels: dict[str, list[BoxLabel]] = defaultdict(list)
    elsewhere = 0
    for image, label in _rows(path):
        if f"{image}.jpg" in images:
            labels[image].append(label)
        else:
            elsewhere += 1
    if elsewhere:
        logger.warning("%s: %d heads are on pictures that are not in %s.", path, elsewhere, data)
    return [Picture(f"{folder.name}/{image}", data / f"{image}.jpg", tuple(found)) for image, found in labels.items()]


def _rows(path: Path) -> Iterator[tuple[str, BoxLabel]]:
    """Yield picture and label of each human head in a label file; the label's box is x1, y1, x2, y2 in [0, 1]."""
    lines = label_lines(path)
    header = next(csv.reader([next(lines, (1, ""))[1]]), [])
    if missing := [column for column in COLUMNS if column not in header]:
        raise DataError(f"{path}: has no column {', '.join(missing)}; it should be detections.csv of Open Images")
    part = path.parent.parent.name
    for number, line in tqdm(lines, desc=f"reading {part} labels", unit="row", disable=None):
        if HUMAN_HEAD not in line:  # skips nearly all of the millions of rows quickly
            continue
        try:
            row = dict(zip(header, next(csv.reader([line])), strict=False))
        except csv.Error as error:
            raise DataError(f"{path}: line {number} is not a row of CSV ({error})") from error
        if row.get("LabelName") == HUMAN_HEAD:
            yield row.get("ImageID", ""), _label(numbers([row.get(name) for name in (*SIDES, *FLAGS)], 7))


def _label(values: tuple[float, ...] | None) -> BoxLabel:
    if values is None:
        return BROKEN
    for flag, left_out in zip(values[4:], FLAGS.values(), strict=True):
        if flag:
            return left_out
    return BoxLabel(values[:4])
