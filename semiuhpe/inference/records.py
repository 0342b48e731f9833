"""What is written about heads: the records of ``image.py``, of ``video.py`` and of the demo page.

Boxes are x, y, w, h in pixels, angles in degrees, pitch, yaw, roll. Entropy and confidence are null where the model has
no uncertainty (:mod:`semiuhpe.models.output`).
"""

import math
from typing import Any

import numpy as np

from semiuhpe.inference.pipeline import HeadPoses
from semiuhpe.pictures import Picture


def picture_line(name: str, picture: Picture, poses: HeadPoses) -> dict[str, Any]:
    """Return a picture and its heads, whose boxes are then in pixels of its file, not of the decoded image."""
    columns = (poses.boxes * picture.scale, poses.scores, poses.rotations, poses.euler_front_deg, poses.euler_full_deg)
    rows = zip(*columns, poses.entropy, poses.confidence, strict=True)
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
) -> dict[str, Any]:
    """One head as plain numbers, rounded to what they are worth."""
    return {
        "box": _rounded(box, 2),
        "score": _rounded(score, 4),
        "rotation": _rounded(rotation, 6),
        "euler_front_deg": _rounded(euler_front_deg, 3),
        "euler_full_deg": _rounded(euler_full_deg, 3),
        "entropy": _known(entropy),
        "confidence": _known(confidence),
    }


def _rounded(values: np.ndarray | float, digits: int) -> Any:
    return np.round(np.asarray(values, np.float64), digits).tolist()


def _known(value: float) -> float | None:
    return None if math.isnan(value) else _rounded(value, 4)
