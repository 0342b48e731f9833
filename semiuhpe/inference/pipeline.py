""":class:`HeadPipeline`: a detector finds the heads on images, an estimator crops them and predicts their poses.

Boxes are (x, y, w, h) in pixels of the image. If an image was shrunk when its file was decoded, detectors that look
boxes up return them in pixels of the file (:attr:`Detector.in_file_pixels`). These are divided by the picture's scale
here, and multiplied by it again when they are written (:func:`semiuhpe.inference.records.picture_line`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from semiuhpe.data.crop import MIN_HEAD_PX, AnyCropRule, head_in_crop
from semiuhpe.inference.detectors import Detections, Detector, Source


@dataclass(frozen=True)
class HeadPoses:
    """The heads of one image, as NumPy arrays; there may be none.

    Attributes:
        boxes: (N, 4) float32 x, y, w, h in pixels.
        scores: (N,) float32 scores of the detector, in [0, 1]; 1 for given boxes.
        rotations: (N, 3, 3) float32, head to camera.
        euler_front_deg: (N, 3) float32 pitch, yaw, roll with ``|yaw| <= 90``.
        euler_full_deg: (N, 3) float32 equivalent angles with ``|pitch| <= 90`` and yaw in (-180, 180].
        entropy: (N,) float32, lower if the model is more certain; NaN if the model has no uncertainty.
        confidence: (N,) float32 in [0, 1]; NaN if the model has no uncertainty; see :mod:`semiuhpe.models.output`.
        within_90_deg: (N,) float32, degrees within which the truth is with a probability of 90 percent; NaN if the
            model isn't calibrated; see :mod:`semiuhpe.models.reliability`.
        reliable: (N,) bool, whether that is small enough; False if the model isn't calibrated.
    """

    boxes: np.ndarray
    scores: np.ndarray
    rotations: np.ndarray
    euler_front_deg: np.ndarray
    euler_full_deg: np.ndarray
    entropy: np.ndarray
    confidence: np.ndarray
    within_90_deg: np.ndarray
    reliable: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


class PoseEstimator(Protocol):
    """The part of :class:`semiuhpe.inference.estimator.HeadPoseEstimator` that the pipeline uses."""

    def predict_batch(
        self, images: Sequence[np.ndarray], boxes: Sequence[Detections], *, crop_rule: AnyCropRule
    ) -> list[HeadPoses]: ...


@dataclass(frozen=True)
class HeadPipeline:
    """A detector and an estimator. The two steps of a call can also be called separately, in different threads."""

    detector: Detector
    estimator: PoseEstimator

    def __call__(
        self,
        images: Sequence[np.ndarray],
        sources: Sequence[Source] | None = None,
        scales: Sequence[np.ndarray] | None = None,
    ) -> list[HeadPoses]:
        """Return the heads on each image; arguments and errors are those of :meth:`find` and :meth:`pose`."""
        return self.pose(images, self.find(images, sources, scales))

    def find(
        self,
        images: Sequence[np.ndarray],
        sources: Sequence[Source] | None = None,
        scales: Sequence[np.ndarray] | None = None,
    ) -> list[Detections]:
        """Return the heads that the detector finds, without those smaller than :data:`MIN_HEAD_PX`.

        Args:
            images: (H, W, 3) uint8 RGB, of any sizes.
            sources: where the images come from, for detectors that need it.
            scales: :attr:`semiuhpe.pictures.Picture.scale` of each image; None if all have the size of their files.

        Raises:
            DataError: an image is invalid, or has no entry in the user's file of boxes.
        """
        found = self.detector.batch(images, sources)
        found = [heads.select(np.all(heads.boxes[:, 2:] >= MIN_HEAD_PX, axis=1)) for heads in found]
        if scales is None or not self.detector.in_file_pixels:
            return found
        return [replace(heads, boxes=heads.boxes / scale) for heads, scale in zip(found, scales, strict=True)]

    def pose(self, images: Sequence[np.ndarray], found: Sequence[Detections]) -> list[HeadPoses]:
        """Return the poses of the heads found by :meth:`find`, cropped by the detector's crop rule.

        Raises:
            DataError: a box is empty or outside of its image.
            ConfigError: a one-stage model is given boxes of another detector.
            CheckpointError: the network's output is not finite.
        """
        return self.estimator.predict_batch(images, found, crop_rule=self.detector.crop_rule)

    def head_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Return (N, 4) boxes tight around the heads, for drawing; a box that is a whole head crop has a margin."""
        return head_in_crop(boxes) if self.detector.takes_crops else boxes
