"""Draw axes and cubes on pictures, directly from rotations: without Euler angles, so correct over the full range."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from semiuhpe.errors import DataError
from semiuhpe.files import atomic_path

AXIS_COLORS = ((220, 40, 40), (40, 170, 60), (40, 90, 240))
"""RGB of the head's left, down and front vectors."""
PNG_LEVEL = 3
"""Compression level: a third of the time of Pillow's default 6, for files a tenth larger."""
_WHITE = (255, 255, 255)
_SHIFT = 4  # OpenCV draws at 1/16 px


def project_axes(rotation: np.ndarray, center: tuple[float, float], length: float) -> np.ndarray:
    """Return the ends of the head's left, down and front vectors in the picture, (3, 2) pixels, without depth.

    Args:
        rotation: (3, 3) head to camera. Orthographic: camera x is to the right and y down, as in the picture.
        center: origin of the vectors, x and y in pixels.
        length: pixels of a vector that is parallel to the picture.
    """
    left, up, front = np.asarray(rotation, dtype=np.float64).T
    return np.asarray(center) + length * np.stack([left, -up, front])[:, :2]


def project_cube(rotation: np.ndarray, center: tuple[float, float], side: float) -> np.ndarray:
    """Return the corners of a cube with the head's rotation, (2, 2, 2, 2) pixels; orthographic.

    The first three indices are 0 or 1 on the head's left, up and front axis, from -side / 2 to side / 2; the last is x
    and y. So ``corners[:, :, 1]`` is the face side.

    Args:
        rotation: (3, 3) head to camera.
        center: center of the cube in pixels.
        side: side of the cube in pixels.
    """
    corners = side * np.stack(np.meshgrid(*[[-0.5, 0.5]] * 3, indexing="ij"), axis=-1)
    return np.asarray(center) + (corners @ np.asarray(rotation, dtype=np.float64).T)[..., :2]


def draw_axes(
    image: np.ndarray,
    rotation: np.ndarray,
    center: tuple[float, float] | None = None,
    length: float | None = None,
    thickness: int | None = None,
) -> np.ndarray:
    """Return a copy of the picture with the head's left (red), down (green) and front (blue) vectors.

    Vectors that point away from the camera are drawn first, so nearer ones cover them. They end in a ring, those that
    point to the camera in a dot: lengths alone don't show which it is.

    Args:
        image: (H, W, 3) uint8 RGB.
        rotation: (3, 3) head to camera.
        center: x and y in pixels; the middle of the picture if None.
        length: in pixels; 0.4 of the picture's shorter side if None.
        thickness: in pixels; chosen by the size if None.
    """
    height, width = image.shape[:2]
    drawn = image.copy()
    add_axes(
        drawn,
        rotation,
        center or (width / 2, height / 2),
        length or 0.4 * min(height, width),
        thickness or max(1, round(min(height, width) / 56)),
    )
    return drawn


def add_axes(
    canvas: np.ndarray, rotation: np.ndarray, center: tuple[float, float], length: float, thickness: int
) -> None:
    """Draw axes on the picture itself, as :func:`draw_axes` does; parts outside the picture are clipped."""
    ends = project_axes(rotation, center, length)
    depth = np.asarray(rotation)[2] * (1, -1, 1)
    start = _fixed(center)
    for axis in np.argsort(-depth):
        end, color = _fixed(ends[axis]), AXIS_COLORS[axis]
        cv2.line(canvas, start, end, color, thickness, cv2.LINE_AA, _SHIFT)
        if depth[axis] > 0:
            cv2.circle(canvas, end, round(1.5 * (thickness << _SHIFT)), _WHITE, -1, cv2.LINE_AA, _SHIFT)
            cv2.circle(canvas, end, round(1.5 * (thickness << _SHIFT)), color, thickness, cv2.LINE_AA, _SHIFT)
        else:
            cv2.circle(canvas, end, round(1.5 * (thickness << _SHIFT)), color, -1, cv2.LINE_AA, _SHIFT)


