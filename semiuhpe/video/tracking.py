"""Who is who from frame to frame: SORT of the package ``trackers``, on head boxes.

SORT (Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016) predicts each box by a Kalman filter and assigns
found boxes to predicted ones by overlap. Which boxes are heads is the detector's matter, so every box takes part.
"""

import numpy as np

from semiuhpe.errors import ConfigError

LOST_S = 1.0
"""A head that wasn't found for longer comes back as another person."""
OVERLAP = 0.1
"""Least intersection over union: heads are small, so they move by a good part of their size between frames."""


class HeadTracker:
    """Gives the heads of successive frames the numbers of persons, from 1.

    Args:
        rate: frames per second, on average.

    Raises:
        ConfigError: the package ``trackers`` is not installed.
    """

    def __init__(self, rate: float) -> None:
        try:
            import supervision  # both are slow to import, and few runs need them
            import trackers
        except ImportError as error:
            raise ConfigError(
                "--track needs the package trackers, which is not installed: pip install 'semiuhpe[track]'"
            ) from error
        self._detections = supervision.Detections
        self._tracker = trackers.SORTTracker(
            lost_track_buffer=round(30 * LOST_S),  # in frames of a video of 30 per second, whatever the rate
            frame_rate=rate,
            track_activation_threshold=0.0,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=OVERLAP,
        )

    def __call__(self, boxes: np.ndarray, time: float) -> list[int | None]:
        """The person of each head of the next frame; None for one that was never seen before.

        Args:
            boxes: (N, 4) x, y, w, h in pixels.
            time: of the frame in seconds; later than the frame before.
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
