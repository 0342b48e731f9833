"""Scaling and padding of images to the input of a YOLO, and non-maximum suppression (NMS).

An image is scaled, keeping its aspect ratio, and padded on both sides, by default with YOLO's gray. Boxes of the
network are (x center, y center, w, h) in pixels of its input; ours are (x, y, w, h) in pixels of the image.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torchvision
from torch import Tensor

from semiuhpe.inference.detectors.base import Detections

GRAY = 114
MAX_CANDIDATES = 30_000
"""Maximum number of boxes that enter NMS, whose time grows with the square of that number."""
MAX_FOUND = 1000
"""Maximum number of boxes after NMS."""


class Letterbox(NamedTuple):
    """The position of a scaled image in the network's input.

    Attributes:
        height, width: size of the input.
        inner_height, inner_width: size of the scaled image in the input.
        top, left: position of the scaled image in the input.
        image_height, image_width: size of the image.
    """

    height: int
    width: int
    inner_height: int
    inner_width: int
    top: int
    left: int
    image_height: int
    image_width: int

    def place(self, image: np.ndarray, padding: int = GRAY) -> np.ndarray:
        """Return the (height, width, 3) uint8 input: the scaled image, padded with ``padding`` in all channels."""
        size = (self.inner_width, self.inner_height)
        if image.shape[1::-1] != size:
            shrinks = self.inner_width < self.image_width or self.inner_height < self.image_height
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        canvas = np.full((self.height, self.width, 3), padding, dtype=np.uint8)
        canvas[self.top : self.top + self.inner_height, self.left : self.left + self.inner_width] = image
        return canvas

    def to_image(self, corners: Tensor) -> Tensor:
        """Convert (N, 4) corners x1, y1, x2, y2 in the input to x, y, w, h in the image, clipped to the image."""
        scale = corners.new_tensor([self.image_width / self.inner_width, self.image_height / self.inner_height])
        offset = corners.new_tensor([self.left, self.top])
        limit = corners.new_tensor([self.image_width, self.image_height])
        low = ((corners[:, :2] - offset) * scale).clamp(min=0).minimum(limit)
        high = ((corners[:, 2:] - offset) * scale).clamp(min=0).minimum(limit)
        return torchvision.ops.box_convert(torch.cat([low, high], dim=1), "xyxy", "xywh")


def fit_size(image_height: int, image_width: int, size: int, stride: int) -> Letterbox:
    """Scale an image's longer side to ``size``, in the smallest input that has multiples of ``stride`` as sides."""
    scale = size / max(image_height, image_width)
    inner_height, inner_width = max(round(image_height * scale), 1), max(round(image_width * scale), 1)
    height, width = -(-inner_height // stride) * stride, -(-inner_width // stride) * stride
    return _centered(height, width, inner_height, inner_width, image_height, image_width)


def fit_shape(image_height: int, image_width: int, height: int, width: int) -> Letterbox:
    """Scale an image so that it just fits into an input of a fixed shape."""
    scale = min(height / image_height, width / image_width)
    inner_height = min(max(round(image_height * scale), 1), height)
    inner_width = min(max(round(image_width * scale), 1), width)
    return _centered(height, width, inner_height, inner_width, image_height, image_width)


def _centered(
    height: int, width: int, inner_height: int, inner_width: int, image_height: int, image_width: int
) -> Letterbox:
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    return Letterbox(height, width, inner_height, inner_width, top, left, image_height, image_width)


def same_shape(boxes: Sequence[Letterbox], most: int) -> Iterator[list[int]]:
    """Yield indices of letterboxes with inputs of the same shape, at most ``most`` at a time."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, box in enumerate(boxes):
        groups.setdefault((box.height, box.width), []).append(index)
    for indices in groups.values():
        for start in range(0, len(indices), most):
            yield indices[start : start + most]


def nms(corners: Tensor, scores: Tensor, min_score: float, max_iou: float) -> Tensor:
    """Return indices of the boxes left by threshold and NMS, highest scores first, at most :data:`MAX_FOUND`.

    Args:
        corners: (N, 4) x1, y1, x2, y2. Empty and non-finite boxes are left out.
        scores: (N,).
        min_score: boxes with a lower score are left out.
        max_iou: of two boxes whose IoU is higher, the one with the lower score is left out.
    """
    sound = corners.isfinite().all(dim=1) & (corners[:, 2:] > corners[:, :2]).all(dim=1)
    candidates = (sound & (scores >= min_score)).nonzero().squeeze(1)
    if len(candidates) > MAX_CANDIDATES:
        candidates = candidates[scores[candidates].topk(MAX_CANDIDATES).indices]
    return candidates[torchvision.ops.nms(corners[candidates], scores[candidates], max_iou)[:MAX_FOUND]]


def best_boxes(box: Letterbox, corners: Tensor, scores: Tensor, min_score: float, max_iou: float) -> Detections:
    """Return what :func:`nms` leaves, in pixels of the image, without boxes that lie completely in the padding.

    Args:
        box: where the image lies in the input.
        corners, scores, min_score, max_iou: of :func:`nms`, corners in pixels of the input.
    """
    kept = nms(corners, scores, min_score, max_iou)
    placed, scores = box.to_image(corners[kept]), scores[kept].clamp(0, 1)
    inside = (placed[:, 2:] > 0).all(dim=1)
    return Detections(placed[inside].numpy(), scores[inside].numpy())
