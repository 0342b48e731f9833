"""AGORA-HPE and CMU-HPE (Zhou et al., "DirectMHP", 2023): whole pictures with the boxes and poses of their heads.

DirectMHP's scripts make both of AGORA (Patel et al., CVPR 2021) and CMU Panoptic (Joo et al., TPAMI 2019): a folder
``HPE`` with pictures and COCO-style label files, in which an annotation has ``bbox`` x, y, w, h in pixels and
``euler_angles`` in degrees. Label files that end in ``_v2`` are read too, as its later scripts name them.

**Angles.** ``exps/AGORA/data_process_hpe.py`` and ``exps/CMU/data_statistic_hpe.py`` fit a model of a face, with x to
the subject's left, y up and z out of the face, to 3D landmarks. Camera rotation times fitted rotation is R head to
camera, and they split ``R @ diag(1, -1, -1)`` as ``(Rz(z) Ry(y) Rx(x)).T`` and write x, -y, -z: pitch, yaw and roll as
here, with pitch and roll within 90 degrees. Heads without such angles are not in the label files.

**Boxes** hold a sphere about the head, limited to the picture. Its diameter is 3.4 times the distance of the outer
corners of the eyes, so these boxes are looser than those around visible heads.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.data.importers.boxes import BoxLabel, box_heads, coco_pictures, numbers, require_folder
from semiuhpe.errors import DataError

FOLDER = "HPE"
BROKEN = BoxLabel(reason="its bbox is not four numbers, or its euler_angles not three", broken=True)


class DirectMhp(Importer):
    """What the two datasets share.

    Attributes:
        parts: what the publisher calls each split.
        labels: beginning of the names of its label files.
    """

    splits = ("train", "val")
    full_range = True
    parts: ClassVar[Mapping[str, str]] = {"train": "train", "val": "val"}
    labels: ClassVar[str]

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        part = self.parts[split]
        inside = f"{FOLDER}/" if (source / FOLDER).is_dir() else ""
        should_be = f"the folder {FOLDER} that DirectMHP's scripts make, with images/{part} and annotations"
        images = require_folder(source, f"{inside}images/{part}", should_be)
        folder = require_folder(source, f"{inside}annotations", should_be)
        names = [f"{self.labels}_{part}{version}.json" for version in ("", "_v2")]
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            raise DataError(f"--source {source}: has no {' or '.join(names)} in {folder}; it should be {should_be}")
        return coco_pictures(path, images, part, _label)

    def heads(self, picture: Picture) -> Sequence[RawHead | Dropped]:
        return box_heads(picture)


class AgoraHpe(DirectMhp):
    """AGORA-HPE: rendered people in rendered places."""

    name = "AGORA_HPE"
    parts: ClassVar = {"train": "train", "val": "validation"}
    labels = "coco_style"
    counts: ClassVar = {"train": 105046, "val": 7505}


class CmuHpe(DirectMhp):
    """CMU-HPE: frames of 17 sequences of CMU Panoptic; 9 of them to train on."""

    name = "CMU_HPE"
    labels = "coco_style_sampled"
    counts: ClassVar = {"train": 35725, "val": 32738}


def _label(annotation: dict) -> BoxLabel:
    box, euler = numbers(annotation.get("bbox"), 4), numbers(annotation.get("euler_angles"), 3)
    return BROKEN if box is None or euler is None else BoxLabel(box, euler_deg=euler)