def add_cube(
    canvas: np.ndarray,
    rotation: np.ndarray,
    center: tuple[float, float],
    side: float,
    color: tuple[int, int, int],
    thickness: int,
) -> None:
    """Draw a cube with the head's rotation on the picture itself; parts outside the picture are clipped.

    The face side is tinted and marked with a T for eyes and nose; it is paler where the head looks away. Hidden edges
    are thin.

    Args:
        canvas: (H, W, 3) uint8 RGB, drawn on.
        rotation: (3, 3) head to camera.
        center: center of the cube in pixels.
        side: side of the cube in pixels.
        color: RGB of the edges and of the face side.
        thickness: width of visible edges in pixels.
    """
    corners = project_cube(rotation, center, side)
    depth = np.asarray(rotation, dtype=np.float64)[2]
    _tint(canvas, corners[[0, 1, 1, 0], [0, 0, 1, 1], 1], color, 0.45 if depth[2] < 0 else 0.15)
    visible = np.where(depth < 0, 1, 0)  # on each axis the side that faces the camera
    edges = []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        for ends in ((0, 0), (0, 1), (1, 0), (1, 1)):
            corner = np.zeros(3, dtype=int)
            corner[others] = ends
            shown = bool((corner[others] == visible[others]).any())
            far = corner.copy()
            far[axis] = 1
            edges.append((shown, corners[tuple(corner)], corners[tuple(far)]))
    left, up, front = np.asarray(rotation, dtype=np.float64).T[:, :2] * side
    face = np.asarray(center) + front / 2
    sketch = [
        (face + up * 0.2 - left * 0.28, face + up * 0.2 + left * 0.28),
        (face + up * 0.2, face - up * 0.15),
    ]
    edges += [(bool(depth[2] < 0), start, end) for start, end in sketch]
    for shown, start, end in sorted(edges, key=lambda edge: edge[0]):
        width = thickness if shown else max(1, thickness // 3)
        cv2.line(canvas, _fixed(start), _fixed(end), color, width, cv2.LINE_AA, _SHIFT)


def _tint(canvas: np.ndarray, corners: np.ndarray, color: tuple[int, int, int], opacity: float) -> None:
    """Blend a color into the polygon with the corners (K, 2), as far as it is on the picture."""
    height, width = canvas.shape[:2]
    low = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, (width, height))
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, 0, (width, height))
    if (high <= low).any():
        return
    patch = canvas[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(patch.shape[:2], np.uint8)
    points = np.round((corners - low) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillConvexPoly(mask, points, 255, cv2.LINE_AA, _SHIFT)
    share = mask[..., None] * np.float32(opacity / 255)
    patch[:] = np.round(patch * (1 - share) + np.array(color, np.float32) * share).astype(np.uint8)


def contact_sheet(images: Sequence[np.ndarray], columns: int, size: int, gap: int = 4) -> np.ndarray:
    """Return pictures side by side in rows on white, each resized to (size, size)."""
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (size + gap) + gap, columns * (size + gap) + gap, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = gap + row * (size + gap), gap + column * (size + gap)
        shrinks = image.shape[0] > size
        resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        sheet[top : top + size, left : left + size] = resized
    return sheet


def save_picture(path: Path, image: np.ndarray, option: str = "", quality: int | None = None) -> None:
    """Write a (H, W, 3) uint8 RGB picture, in the format of the file name's ending; there is never a part of it.

    Args:
        path: file to write.
        image: the picture.
        option: by which the user can name another file, for the error.
        quality: of JPEG and WebP; Pillow's own if None.

    Raises:
        DataError: the ending is not that of a known format, or the file can't be written.
    """
    try:
        kind = Image.registered_extensions().get(path.suffix.lower())
        if kind not in Image.SAVE:
            raise ValueError(f"unknown file extension: {path.suffix}")
        settings = {"compress_level": PNG_LEVEL} | ({} if quality is None else {"quality": quality})
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, durable=False) as partial:  # one of many, and made again in no time
            Image.fromarray(image).save(partial, kind, **settings)
    except (OSError, ValueError) as error:
        remedy = f"; name another file with {option}" if option else ""
        raise DataError(f"{path}: can't be written ({error}){remedy}") from error


def _fixed(point: Sequence[float]) -> tuple[int, int]:
    return round(point[0] * (1 << _SHIFT)), round(point[1] * (1 << _SHIFT))
