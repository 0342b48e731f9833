"""The heads of a picture drawn over it."""

from collections.abc import Sequence

import cv2
import numpy as np

from semiuhpe.errors import DataError
from semiuhpe.inference.draw import draw_axes

MESH, AXES, CUBE, NONE = "mesh", "axes", "cube", "none"
DRAWINGS = (MESH, AXES, CUBE, NONE)

Color = tuple[int, int, int]


def draw_heads(
    image: np.ndarray,
    boxes: np.ndarray,
    rotations: np.ndarray,
    how: str,
    colors: Sequence[Color] | None = None,
    labels: Sequence[str] | None = None,
) -> np.ndarray:
    """A copy of a picture with its heads drawn over it, larger boxes last."""
    if how not in (AXES, NONE):
        raise DataError(f"heads can't be drawn as {how!r}")
    drawn = image.copy()
    for i in np.argsort(np.asarray(boxes)[:, 2:].sum(1)) if len(boxes) else ():
        x, y, w, h = map(float, boxes[i])
        if how == AXES:
            drawn = draw_axes(drawn, rotations[i], (x + w / 2, y + h / 2), 0.3 * (w + h), max(1, round((w + h) / 80)))
        if labels is not None:
            cv2.putText(drawn, labels[i], (int(x), int(y)), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
    return drawn
