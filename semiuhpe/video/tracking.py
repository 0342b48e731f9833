"""Tracking of persons from frame to frame: SORT of the package ``trackers``, on head boxes.

SORT (Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016) predicts each box by a Kalman filter and assigns
detected boxes to predicted ones by overlap. The detector has already filtered boxes by score, so all of them are used.
"""

import numpy as np

from semiuhpe.errors import ConfigError

LOST_S = 1.0
"""Time in seconds without detection after which a head gets a new number."""
OVERLAP = 0.1
"""Minimum intersection over union. It is low because heads move by a good part of their size between frames."""


class HeadTracker:
    """Assigns numbers of persons, counted from 1, to the heads of successive frames.

    Args:
        rate: average number of frames per second.

    Raises:
        ConfigError: the package ``trackers`` is not installed.
    """

    def __init__(self, rate: float) -> None:
        try:
            import supervision  # both are slow to import and seldom needed
            import trackers
        except ImportError as error:
            raise ConfigError(
                "--track needs the package trackers, which is not installed: pip install 'semiuhpe[track]'"
            ) from error
        self._detections = supervision.Detections
        self._tracker = trackers.SORTTracker(
            lost_track_buffer=round(30 * LOST_S),  # in frames at 30 per second, whatever the rate is
            frame_rate=rate,
            track_activation_threshold=0.0,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=OVERLAP,
        )

    def __call__(self, boxes: np.ndarray, time: float) -> list[int | None]:
        """Return the person of each head of the next frame; None for a head seen for the first time.

        Args:
            boxes: (N, 4) x, y, w, h in pixels.
            time: time of the frame in seconds, which has to increase from frame to frame.
        """
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        heads = self._detections(
            xyxy=corners, confidence=np.ones(len(boxes), np.float32), data={"row": np.arange(len(boxes))}
        )
        tracked = self._tracker.update(heads, timestamp=time)
        persons: list[int | None] = [None] * len(boxes)
        if len(tracked) and tracked.tracker_id is not None:
            for row, person in zip(tracked.data["row"], tracked.tracker_id, strict=True):
                persons[int(row)] = int(person) + 1 if person >= 0 else None
        return persons
