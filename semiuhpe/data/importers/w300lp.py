"""300W-LP (Zhu et al., CVPR 2016): folders ``AFW``, ``HELEN``, ``IBUG``, ``LFPW`` and their mirrored ``*_Flip``.

Landmarks are read from ``landmarks/AFW/name_pts.mat`` (``pts_2d``; mirrored for ``*_Flip``). Many copies lack that
folder; then ``pt2d`` of the ``.mat`` is used, with one warning. Angles are limited to +-89.99 as in the paper's code.

The source may also be a list, ``files.txt``, of the pictures to use (:mod:`semiuhpe.data.importers.lists`).
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from semiuhpe.data.crop import LANDMARKS
from semiuhpe.data.importers.base import Importer, Picture, RawHead, limit_front, mat_array, pose_para_euler, read_mat
from semiuhpe.data.importers.lists import listed
from semiuhpe.errors import DataError
from semiuhpe.pictures import picture_size

logger = logging.getLogger(__name__)

FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")


class W300LP(Importer):
    """300W-LP."""

    name = "300WLP"
    crop_rule = LANDMARKS
    counts: ClassVar = {"train": 122450}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        names = tuple(name + suffix for name in FOLDERS for suffix in ("", "_Flip"))
        root = source.parent if source.is_file() else source
        if not any((root / name).is_dir() for name in names):
            raise DataError(
                f"--source {source}: has none of the folders {', '.join(FOLDERS)}; it should be 300W_LP itself, or a "
                "list files.txt in it"
            )
        landmarks = root / "landmarks" if (root / "landmarks").is_dir() else None
        if landmarks is None:
            logger.warning("%s has no landmarks folder: pt2d of the .mat files is used for cropping instead.", root)
        images = (image for name in names for image in sorted((root / name).glob("*.jpg")))
        return [
            Picture(f"{image.parent.name}/{image.stem}", image, landmarks)
            for image in (listed(source, names) if source.is_file() else images)
        ]

    def heads(self, picture: Picture) -> Iterator[RawHead]:
        path = picture.file.with_suffix(".mat")
        mat = read_mat(path)
        euler, notes = limit_front(pose_para_euler(mat, path))
        landmarks = _landmarks(picture) if picture.labels else mat_array(mat, "pt2d", path).T
        yield RawHead(picture.name, landmarks=landmarks, euler_deg=euler, notes=notes)


def _landmarks(picture: Picture) -> np.ndarray:
    folder = picture.file.parent.name
    path = picture.labels / folder.removesuffix("_Flip") / f"{picture.file.stem}_pts.mat"
    points = mat_array(read_mat(path), "pts_2d", path).copy()
    if folder.endswith("_Flip"):
        points[:, 0] = picture_size(picture.file)[0] - points[:, 0]
    return points
