"""A dataset: heads on a turntable, cut out already, named ``<any>_<pitch>_<yaw>.png`` in degrees."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from semiuhpe.data.importers import Dropped, Importer, Picture, RawHead, register_importer
from semiuhpe.errors import DataError


@register_importer
class Turntable(Importer):
    name = "Turntable"
    splits = ("train", "test")

    def pictures(self, source: Path, split: str) -> list[Picture]:
        found = [Picture(path.stem, path) for path in sorted((source / split).glob("*.png"))]
        if not found:
            raise DataError(f"--source {source}: has no pictures in {split}/*.png")
        return found

    def heads(self, picture: Picture) -> Iterator[RawHead | Dropped]:
        match = re.fullmatch(r".+_(-?\d+)_(-?\d+)", picture.name)
        if match:
            pitch, yaw = map(float, match.groups())
            yield RawHead(picture.name, euler_deg=np.array([pitch, yaw, 0.0]))
        else:
            yield Dropped(picture.name, f"{picture.image}: its name doesn't end in _PITCH_YAW", broken=True)
