"""BIWI Kinect Head Pose Database (Fanelli et al., IJCV 2013), the original: ``hpdb/NN/frame_XXXXX_rgb.png``.

Hugging Face's ``ETHZurich/biwi_kinect_head_pose`` is a script that downloads the original and unpacks it in its cache:
``downloads/extracted/HASH/hpdb``. The folder ``extracted`` may be the source. The table that it makes has paths of the
frames only, so it is refused.

``frame_XXXXX_pose.txt`` contains a 3x3 rotation and the head's center in mm, both in the frame of the depth camera, and
``NN/rgb.cal`` the calibration of the camera that took the pictures. They are used as follows:

- **Rotation.** See :func:`semiuhpe.conventions.from_biwi`. The annotation is used unchanged, as in Hopenet and FSA-Net,
  although the two cameras are turned against each other by about a degree; :class:`BiwiPlus` corrects that.
  ``euler_deg`` are the Euler angles of R, as in those papers.
- **Head box.** BIWI has none, so this is our choice: the head's center c is transformed to the color camera,
  ``R c + t`` with the rotation and translation of ``rgb.cal``, and projected without lens distortion. It is the center
  of a square of 240 mm, as an adult's head measures up to 240 mm from chin to crown. The box is square and does not
  depend on the rotation, so that it doesn't reveal the label. (t is about -24 mm in x: a Kinect's color camera is to
  the right of its depth camera, seen from behind.)
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from semiuhpe.conventions import from_biwi
from semiuhpe.data.importers.base import Importer, Picture, RawHead
from semiuhpe.errors import DataError
from semiuhpe.rotation import matrix_to_euler

FOLDER = "hpdb"
HEAD_SIZE_MM = 240.0
IMAGE, POSE = "_rgb.png", "_pose.txt"


class Calibration(NamedTuple):
    """The color camera of a sequence.

    Attributes:
        intrinsics: (3, 3) matrix from camera coordinates to pixels.
        rotation: (3, 3) rotation from the depth camera to the color camera.
        translation: (3,) translation from the depth camera to the color camera in mm.
    """

    intrinsics: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


class Biwi(Importer):
    """The original BIWI."""

    name = "BIWI"
    splits = ("test", "train")
    counts: ClassVar = {"test": 15678, "train": 15678}

    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        root = _root(source)
        listed: list[Picture] = []
        for sequence in sorted(folder for folder in root.glob("[0-9][0-9]") if folder.is_dir()):
            camera, name = _calibration(sequence / "rgb.cal"), sequence.name
            listed += [Picture(f"{name}/{frame}", sequence / (frame + IMAGE), camera) for frame in _frames(sequence)]
        if not listed:
            raise DataError(
                f"--source {source}: has no NN/frame_XXXXX{IMAGE} in folders 01 to 24; it should be the folder "
                f"{FOLDER}, or the one that contains it, or downloads/extracted in the cache of Hugging Face's datasets"
            )
        return listed

    def heads(self, picture: Picture) -> Iterator[RawHead]:
        path = picture.file.with_name(picture.file.name.removesuffix(IMAGE) + POSE)
        rows = _rows(path)
        if [len(row) for row in rows] != [3] * 4:
            raise DataError(f"{path}: is not a 3x3 rotation and a position")
        rotation = from_biwi(torch.from_numpy(self._rotation(np.array(rows[:3]), picture.labels)))
        yield RawHead(
            picture.name,
            box=_head_box(np.array(rows[3]), picture.labels, path),
            rotation=rotation.numpy(),
            euler_deg=matrix_to_euler(rotation).numpy(),
        )

    def _rotation(self, annotated: np.ndarray, camera: Calibration) -> np.ndarray:
        """Return the rotation (3, 3) that is the label, in BIWI's axes."""
        return annotated


class BiwiPlus(Biwi):
    """Biwi+ (Kuhnke and Ostermann, "Deep head pose estimation using synthetic images and partial adversarial domain
    adaption for continuous label spaces", ICCV 2019): the rotations are moved into the color camera, which took the
    pictures. The head boxes are those of :class:`Biwi`, not theirs.
    """

    name = "BIWIplus"

    def _rotation(self, annotated: np.ndarray, camera: Calibration) -> np.ndarray:
        return camera.rotation @ annotated


def _root(source: Path) -> Path:
    """Return the folder of the sequences; DataError if there are several, or the source is Hugging Face's table."""
    tables = (".parquet", ".arrow")
    if source.suffix in tables or (source.is_dir() and any(path.suffix in tables for path in source.iterdir())):
        raise DataError(
            f"--source {source}: is a table of Hugging Face's datasets, which has paths of the frames, not the frames; "
            f"pass the folder {FOLDER} that it unpacked, in downloads/extracted of its cache"
        )
    if (source / FOLDER).is_dir():
        return source / FOLDER
    unpacked = sorted(source.glob(f"*/{FOLDER}"))
    if len(unpacked) > 1:
        raise DataError(f"--source {source}: has {len(unpacked)} folders {FOLDER}; pass one: {unpacked[0]}")
    return unpacked[0] if unpacked else source


def _frames(sequence: Path) -> list[str]:
    """Return the frames with a picture or a label; frames that lack one of them are reported when they are read."""
    return sorted(
        {path.name.removesuffix(end) for end in (IMAGE, POSE) for path in sequence.glob(f"frame_[0-9]*{end}")}
    )


def _calibration(path: Path) -> Calibration:
    rows = _rows(path)  # intrinsics, distortion, rotation, translation, picture size
    if [len(row) for row in rows[:3] + rows[4:8]] != [3] * 7:
        raise DataError(f"{path}: is not BIWI's calibration of intrinsics, distortion, rotation and translation")
    return Calibration(np.array(rows[:3]), np.array(rows[4:7]), np.array(rows[7]))


def _rows(path: Path) -> list[list[float]]:
    """Return the numbers of a text file by line, without blank lines; raise DataError if it is missing or broken."""
    try:
        text = path.read_text(encoding="ascii")
        return [[float(number) for number in line.split()] for line in text.splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a table of numbers ({error})") from error


def _head_box(center: np.ndarray, camera: Calibration, path: Path) -> np.ndarray:
    """Return the (4,) x, y, w, h in pixels of the square about a head's center, (3,) mm in the depth camera's frame."""
    x, y, depth = camera.rotation @ center + camera.translation
    if not depth > 0:
        raise DataError(f"{path}: its head center is not in front of the camera")
    middle = (camera.intrinsics @ [x, y, depth])[:2] / depth
    size = np.diag(camera.intrinsics)[:2] * HEAD_SIZE_MM / depth
    return np.concatenate([middle - size / 2, size])
