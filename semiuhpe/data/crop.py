"""Square head crops from photographs, as used in training, evaluation, demos and export.

There are two kinds of crop rules, as in the paper: by landmarks (300W-LP, AFLW2000, AFLWFace) and by box (everything
else; with twice the margin above for the face boxes of WIDER FACE, while BIWI's pictures are used whole). Both end in
the same way: the rectangle is limited to the image and its shorter side widened to a square; pixels outside the image
are black; and the result is resized with Pillow's antialiased bicubic filter. All ``int()`` truncate toward zero.

Boxes are (x, y, w, h) in pixels, origin at the top left corner; images are RGB uint8 (H, W, 3).
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from semiuhpe.errors import DataError

BOX_MARGIN = 0.15
LANDMARK_MARGIN = 0.2
JPEG_QUALITY = 92
"""Quality of stored JPEGs."""
MIN_HEAD_PX = 2
"""Minimum side of a box; a smaller box is not a head, and may contain no pixel to crop."""


class CropRule(NamedTuple):
    """A crop rule: how the square of a head crop follows from a box or landmarks.

    Attributes:
        name: its name in a store's ``__meta__``.
        by_extent: start from the box itself, with margins relative to its longer side; otherwise start from the square
            of side (w + h) / 2 about the box's center, with margins relative to that side.
        above: factor for the margin above, where the hair is.
        margin: margin in validation, test and inference.
        margin_range: range of the margin in training, drawn uniformly.
    """

    name: str
    by_extent: bool
    above: float
    margin: float
    margin_range: tuple[float, float]


HEAD_BOX = CropRule("head_box", False, 1.0, BOX_MARGIN, (0.1, 0.2))
FACE_BOX = CropRule("face_box", False, 2.0, BOX_MARGIN, (0.1, 0.2))
LANDMARKS = CropRule("landmarks", True, 2.0, LANDMARK_MARGIN, (0.2, 0.4))
CROP_RULES = {crop_rule.name: crop_rule for crop_rule in (HEAD_BOX, FACE_BOX, LANDMARKS)}


AnyCropRule = CropRule | Callable[[np.ndarray, np.ndarray, int], np.ndarray] | None
"""How a head is cropped: by a crop rule; by a function of the picture, the (4,) box and the size; or, if None, not at
all, for pictures that are head crops."""


class Rectangle(NamedTuple):
    """Pixel bounds of a crop, right and bottom excluded; it may reach beyond the image."""

    left: int
    top: int
    right: int
    bottom: int


def landmark_box(landmarks: np.ndarray) -> np.ndarray:
    """Return the bounding box of the landmarks that are present, truncated to whole pixels.

    Args:
        landmarks: (K, 2) x and y in pixels; missing ones are not positive. Of the two masks x > 0 and y > 0, the one
            that keeps fewer points is applied to both coordinates.

    Returns:
        (4,) float64 box x, y, w, h.

    Raises:
        DataError: no landmark is present, or all of them coincide.
    """
    landmarks = np.asarray(landmarks, dtype=np.float64)
    if landmarks.ndim != 2 or landmarks.shape[1] != 2:
        raise DataError(f"landmarks have the shape {landmarks.shape}; K rows of x and y are needed")
    present = landmarks > 0
    present = present[:, present.sum(axis=0).argmin()]
    if not present.any():
        raise DataError("no landmark is present (all have a coordinate that is not positive)")
    points = landmarks[present].astype(np.int64)
    first, last = points.min(axis=0), points.max(axis=0)
    if (first == last).all():
        raise DataError("all landmarks lie in one point")
    return np.concatenate([first, last - first]).astype(np.float64)


def landmark_rectangle(landmarks: np.ndarray, margin: float, width: int, height: int) -> Rectangle:
    """Return the crop bounds of the landmark rule in an image of the given size."""
    return extent_rectangle(landmark_box(landmarks), margin, width, height)


def extent_rectangle(box: np.ndarray, margin: float, width: int, height: int) -> Rectangle:
    """Return the crop bounds of the landmark rule about the (4,) box x, y, w, h of landmarks."""
    x, y, w, h = (float(value) for value in box)
    reach = margin * max(w, h)
    return _square(x - reach, y - LANDMARKS.above * reach, x + w + reach, y + h + reach, width, height)


def checked_box(box: np.ndarray, width: int, height: int) -> tuple[float, float, float, float]:
    """Return the numbers of a box in an image of the given size.

    Raises:
        DataError: the box is empty, not finite, or completely outside the image.
    """
    x, y, w, h = (float(value) for value in box)
    if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
        raise DataError(f"box {[x, y, w, h]} is empty or not finite; a box is x, y, w, h in pixels, w and h positive")
    if x + w <= 0 or y + h <= 0 or x >= width or y >= height:
        raise DataError(f"box {[x, y, w, h]} lies outside the image of {width}x{height} pixels")
    return x, y, w, h


def box_rectangle(box: np.ndarray, margin: float, width: int, height: int, crop_rule: CropRule = HEAD_BOX) -> Rectangle:
    """Return the crop bounds of a box rule: a square of side (w + h) / 2 about the box's center, with a margin.

    Raises:
        DataError: the box is empty, not finite, or completely outside the image.
    """
    x, y, w, h = checked_box(box, width, height)
    side = (w + h) / 2
    x_center, y_center = x + w / 2, y + h / 2
    reach = (0.5 + margin) * side
    top_reach = (0.5 + crop_rule.above * margin) * side
    return _square(x_center - reach, y_center - top_reach, x_center + reach, y_center + reach, width, height)


def cut(image: np.ndarray, rectangle: Rectangle, size: int | None) -> np.ndarray:
    """Return the pixels of a rectangle, black outside the image, resized to (size, size) unless size is None."""
    height, width = image.shape[:2]
    # As in the paper's code, a crop that extends beyond the image lacks the image's last column and row.
    canvas = pixels_of(image, rectangle, width - 1, height - 1)
    if size is None or canvas.shape[:2] == (size, size):
        return canvas
    return np.asarray(Image.fromarray(canvas).resize((size, size), Image.Resampling.BICUBIC))


def pixels_of(image: np.ndarray, rectangle: Rectangle, width: int, height: int) -> np.ndarray:
    """Return the pixels of a rectangle, black beyond the first ``width`` columns and ``height`` rows of the image."""
    left, top, right, bottom = rectangle
    canvas = np.zeros((bottom - top, right - left, 3), dtype=np.uint8)
    x, y, x_end, y_end = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if x < x_end and y < y_end:
        canvas[y - top : y_end - top, x - left : x_end - left] = image[y:y_end, x:x_end]
    return canvas


def whole_picture(image: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad a picture that is a head crop to a square with black, and resize it.

    Returns:
        (size, size, 3) uint8 square, and the (4,) box x, y, w, h of the picture in it.
    """
    canvas, box = padded_to_square(image)
    side = len(canvas)
    if side != size:
        canvas = np.asarray(Image.fromarray(canvas).resize((size, size), Image.Resampling.BICUBIC))
    return canvas, box * (size / side)


