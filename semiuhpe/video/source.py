"""Video sources: upright frames of video files, streams, webcams, animations and folders of pictures, one at a time.

A frame is shown at ``pts * time_base`` seconds; intervals between frames may vary. Files and streams are read by PyAV
(:mod:`semiuhpe.video.media`), webcams by OpenCV, and animations that FFmpeg doesn't support by Pillow.
"""

import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from semiuhpe.errors import ConfigError, DataError, first_line
from semiuhpe.inference.detectors.base import Source
from semiuhpe.pictures import SUFFIXES, no_pictures, picture_format, pictures_among, read_picture, warn_of_unread
from semiuhpe.pixels import to_rgb
from semiuhpe.video.media import is_live, is_url, read_media, shown_url, url_name

logger = logging.getLogger(__name__)

WEBCAM_RATE = 30
_LIVE_CLOCK = Fraction(1, 90000)  # the usual clock of video streams
_BY_FFMPEG = {"GIF": "gif", "PNG": "apng"}
"""Animations that FFmpeg reads: Pillow's and FFmpeg's names of their formats."""
_VIDEO_FORMATS = {"MPEG", "FLI"}  # videos that Pillow opens as pictures
_FASTEST_MS, _SLOW_MS = 10, 100  # shorter frames are shown for the second time, as in browsers


class Frame(NamedTuple):
    """One picture of a video.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright, with square pixels.
        number: number of the frame, counted from 0 and including frames that were left out.
        pts: presentation time in units of the video's time base; it increases from frame to frame.
        source: where the frame comes from, for detectors that look boxes up.
    """

    image: np.ndarray
    number: int
    pts: int
    source: Source


@dataclass(frozen=True)
class VideoSource:
    """The frames of a video, and what is known before they are read.

    Attributes:
        name: name for messages and for output files, without suffix.
        frames: the frames; can be iterated over once.
        rate: average number of frames per second.
        time_base: seconds per unit of ``pts``.
        count: number of frames, None if unknown.
        sound: file or address with the sound of the frames; None if there is none.
        live: frames arrive in real time; frames not read in time are dropped.
        files: the files that frames are read from, which must not be overwritten meanwhile.
    """

    name: str
    frames: Iterator[Frame]
    rate: Fraction
    time_base: Fraction
    count: int | None = None
    sound: Path | str | None = None
    live: bool = False
    files: Sequence[Path] = ()


def open_source(source: str, rate: Fraction = Fraction(25)) -> VideoSource:
    """Open a video file, an address, an animation, a folder of pictures, or a webcam.

    Args:
        source: a path, an HTTP or RTSP address, or the number of a webcam, counted from 0.
        rate: frames per second for a folder of pictures.

    Raises:
        ConfigError: it is a single picture.
        DataError: the source is missing or can't be read.
    """
    if is_url(source):
        return _address(source)
    if source.isascii() and source.isdigit() and not Path(source).exists():
        return _webcam(int(source))
    path = Path(source)
    if path.is_dir():
        return _folder(path, rate)
    if not path.is_file():
        raise DataError(
            f"--input {source}: there is no such file or folder, and it is neither a webcam's number nor an address "
            "that begins with http://, https:// or rtsp://"
        )
    kind, animated = picture_format(path)
    kind = "" if kind in _VIDEO_FORMATS else kind
    if animated:
        return _file(path, _BY_FFMPEG[kind]) if kind in _BY_FFMPEG else _animation(path)
    if kind or path.suffix.lower() in SUFFIXES:
        raise ConfigError(
            f"--input {source}: is a picture, not a video; image.py takes pictures, video.py folders of them"
        )
    return _file(path)


def _file(path: Path, kind: str | None = None) -> VideoSource:
    media = read_media(path, kind)
    frames = (Frame(image, number, pts, Source(path, number)) for image, number, pts in media.pictures)
    sound = path if media.has_sound else None
    return VideoSource(path.stem, frames, media.rate, media.time_base, media.length, sound, files=(path,))


