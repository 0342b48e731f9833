"""Picture files: finding them in folders, and decoding all supported formats in bounded memory.

Pictures of all kinds are converted to (H, W, 3) uint8 RGB (:mod:`semiuhpe.pixels`).
"""

import glob
import logging
import mimetypes
import os
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from semiuhpe.errors import ConfigError, DataError, did_you_mean, first_line
from semiuhpe.pixels import check_readable, scale_key, to_rgb

logger = logging.getLogger(__name__)

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".avif"}
HEIF_SUFFIXES = {".heic", ".heif", ".hif"}
"""Suffixes of pictures that Pillow reads with the optional package pillow-heif."""
HEIF_REMEDY = "pip install 'semiuhpe[heif]' reads them"
_VIDEO_SUFFIXES = {".mkv", ".m4v", ".mts", ".m2ts", ".flv", ".wmv", ".3gp", ".ogv"}  # which some systems don't know
MAX_PIXELS = 50_000_000
"""Maximum size of a decoded picture: 150 MB, and about three times that while it is decoded and turned upright."""
_ORIENTATION = 0x0112  # EXIF tag; values 5 to 8 swap width and height
_ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}  # several pictures in other formats are pages, or views of a scene
_JPEG_SCALES = (2, 4, 8)  # fractions at which libjpeg decodes without holding the whole picture in memory
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_HIDDEN = "."  # also `._photo.jpg`, which macOS writes beside photo.jpg on disks of other systems


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright by its EXIF orientation.
        width, height: size of the upright picture in its file; the image is smaller if the file is huge.
        animated: whether it is the first frame of an animation.
    """

    image: np.ndarray
    width: int
    height: int
    animated: bool = False

    @property
    def scale(self) -> np.ndarray:
        """(4,) float32 factors that convert a box x, y, w, h in the image to one in the file."""
        height, width = self.image.shape[:2]
        return np.tile(np.array([self.width / width, self.height / height], np.float32), 2)


def read_picture(path: str | Path, upright: bool = True, reduce: bool = True, enough: int | None = None) -> Picture:
    """Decode a picture.

    Args:
        path: path of the file.
        upright: turn it by its EXIF orientation. Pillow always turns TIFFs.
        reduce: decode a JPEG of more than :data:`MAX_PIXELS` at a half, a quarter or an eighth of its size, and refuse
            other pictures of that size. Otherwise pictures are decoded at full size.
        enough: decode a JPEG at a half, a quarter or an eighth of its size if its sides still have at least so many
            pixels, which is fast.

    Raises:
        DataError: it is missing or can't be decoded, its values are not those of a picture, or it has too many pixels;
            Pillow's limit of 179 million always applies.
    """
    with _decoding(path), _opened(path) as image:
        check_readable(image)
        whole, animated = image.size, is_animation(image)
        reduced = reduce and whole[0] * whole[1] > MAX_PIXELS
        if reduced:
            _reduce(image, path)
        elif enough is not None:
            reduced = image.draft("RGB", (enough, enough)) is not None
        scale_key(image)
        if upright:
            whole = whole[::-1] if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8) else whole
            ImageOps.exif_transpose(image, in_place=True)
        pixels = to_rgb(image)
    width, height = whole if reduced else pixels.shape[1::-1]  # Pillow reports a TIFF's size after turning
    return Picture(pixels, width, height, animated)


@contextmanager
def _decoding(path: str | Path) -> Iterator[None]:
    """Convert all errors of decoding a picture to a DataError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing{similar_name(Path(path))}") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(f"{path}: has more than {most:,} pixels; make it smaller") from error
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except Exception as error:  # Pillow's readers have no common error class for broken files
        raise DataError(f"{path}: can't be decoded ({first_line(error)})") from error


def picture_size(path: str | Path) -> tuple[int, int]:
    """Return width and height from a picture's header, not turned by EXIF; errors as in :func:`read_picture`."""
    with _decoding(path), _opened(path) as image:
        return image.size


