"""What an importer gives: the pictures of a raw dataset, and the heads on each with their labels."""

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
"""The paper's code limits the Euler angles of 300W-LP and BIWI to this."""
LIMITED = f"an angle was limited to +-{MAX_ANGLE_DEG} degrees"


@dataclass(frozen=True)
class Picture:
    """One picture of a raw dataset, as it is listed: labels are read later, in a worker.

    Attributes:
        name: unique in the dataset, with the folders that matter for its splits.
        image: file of the picture; or, where the dataset packs its pictures, (H, W, 3) uint8 RGB or what reads it.
        labels: whatever the importer needs to find the heads.
        upright: turn the picture as its EXIF orientation says. Published datasets give boxes in the unturned picture.
    """

    name: str
    image: Path | np.ndarray | Callable[[], np.ndarray]
    labels: Any = None
    upright: bool = False

    @property
    def file(self) -> Path:
        """Its file, in a dataset of one file a picture; DataError if it is packed with others."""
        if not isinstance(self.image, Path):
            raise DataError(f"{self.name}: has no file of its own")
        return self.image


@dataclass(frozen=True)
class RawHead:
    """One head in a raw dataset.

    Attributes:
        name: unique in the dataset.
        landmarks: (K, 2) pixels, for datasets of the landmark protocol.
        box: (4,) x, y, w, h pixels, for those of a box protocol. With neither, the whole picture is the head crop.
        rotation: (3, 3) head to camera, where the dataset gives it, or
        euler_deg: (3,) pitch, yaw, roll, where it gives those.
        attributes: what else the dataset says, as text; the same keys for all its heads.
        notes: what the protocol changed about the labels; counted and printed.
    """

    name: str
    landmarks: np.ndarray | None = None
    box: np.ndarray | None = None
    rotation: np.ndarray | None = None
    euler_deg: np.ndarray | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dropped:
    """A head that the dataset's protocol leaves out, or that can't be read (``broken``), and why."""

    name: str
    reason: str
    broken: bool = False


class Importer(ABC):
    """A raw dataset: lists its pictures, and finds the heads on one.

    Attributes:
        name: as options and settings name it.
        crop_rule: how its heads are cropped.
        splits: the first is the default. ``train`` keeps loose crops, others those of the crop rule.
        full_range: whether its heads go beyond front to profile.
        min_size: heads whose box has a shorter side are left out, in pixels.
        counts: heads of a complete copy, by split, where they are known.
    """

    name: str
    crop_rule: CropRule = HEAD_BOX
    splits: tuple[str, ...] = ("train",)
    full_range: bool = False
    min_size: float = 0.0
    counts: ClassVar[Mapping[str, int]] = {}

    @abstractmethod
    def pictures(self, source: Path, split: str) -> Sequence[Picture]:
        """List all pictures in a fixed order. Raises DataError if the source is not that dataset."""

    @abstractmethod
    def heads(self, picture: Picture) -> Iterable[RawHead | Dropped]:
        """Find the heads on a picture. Raises DataError if its labels can't be read. Runs in worker processes."""


_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_mat(path: Path) -> dict:
    """Contents of a MATLAB file; DataError if it is missing or broken."""
    if not path.is_file():
        raise DataError(f"{path}: is missing")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error})") from error
    if _HDF5 in (data[:8], data[512:520]):  # MATLAB puts 512 bytes of its own before it
        raise DataError(f"{path}: is a .mat file of version 7.3 (HDF5); save it again in MATLAB with `save ... -v7`")
    try:
        check_elements(data)
        return scipy.io.loadmat(io.BytesIO(data))
    except Exception as error:  # scipy raises many types on broken files
        raise DataError(f"{path}: is not a readable .mat file ({error})") from error


def mat_array(mat: dict, name: str, path: Path) -> np.ndarray:
    """A float64 array of a MATLAB file's contents; DataError if it isn't there or not numbers."""
    try:
        return np.asarray(mat[name], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: has no {name}") from error


def read_json(path: Path) -> Any:
    """Contents of a JSON file; DataError if it is missing or broken."""
    if not path.is_file():
        raise DataError(f"{path}: is missing")
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not readable JSON ({error})") from error


def pose_para_euler(mat: dict, path: Path) -> np.ndarray:
    """(3,) pitch, yaw, roll in degrees of the ``Pose_Para`` of 300W-LP and AFLW2000 (radians), wrapped to +-180."""
    euler = np.degrees(mat_array(mat, "Pose_Para", path).reshape(-1)[:3])
    if euler.shape != (3,) or not np.isfinite(euler).all():
        raise DataError(f"{path}: its Pose_Para are not three finite angles")
    return wrap(euler)


def wrap(angle_deg: np.ndarray) -> np.ndarray:
    """Angles in [-180, 180)."""
    return (angle_deg + 180.0) % 360.0 - 180.0


def limit_front(euler_deg: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Angles limited to the front range as in the paper's code, and the note to make if that changed any."""
    limited = np.clip(euler_deg, -MAX_ANGLE_DEG, MAX_ANGLE_DEG)
    return limited, (LIMITED,) if (limited != euler_deg).any() else ()
