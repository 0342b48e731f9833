"""A user's own photographs as backgrounds: finding them in a folder, and reading them at a reduced size."""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from semiuhpe.errors import ConfigError, DataError, did_you_mean, require
from semiuhpe.pictures import (
    files_below,
    no_pictures,
    picture_size,
    pictures_among,
    plain_name,
    read_picture,
    warn_of_unread,
)

OPTION = "--backgrounds"
SIDE = 384  # shorter side of the photographs that are kept in memory, in pixels
KEPT = 64  # how many a process keeps


@dataclass(frozen=True)
class Photographs:
    """The pictures in a folder and below it.

    Attributes:
        folder: the folder.
        count: number of pictures.
        sha256: hash of their names and sizes in bytes, in order.
    """

    folder: str
    count: int
    sha256: str

    def recorded(self) -> dict[str, Any]:
        """Return what a store says of them: which they are, not where."""
        return {"folder": Path(self.folder).resolve().name, "count": self.count, "sha256": self.sha256}

    def read(self, number: int) -> np.ndarray:
        """Return a picture, uint8 RGB (H, W, 3), reduced so that its shorter side has at most :data:`SIDE` pixels.

        Raises:
            DataError: it can't be read, or the folder has changed.
        """
        return _reduced(self, number)


def find_photographs(folder: str | os.PathLike) -> Photographs:
    """Return the pictures in a folder and below it, after a look at the header of each.

    Raises:
        ConfigError: the folder is missing, is not a folder, has no pictures, or has one that can't be read.
    """
    path = Path(folder)
    if not path.exists():
        beside = os.listdir(path.parent) if path.parent.is_dir() else []
        raise ConfigError(f"{OPTION} {folder}: there is no such folder{did_you_mean(path.name, beside)}")
    require(path.is_dir(), f"{OPTION} {folder}: is not a folder; give the folder that has the pictures in it")
    names, unread = _pictures_in(str(folder))
    require(bool(names), f"{OPTION} {folder}: {no_pictures(unread)}")
    warn_of_unread(unread, path)
    for name in names:
        try:
            picture_size(path / name)
        except DataError as error:
            raise ConfigError(_unreadable(error)) from error
    return Photographs(str(folder), len(names), _fingerprint(str(folder), names))


def _unreadable(error: DataError) -> str:
    return f"{OPTION} {error}; remove the file or replace it"


def _pictures_in(folder: str) -> tuple[list[str], int]:
    """Return the names of the pictures below a folder, sorted, and the number of those that can't be read."""
    found, unread = pictures_among(files_below(Path(folder)))
    return sorted((os.path.relpath(file, folder) for file in found), key=plain_name), unread


def _fingerprint(folder: str, names: list[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        try:
            size = os.path.getsize(os.path.join(folder, name))
        except OSError:
            size = -1  # reading it will say what is wrong
        digest.update(f"{plain_name(name)}\0{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


@lru_cache(maxsize=2)
def _names(photographs: Photographs) -> list[str]:
    """Return the names of the pictures, which have to be those that were found first."""
    names, _ = _pictures_in(photographs.folder)
    if _fingerprint(photographs.folder, names) != photographs.sha256:
        raise DataError(f"{OPTION} {photographs.folder}: has changed since the command began; run it again")
    return names


@lru_cache(maxsize=KEPT)
def _reduced(photographs: Photographs, number: int) -> np.ndarray:
    try:
        image = read_picture(Path(photographs.folder, _names(photographs)[number]), enough=SIDE).image
    except DataError as error:
        if str(error).startswith(OPTION):
            raise
        raise DataError(_unreadable(error)) from error
    height, width = image.shape[:2]
    scale = SIDE / min(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    image.setflags(write=False)  # all that ask for it get the same array
    return image
