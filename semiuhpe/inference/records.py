"""Records of heads, as ``image.py``, ``video.py`` and the demo page write them.

Boxes are x, y, w, h in pixels, angles pitch, yaw, roll in degrees. Entropy and confidence are null if the model has
no uncertainty (:mod:`semiuhpe.models.output`), ``within_90_deg`` and ``reliable`` if it isn't calibrated
(:mod:`semiuhpe.models.reliability`).
"""

import math
from typing import Any

import numpy as np

from semiuhpe.inference.pipeline import HeadPoses
from semiuhpe.pictures import Picture


def picture_line(name: str, picture: Picture, poses: HeadPoses) -> dict[str, Any]:
    """Return the record of a picture and its heads, with boxes in pixels of the file instead of the decoded image."""
    columns = (poses.boxes * picture.scale, poses.scores, poses.rotations, poses.euler_front_deg, poses.euler_full_deg)
    rows = zip(*columns, poses.entropy, poses.confidence, poses.within_90_deg, poses.reliable, strict=True)
    return {
        "image": name,
        "width": picture.width,
        "height": picture.height,
        "heads": [head_record(*row) for row in rows],
    }


def head_record(
    box: np.ndarray,
    score: float,
    rotation: np.ndarray,
    euler_front_deg: np.ndarray,
    euler_full_deg: np.ndarray,
    entropy: float,
    confidence: float,
    within_90_deg: float,
    reliable: bool,
) -> dict[str, Any]:
    """Return the record of one head: plain numbers, rounded to meaningful digits."""
    return {
        "box": _rounded(box, 2),
        "score": _rounded(score, 4),
        "rotation": _rounded(rotation, 6),
        "euler_front_deg": _rounded(euler_front_deg, 3),
        "euler_full_deg": _rounded(euler_full_deg, 3),
        "entropy": _known(entropy),
        "confidence": _known(confidence),
        "within_90_deg": _known(within_90_deg, 2),
        "reliable": None if math.isnan(within_90_deg) else bool(reliable),
    }


def _rounded(values: np.ndarray | float, digits: int) -> Any:
    return np.round(np.asarray(values, np.float64), digits).tolist()


def _known(value: float, digits: int = 4) -> float | None:
    return None if math.isnan(value) else _rounded(value, digits)