def _address(url: str) -> VideoSource:
    media, shown = read_media(url), shown_url(url)
    frames = (Frame(image, number, pts, Source(shown, number)) for image, number, pts in media.pictures)
    if is_live(url):
        # Clocks of live streams start at any time and may jump.
        return VideoSource(url_name(url), _timed(frames, shown), media.rate, _LIVE_CLOCK, live=True)
    sound = url if media.has_sound else None
    return VideoSource(url_name(url), frames, media.rate, media.time_base, media.length, sound)


def _timed(frames: Iterator[Frame], name: str) -> Iterator[Frame]:
    """Yield live frames with their times of arrival, counted from the first frame."""
    clock = _Clock()
    for frame in frames:
        yield frame._replace(pts=clock.now())
    logger.warning("%s: has stopped sending pictures", name)


class _Clock:
    """Clock for live frames, in units of their time base, which starts at the first call."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._last = -1

    def now(self) -> int:
        time_s = time.monotonic()
        self._start = time_s if self._start is None else self._start
        self._last = max(self._last + 1, round((time_s - self._start) / _LIVE_CLOCK))
        return self._last


def _animation(path: Path) -> VideoSource:
    """Return the source for an animation that FFmpeg can't read, such as WebP."""
    ends_ms = [start_ms + length_ms for start_ms, length_ms, _ in _animated(path)]
    if not ends_ms:
        raise DataError(f"{path}: none of its frames can be decoded")
    frames = (
        Frame(image, number, start_ms, Source(path, number))
        for number, (start_ms, _, image) in enumerate(_animated(path, quiet=False))
    )
    rate = Fraction(1000 * len(ends_ms), ends_ms[-1])
    return VideoSource(path.stem, frames, rate, Fraction(1, 1000), len(ends_ms), files=(path,))


def _animated(path: Path, quiet: bool = True) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the time and the duration of each frame in milliseconds, and its image."""
    start_ms = 0
    with Image.open(path) as picture:
        for number in range(getattr(picture, "n_frames", 1)):
            try:
                picture.seek(number)
                image = to_rgb(picture)
            except Exception as error:  # Pillow's readers have no common error class for broken files
                if not quiet:
                    logger.warning("%s: can't be read to its end (%s)", path, first_line(error))
                return
            length_ms = round(picture.info.get("duration", 0))
            length_ms = length_ms if length_ms > _FASTEST_MS else _SLOW_MS
            yield start_ms, length_ms, image
            start_ms += length_ms


def _folder(path: Path, rate: Fraction) -> VideoSource:
    found, unread = pictures_among([file for file in path.iterdir() if file.is_file()])
    pictures = sorted(found, key=_natural)
    if not pictures:
        raise DataError(f"{path}: {no_pictures(unread)}")
    warn_of_unread(unread, path)
    return VideoSource(path.resolve().name, _pictures(pictures), rate, 1 / rate, len(pictures), files=pictures)


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Return the key for natural order, which sorts 2.jpg before 10.jpg."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _pictures(paths: list[Path]) -> Iterator[Frame]:
    size = None
    for number, path in enumerate(paths):
        try:
            image = read_picture(path, reduce=False).image
        except DataError as error:
            logger.warning("%s; it is left out", error)
            continue
        size = size or image.shape
        if image.shape != size:
            raise DataError(
                f"{path}: is {image.shape[1]}x{image.shape[0]}, but the pictures before it are {size[1]}x{size[0]}; "
                "frames of a video must be of one size (image.py takes pictures of any size)"
            )
        yield Frame(image, number, number, Source(path))


def _webcam(number: int) -> VideoSource:
    camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        raise DataError(f"--input {number}: there is no webcam of this number, or another program uses it")
    says = camera.get(cv2.CAP_PROP_FPS)
    rate = Fraction(says).limit_denominator(1001) if np.isfinite(says) and says > 0 else Fraction(WEBCAM_RATE)
    return VideoSource(f"webcam{number}", _grabbed(camera, number), rate, _LIVE_CLOCK, live=True)


def _grabbed(camera: cv2.VideoCapture, webcam: int) -> Iterator[Frame]:
    clock, number = _Clock(), 0
    try:
        while True:
            there, image = camera.read()
            if not there:
                logger.warning("webcam %d: has stopped sending pictures", webcam)
                return
            source = Source(f"webcam{webcam}", number)
            yield Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), number, clock.now(), source)
            number += 1
    finally:
        camera.release()
