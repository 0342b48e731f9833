"""Picture files: finding them in folders, and decoding every kind of them in bounded memory.

Whatever a picture holds becomes (H, W, 3) uint8 RGB, by the table in docs/inference.md: 16-bit grey values are scaled,
floats and 32-bit integers by their range, and what is transparent is put on black, the color of a crop beyond the
picture's edge.
"""

import glob
import mimetypes
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps

from semiuhpe.config import did_you_mean
from semiuhpe.errors import ConfigError, DataError, first_line

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
HEIF_SUFFIXES = {".heic", ".heif"}
"""Of pictures that Pillow reads with the optional package pillow-heif."""
HEIF_REMEDY = "pip install 'semiuhpe[heif]' reads them"
MAX_PIXELS = 50_000_000
"""Pixels of a picture in memory: 150 MB, and about three times that while it is decoded and turned upright."""
_ORIENTATION = 0x0112  # of EXIF; 5 to 8 swap width and height
_ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}  # other formats of several pictures have pages, or views of a scene
_JPEG_SCALES = (2, 4, 8)  # at which libjpeg can decode without ever holding the whole picture
_APPLE_DOUBLE = "._"  # macOS puts a file of that beginning beside each on disks of other systems; it is no picture


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


def read_picture(path: str | Path, upright: bool = True, reduce: bool = True) -> Picture:
    """Decode a picture.

    Args:
        path: of the file.
        upright: turn it as its EXIF orientation says.
        reduce: decode a JPEG of more than :data:`MAX_PIXELS` at a half, a quarter or an eighth of its size, and refuse
            other pictures of that size. Else they are decoded as they are.

    Raises:
        DataError: it is missing or can't be decoded, its values are those of no picture, or it has too many pixels:
            more than Pillow ever opens, 179 million, in any case.
    """
    heif = is_heif(path) and not reads_heif()
    try:
        with Image.open(path) as image:
            size, animated = image.size, is_animation(image)
            if reduce and size[0] * size[1] > MAX_PIXELS:
                _reduce(image, path)
            orientation = image.getexif().get(_ORIENTATION, 1) if upright else 1
            pixels = _upright(to_rgb(image), orientation)
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing{similar_name(Path(path))}") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(f"{path}: has more than {most:,} pixels; make it smaller") from error
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except Exception as error:  # Pillow's readers fail on broken files in ways without a common base
        remedy = f"is HEIC: {HEIF_REMEDY}" if heif else f"can't be decoded ({first_line(error)})"
        raise DataError(f"{path}: {remedy}") from error
    width, height = size[::-1] if orientation >= 5 else size
    return Picture(pixels, width, height, animated)


def to_rgb(image: Image.Image) -> np.ndarray:
    """The (H, W, 3) uint8 RGB pixels of a picture in any of Pillow's modes; docs/inference.md has the table.

    Raises:
        DataError: its numbers are those of no picture.
    """
    mode = image.mode
    if mode.startswith("I;16"):
        grey = _scaled(np.asarray(image), 65535)
    elif mode in ("I", "F"):
        grey = _by_range(np.asarray(image), mode)
    elif mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(*profiles, "LAB", "RGB")
        return np.asarray(ImageCms.applyTransform(image, transform))
    elif mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_black(image)
    else:
        return np.asarray(image if mode == "RGB" else image.convert("RGB"))
    return np.repeat(grey[..., None], 3, axis=2)


