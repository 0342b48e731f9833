"""AFLW2000-3D (Zhu et al., CVPR 2016): ``imageNNNNN.jpg`` with ``imageNNNNN.mat`` beside it.

Heads with any angle beyond +-90 degrees are dropped, as in all papers: 1,964 of 2,000 are kept.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from semiuhpe.data.crop import LANDMARKS
from semiuhpe.data.importers.base import Dropped, RawHead, mat_array, pose_para_euler, read_mat
from semiuhpe.errors import DataError

NAME = "AFLW2000"
PROTOCOL = LANDMARKS
FULL_RANGE = False
SPLITS = ("test",)
MAX_ANGLE_DEG = 90.0


def heads(source: Path, split: str) -> Iterator[RawHead | Dropped]:
    images = sorted(source.glob("image*.jpg"))
    if not images:
        raise DataError(f"--source {source}: has no image*.jpg; it should be the folder AFLW2000 itself")
    for image in images:
        try:
            yield _head(image)
        except DataError as error:
            yield Dropped(image.name, str(error), broken=True)


def _head(image: Path) -> RawHead | Dropped:
    path = image.with_suffix(".mat")
    mat = read_mat(path)
    euler = pose_para_euler(mat, path)
    if (np.abs(euler) > MAX_ANGLE_DEG).any():
        return Dropped(image.name, "an angle beyond 90 degrees")
    return RawHead(image.stem, image, landmarks=mat_array(mat, "pt2d", path).T, euler_deg=euler)
