"""Drawing on pictures, from rotations directly: no Euler angles in between, so it is right over the full range."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from semiuhpe.errors import DataError

AXIS_COLORS = ((220, 40, 40), (40, 170, 60), (40, 90, 240))
"""RGB of the head's left, down and front vector."""
_SHIFT = 4  # OpenCV draws at 1/16 px


def project_axes(rotation: np.ndarray, center: tuple[float, float], length: float) -> np.ndarray:
    """Ends of the head's left, down and front vectors in the picture, (3, 2) pixels, and nothing of their depth.

    Args:
        rotation: (3, 3) head to camera. Orthographic: camera x is to the right and y down, as in the picture.
        center: where the vectors begin, x and y in pixels.
        length: of a vector that lies in the picture's plane, in pixels.
    """
    left, up, front = np.asarray(rotation, dtype=np.float64).T
    return np.asarray(center) + length * np.stack([left, -up, front])[:, :2]


def draw_axes(
    image: np.ndarray,
    rotation: np.ndarray,
    center: tuple[float, float] | None = None,
    length: float | None = None,
    thickness: int | None = None,
) -> np.ndarray:
    """A copy of the picture with the head's left (red), down (green) and front (blue) vectors.

    Vectors that point away from the camera are drawn first, so that nearer ones lie over them.

    Args:
        image: (H, W, 3) uint8 RGB.
        rotation: (3, 3) head to camera.
        center: x and y in pixels; the middle of the picture if None.
        length: in pixels; 0.4 of the picture's shorter side if None.
        thickness: in pixels; chosen by the size if None.
    """
    height, width = image.shape[:2]
    center = center or (width / 2, height / 2)
    length = length or 0.4 * min(height, width)
    thickness = thickness or max(1, round(min(height, width) / 56))
    drawn = image.copy()
    ends = project_axes(rotation, center, length)
    depth = np.asarray(rotation)[2] * (1, -1, 1)
    start = _fixed(center)
    for axis in np.argsort(-depth):
        end, color = _fixed(ends[axis]), AXIS_COLORS[axis]
        cv2.line(drawn, start, end, color, thickness, cv2.LINE_AA, _SHIFT)
        cv2.circle(drawn, end, thickness << _SHIFT, color, -1, cv2.LINE_AA, _SHIFT)
    return drawn


def contact_sheet(images: Sequence[np.ndarray], columns: int, size: int, gap: int = 4) -> np.ndarray:
    """Pictures side by side in rows on white, each resized to (size, size)."""
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (size + gap) + gap, columns * (size + gap) + gap, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = gap + row * (size + gap), gap + column * (size + gap)
        shrinks = image.shape[0] > size
        resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        sheet[top : top + size, left : left + size] = resized
    return sheet


def save_picture(path: Path, image: np.ndarray) -> None:
    """Writes a (H, W, 3) uint8 RGB picture, in the format of the file name's ending.

    Raises:
        DataError: the ending is of no known format, or the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be written ({error})") from error


def _fixed(point: Sequence[float]) -> tuple[int, int]:
    return round(point[0] * (1 << _SHIFT)), round(point[1] * (1 << _SHIFT))