def _scaled(values: np.ndarray, largest: int) -> np.ndarray:
    """Whole numbers from 0 to the largest as uint8, rounded."""
    return ((values.astype(np.uint32) * 255 + largest // 2) // largest).astype(np.uint8)


def _by_range(values: np.ndarray, mode: str) -> np.ndarray:
    """Grey uint8 values of 32-bit numbers: floats of 0 to 1 or 255, whole ones of 8 or of 16 bit."""
    if not np.isfinite(values).all():
        raise DataError("has values that are infinite or no numbers; save it with 8 or 16 bit")
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if low >= 0 and mode == "F" and high <= 1:
        return np.rint(values * 255).astype(np.uint8)
    if low >= 0 and high <= 255:
        return np.rint(values).astype(np.uint8)
    if low >= 0 and mode == "I" and high <= 65535:
        return _scaled(values, 65535)
    ranges = "0 to 1 or 255" if mode == "F" else "0 to 255 or 65535"
    raise DataError(f"has values from {low:g} to {high:g}, not {ranges}; save it with 8 or 16 bit")


def _on_black(image: Image.Image) -> np.ndarray:
    # Premultiplied colors become plain ones on the way, as Pillow goes from La to LA only
    straight = image.convert("LA") if image.mode == "La" else image
    colors = straight.convert("RGBA")
    canvas = Image.new("RGB", colors.size)
    canvas.paste(colors, mask=colors.getchannel("A"))
    return np.asarray(canvas)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation not in range(2, 9):
        return pixels
    turned = Image.fromarray(pixels)
    turned.getexif()[_ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(turned))


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


def find_pictures(inputs: Sequence[str], exclude: Path) -> tuple[list[str], int]:
    """Paths of pictures, each once, in a fixed order.

    Args:
        inputs: files, folders (all pictures in them and below, by their ending), and globs with ``*``, ``?``, ``[...]``
            and ``**``. Links to folders are followed, and each folder is looked into once.
        exclude: a folder whose pictures are left out of folders and globs.

    Returns:
        The paths, and how many HEIC pictures of folders and globs are left out because nothing here reads them.

    Raises:
        ConfigError: an input doesn't exist or is a video, or a folder or glob has no picture.
    """
    exclude = exclude.resolve()
    found: dict[str, None] = {}
    unread = 0
    for text in inputs:
        path = Path(text)
        if path.is_file():
            kind, _ = mimetypes.guess_type(path.name)
            if kind and kind.startswith("video/"):
                raise ConfigError(f"--input {text}: is a video, not a picture; video.py takes videos")
            found[os.path.normpath(text)] = None
            continue
        if path.is_dir():
            files = [file for file in files_below(path) if not _below(file, exclude)]
        elif glob.has_magic(text):
            matches = sorted(Path(match) for match in glob.iglob(text, recursive=True))
            files = sorted(file for file in _once(matches) if file.is_file() and not _below(file, exclude))
        else:
            beside = os.listdir(path.parent) if path.parent.is_dir() else []
            hint = did_you_mean(path.name, beside)
            raise ConfigError(f"--input {text}: there is no such file or folder{hint}")
        names, left = pictures_among(files)
        if not names:
            raise ConfigError(f"--input {text}: {no_pictures(left)}")
        unread += left
        found |= dict.fromkeys(os.path.normpath(name) for name in names)
    return list(found), unread


def pictures_among(files: Sequence[Path]) -> tuple[list[Path], int]:
    """Those of some files that are pictures by their ending, and the number of HEIC ones that nothing here reads."""
    files = [file for file in files if not file.name.startswith(_APPLE_DOUBLE)]
    heif = [file for file in files if is_heif(file)]
    if heif and reads_heif():
        return [file for file in files if file.suffix.lower() in SUFFIXES | HEIF_SUFFIXES], 0
    return [file for file in files if file.suffix.lower() in SUFFIXES], len(heif)


def no_pictures(unread: int) -> str:
    """What is wrong with a folder without pictures, given the number of HEIC ones in it that can't be read."""
    heic = f", but {unread} HEIC; {HEIF_REMEDY}" if unread else ""
    return f"has no pictures ({', '.join(sorted(SUFFIXES))}){heic}"


def is_heif(path: str | Path) -> bool:
    """Whether a file is a HEIC picture by its ending."""
    return Path(path).suffix.lower() in HEIF_SUFFIXES


@cache
def reads_heif() -> bool:
    """Whether HEIC pictures can be read; Pillow can do it from then on."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and below it, sorted. Links are followed, last; each folder is looked into once."""
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort(key=lambda name: (os.path.islink(os.path.join(parent, name)), name))
        found += [Path(parent, name) for name in sorted(files)]
    return [path for path in found if path.is_file()]


def _once(paths: Sequence[Path]) -> Iterator[Path]:
    """Without paths that lead over links to a file that has been named before."""
    places = {path: path.parent.resolve() / path.name for path in paths}
    seen: set[Path] = set()
    for path in sorted(paths, key=lambda path: (places[path] != path.absolute(), len(path.parts), path)):
        if places[path] not in seen:
            seen.add(places[path])
            yield path


def _below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


def plain_name(name: str) -> str:
    """A name as other systems write it: composed Unicode (NFC), and slashes between folders."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def named_file(folder: Path, name: str) -> Path:
    """The file of a name in a table: as it is, or else the one that differs by Unicode's form or kind of slash only."""
    path = folder / name
    if path.exists():
        return path
    slashes = name.replace("\\", "/")
    for form in ("NFC", "NFD"):
        if (other := folder / unicodedata.normalize(form, slashes)).exists():
            return other
    return path


def similar_name(path: Path) -> str:
    """The end of a message on a missing file: a question for one beside it whose name is the same but for case."""
    try:
        return same_but_for_case(path.name, os.listdir(path.parent))
    except OSError:
        return ""


def same_but_for_case(name: str, names: Iterable[str]) -> str:
    """The end of a message on an unknown name: a question for the one that is written in other letters, or nothing."""
    key = plain_name(name).casefold()
    return next((f"; did you mean {other}?" for other in names if plain_name(other).casefold() == key), "")
