"""Decoding of video files and network streams with FFmpeg (PyAV) to upright RGB pictures with square pixels.

Broken frames are left out and counted. They keep their numbers, so that the numbers of the other frames agree with
those of a player or a file of boxes.
"""

import logging
import re
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit, urlunsplit

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import Colorspace

from semiuhpe.errors import ConfigError, DataError, first_line

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
"""Timeout in seconds for the answer of a server and for each read from it."""
HD_HEIGHT = 720
"""Videos without a color space are assumed to be in ITU-R BT.709 if at least this high, otherwise in BT.601."""
MAX_PIXEL_ASPECT = 16
"""Pixels with a larger aspect ratio in either direction are assumed to be square."""
_SAME_COLORS = {6: Colorspace.ITU601.value, 10: Colorspace.BT2020.value}
"""Color spaces of FFmpeg that PyAV doesn't name: SMPTE 170M, and BT.2020 with constant luminance."""
_URL = re.compile(r"(https?|rtsps?)://", re.IGNORECASE)
_LIVE_URL = re.compile(r"rtsps?://", re.IGNORECASE)


class Picture(NamedTuple):
    """One frame.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright, with square pixels.
        number: number of the frame, counted from 0 and including frames that were left out.
        pts: presentation time in units of the time base; it increases from picture to picture.
    """

    image: np.ndarray
    number: int
    pts: int


class Media(NamedTuple):
    """An opened video.

    Attributes:
        pictures: the pictures; can be iterated over once.
        rate: average number of frames per second.
        time_base: seconds per unit of ``pts``.
        length: number of frames, None if unknown.
        has_sound: whether there is a sound track.
    """

    pictures: Iterator[Picture]
    rate: Fraction
    time_base: Fraction
    length: int | None
    has_sound: bool


class Turn(NamedTuple):
    """The transform that makes frames upright: rows and columns are swapped, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the (H, W, 3) image upright."""
        image = image.transpose(1, 0, 2) if self.transpose else image
        return np.ascontiguousarray(image[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1])


def is_url(source: str | Path) -> bool:
    """Return whether the source is an HTTP or RTSP address."""
    return isinstance(source, str) and bool(_URL.match(source))


def is_live(source: str | Path) -> bool:
    """Return whether the source is the address of a live stream, which doesn't wait for its reader."""
    return isinstance(source, str) and bool(_LIVE_URL.match(source))


