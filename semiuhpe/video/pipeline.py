"""Head poses on the frames of a video: detection, poses, tracking, smoothing and drawing.

Reading, detection, pose estimation and drawing run concurrently, each in its own thread: decoders, OpenCV, PyTorch and
sim3dr release Python's lock while they compute. Frames are processed in groups, so that all heads of several frames
share a forward pass. Only a few groups are in memory at any time, so the length of a video is not limited.
"""

import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

import sim3dr
from semiuhpe.data.crop import MIN_HEAD_PX
from semiuhpe.drawing.overlay import draw_heads, person_color
from semiuhpe.inference.detectors import Detections
from semiuhpe.inference.pipeline import HeadPipeline, HeadPoses
from semiuhpe.inference.records import head_record
from semiuhpe.rotation import matrix_to_euler
from semiuhpe.video.prefetch import Prefetcher
from semiuhpe.video.smoothing import RotationSmoother
from semiuhpe.video.source import Frame, VideoSource
from semiuhpe.video.tracking import HeadTracker

GROUP_FRAMES = 8
"""Maximum number of frames whose heads share a forward pass."""
GROUP_BYTES = 64 * 2**20
"""Maximum size of a group's images, so that large frames need no more memory than small ones."""
_LIVE_FRAMES = 2  # queue length for live sources, which drop older frames in favor of newer ones


@dataclass(frozen=True)
class PosedFrame:
    """The heads of one frame.

    Attributes:
        frame: the frame with its picture.
        time: presentation time in seconds.
        boxes: (N, 4) x, y, w, h in pixels.
        scores: (N,) scores of the detector.
        rotations: (N, 3, 3) head to camera.
        entropy: (N,) entropies of the predicted distributions; NaN if the model has no uncertainty.
        confidence: (N,) in [0, 1]; NaN if the model has no uncertainty.
        within_90_deg: (N,) degrees within which the truth is at 90 percent; NaN if the model isn't calibrated.
        reliable: (N,) bool, whether that is small enough.
        persons: the person of each head, numbered from 1, None for a head not yet tracked; None without tracking.
        drawn: the picture with the heads drawn on it; None before that.
    """

    frame: Frame
    time: float
    boxes: np.ndarray
    scores: np.ndarray
    rotations: np.ndarray
    entropy: np.ndarray
    confidence: np.ndarray
    within_90_deg: np.ndarray
    reliable: np.ndarray
    persons: list[int | None] | None = None
    drawn: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def picture(self) -> np.ndarray:
        """The picture to show: ``drawn``, or the frame's own picture if nothing is drawn."""
        return self.frame.image if self.drawn is None else self.drawn


def pose_video(
    video: VideoSource,
    pipeline: HeadPipeline,
    how: str | None = None,
    track: bool = False,
    smooth: bool = False,
    stop: threading.Event | None = None,
    mesh: sim3dr.Mesh | None = None,
) -> Generator[PosedFrame, None, None]:
    """Yield the heads of each frame, in the order of the frames.

    Args:
        video: the source, which is iterated over once.
        pipeline: finds and poses the heads.
        how: one of :data:`semiuhpe.drawing.overlay.DRAWINGS`; nothing is drawn if None.
        track: number the persons.
        smooth: smooth each person's rotations (:mod:`semiuhpe.video.smoothing`); needs ``track``.
        stop: ends the video when set, after frames whose poses are already known.
        mesh: mesh to draw, in head axes; the package's own if None.

    Raises:
        ConfigError: the tracker's package is not installed.
        DataError: an error of the detector or the estimator, raised after the frames before it.
    """
    stop = threading.Event() if stop is None else stop
    closed = threading.Event()
    depth = _LIVE_FRAMES if video.live else GROUP_FRAMES
    with ExitStack() as stages:
        frames = stages.enter_context(Prefetcher(video.frames, depth, closed, lossy=video.live))
        found = stages.enter_context(Prefetcher(_found(_groups(frames, video.live), pipeline), 1, closed))
        posed = stages.enter_context(Prefetcher(_posed(found, pipeline, video, stop), 1, closed))
        heads: Iterator[PosedFrame] = (frame for group in posed for frame in group)
        if track:
            heads = _followed(heads, HeadTracker(float(video.rate)), RotationSmoother() if smooth else None)
        if how is not None:
            drawings = (drawn(frame, how, pipeline.head_boxes(frame.boxes), mesh=mesh) for frame in heads)
            heads = stages.enter_context(Prefetcher(drawings, 2, closed))
        yield from heads


