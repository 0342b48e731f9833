"""300W-LP (Zhu et al., CVPR 2016): folders ``AFW``, ``HELEN``, ``IBUG``, ``LFPW`` and their mirrored ``*_Flip``.

Landmarks are read from ``landmarks/AFW/name_pts.mat`` (``pts_2d``; mirrored for the twins). Many copies lack that
folder: then ``pt2d`` of the ``.mat`` is used, with one warning. Angles are limited to +-89.99 as in the paper's code.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from semiuhpe.data.crop import LANDMARKS
from semiuhpe.data.importers.base import Dropped, RawHead, mat_array, pose_para_euler, read_mat
from semiuhpe.errors import DataError

logger = logging.getLogger(__name__)

NAME = "300WLP"
PROTOCOL = LANDMARKS
FULL_RANGE = False
SPLITS = ("train",)
FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")
MAX_ANGLE_DEG = 89.99


def heads(source: Path, split: str) -> Iterator[RawHead | Dropped]:
    folders = [source / (name + suffix) for name in FOLDERS for suffix in ("", "_Flip")]
    if not any(folder.is_dir() for folder in folders):
        raise DataError(f"--source {source}: has none of the folders {', '.join(FOLDERS)}; it should be 300W_LP itself")
    has_landmarks = (source / "landmarks").is_dir()
    if not has_landmarks:
        logger.warning("%s has no landmarks folder: pt2d of the .mat files is used for cropping instead.", source)
    limited = 0
    for folder in folders:
        for image in sorted(folder.glob("*.jpg")):
            name = f"{folder.name}/{image.stem}"
            try:
                head, was_limited = _head(source, image, name, has_landmarks)
            except DataError as error:
                yield Dropped(name, str(error), broken=True)
                continue
            limited += was_limited
            yield head
    if limited:
        logger.info("%d heads had an angle beyond %.2f degrees, which was limited to it.", limited, MAX_ANGLE_DEG)


def _head(source: Path, image: Path, name: str, has_landmarks: bool) -> tuple[RawHead, bool]:
    path = image.with_suffix(".mat")
    mat = read_mat(path)
    euler = pose_para_euler(mat, path)
    limited = np.clip(euler, -MAX_ANGLE_DEG, MAX_ANGLE_DEG)
    landmarks = _landmarks(source, image) if has_landmarks else mat_array(mat, "pt2d", path).T
    return RawHead(name, image, landmarks=landmarks, euler_deg=limited), bool((limited != euler).any())


def _landmarks(source: Path, image: Path) -> np.ndarray:
    folder = image.parent.name
    path = source / "landmarks" / folder.removesuffix("_Flip") / f"{image.stem}_pts.mat"
    points = mat_array(read_mat(path), "pts_2d", path).copy()
    if folder.endswith("_Flip"):
        picture = cv2.imread(str(image))
        if picture is None:
            raise DataError(f"{image}: can't be decoded")
        points[:, 0] = picture.shape[1] - points[:, 0]
    return points
