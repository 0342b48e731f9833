"""The interface of importers, which list the pictures of a raw dataset and the labeled heads on each."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.io

from semiuhpe.data.crop import HEAD_BOX, CropRule
from semiuhpe.data.importers.matlab import check_elements
from semiuhpe.errors import DataError
from semiuhpe.files import parse_json

MAX_ANGLE_DEG = 89.99
"""Limit of the Euler angles of 300W-LP and BIWI in the paper's code, in degrees."""
LIMITED = f"an angle was limited to +-{MAX_ANGLE_DEG} degrees"


@dataclass(frozen=True)
class Picture:
    """A listed picture of a raw dataset. Its labels are read later, in a worker.

    Attributes:
        name: name that is unique in the dataset, including the folders that its splits depend on.
        image: file of the picture. If the dataset packs its pictures, (H, W, 3) uint8 RGB, or a function that reads it.
        labels: data from which the importer finds the heads.
        upright: turn the picture by its EXIF orientation. Boxes of published datasets refer to the unturned picture.
    """

    name: str
    image: Path | np.ndarray | Callable[[], np.ndarray]
    labels: Any = None
    upright: bool = False

    @property
    def file(self) -> Path:
        """The file of the picture; raises DataError if the dataset packs its pictures."""
        if not isinstance(self.image, Path):
            raise DataError(f"{self.name}: is not a separate file")
        return self.image


@dataclass(frozen=True)
class RawHead:
    """One head in a raw dataset.

    Attributes:
        name: name that is unique in the dataset.
        landmarks: (K, 2) pixels, if the crop rule is that of landmarks.
        box: (4,) x, y, w, h in pixels, if the crop rule is one of boxes. With neither, the whole picture is the crop.
        rotation: (3, 3) head to camera, if the dataset has rotations.
        euler_deg: (3,) pitch, yaw, roll in degrees, if the dataset has Euler angles instead.
        landmarks68: (68, 2) pixels, the landmarks of 300W-LP, where the dataset has them beside others.
        attributes: other labels of the dataset as text, with the same keys for all of its heads.
        notes: changes that the dataset's protocol makes to the labels; they are counted and printed.
    """

    name: str
    landmarks: np.ndarray | None = None
    box: np.ndarray | None = None
    rotation: np.ndarray | None = None
    euler_deg: np.ndarray | None = None
    landmarks68: np.ndarray | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dropped:
    """A head that the dataset's protocol leaves out, or that can't be read (``broken``), and the reason."""

    name: str
    reason: str
    broken: bool = False


class Importer(ABC):
    """Base class of importers: lists the pictures of a raw dataset, and finds the heads on a picture.

    Attributes:
        name: name of the dataset in options and settings.
        crop_rule: crop rule of its heads.
        splits: its splits, the default first. Crops of ``train`` are loose, those of other splits tight.
        full_range: whether rotations are full range, beyond front to profile.
        limit_deg: heads with an Euler angle beyond it are left out of stores of crops; stores of whole pictures have
            them, because evaluations differ in their limits.
        min_size: minimum of the shorter side of a head's box in pixels; smaller heads are left out.
        counts: number of heads in a complete copy by split, if known.
    """

    name: str
    crop_rule: CropRule = HEAD_BOX
    splits: tuple[str, ...] = ("train",)
    full_range: bool = False
    limit_deg: float | None = None
    min_size: float = 0.0
    counts: ClassVar[Mapping[str, int]] = {}

    @abstractmethod
    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        """List all pictures in a fixed order. Raise DataError if the source is not that dataset."""

    @abstractmethod
    def heads(self, picture: Picture) -> Iterable[RawHead | Dropped]:
        """Find the heads on a picture. Raise DataError if its labels can't be read. Runs in worker processes."""


_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_mat(path: Path) -> dict:
    """Return the contents of a MATLAB file; raise DataError if it is missing or broken."""
    if not path.is_file():
        raise DataError(f"{path}: is missing")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error})") from error
    if _HDF5 in (data[:8], data[512:520]):  # MATLAB writes a header of 512 bytes before it
        raise DataError(f"{path}: is a .mat file of version 7.3 (HDF5); save it again in MATLAB with `save ... -v7`")
    try:
        check_elements(data)
        return scipy.io.loadmat(io.BytesIO(data))
    except Exception as error:  # scipy raises many types on broken files
        raise DataError(f"{path}: is not a readable .mat file ({error})") from error


def mat_array(mat: dict, name: str, path: Path) -> np.ndarray:
    """Return an array of a MATLAB file as float64; raise DataError if it is missing or not numeric."""
    try:
        return np.asarray(mat[name], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: has no {name}") from error


def read_json(path: Path) -> Any:
    """Return the contents of a JSON file; raise DataError if it is missing or broken."""
    if not path.is_file():
        raise DataError(f"{path}: is missing")
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not readable JSON ({error})") from error


def pose_para_euler(mat: dict, path: Path) -> np.ndarray:
    """Return (3,) pitch, yaw, roll in degrees, wrapped to +-180, of ``Pose_Para`` in 300W-LP and AFLW2000 (radians)."""
    euler = np.degrees(mat_array(mat, "Pose_Para", path).reshape(-1)[:3])
    if euler.shape != (3,) or not np.isfinite(euler).all():
        raise DataError(f"{path}: its Pose_Para are not three finite angles")
    return wrap(euler)


def wrap(angle_deg: np.ndarray) -> np.ndarray:
    """Return angles in degrees wrapped into [-180, 180)."""
    return (angle_deg + 180.0) % 360.0 - 180.0


def limit_front(euler_deg: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return angles limited to the front range as in the paper's code, and a note if that changed any."""
    limited = np.clip(euler_deg, -MAX_ANGLE_DEG, MAX_ANGLE_DEG)
    return limited, (LIMITED,) if (limited != euler_deg).any() else ()
