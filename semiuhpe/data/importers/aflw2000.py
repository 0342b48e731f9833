"""AFLW2000-3D (Zhu et al., CVPR 2016): ``imageNNNNN.jpg`` with ``imageNNNNN.mat`` beside it.

Heads with any angle beyond +-90 degrees are dropped, as in all papers; 1,964 of 2,000 are kept. The source may also be
a list, ``files.txt``, of the pictures to use (:mod:`semiuhpe.data.importers.lists`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from semiuhpe.data.crop import LANDMARKS
from semiuhpe.data.importers.base import Importer, Picture, RawHead, mat_array, pose_para_euler, read_mat
from semiuhpe.data.importers.lists import listed
from semiuhpe.errors import DataError


class Aflw2000(Importer):
    """AFLW2000-3D."""

    name = "AFLW2000"
    crop_rule = LANDMARKS
    limit_deg = 90.0
    splits: tuple[str, ...] = ("test",)
    counts: ClassVar = {"test": 1964}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        images = listed(source) if source.is_file() else sorted(source.glob("image*.jpg"))
        if not images:
            raise DataError(
                f"--source {source}: has no image*.jpg; it should be the folder AFLW2000 itself, or a list files.txt "
                "in it"
            )
        return [Picture(image.stem, image) for image in images]

    def heads(self, picture: Picture) -> Iterator[RawHead]:
        path = picture.file.with_suffix(".mat")
        mat = read_mat(path)
        euler, landmarks = pose_para_euler(mat, path), mat_array(mat, "pt2d", path).T
        face = mat_array(mat, "pt3d_68", path) if "pt3d_68" in mat else np.empty(0)
        landmarks68 = face[:2].T if face.shape == (3, 68) else None
        yield RawHead(picture.name, landmarks=landmarks, euler_deg=euler, landmarks68=landmarks68)