def _groups(frames: Prefetcher[Frame], live: bool) -> Iterator[list[Frame]]:
    """Yield groups of frames, as large as allowed; of a live source only frames that have arrived."""
    for frame in frames:
        group = [frame]
        limit = max(1, min(GROUP_FRAMES, GROUP_BYTES // frame.image.nbytes))
        while len(group) < limit and (not live or frames.has_waiting()):
            following = next(frames, None)
            if following is None:
                break
            group.append(following)
        yield group


def _found(groups: Iterator[list[Frame]], pipeline: HeadPipeline) -> Iterator[tuple[list[Frame], list[Detections]]]:
    for group in groups:
        found = pipeline.find([frame.image for frame in group], [frame.source for frame in group])
        yield group, [_on_picture(heads, frame.image) for frame, heads in zip(group, found, strict=True)]


def _on_picture(heads: Detections, image: np.ndarray) -> Detections:
    """Return the heads without those of which less than :data:`MIN_HEAD_PX` is inside the picture."""
    corners = heads.boxes[:, :2], heads.boxes[:, :2] + heads.boxes[:, 2:]
    low, high = (np.clip(corner, 0, image.shape[1::-1]) for corner in corners)
    return heads.select((high - low >= MIN_HEAD_PX).all(axis=1))


def _posed(
    found: Iterator[tuple[list[Frame], list[Detections]]],
    pipeline: HeadPipeline,
    video: VideoSource,
    stop: threading.Event,
) -> Iterator[list[PosedFrame]]:
    for group, detections in found:
        if stop.is_set():
            return
        results = pipeline.pose([frame.image for frame in group], detections)
        yield [_posed_frame(frame, video, poses) for frame, poses in zip(group, results, strict=True)]


def _posed_frame(frame: Frame, video: VideoSource, poses: HeadPoses) -> PosedFrame:
    sureness = (poses.entropy, poses.confidence, poses.within_90_deg, poses.reliable)
    time = float(frame.pts * video.time_base)
    return PosedFrame(frame, time, poses.boxes, poses.scores, poses.rotations, *sureness)


def _followed(
    frames: Iterator[PosedFrame], tracker: HeadTracker, smoother: RotationSmoother | None
) -> Iterator[PosedFrame]:
    for posed in frames:
        persons = tracker(posed.boxes, posed.time)
        rotations = smoother(posed.rotations, persons, posed.time) if smoother else posed.rotations
        yield replace(posed, persons=persons, rotations=rotations)


def drawn(
    posed: PosedFrame, how: str, boxes: np.ndarray, antialias: bool = False, mesh: sim3dr.Mesh | None = None
) -> PosedFrame:
    """Return a copy with its heads drawn, in colors by person and with the person's number if it is tracked.

    ``boxes`` must be tight around the heads (:meth:`HeadPipeline.head_boxes`).
    Meshes are drawn four times as fast without antialiasing, which hardly makes a difference in a compressed video.
    """
    colors = labels = None
    if posed.persons is not None:
        colors = [person_color(person) for person in posed.persons]
        labels = ["" if person is None else str(person) for person in posed.persons]
    image = draw_heads(posed.frame.image, boxes, posed.rotations, how, colors, labels, antialias, mesh)
    return replace(posed, drawn=image)


def frame_record(posed: PosedFrame) -> dict[str, Any]:
    """Return the record of a frame and its heads (:func:`semiuhpe.inference.records.head_record`), for JSON Lines."""
    rotations = torch.as_tensor(posed.rotations, dtype=torch.float64).reshape(-1, 3, 3)
    front, full = (matrix_to_euler(rotations, full_range).numpy() for full_range in (False, True))
    sureness = (posed.entropy, posed.confidence, posed.within_90_deg, posed.reliable)
    columns = (posed.boxes, posed.scores, posed.rotations, front, full, *sureness)
    persons = [None] * len(posed) if posed.persons is None else posed.persons
    rows = zip(persons, zip(*columns, strict=True), strict=True)
    heads = [{"person": person, **head_record(*row)} for person, row in rows]
    return {"frame": posed.frame.number, "time": round(posed.time, 6), "heads": heads}
