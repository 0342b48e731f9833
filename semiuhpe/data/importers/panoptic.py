"""CMU Panoptic (Joo et al., TPAMI 2019) by the lists of OPAL (Cobo et al., Pattern Recognition 2024), full range.

``panoptic_ann_{train,valid,test}.txt`` have a line per head, ``image;x_min;y_min;w;h;yaw;pitch;roll``, in pixels and
degrees; lines that begin with ``#`` or ``@`` are no heads. ``image`` is a frame as Panoptic's toolbox extracts it,
such as ``171204_pose2/hdImgs/00_00/00_00_00008302.jpg``, relative to the folder of the sequences. The lists lie in that
folder, or in its folder ``annotations``.

**Angles** are those of 300W-LP but for the sign of yaw: ``R_300wlp = Rz(roll) Ry(-yaw) Rx(pitch)``. OPAL's evaluation
makes ``Rx(pitch) Ry(yaw) Rz(roll)`` of them (``test/evaluator.py``, ``src/opal23_headpose.py``), which is the same up
to its axes. This order is the only one that makes the heads of a frame agree in all cameras: within 0.003 degrees in
the first frames of the test list. That yaw has the other sign, and no other angle, follows from OPAL's list of AFLW2000
(``annotations/aflw2000_ann.txt``) beside AFLW2000's own labels, and from how its notebook draws the axes.

Boxes are the lists'. They are loose: OPAL gives no definition.
"""

from collections.abc import Sequence
from pathlib import Path

from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.data.importers.boxes import BoxLabel, box_heads, label_lines, numbers, without_suffix
from semiuhpe.errors import DataError

LISTS = {"train": "panoptic_ann_train.txt", "val": "panoptic_ann_valid.txt", "test": "panoptic_ann_test.txt"}
FIELDS = "image;x_min;y_min;w;h;yaw;pitch;roll"
NO_HEAD = ("#", "@")
BROKEN = BoxLabel(reason=f"its line is not {FIELDS}", broken=True)


class Panoptic(Importer):
    """CMU Panoptic by OPAL's lists."""

    name = "Panoptic"
    splits = ("train", "val", "test")
    full_range = True

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        places = [source / LISTS[split], source / "annotations" / LISTS[split]]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise DataError(
                f"--source {source}: has no {LISTS[split]}, nor its folder annotations; it should be the folder of "
                "Panoptic's sequences with OPAL's lists in it"
            )
        found: dict[str, list[BoxLabel]] = {}
        for number, line in label_lines(path):
            image, *values = line.split(";")
            if image in NO_HEAD:
                continue
            if not image:
                raise DataError(f"{path}: line {number} names no picture; a line is {FIELDS}")
            found.setdefault(image, []).append(_label(values))
        if not found:
            raise DataError(f"{path}: has no heads; a line is {FIELDS}")
        return [Picture(without_suffix(image), source / image, tuple(heads)) for image, heads in found.items()]

    def heads(self, picture: Picture) -> Sequence[RawHead | Dropped]:
        return box_heads(picture)


def _label(fields: list[str]) -> BoxLabel:
    values = numbers(fields, 7)
    if values is None:
        return BROKEN
    yaw, pitch, roll = values[4:]
    return BoxLabel(values[:4], euler_deg=(pitch, -yaw, roll))