def picture_format(path: str | Path) -> tuple[str, bool]:
    """Return Pillow's name of a picture's format, empty if it isn't a picture, and whether it is an animation."""
    try:
        with Image.open(path) as image:
            return image.format or "", is_animation(image)
    except Exception:  # as in _decoding
        return "", False


def is_animation(image: Image.Image) -> bool:
    """Return whether an opened picture is an animation."""
    return image.format in _ANIMATED and bool(getattr(image, "is_animated", False))


def count_pixels(path: str | Path) -> int:
    """Return the number of pixels from a picture's header; 0 if it can't be read."""
    try:
        width, height = picture_size(path)
    except DataError:
        return 0
    return width * height


def _opened(path: str | Path) -> Image.Image:
    """Open a picture without decoding it; raise DataError if it is HEIC, by its content, and pillow-heif is missing."""
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            begin = file.read(12)
        if begin[4:8] != b"ftyp" or begin[8:] not in _HEIF_BRANDS:
            raise
        if not reads_heif():
            raise DataError(f"{path}: is HEIC: {HEIF_REMEDY}") from None
        return Image.open(path)


def _reduce(image: Image.Image, path: str | Path) -> None:
    """Let a huge JPEG be decoded at a fraction of its size; raise DataError if that isn't possible."""
    width, height = image.size
    # Decoding a progressive file needs the whole picture in memory.
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        for scale in _JPEG_SCALES:
            smaller = -(-width // scale), -(-height // scale)
            if smaller[0] * smaller[1] <= MAX_PIXELS:
                image.draft("RGB", (width // scale, height // scale))  # rounded up by Pillow's decoder
                return
    raise DataError(
        f"{path}: has {width}x{height} pixels, and only baseline JPEGs may have more than {MAX_PIXELS:,}; "
        "make it smaller"
    )


def find_pictures(inputs: Sequence[str], exclude: Path) -> tuple[list[str], int]:
    """Return paths of pictures, each once, in a fixed order.

    Args:
        inputs: files, folders (all pictures in them and below, by suffix), and globs with ``*``, ``?``, ``[...]`` and
            ``**``. Links to folders are followed, and each folder is visited once.
        exclude: a folder whose pictures are left out of folders and globs.

    Returns:
        The paths, and the number of HEIC pictures in folders and globs left out because pillow-heif is missing.

    Raises:
        ConfigError: an input doesn't exist or is a video, or a folder or glob has no picture.
    """
    exclude = exclude.resolve()
    found: dict[str, None] = {}
    unread = 0
    for text in inputs:
        path = Path(text)
        if path.is_file():
            if _is_video(path):
                raise ConfigError(f"--input {text}: is a video, not a picture; video.py takes videos")
            found[os.path.normpath(text)] = None
            continue
        if path.is_dir():
            files = [file for file in files_below(path) if not _below(file, exclude)]
        elif glob.has_magic(text):
            matches = sorted({Path(match) for match in _matches(text)})
            files = sorted(file for file in _once(matches) if not file.is_dir() and not _below(file, exclude))
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


def _is_video(path: Path) -> bool:
    """Return whether a file is a video, by its suffix."""
    kind, _ = mimetypes.guess_type(f"x{path.suffix}")
    return (kind or "").startswith("video/") or path.suffix.lower() in _VIDEO_SUFFIXES


def pictures_among(files: Sequence[Path]) -> tuple[list[Path], int]:
    """Return those files that are pictures by their suffix, and the number of HEIC files that can't be read.

    Hidden files are left out.
    """
    files = [file for file in files if not file.name.startswith(_HIDDEN)]
    heif = [file for file in files if is_heif(file)]
    if heif and reads_heif():
        return [file for file in files if file.suffix.lower() in SUFFIXES | HEIF_SUFFIXES], 0
    return [file for file in files if file.suffix.lower() in SUFFIXES], len(heif)


def no_pictures(unread: int) -> str:
    """Return the message for a folder without pictures, given its number of HEIC pictures that can't be read."""
    heic = f", but {unread} HEIC; {HEIF_REMEDY}" if unread else ""
    return f"has no pictures ({', '.join(sorted(SUFFIXES))}){heic}"


def warn_of_unread(unread: int, folder: Path | None = None) -> None:
    """Warn of HEIC pictures, in a folder or in all inputs, that are left out because pillow-heif is missing."""
    if unread:
        logger.warning("%s%d HEIC pictures are left out; %s", f"{folder}: " if folder else "", unread, HEIF_REMEDY)


def is_heif(path: str | Path) -> bool:
    """Return whether a file is a HEIC picture, by its suffix."""
    return Path(path).suffix.lower() in HEIF_SUFFIXES


@cache
def reads_heif() -> bool:
    """Return whether HEIC pictures can be read, and let Pillow read them if pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def files_below(folder: Path) -> list[Path]:
    """Return all files in a folder and below it, except hidden ones. Links to folders are followed, last.

    Each folder is visited once; a warning names folders that can't be read. Broken links are among the files, so that
    reading them reports the error.
    """
    found = (Path(parent, name) for parent, names in _folders_below(folder) for name in names)
    return [path for path in found if path.is_file() or not path.exists()]


def _folders_below(top: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and all folders below it, each with the names of its files; linked folders are last."""
    seen: set[tuple[int, int]] = set()
    waiting = deque([str(top)])
    while waiting:
        for parent, folders, files in os.walk(waiting.popleft(), onerror=_warn):
            if not _is_new(parent, seen):
                folders.clear()
                continue
            shown = sorted(name for name in folders if not name.startswith(_HIDDEN))
            links = {name for name in shown if os.path.islink(os.path.join(parent, name))}
            waiting += [os.path.join(parent, name) for name in shown if name in links]
            folders[:] = [name for name in shown if name not in links]
            yield parent, sorted(name for name in files if not name.startswith(_HIDDEN))


def _is_new(folder: str, seen: set[tuple[int, int]]) -> bool:
    """Return whether a folder was not in ``seen``, and add it."""
    try:
        status = os.stat(folder)
    except FileNotFoundError:  # just removed
        return False
    known = len(seen)
    seen.add((status.st_dev, status.st_ino))
    return len(seen) > known


def _warn(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # it doesn't exist, or no longer
        logger.warning("%s: can't be read and is left out (%s)", error.filename, error.strerror)


def _matches(pattern: str) -> Iterator[str]:
    """Yield the paths that match a glob. Its ``**`` is expanded here, as Python's doesn't end with circular links."""
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from glob.iglob(pattern)
        return
    first = parts.index("**")
    behind = parts[first + 1 :] or ("*",)
    for top in glob.iglob(os.path.join(*parts[:first])) if first else ["."]:
        for folder, _ in _folders_below(Path(top)) if os.path.isdir(top) else ():
            yield from _matches(os.path.join(glob.escape(folder), *behind))


def _once(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the paths without those that lead by links to a file already yielded."""
    places = {path: path.parent.resolve() / path.name for path in paths}
    seen: set[Path] = set()
    for path in sorted(paths, key=lambda path: (places[path] != path.absolute(), len(path.parts), path)):
        if places[path] not in seen:
            seen.add(places[path])
            yield path


def _below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


def plain_name(name: str) -> str:
    """Return a name in a form common to all systems: composed Unicode (NFC), and slashes between folders."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def named_file(folder: Path, name: str) -> Path:
    """Return the file of a name in a table: that name, or one that differs only in Unicode form or kind of slash."""
    path = folder / name
    if path.exists():
        return path
    slashes = name.replace("\\", "/")
    for form in ("NFC", "NFD"):
        if (other := folder / unicodedata.normalize(form, slashes)).exists():
            return other
    return path


def similar_name(path: Path) -> str:
    """Return the end of a message on a missing file: a suggestion if a file beside it differs only in case."""
    try:
        return same_but_for_case(path.name, os.listdir(path.parent))
    except OSError:
        return ""


def same_but_for_case(name: str, names: Iterable[str]) -> str:
    """Return the end of a message on an unknown name: a suggestion if a name differs only in case, else nothing."""
    key = plain_name(name).casefold()
    return next((f"; did you mean {other}?" for other in names if plain_name(other).casefold() == key), "")
