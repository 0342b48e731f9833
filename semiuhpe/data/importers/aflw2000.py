"""AFLW2000-3D (Zhu et al., CVPR 2016): ``imageNNNNN.jpg`` with ``imageNNNNN.mat`` beside it.

Heads with any angle beyond +-90 degrees are dropped, as in all papers; 1,964 of 2,000 are kept.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from semiuhpe.data.crop import LANDMARKS
from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead, mat_array, pose_para_euler, read_mat
from semiuhpe.errors import DataError

LIMIT_DEG = 90.0


class Aflw2000(Importer):
    """AFLW2000-3D."""

    name = "AFLW2000"
    crop_rule = LANDMARKS
    splits: tuple[str, ...] = ("test",)
    counts: ClassVar = {"test": 1964}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        images = sorted(source.glob("image*.jpg"))
        if not images:
            raise DataError(f"--source {source}: has no image*.jpg; it should be the folder AFLW2000 itself")
        return [Picture(image.stem, image) for image in images]

    def heads(self, picture: Picture) -> Iterator[RawHead | Dropped]:
        path = picture.file.with_suffix(".mat")
        mat = read_mat(path)
        euler = pose_para_euler(mat, path)
        if (np.abs(euler) > LIMIT_DEG).any():
            yield Dropped(picture.name, "an angle beyond 90 degrees")
        else:
            yield RawHead(picture.name, landmarks=mat_array(mat, "pt2d", path).T, euler_deg=euler)
