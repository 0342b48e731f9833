"""AFLW (Köstinger et al., ICCVW 2011) as faces without labels, except those in AFLW2000, which is a test set.

``AFLWinfo_release.mat`` has a row per face: ``nameList`` (N cells such as ``0/image00002.jpg``) and ``data`` (N, 38),
19 landmarks, all x before all y; missing ones are not positive. The pictures are in ``images``, without the folders in
their names. ``AFLW2000.txt`` lists the names of the pictures to leave out.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple

import numpy as np

from semiuhpe.data.crop import LANDMARKS
from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead, mat_array, read_mat
from semiuhpe.errors import DataError

LABELS, LEFT_OUT, IMAGES = "AFLWinfo_release.mat", "AFLW2000.txt", "images"
LANDMARK_COUNT = 19


class Faces(NamedTuple):
    """The faces of one picture.

    Attributes:
        rows: their rows in the label file.
        landmarks: (F, 19, 2) pixels.
        left_out: whether the picture is in AFLW2000.
    """

    rows: list[int]
    landmarks: np.ndarray
    left_out: bool


class AflwFace(Importer):
    """AFLW as faces without labels."""

    name = "AFLWFace"
    crop_rule = LANDMARKS
    counts: ClassVar = {"train": 22246}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        missing = [name for name in (LABELS, LEFT_OUT, IMAGES) if not (source / name).exists()]
        if missing:
            raise DataError(
                f"--source {source}: has no {' and no '.join(missing)}; it should be the folder with {LABELS}, "
                f"{LEFT_OUT} and the folder {IMAGES}"
            )
        names, landmarks = _read_labels(source / LABELS)
        left_out = read_left_out(source, names, LABELS)
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            rows.setdefault(name, []).append(row)
        return [
            Picture(name, source / IMAGES / name, Faces(faces, landmarks[faces], name in left_out))
            for name, faces in rows.items()
        ]

    def heads(self, picture: Picture) -> Iterator[RawHead | Dropped]:
        faces: Faces = picture.labels
        for row, landmarks in zip(faces.rows, faces.landmarks, strict=True):
            name = f"{picture.file.stem}_{row}"
            if faces.left_out:
                yield Dropped(name, "its picture is in AFLW2000")
            elif np.isinf(landmarks).any():
                yield Dropped(name, "a landmark is infinite", broken=True)
            else:
                yield RawHead(name, landmarks=landmarks)


def _read_labels(path: Path) -> tuple[list[str], np.ndarray]:
    """Return N file names without folders, and (N, 19, 2) landmarks."""
    mat = read_mat(path)
    data = mat_array(mat, "data", path)
    try:
        names = [PurePosixPath(cell.item()).name for cell in mat["nameList"].ravel()]
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{path}: has no nameList of file names") from error
    if data.shape != (len(names), 2 * LANDMARK_COUNT):
        raise DataError(
            f"{path}: data has the shape {data.shape} for {len(names)} names; "
            f"({len(names)}, {2 * LANDMARK_COUNT}) is needed"
        )
    return names, data.reshape(-1, 2, LANDMARK_COUNT).swapaxes(1, 2)


def read_left_out(source: Path, names: Iterable[str], labels: str) -> set[str]:
    """Return the names of AFLW2000's pictures, without folders, which are left out.

    Args:
        source: folder of the list :data:`LEFT_OUT`.
        names: the dataset's pictures, without folders.
        labels: name of the file that has these.

    Raises:
        DataError: the list can't be read, or names none of the dataset's pictures.
    """
    path = source / LEFT_OUT
    try:
        left_out = {PurePosixPath(line.strip()).name for line in path.read_text(encoding="utf-8").splitlines()}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a readable list of names ({error})") from error
    if not left_out.intersection(names):
        raise DataError(f"{path}: names no picture of {labels}, so AFLW2000 can't be left out")
    return left_out
