"""CrowdHuman (Shao et al., 2018), with one of two kinds of label files; ``BFJDet`` is used if both exist.

- ``BFJDet/instances_{val,train}_full_bhf_new.json`` (Wan et al., ICCV 2021), COCO style: ``h_bbox`` x, y, w, h and
  ``ignore`` for each person; pictures in ``yolov5_format/images/{val,train}``. The paper's code uses these. Its
  loader notes 164,870 heads (37,995 of val, 126,875 of train), and its list of WildHead 163,291, the number expected
  here.
- ``annotation_{val,train}.odgt``, the original labels: one JSON object per line with ``ID`` and ``gtboxes``, each with
  ``tag``, ``hbox`` x, y, w, h, and ``ignore`` in ``head_attr`` and ``extra``; pictures are ``Images/<ID>.jpg``.

As in the paper's code both parts form one dataset, val first, and heads completely outside the picture are left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.data.importers.boxes import BoxLabel, box_heads, coco_pictures, label_lines, numbers, require_folder
from semiuhpe.errors import DataError
from semiuhpe.files import parse_json

PARTS = ("val", "train")
BFJDET, BFJDET_IMAGES = "BFJDet", "yolov5_format/images"
IGNORED = BoxLabel(reason="marked to be ignored")
NO_HEAD = BoxLabel(reason="no labeled head")
NO_PERSON = BoxLabel(reason="not a person")
OUTSIDE = "outside the picture"


class CrowdHuman(Importer):
    """CrowdHuman."""

    name = "CrowdHuman"
    full_range = True
    min_size = 30.0
    counts: ClassVar = {"train": 163291}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        if (source / BFJDET).is_dir():
            should_be = f"the folder of CrowdHuman with {BFJDET} and {BFJDET_IMAGES}/{{val,train}}"
            images = {part: require_folder(source, f"{BFJDET_IMAGES}/{part}", should_be) for part in PARTS}
            return [
                picture
                for part in PARTS
                for picture in coco_pictures(
                    source / BFJDET / f"instances_{part}_full_bhf_new.json", images[part], part, _bfjdet_label
                )
            ]
        files = {part: source / f"annotation_{part}.odgt" for part in PARTS}
        if not any(path.is_file() for path in files.values()):
            raise DataError(
                f"--source {source}: has neither the folder {BFJDET} nor annotation_val.odgt and "
                f"annotation_train.odgt; it should be the folder of CrowdHuman with {BFJDET} and {BFJDET_IMAGES}, or "
                "with those files and Images"
            )
        folder = require_folder(
            source, "Images", "the folder of CrowdHuman with annotation_{val,train}.odgt and Images"
        )
        return [picture for part, path in files.items() for picture in _odgt_pictures(path, folder, part)]

    def heads(self, picture: Picture) -> Sequence[RawHead | Dropped]:
        return box_heads(picture, _inside)


def _inside(box: np.ndarray, width: int, height: int) -> np.ndarray | str:
    x, y, w, h = box
    if min(w, h) < CrowdHuman.min_size:  # is counted as too small, even outside
        return box
    outside = x + w <= 0 or y + h <= 0 or x >= width or y >= height
    return OUTSIDE if outside else box


def _bfjdet_label(annotation: dict) -> BoxLabel:
    return _label(annotation.get("h_bbox"), "h_bbox", annotation.get("ignore", 0))


def _odgt_pictures(path: Path, images: Path, part: str) -> list[Picture]:
    found = []
    for number, line in label_lines(path):
        try:
            entry = parse_json(line)
            name, boxes = entry["ID"], entry["gtboxes"]
            if not isinstance(name, str) or not isinstance(boxes, list):
                raise TypeError("ID is text and gtboxes a list")
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: line {number} is not JSON with ID and gtboxes ({error!r})") from error
        found.append(Picture(f"{part}/{name}", images / f"{name}.jpg", tuple(map(_odgt_label, boxes))))
    return found


def _odgt_label(box: dict) -> BoxLabel:
    try:
        if box["tag"] != "person":
            return NO_PERSON
        ignored = [box.get(attributes, {}).get("ignore", 0) for attributes in ("extra", "head_attr")]
    except (TypeError, KeyError, AttributeError):
        return BoxLabel(reason="it has no tag, or its head_attr or extra is not an object", broken=True)
    return _label(box.get("hbox"), "hbox", *ignored)


def _label(values: Any, key: str, *ignored: Any) -> BoxLabel:
    if any(flag not in (0, 1) for flag in ignored):
        return BoxLabel(reason="its ignore is not 0 or 1", broken=True)
    if any(ignored):
        return IGNORED
    box = numbers(values, 4)
    if box is None:
        return BoxLabel(reason=f"its {key} is not four numbers", broken=True)
    return NO_HEAD if box[2:] == (1, 1) else BoxLabel(box)
