"""Contact sheets of scenes with their heads drawn: boxes, landmarks, axes."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torchvision.ops import box_convert

from semiuhpe.data.scene_labels import MIN_VISIBLE
from semiuhpe.data.stores.inspect import picture_fault
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.drawing.axes import contact_sheet, draw_axes

FOUND, TRUE = (250, 220, 40), (255, 255, 255)
"""RGB of the boxes that a network found, and of true ones."""
SHEET_SCENES, SHEET_COLUMNS, SHEET_PX = 12, 4, 320
_LANDMARK, _MISSING = (250, 80, 220), 128
_AXIS = 0.5  # length in longer sides of the box


def draw_heads(
    image: np.ndarray,
    boxes: np.ndarray,
    rotations: np.ndarray | None = None,
    landmarks: np.ndarray | None = None,
    scores: Sequence[float] | None = None,
    color: tuple[int, int, int] = FOUND,
) -> np.ndarray:
    """Return a copy of a picture with its heads drawn on it.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        rotations: (N, 3, 3) head to camera, drawn as axes.
        landmarks: (N, 5, 2) pixels; NaN is not drawn.
        scores: numbers to write above the boxes.
        color: RGB of the boxes.
    """
    drawn = image.copy()
    for i, box in enumerate(np.asarray(boxes, dtype=np.float64)):
        left, top, right, bottom = (round(float(value)) for value in np.clip(box, -1e4, 1e4))
        cv2.rectangle(drawn, (left, top), (right, bottom), color, 1)
        if rotations is not None:
            center, length = ((left + right) / 2, (top + bottom) / 2), _AXIS * max(right - left, bottom - top, 1)
            drawn = draw_axes(drawn, rotations[i], center, length, thickness=1)
        if landmarks is not None:
            for x, y in landmarks[i][np.isfinite(landmarks[i]).all(-1)]:
                cv2.circle(drawn, (round(float(x)), round(float(y))), 1, _LANDMARK, -1, cv2.LINE_AA)
        if scores is not None:
            text = f"{scores[i]:.2f}"
            cv2.putText(drawn, text, (left, max(top - 2, 8)), cv2.FONT_HERSHEY_SIMPLEX, 0.3, color, 1, cv2.LINE_AA)
    return drawn


def label_sheet(store: SceneStore, scenes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Draw scenes of a store side by side, with boxes, landmarks and axes of the heads that are seen.

    Args:
        store: any scene store.
        scenes: positions in it, in the order in which they are to be shown.

    Returns:
        (H, W, 3) uint8 RGB. A picture that can't be decoded is gray.
    """
    pictures = []
    for scene in map(int, scenes):
        heads = store.heads(scene)
        seen = heads.visible >= MIN_VISIBLE
        boxes = box_convert(torch.from_numpy(heads.box[seen]), "xywh", "xyxy").numpy()
        drawn = draw_heads(_picture(store, scene), boxes, heads.rotation[seen], heads.landmarks[seen], color=TRUE)
        pictures.append(square(drawn))
    return contact_sheet(pictures, SHEET_COLUMNS, SHEET_PX)


def _picture(store: SceneStore, scene: int) -> np.ndarray:
    if picture_fault(store, scene):
        width, height = store.extent[scene]
        return np.full((height, width, 3), _MISSING, np.uint8)
    return store.image(scene)


def square(image: np.ndarray) -> np.ndarray:
    """Pad a picture to a square at the right or the bottom, for a contact sheet."""
    side = max(image.shape[:2])
    canvas = np.full((side, side, 3), 255, np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas
