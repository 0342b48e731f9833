"""COCOHead: heads of COCO 2017 with the Human Parts labels of Hier R-CNN (Yang et al., TIP 2020).

``images/{val,train}2017`` are COCO's pictures; ``annotations_HumanParts/person_humanparts_{val,train}2017.json`` has
``hier`` for each person: six parts of x1, y1, x2, y2, visible, of which the first is the head. As in the paper's code
both parts form one dataset, val first: 3,013 and 71,115 heads of at least 30 pixels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.data.importers.boxes import BoxLabel, box_heads, coco_pictures, numbers, require_folder

SHOULD_BE = "the folder of COCO with images/{val,train}2017 and annotations_HumanParts"
HIER_SIZE = 30
INVISIBLE = BoxLabel(reason="no visible head")
BROKEN = BoxLabel(reason="its hier is not 30 numbers that begin with x1, y1, x2, y2, visible (0 or 1)", broken=True)


class CocoHead(Importer):
    """Heads of COCO 2017."""

    name = "COCOHead"
    full_range = True
    min_size = 30.0
    counts: ClassVar = {"train": 74128}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        annotations = require_folder(source, "annotations_HumanParts", SHOULD_BE)
        parts = ("val2017", "train2017")
        images = {part: require_folder(source, f"images/{part}", SHOULD_BE) for part in parts}
        return [
            picture
            for part in parts
            for picture in coco_pictures(annotations / f"person_humanparts_{part}.json", images[part], part, _label)
        ]

    def heads(self, picture: Picture) -> Sequence[RawHead | Dropped]:
        return box_heads(picture)


def _label(annotation: dict) -> BoxLabel:
    hier = annotation.get("hier")
    head = numbers(hier[:5], 5) if isinstance(hier, list) and len(hier) == HIER_SIZE else None
    if head is None or head[4] not in (0, 1):
        return BROKEN
    x1, y1, x2, y2, visible = head
    return BoxLabel((x1, y1, x2 - x1, y2 - y1)) if visible else INVISIBLE