def shown_url(url: str) -> str:
    """Return the address without user, password and query, which may be secret, for messages and to look boxes up."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def url_name(url: str) -> str:
    """Return a name for output files of an address: the name of the file in it, or else of the host."""
    parts = urlsplit(url)
    name = PurePosixPath(unquote(parts.path)).stem or parts.hostname or ""
    return re.sub(r"[^\w.-]+", "_", name).strip(".") or "stream"


def media_address(source: str | Path) -> str:
    """Return the name of a file or address for FFmpeg, which would read ``a:b.mp4`` as an address of protocol ``a``."""
    if not is_url(source):
        return f"file:{source}"
    scheme, _, rest = str(source).partition(":")
    return f"{scheme.lower()}:{rest}"


def open_media(source: str | Path, kind: str | None = None) -> av.container.InputContainer:
    """Open a file or an address.

    Args:
        source: a path, or an address (:func:`is_url`).
        kind: FFmpeg's name of the format; detected if None.

    Raises:
        DataError: it can't be read, or the server doesn't answer in time.
    """
    # UDP loses packets, so TCP is tried first.
    options = {"rtsp_flags": "prefer_tcp"} if is_live(source) else {}
    timeout = TIMEOUT_S if is_url(source) else None
    start = time.monotonic()
    try:
        return av.open(media_address(source), "r", kind, options, metadata_errors="replace", timeout=timeout)
    except (av.FFmpegError, OSError, ValueError) as error:
        if is_url(source):
            # FFmpeg reports some timeouts as damaged data
            late = time.monotonic() - start >= TIMEOUT_S
            reason = _reason(error) if not late else f"no answer within {TIMEOUT_S:g} seconds"
            message = f"--input {shown_url(str(source))}: can't be read ({reason}); check address and server"
        else:
            message = f"{source}: can't be read as a video ({_reason(error)}); is the file complete?"
        raise DataError(message) from error


def read_media(source: str | Path, kind: str | None = None) -> Media:
    """Open the video in a file or at an address, and decode its first picture.

    Args:
        source, kind: as for :func:`open_media`.

    Raises:
        ConfigError: it is a single picture.
        DataError: it can't be read or contains no pictures.
    """
    name = shown_url(str(source)) if is_url(source) else str(source)
    container = open_media(source, kind)
    stream = container.streams.best("video")
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        container.close()
        raise ConfigError(f"--input {name}: is a picture, not a video; image.py takes pictures")
    if not isinstance(stream, av.VideoStream) or stream.time_base is None:
        container.close()
        raise DataError(f"{name}: has no pictures in it")
    stream.thread_type = "SLICE"  # with frame threads, FFmpeg silently drops frames around a broken one
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    count = stream.frames
    if not count and container.duration:
        count = round(Fraction(container.duration, av.time_base) * rate)
    has_sound = bool(container.streams.audio)
    pictures = _pictures(_decoded(container, stream, name), name, _aspect(stream, name), rate * stream.time_base)
    return Media(pictures, rate, stream.time_base, count or None, has_sound)


def _reason(error: BaseException) -> str:
    """Return the reason of an error, without the address, which may contain a password."""
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        return f"no answer within {TIMEOUT_S:g} seconds"
    return getattr(error, "strerror", None) or first_line(error)


class _Tally:
    """Numbers frames, and counts broken ones and those that may be wrong because they depend on a broken one."""

    def __init__(self) -> None:
        self.broken = self.doubtful = 0
        self._shown = 0
        self._lost: list[int] = []  # times of undecodable frames, which FFmpeg reports before it returns earlier frames
        self._in_doubt = False

    def lose(self, packet: av.Packet) -> None:
        """Count a frame that can't be decoded at all."""
        self.broken += 1
        self._in_doubt |= not packet.is_disposable
        if packet.pts is None:
            self._shown += 1
        else:
            self._lost.append(packet.pts)

    def number(self, frame: av.VideoFrame) -> int | None:
        """Return the number of the frame; None if it is broken."""
        waiting = [pts for pts in self._lost if frame.pts is not None and pts > frame.pts]
        number = self._shown + len(self._lost) - len(waiting)
        self._shown, self._lost = number + 1, waiting
        self._in_doubt &= not frame.key_frame
        if frame.is_corrupt:
            self.broken += 1
            self._in_doubt |= frame.pict_type != av.video.frame.PictureType.B
            return None
        self.doubtful += self._in_doubt
        return number

    def report(self, name: str) -> None:
        if not self.broken:
            return
        doubt = f"; of the others, {self.doubtful} may be wrong, because they depend on one" if self.doubtful else ""
        logger.warning("%s: %d broken frames were left out%s", name, self.broken, doubt)


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, name: str
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield intact frames with their numbers; count the broken ones, and report them at the end."""
    tally = _Tally()
    with container:
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                logger.warning("%s: can't be read to its end (%s)", name, _reason(error))
                break
            if packet is None:
                break
            try:
                frames = packet.decode()
            except av.FFmpegError:
                tally.lose(packet)
                continue
            for frame in frames:
                number = tally.number(frame)
                if number is not None:
                    yield number, frame
    tally.report(name)


def _pictures(
    decoded: Iterator[tuple[int, av.VideoFrame]], name: str, aspect: Fraction, frames_per_unit: Fraction
) -> Iterator[Picture]:
    """Return an iterator over upright pictures with square pixels; the first is decoded at once.

    Raises:
        DataError: there is no picture.
    """
    first = next(decoded, None)
    if first is None:
        raise DataError(f"{name}: none of its frames can be decoded")
    turn = frame_turn(first[1])

    def pictures() -> Iterator[Picture]:
        last = None
        for number, frame in chain([first], decoded):
            pts = frame.pts if frame.pts is not None else round(number / frames_per_unit)
            last = pts if last is None else max(pts, last + 1)
            yield Picture(turn(_squared_rgb(frame, aspect)), number, last)

    return pictures()


def frame_turn(frame: av.VideoFrame) -> Turn:
    """Return the quarter turns and mirroring of a frame's display matrix, like FFmpeg's autorotate.

    The matrix maps a pixel (x, y) to (a x + c y, b x + d y). A singular matrix is ignored.
    """
    matrix = cast("SideData | None", frame.side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return Turn()
    a, b, _, c, d = np.frombuffer(memoryview(matrix), np.int32)[:5].tolist()
    if a * d == b * c:
        return Turn()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(False, a < 0, d < 0)
    return Turn(True, c < 0, b < 0)


def _aspect(stream: av.VideoStream, name: str) -> Fraction:
    """Return the width of a pixel divided by its height."""
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if not Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT:
        logger.warning("%s: its pixels are declared %s times as wide as high; assumed to be square", name, aspect)
        return Fraction(1)
    return aspect


def _squared_rgb(frame: av.VideoFrame, aspect: Fraction) -> np.ndarray:
    """Return (H, W, 3) uint8; if pixels are not square, the picture is stretched in one direction, never shrunk."""
    try:
        space = Colorspace(_SAME_COLORS.get(frame.colorspace, frame.colorspace))
    except ValueError:  # the file doesn't name it, or is RGB
        space = Colorspace.ITU709 if min(frame.height, frame.width) >= HD_HEIGHT else Colorspace.ITU601
    width = round(frame.width * max(aspect, Fraction(1)))
    height = round(frame.height / min(aspect, Fraction(1)))
    return frame.to_ndarray(format="rgb24", width=width, height=height, src_colorspace=space)
