"""Frames to come: of video files, webcams and folders of pictures, one at a time and upright.

A frame is shown at ``pts * time_base`` seconds, whatever the time from one frame to the next; nothing here assumes that
frames come at equal intervals. Files are read by PyAV, webcams by OpenCV.
"""

import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace
from PIL import Image, ImageOps

from semiuhpe.data.importers.folder import SUFFIXES
from semiuhpe.errors import ConfigError, DataError, first_line
from semiuhpe.inference.detectors.base import Source

logger = logging.getLogger(__name__)

HD_HEIGHT = 720
"""Files that don't say which colour space they have are taken for ITU-R BT.709 from this height on, else for BT.601."""
WEBCAM_RATE = 30
_WEBCAM_CLOCK = Fraction(1, 90000)  # the usual clock of video streams


class Frame(NamedTuple):
    """One picture of a video.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        number: from 0.
        pts: when it is shown, in units of the footage's time base; larger than that of the frame before.
        source: where it comes from, for detectors that look boxes up.
    """

    image: np.ndarray
    number: int
    pts: int
    source: Source


@dataclass(frozen=True)
class Footage:
    """What is known of a video before its frames are read, and its frames.

    Attributes:
        name: for messages and for the names of outputs, without ending.
        frames: can be gone through once.
        rate: frames per second, on average.
        time_base: seconds per unit of ``pts``.
        count: number of frames, as far as it is known.
        sound: a file whose sound belongs to the frames.
        aspect: width of a pixel over its height.
        live: frames come when they want to, and those that nobody takes are lost.
    """

    name: str
    frames: Iterator[Frame]
    rate: Fraction
    time_base: Fraction
    count: int | None = None
    sound: Path | None = None
    aspect: Fraction = Fraction(1)
    live: bool = False


def open_footage(source: str, rate: Fraction = Fraction(25)) -> Footage:
    """Opens a video file, a folder of pictures, or a webcam.

    Args:
        source: a path, or the number of a webcam, from 0.
        rate: frames per second of a folder.

    Raises:
        ConfigError: it is a single picture.
        DataError: there is nothing there that can be read.
    """
    if source.isascii() and source.isdigit() and not Path(source).exists():
        return _webcam(int(source))
    path = Path(source)
    if path.is_dir():
        return _folder(path, rate)
    if not path.is_file():
        raise DataError(f"--input {source}: there is no such file or folder, and it is no number of a webcam")
    if path.suffix.lower() in SUFFIXES:
        raise ConfigError(
            f"--input {source}: is a picture, not a video; image.py takes pictures, video.py folders of them"
        )
    return _file(path)


def _file(path: Path) -> Footage:
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path}: can't be read as a video ({first_line(error)}); is the file complete?") from error
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream) or stream.time_base is None:
        container.close()
        raise DataError(f"{path}: has no pictures in it")
    stream.thread_type = "SLICE"  # decoding whole frames in threads loses those around a broken one, without a word
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    count = stream.frames
    if not count and container.duration:
        count = round(Fraction(container.duration, av.time_base) * rate)
    quarter, frames = _upright(_decoded(container, stream, path), path, rate, stream.time_base)
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    return Footage(
        path.stem,
        frames,
        rate,
        stream.time_base,
        count or None,
        path if container.streams.audio else None,
        1 / aspect if quarter % 2 else aspect,
    )


def _decoded(container: av.container.InputContainer, stream: av.VideoStream, path: Path) -> Iterator[av.VideoFrame]:
    """All frames that can be decoded; what is broken is reported and left out."""
    broken = 0
    with container:
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                yield from packet.decode()
            except av.InvalidDataError:
                broken += 1
            except av.FFmpegError as error:
                logger.warning("%s: can't be read to its end (%s)", path, first_line(error))
                break
    if broken:
        logger.warning("%s: %d broken frames were left out", path, broken)


def _upright(
    decoded: Iterator[av.VideoFrame], path: Path, rate: Fraction, time_base: Fraction
) -> tuple[int, Iterator[Frame]]:
    """By how many quarter turns counter-clockwise the frames have to be turned, and the turned frames.

    Raises:
        DataError: there is no frame.
    """
    first = next(decoded, None)
    if first is None:
        raise DataError(f"{path}: none of its frames can be decoded")
    quarter = round(first.rotation / 90) % 4

    def frames() -> Iterator[Frame]:
        last = None
        for number, frame in enumerate(_chained(first, decoded)):
            pts = frame.pts if frame.pts is not None else round(number / (rate * time_base))
            last = pts if last is None else max(pts, last + 1)
            image = np.ascontiguousarray(np.rot90(_rgb(frame), quarter))
            yield Frame(image, number, last, Source(path, number))

    return quarter, frames()


def _chained(first: av.VideoFrame, others: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    yield first
    yield from others


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    try:
        space = Colorspace(frame.colorspace)
    except ValueError:  # the file doesn't say it
        space = Colorspace.ITU709 if min(frame.height, frame.width) >= HD_HEIGHT else Colorspace.ITU601
    return frame.to_ndarray(format="rgb24", src_colorspace=space)


def _folder(path: Path, rate: Fraction) -> Footage:
    pictures = sorted((p for p in path.iterdir() if p.suffix.lower() in SUFFIXES), key=_natural)
    if not pictures:
        raise DataError(f"{path}: has no pictures in it ({', '.join(sorted(SUFFIXES))})")
    return Footage(path.resolve().name, _pictures(pictures), rate, 1 / rate, len(pictures))


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sorts 2.jpg before 10.jpg."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _pictures(paths: list[Path]) -> Iterator[Frame]:
    size = None
    for number, path in enumerate(paths):
        try:
            with Image.open(path) as picture:
                image = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            logger.warning("%s: can't be read and is left out (%s)", path, first_line(error))
            continue
        size = size or image.shape
        if image.shape != size:
            raise DataError(
                f"{path}: is {image.shape[1]}x{image.shape[0]}, but the pictures before it are {size[1]}x{size[0]}; "
                "frames of a video must be of one size (image.py takes pictures of any size)"
            )
        yield Frame(image, number, number, Source(path))


def _webcam(number: int) -> Footage:
    camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        raise DataError(f"--input {number}: there is no webcam of this number, or another program uses it")
    says = camera.get(cv2.CAP_PROP_FPS)
    rate = Fraction(says).limit_denominator(1001) if np.isfinite(says) and says > 0 else Fraction(WEBCAM_RATE)
    return Footage(f"webcam{number}", _grabbed(camera, number), rate, _WEBCAM_CLOCK, live=True)


def _grabbed(camera: cv2.VideoCapture, webcam: int) -> Iterator[Frame]:
    start, last, number = time.monotonic(), -1, 0
    try:
        while True:
            there, image = camera.read()
            if not there:
                logger.warning("webcam %d: has stopped sending pictures", webcam)
                return
            last = max(last + 1, round((time.monotonic() - start) / _WEBCAM_CLOCK))
            yield Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), number, last, Source(f"webcam{webcam}", number))
            number += 1
    finally:
        camera.release()
