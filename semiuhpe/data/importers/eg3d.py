"""Heads in the layout of EG3D (Chan et al., CVPR 2022) and PanoHead (An et al., CVPR 2023), with ``dataset.json``.

``dataset.json`` has ``labels``, a list of ``[FILE, [25 numbers]]``: 16 numbers of the camera-to-world matrix by row,
then 9 of the intrinsic matrix in units of the picture's side. Camera axes are OpenCV's: x right, y down, z into the
scene. World axes are the head's: x to the subject's left, y up, z out of the face. So the rotation from head to camera
is the transpose of the matrix's first three rows and columns, and ``diag(1, -1, -1)`` for a frontal camera.

The pictures are head crops and are used whole. The rotation is that of the camera; a head off the optical axis is seen
from a slightly different direction, as in every crop.

The attribute ``identity`` follows from a picture's name: ``seed0007_03.png`` and ``seed0007-04.png`` have the same
identity, and so do ``seed0007/03.png`` and ``seed0007/04.png``. In EG3D's own dataset, each picture such as
``00000/img00000012.png`` is an identity, together with its mirrored twin ``img00000012_mirror.png``.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from semiuhpe.data.identities import IDENTITY
from semiuhpe.data.importers.base import Importer, Picture, RawHead, read_json
from semiuhpe.data.importers.boxes import numbers
from semiuhpe.errors import DataError

LABELS = "dataset.json"
_CAMERA_NUMBERS = 25
_LAST_ROW = (0.0, 0.0, 0.0, 1.0)
_TOLERANCE = 1e-3
_VIEW = re.compile(r"(.+)[_-]\d+")
_MIRRORED = "_mirror"


class Eg3d(Importer):
    """Heads in the layout of EG3D."""

    name = "EG3D"
    splits = ("train", "test")
    full_range = True

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        if not (source / LABELS).is_file():
            raise DataError(f"--source {source}: has no {LABELS}; it should be a folder in the layout of EG3D")
        labels = read_json(source / LABELS)
        labels = labels.get("labels") if isinstance(labels, dict) else None
        if not isinstance(labels, list) or not labels:
            raise DataError(f"{source / LABELS}: has no list of labels; was it written without cameras?")
        found = []
        for row, label in enumerate(labels):
            if not (isinstance(label, list) and len(label) == 2 and isinstance(label[0], str) and label[0]):
                raise DataError(f"{source / LABELS}: label {row} is not [FILE, [{_CAMERA_NUMBERS} numbers]]")
            found.append(Picture(label[0], source / label[0], label[1]))
        if len({picture.name for picture in found}) < len(found):
            raise DataError(f"{source / LABELS}: names a file twice")
        return found

    def heads(self, picture: Picture) -> Iterator[RawHead]:
        camera = numbers(picture.labels, _CAMERA_NUMBERS)
        if camera is None:
            raise DataError(f"{picture.name}: its label is not {_CAMERA_NUMBERS} finite numbers")
        pose = np.array(camera[:16]).reshape(4, 4)
        if np.abs(pose[3] - _LAST_ROW).max() > _TOLERANCE:
            raise DataError(f"{picture.name}: the last row of its camera-to-world matrix is {pose[3].tolist()}")
        yield RawHead(picture.name, rotation=pose[:3, :3].T, attributes={IDENTITY: identity(picture.name)})


def identity(name: str) -> str:
    """Return the identity on a picture from its name; see the docstring of this module."""
    path = PurePosixPath(name)
    stem = path.stem.removesuffix(_MIRRORED)
    view = _VIEW.fullmatch(stem)
    if view:
        return str(path.with_name(view[1]))
    if stem.isdecimal() and path.parent.name:
        return str(path.parent)
    return str(path.with_name(stem))