def padded_to_square(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pad a (H, W, 3) picture to a square with black.

    Returns:
        (S, S, 3) uint8 square, and the (4,) box x, y, w, h of the picture in it.
    """
    height, width = image.shape[:2]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    canvas = np.zeros((side, side, 3), dtype=np.uint8)
    canvas[top : top + height, left : left + width] = image
    return canvas, np.array([left, top, width, height])


def box_in_crop(box: np.ndarray, rectangle: Rectangle, size: int) -> np.ndarray:
    """Convert a (4,) box x, y, w, h in the image to pixels of the crop that :func:`cut` returns."""
    x_scale = size / (rectangle.right - rectangle.left)
    y_scale = size / (rectangle.bottom - rectangle.top)
    x, y, w, h = box
    return np.array([(x - rectangle.left) * x_scale, (y - rectangle.top) * y_scale, w * x_scale, h * y_scale])


def encode(image: np.ndarray, quality: int | None = None) -> bytes:
    """Return JPEG bytes of a (H, W, 3) uint8 RGB picture, or lossless PNG bytes if the quality is None."""
    if quality is None:
        extension, parameters = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]
    else:
        extension, parameters = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(extension, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), parameters)[1].tobytes()


class StoredCrop(NamedTuple):
    """A head crop as it is stored.

    Attributes:
        encoded: JPEG or PNG bytes of the crop.
        box: (4,) x, y, w, h of the head in pixels of the crop.
        bounds: (4,) x, y, w, h of the source's picture in pixels of the crop.
        scale: pixels of the crop per pixel of the source's picture.
    """

    encoded: bytes
    box: np.ndarray
    bounds: np.ndarray
    scale: float = 1.0


def store_crop(image: np.ndarray, rectangle: Rectangle, box: np.ndarray, size: int, quality: int | None) -> StoredCrop:
    """Cut a head out of a picture and encode it.

    Args:
        image: (H, W, 3) uint8 RGB.
        rectangle: square to cut out.
        box: (4,) x, y, w, h of the head in the picture.
        size: side of the stored crop in pixels.
        quality: quality of the JPEG; None for a lossless PNG.
    """
    height, width = image.shape[:2]
    crop = cut(image, rectangle, size)
    # Crops never show the last column and row of a picture.
    bounds = box_in_crop(np.array([0.0, 0.0, width - 1.0, height - 1.0]), rectangle, size)
    scale = size / (rectangle.right - rectangle.left)
    return StoredCrop(encode(crop, quality), box_in_crop(box, rectangle, size), bounds, scale)


def store_whole(image: np.ndarray, size: int, quality: int | None) -> StoredCrop:
    """Encode a (H, W, 3) picture that is a head crop and is kept whole; arguments as for :func:`store_crop`.

    The head's box is the whole picture, so that all margins are limited to the picture.
    """
    crop, box = whole_picture(image, size)
    return StoredCrop(encode(crop, quality), box, box, size / max(image.shape[:2]))


def crop_by_box(
    image: np.ndarray, box: np.ndarray, margin: float = BOX_MARGIN, size: int = 224, crop_rule: CropRule = HEAD_BOX
) -> np.ndarray:
    """Crop a head by its box.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x, y, w, h of the head in pixels.
        margin: margin on each side, as a share of the box's side.
        size: side of the result in pixels.
        crop_rule: :data:`HEAD_BOX`, or :data:`FACE_BOX` for boxes of faces (WiderFace).

    Returns:
        (size, size, 3) uint8.

    Raises:
        DataError: the box is empty or outside the image.
    """
    height, width = image.shape[:2]
    return cut(image, box_rectangle(box, margin, width, height, crop_rule), size)


def crop_head(image: np.ndarray, box: np.ndarray, size: int, rule: AnyCropRule) -> np.ndarray:
    """Crop a head by any rule.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x, y, w, h of the head in pixels.
        size: side of the result in pixels.
        rule: the rule.

    Returns:
        (size, size, 3) uint8.

    Raises:
        DataError: the box is empty or outside the image.
    """
    if rule is None:
        return whole_picture(image, size)[0]
    if isinstance(rule, CropRule):
        return crop_by_box(image, box, rule.margin, size, rule)
    return rule(image, box, size)


DEMO_SCALE = 1.1


def original_demo_crop(image: np.ndarray, box: np.ndarray, size: int = 224) -> np.ndarray:
    """Crop a head as the demos of the paper's code do, unlike its training and evaluation.

    The crop is a square of :data:`DEMO_SCALE` times the box's longer side about its center, clipped to the picture, and
    then resized to a square without keeping the aspect ratio. Arguments and result are those of :func:`crop_by_box`.

    Raises:
        DataError: the box is empty or outside the image.
    """
    height, width = image.shape[:2]
    x, y, w, h = checked_box(box, width, height)
    reach = DEMO_SCALE / 2 * max(w, h)
    left, top = max(int(x + w / 2 - reach), 0), max(int(y + h / 2 - reach), 0)
    right, bottom = min(int(x + w / 2 + reach), width - 1), min(int(y + h / 2 + reach), height - 1)
    if right <= left or bottom <= top:
        raise DataError(f"the crop has no pixel inside the image of {width}x{height} pixels")
    return squeezed_picture(image[top:bottom, left:right], box, size)


def squeezed_picture(image: np.ndarray, _box: np.ndarray, size: int = 224) -> np.ndarray:
    """Resize a head crop to a (size, size, 3) square without keeping its aspect ratio, as the paper's code does."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def crop_by_landmarks(
    image: np.ndarray, landmarks: np.ndarray, margin: float = LANDMARK_MARGIN, size: int = 224
) -> np.ndarray:
    """Crop a head by its landmarks.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (K, 2) x and y in pixels; missing ones are not positive.
        margin: margin on each side (twice above), as a share of the landmarks' larger extent.
        size: side of the result in pixels.

    Returns:
        (size, size, 3) uint8.

    Raises:
        DataError: no landmark is present, or all of them coincide.
    """
    height, width = image.shape[:2]
    return cut(image, landmark_rectangle(landmarks, margin, width, height), size)


def _square(left: float, top: float, right: float, bottom: float, width: int, height: int) -> Rectangle:
    left, top = max(int(left), 0), max(int(top), 0)
    right, bottom = min(int(right), width - 1), min(int(bottom), height - 1)
    if right <= left or bottom <= top:
        raise DataError(f"the crop has no pixel inside the image of {width}x{height} pixels")
    extra = int(abs((bottom - top) - (right - left)) / 2)
    if bottom - top > right - left:
        return Rectangle(left - extra, top, right + extra, bottom)
    return Rectangle(left, top - extra, right, bottom + extra)


def head_in_crop(boxes: np.ndarray, margin: float = HEAD_BOX.margin) -> np.ndarray:
    """Return the (N, 4) boxes of the heads on pictures that are head crops by :data:`HEAD_BOX`.

    Args:
        boxes: (N, 4) x, y, w, h of the whole pictures.
        margin: the margin that they were cropped with.
    """
    side = boxes[:, 2:].max(axis=1, keepdims=True) / (1 + 2 * margin)
    return np.concatenate([boxes[:, :2] + (boxes[:, 2:] - side) / 2, side, side], axis=1)
