"""Writing of videos frame by frame: H.264 in MP4, MOV or Matroska with the source's sound, GIF, or WebP.

A file is written under a temporary name and renamed when it is complete.
"""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Self

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from semiuhpe.errors import ConfigError, DataError, first_line
from semiuhpe.files import is_writable, partial_path, publish
from semiuhpe.video.media import media_address, open_media
from semiuhpe.video.source import VideoSource

logger = logging.getLogger(__name__)

GIF, WEBP = "gif", "webp"
FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".gif": GIF, ".webp": WEBP}
"""Suffixes of file names, and FFmpeg's names of their formats."""
H264 = {"crf": "22", "preset": "superfast"}
"""Quality from 0 (lossless) to 51, where 22 looks like the source, and a preset about twice as fast as the default."""
_MPEG_BT709 = {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}  # numbers of ITU-T H.273
_OPTIONS = {
    "mp4": {"movflags": "+faststart"},
    "mov": {"movflags": "+faststart"},
    GIF: {"loop": "0"},
    WEBP: {"loop": "0"},
}


def check_video_name(path: Path) -> None:
    """Raise ConfigError if a video can't be written to the path."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"--output {path}: has to end in one of {', '.join(FORMATS)}")
    if not is_writable(path):
        raise ConfigError(f"--output {path}: can't be written; name another file")


class _Track(NamedTuple):
    """What the first frame determines: the encoder, height and width of the frames, and the filters of a GIF."""

    stream: av.VideoStream
    size: tuple[int, int]
    palette: av.filter.Graph | None


class VideoWriter:
    """Writes one video. As a context manager, it leaves no file after an error.

    Args:
        path: the file to write; its suffix, one of :data:`FORMATS`, determines the format.
        video: the source of the frames, from which time base, rate and sound are taken.

    Raises:
        ConfigError: the suffix is unknown, or the file can't be written.
    """

    def __init__(self, path: Path, video: VideoSource) -> None:
        check_video_name(path)
        self.path = path
        self.video = video
        self.format = FORMATS[path.suffix.lower()]
        self._partial = partial_path(path)
        self._sound: _Sound | None = None
        self._track: _Track | None = None
        self._last_pts = 0
        self._has_resized = self._closed = False
        try:
            options = _OPTIONS.get(self.format, {})
            self._container = av.open(media_address(self._partial), "w", format=self.format, options=options)
        except (av.FFmpegError, OSError) as error:
            raise ConfigError(f"--output {path}: can't be written ({first_line(error)}); name another file") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()

    def write(self, image: np.ndarray, pts: int) -> None:
        """Append a frame.

        Args:
            image: (H, W, 3) uint8 RGB; resized if its size differs from the first frame's.
            pts: presentation time in the video's time base, which has to increase from frame to frame.

        Raises:
            DataError: it can't be encoded or written.
        """
        try:
            if self._track is None:
                self._track = self._begin(image)
            if image.shape[:2] != self._track.size:
                image = self._resized(image, self._track.size)
            self._encode(self._av_frame(image, pts, self._track), self._track)
            self._last_pts = pts
            if self._sound:
                self._sound.copy(self._container, until=float(pts * self.video.time_base))
        except (av.FFmpegError, OSError) as error:
            raise DataError(f"{self.path}: can't be written ({first_line(error)})") from error

    def close(self, whole_sound: bool = True) -> None:
        """Finish and rename the file. Further calls have no effect. Without frames, no file is written.

        Args:
            whole_sound: copy the sound to its end, instead of up to the last frame only.

        Raises:
            DataError: it can't be written.
        """
        if self._closed:
            return
        self._closed = True
        if self._track is None:
            logger.warning("%s: not written, because there is no frame", self.path)
            return self._discard()
        try:
            if self._track.palette:
                self._track.palette.vpush(None)
                self._mux_filtered(self._track.palette, self._track.stream)
            self._container.mux(self._track.stream.encode(None))
            if self._sound:
                end = float(self._last_pts * self.video.time_base + 1 / self.video.rate)
                self._sound.copy(self._container, until=None if whole_sound else end)
                self._sound.close()
            self._container.close()
            publish(self._partial, self.path)
        except (av.FFmpegError, OSError) as error:
            self._discard()
            raise DataError(f"{self.path}: can't be written ({first_line(error)})") from error

    def _discard(self) -> None:
        if self._sound:
            self._sound.close()
        try:
            self._container.close()
        except (av.FFmpegError, OSError):
            logger.debug("%s: closing it failed too", self._partial)
        self._partial.unlink(missing_ok=True)

    def _begin(self, image: np.ndarray) -> "_Track":
        height, width = image.shape[:2]
        palette = None
        rate = self.video.rate.limit_denominator(100_000)
        if self.format == GIF:
            stream = self._container.add_stream("gif", rate=rate)
            stream.pix_fmt = "pal8"
            palette = _palette_graph(width, height, self.video.time_base)
        elif self.format == WEBP:
            stream = self._container.add_stream("libwebp_anim", rate=rate, options={"quality": "80"})
            stream.pix_fmt = "yuv420p"
        else:
            stream = self._container.add_stream("libx264", rate=rate, options=H264)
            stream.pix_fmt = "yuv420p"
            for name, value in _MPEG_BT709.items():
                setattr(stream.codec_context, name, value)
            width, height = width + width % 2, height + height % 2  # even, as yuv420p halves both
        stream.width, stream.height = width, height
        stream.codec_context.time_base = self.video.time_base
        if self.video.sound and self.format not in (GIF, WEBP):
            self._sound = _Sound.opened(self.video.sound, self._container, self.path)
        return _Track(stream, image.shape[:2], palette)

    def _resized(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        if not self._has_resized:
            logger.warning("%s: frames differ in size and are resized to that of the first", self.path)
            self._has_resized = True
        return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)

    def _av_frame(self, image: np.ndarray, pts: int, track: "_Track") -> av.VideoFrame:
        if track.palette is None:
            bottom, right = track.stream.height - image.shape[0], track.stream.width - image.shape[1]
            if bottom or right:
                image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        if track.palette is None:
            space = Colorspace.ITU601 if self.format == WEBP else Colorspace.ITU709
            frame = frame.reformat(format="yuv420p", dst_colorspace=space, dst_color_range=ColorRange.MPEG)
        frame.pts, frame.time_base = pts, self.video.time_base
        return frame

    def _encode(self, frame: av.VideoFrame, track: "_Track") -> None:
        if track.palette:
            track.palette.vpush(frame)
            self._mux_filtered(track.palette, track.stream)
        else:
            self._container.mux(track.stream.encode(frame))

    def _mux_filtered(self, palette: av.filter.Graph, stream: av.VideoStream) -> None:
        """Encode the frames that the palette filters have finished."""
        while True:
            try:
                frame = palette.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            self._container.mux(stream.encode(frame))


def _palette_graph(width: int, height: int, time_base: Fraction) -> av.filter.Graph:
    """Return filters from RGB to 256 colors per frame, as a common palette would need all frames at once."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=time_base)
    split = graph.add("split")
    generate = graph.add("palettegen", "stats_mode=single")
    use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(generate, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph


class _Sound:
    """Copies the first sound track of a file into another without decoding it."""

    def __init__(self, source: av.container.InputContainer, stream: av.AudioStream) -> None:
        self._source = source
        self._stream = stream
        self._packets: Iterator[av.Packet] = source.demux(source.streams.audio[0])
        self._waiting: av.Packet | None = None

    @classmethod
    def opened(cls, source: Path | str, target: av.container.OutputContainer, name: Path) -> Self | None:
        """Open the sound track; return None, with a warning, if the target's format doesn't support its codec."""
        container = open_media(source)
        track = container.streams.audio[0]
        codec = track.codec_context.name
        if codec not in target.supported_codecs:
            container.close()
            hint = "" if name.suffix.lower() == ".mkv" else "; .mkv supports more codecs"
            logger.warning(
                "%s: written without sound, because %s doesn't support sound in %s%s", name, name.suffix, codec, hint
            )
            return None
        return cls(container, target.add_stream_from_template(track))

    def copy(self, target: av.container.OutputContainer, until: float | None) -> None:
        """Copy the sound up to a time in seconds, or to the end if None."""
        while True:
            packet = self._next() if self._waiting is None else self._waiting
            self._waiting = None
            if packet is None:
                return
            if until is not None and packet.pts is not None and packet.pts * packet.time_base > until:
                self._waiting = packet
                return
            packet.stream = self._stream
            target.mux(packet)

    def _next(self) -> av.Packet | None:
        try:
            # The last packet of a stream is empty and marks its end.
            return next((packet for packet in self._packets if packet.dts is not None), None)
        except av.FFmpegError as error:
            logger.warning("the sound can't be read to its end (%s)", first_line(error))
            self._packets = iter(())
            return None

    def close(self) -> None:
        self._source.close()
