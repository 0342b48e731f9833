"""What an importer gives: heads of a raw dataset, one after the other, with their labels in the one convention."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as TypingProtocol

import numpy as np
import scipy.io

from semiuhpe.data.crop import Protocol
from semiuhpe.errors import DataError


@dataclass(frozen=True)
class RawHead:
    """One head in a raw dataset.

    Attributes:
        name: unique in the dataset, with the folders that matter for its splits.
        image: file of the picture.
        landmarks: (K, 2) pixels, for datasets of the landmark protocol, else None.
        box: (4,) x, y, w, h pixels, for the others, else None.
        euler_deg: (3,) pitch, yaw, roll, where the dataset gives them.
    """

    name: str
    image: Path
    landmarks: np.ndarray | None = None
    box: np.ndarray | None = None
    euler_deg: np.ndarray | None = None


@dataclass(frozen=True)
class Dropped:
    """A head that the dataset's protocol leaves out, or that can't be read (``broken``), and why."""

    name: str
    reason: str
    broken: bool = False


class Importer(TypingProtocol):
    """A raw dataset. Each importer is a module with these names."""

    NAME: str
    PROTOCOL: Protocol
    FULL_RANGE: bool
    SPLITS: tuple[str, ...]
    """The first is the default."""

    def heads(self, source: Path, split: str) -> Iterator[RawHead | Dropped]:
        """All heads in a fixed order. Raises DataError if the folder is not that dataset."""


def read_mat(path: Path) -> dict:
    """Contents of a MATLAB file; DataError if it is missing or broken."""
    if not path.is_file():
        raise DataError(f"{path}: is missing")
    try:
        return scipy.io.loadmat(path)
    except Exception as error:  # scipy raises many types on broken files
        raise DataError(f"{path}: is not a readable .mat file ({error})") from error


def mat_array(mat: dict, name: str, path: Path) -> np.ndarray:
    """A float64 array of a MATLAB file's contents; DataError if it isn't there or not numbers."""
    try:
        return np.asarray(mat[name], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: has no {name}") from error


def pose_para_euler(mat: dict, path: Path) -> np.ndarray:
    """(3,) pitch, yaw, roll in degrees of the ``Pose_Para`` of 300W-LP and AFLW2000 (radians), wrapped to +-180."""
    euler = np.degrees(mat_array(mat, "Pose_Para", path).reshape(-1)[:3])
    if euler.shape != (3,) or not np.isfinite(euler).all():
        raise DataError(f"{path}: its Pose_Para are not three finite angles")
    return (euler + 180.0) % 360.0 - 180.0
