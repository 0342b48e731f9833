"""Small videos, made for tests: their frames tell their numbers, and a square its corner."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 96, 64
SAMPLES_PER_SECOND = 16000


def numbered_frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Gray of 8 levels per frame, brighter by the number, with a red square in the upper left corner."""
    image = np.full((height, width, 3), 40 + 8 * (number % 24), np.uint8)
    image[:20, :20] = (230, 20, 20)
    return image


def number_of(image: np.ndarray) -> int:
    """The number of a frame below 24, from its lower right quarter."""
    height, width = image.shape[:2]
    return round((float(np.median(image[height // 2 :, width // 2 :])) - 40) / 8)


def write_video(
    path: Path,
    frames: int = 12,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    sound: str | None = None,
    turned: int = 0,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    mirrored: tuple[bool, bool] = (False, False),
    matrix: Sequence[int] | None = None,
    aspect: Fraction = Fraction(1),
    draw: Callable[[int, int, int], np.ndarray] = numbered_frame,
) -> Path:
    """An H.264 video of :func:`numbered_frame`, or of what else draws frames; a key frame every six.

    Args:
        pts: times of the frames in the time base; one after the other if None.
        sound: codec of a second of a tone, if any.
        turned: degrees counter-clockwise that a player has to turn it by.
        mirrored: whether a player has to mirror it horizontally and vertically after that.
        matrix: nine numbers of a display matrix that says something else.
        aspect: width of a pixel over its height.
    """
    with av.open(f"file:{path}", "w", format="matroska" if path.suffix == ".mkv" else "mp4") as container:
        video = container.add_stream("libx264", rate=round(1 / time_base), options={"g": "6", "crf": "12"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = time_base
        video.codec_context.sample_aspect_ratio = aspect
        if turned or any(mirrored):
            video.set_display_rotation(turned, *mirrored)
        if matrix is not None:
            video.set_display_matrix(matrix)
        audio = container.add_stream(sound, rate=SAMPLES_PER_SECOND, layout="mono") if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number, *size), format="rgb24")
            frame.pts, frame.time_base = (number if pts is None else pts[number]), time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio:
            for block in _tone(audio.codec_context.format.name):
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def _tone(sample_format: str) -> list[av.AudioFrame]:
    resampler = av.AudioResampler(format=sample_format, layout="mono", rate=SAMPLES_PER_SECOND, frame_size=1024)
    wave = np.sin(np.arange(SAMPLES_PER_SECOND) * (2 * np.pi * 440 / SAMPLES_PER_SECOND))
    frame = av.AudioFrame.from_ndarray((wave * 12000).astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLES_PER_SECOND, 0, Fraction(1, SAMPLES_PER_SECOND)
    return resampler.resample(frame) + resampler.resample(None)


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """Times in seconds and contents of a file's packets of video or audio."""
    with av.open(f"file:{path}") as container:
        stream = getattr(container.streams, kind)[0]
        found = [packet for packet in container.demux(stream) if packet.dts is not None]
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in found]


def frame_times(path: Path) -> list[float]:
    """Times in seconds of a file's frames."""
    with av.open(f"file:{path}") as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
