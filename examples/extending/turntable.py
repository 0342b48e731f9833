"""A dataset: heads on a turntable, cut out already, named ``<any>_<pitch>_<yaw>.png`` in degrees."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from semiuhpe.data.crop import HEAD_BOX
from semiuhpe.data.importers import Dropped, Picture, RawHead
from semiuhpe.errors import DataError

NAME = "Turntable"
PROTOCOL = HEAD_BOX
SPLITS = ("train", "test")
FULL_RANGE = False
MIN_SIZE = 0.0
COUNTS = {}


def pictures(source: Path, split: str) -> list[Picture]:
    found = [Picture(path.stem, path) for path in sorted((source / split).glob("*.png"))]
    if not found:
        raise DataError(f"--source {source}: has no pictures in {split}/*.png")
    return found


def heads(picture: Picture) -> Iterator[RawHead | Dropped]:
    match = re.fullmatch(r".+_(-?\d+)_(-?\d+)", picture.name)
    if match:
        pitch, yaw = map(float, match.groups())
        yield RawHead(picture.name, euler_deg=np.array([pitch, yaw, 0.0]))
    else:
        yield Dropped(picture.name, f"{picture.image}: its name doesn't end in _PITCH_YAW", broken=True)
