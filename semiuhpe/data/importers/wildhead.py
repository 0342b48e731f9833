"""WildHead: the paper's own dataset, heads cut out of COCO, CrowdHuman and Open Images with some margin.

Folders ``head_images_wild_30_{hp,ch,oi}``, or a single folder, contain ``<prefix>_<id>_<x>,<y>,<w>,<h>.jpg``, where the
box is that of the head in this picture. The pictures of all folders are sorted together by name, as in the paper's
code.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.errors import DataError

logger = logging.getLogger(__name__)

FOLDERS = tuple(f"head_images_wild_30_{part}" for part in ("hp", "ch", "oi"))
PATTERN = "<prefix>_<id>_<x>,<y>,<w>,<h>.jpg"
BOX = re.compile(r".+_(-?\d+),(-?\d+),(\d+),(\d+)")


class WildHead(Importer):
    """WildHead."""

    name = "WildHead"
    full_range = True
    counts: ClassVar = {"train": 403216}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        present = [name for name in FOLDERS if (source / name).is_dir()]
        if present and len(present) < len(FOLDERS):
            missing = [name for name in FOLDERS if name not in present]
            logger.warning("%s has no %s: the heads of the other folders are used.", source, " and no ".join(missing))
        images = [
            Picture(f"{name}/{image.stem}" if name else image.stem, image)
            for name in present or [""]
            for image in (source / name).glob("*.jpg")
        ]
        if not any(BOX.fullmatch(picture.file.stem) for picture in images):
            raise DataError(
                f"--source {source}: has no picture named {PATTERN}, neither in {', '.join(FOLDERS)} nor in itself; it "
                "should be the folder of WildHead"
            )
        return sorted(images, key=lambda picture: (picture.file.name, picture.name))

    def heads(self, picture: Picture) -> Iterator[RawHead | Dropped]:
        match = BOX.fullmatch(picture.file.stem)
        if match:
            yield RawHead(picture.name, box=np.array(match.groups(), dtype=np.float64))
        else:
            yield Dropped(picture.name, f"{picture.image}: is not named {PATTERN}", broken=True)
