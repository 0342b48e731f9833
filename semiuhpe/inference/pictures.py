"""Picture files: finding them, and reading them in bounded memory."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from semiuhpe.data.importers.folder import SUFFIXES
from semiuhpe.errors import ConfigError, DataError, first_line

MAX_PIXELS = 50_000_000
"""Pixels of a picture in memory: 150 MB, and about three times that while it is decoded and turned upright."""
_ORIENTATION = 0x0112  # of EXIF; 5 to 8 swap width and height
_ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}  # other formats of several pictures have pages, or views of a scene
_JPEG_SCALES = (2, 4, 8)  # at which libjpeg can decode without ever holding the whole picture


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright as its EXIF orientation says.
        width, height: of the upright picture in its file; the image is smaller where the file is huge.
        animated: whether it is the first frame of an animation.
    """

    image: np.ndarray
    width: int
    height: int
    animated: bool = False

    @property
    def scale(self) -> np.ndarray:
        """(4,) float32 factors that take a box x, y, w, h of the image to one of the file."""
        height, width = self.image.shape[:2]
        return np.tile(np.array([self.width / width, self.height / height], np.float32), 2)


def find_pictures(inputs: Sequence[str], besides: Path) -> list[str]:
    """Paths of pictures, each once, in a fixed order.

    Args:
        inputs: files, folders (all pictures in them and below, by their ending), and globs with ``*``, ``?``, ``[...]``
            and ``**``.
        besides: a folder whose pictures are left out of folders and globs: the one that results go to.

    Raises:
        ConfigError: an input doesn't exist, or a folder or glob has no picture.
    """
    besides = besides.resolve()
    found: dict[str, None] = {}
    for text in inputs:
        path = Path(text)
        if path.is_file():
            names = [os.path.normpath(text)]
        elif path.is_dir():
            names = _in_folder(text, besides)
        elif glob.has_magic(text):
            matches = sorted(os.path.normpath(match) for match in glob.iglob(text, recursive=True))
            names = [name for name in matches if _is_picture(name) and not _below(name, besides)]
        else:
            raise ConfigError(f"--input {text}: there is no such file or folder")
        if not names:
            raise ConfigError(f"--input {text}: has no pictures ({', '.join(sorted(SUFFIXES))})")
        found |= dict.fromkeys(names)
    return list(found)


def read_picture(path: str | Path) -> Picture:
    """Decodes a picture; a JPEG of more than :data:`MAX_PIXELS` at a half, a quarter or an eighth of its size.

    Raises:
        DataError: it is missing or can't be decoded; or has more pixels than that and is no baseline JPEG; or more than
            Pillow ever opens, 179 million.
    """
    try:
        with Image.open(path) as image:
            size, animated = image.size, is_animation(image)
            if size[0] * size[1] > MAX_PIXELS:
                _reduce(image, path)
            sideways = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            ImageOps.exif_transpose(image, in_place=True)
            pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(f"{path}: has more than {most:,} pixels; make it smaller") from error
    except DataError:
        raise
    except Exception as error:  # Pillow's readers fail on broken files in ways without a common base
        raise DataError(f"{path}: can't be decoded ({first_line(error)})") from error
    width, height = size[::-1] if sideways else size
    return Picture(pixels, width, height, animated)


def is_animation(image: Image.Image) -> bool:
    """Whether an opened picture has frames that follow one another."""
    return image.format in _ANIMATED and bool(getattr(image, "is_animated", False))


def count_pixels(path: str | Path) -> int:
    """Pixels of a picture by its header; 0 if it can't be read."""
    try:
        with Image.open(path) as image:
            return image.width * image.height
    except Exception:  # as in read_picture, which says what is wrong
        return 0


def _reduce(image: Image.Image, path: str | Path) -> None:
    """Has a huge JPEG decoded at a fraction of its size; DataError if that can't be."""
    width, height = image.size
    # A progressive file is held in memory as a whole before anything of it can be scaled.
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        for scale in _JPEG_SCALES:
            smaller = -(-width // scale), -(-height // scale)
            if smaller[0] * smaller[1] <= MAX_PIXELS:
                image.draft("RGB", smaller)
                return
    raise DataError(
        f"{path}: has {width}x{height} pixels, and only baseline JPEGs may have more than {MAX_PIXELS:,}; "
        "make it smaller"
    )


def _in_folder(folder: str, besides: Path) -> list[str]:
    names = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if Path(parent, name).resolve() != besides)
        names += [os.path.normpath(os.path.join(parent, name)) for name in sorted(files) if _is_picture(name)]
    return names


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _below(name: str, folder: Path) -> bool:
    return Path(name).resolve().is_relative_to(folder)
