"""Head poses on pictures: from boxes or a detector to rotations with their uncertainty, in one pass for all heads.

    from semiuhpe import HeadPoseEstimator
    estimator = HeadPoseEstimator.from_checkpoint("DAD-COCOHead-ResNet50-best")
    poses = estimator.predict(image, boxes=[[120, 40, 90, 110]])

Images are RGB uint8 (H, W, 3), boxes (x, y, w, h) in pixels, rotations and angles as in :mod:`semiuhpe.rotation`.

A model for head crops needs boxes or a detector. A one-stage model (:mod:`semiuhpe.models.onestage`) finds heads and
their poses in the same pass. :mod:`semiuhpe.models.output` defines entropy and confidence, and says which models have
none.
"""

import os
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from semiuhpe.augment.views import normalize
from semiuhpe.data.crop import HEAD_BOX, AnyCropRule, crop_head
from semiuhpe.distributed import named_device
from semiuhpe.errors import CheckpointError, ConfigError, DataError
from semiuhpe.foreign import ForeignModel, load_model
from semiuhpe.inference.detectors import (
    DEFAULT_DETECTOR,
    Detections,
    Detector,
    Source,
    check_min_score,
    load_detector,
)
from semiuhpe.inference.detectors.base import checked_image
from semiuhpe.inference.detectors.onestage import onestage_detector
from semiuhpe.inference.pipeline import HeadPipeline, HeadPoses
from semiuhpe.models import LoadedModel, network_spec, reparametrize
from semiuhpe.models.output import PoseDecoder, entropy_and_confidence, not_finite
from semiuhpe.models.weights import DEFAULT_CHECKPOINT
from semiuhpe.rotation import HEAD_TO_CAMERA, matrix_to_euler

MAX_BATCH = 64
"""Maximum number of heads per forward pass, which limits the memory that a crowd needs."""
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class HeadPoseEstimator:
    """Estimates head poses on pictures with a pose network.

    Args:
        loaded: the model. A copy of it is used, in which branches are merged if it has any.
        device: device such as ``cuda:1``; if None, the GPU if there is one, else the CPU.
        dtype: dtype in which the network computes, one of :data:`DTYPES` or its name; float32 if None. Distributions
            are always computed in float64.

    Attributes:
        finds_heads: whether it is a one-stage model.

    Raises:
        ConfigError: there is no such device or dtype, or a one-stage model was loaded with a convention not its own.
    """

    def __init__(
        self, loaded: LoadedModel, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None
    ) -> None:
        self.device = named_device(device)
        self.dtype = _dtype(dtype)
        self.path = loaded.path
        self.description = loaded.description
        self.finds_heads = network_spec(loaded.network).detects
        if self.finds_heads and loaded.convention != HEAD_TO_CAMERA:
            raise ConfigError(f"--convention {loaded.convention}: {loaded.path} is a one-stage model; leave it out")
        self._decoder = PoseDecoder(loaded.description)
        self._reliability = loaded.reliability
        self._facts = loaded.facts if isinstance(loaded, ForeignModel) else None
        network = reparametrize(loaded.model)
        self._network = network.to(self.device, self.dtype).to(memory_format=torch.channels_last)
        self._default_detector: Detector | None = None

    @classmethod
    def from_checkpoint(
        cls,
        path_or_name: str | os.PathLike = DEFAULT_CHECKPOINT,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> "HeadPoseEstimator":
        """Load the teacher of a checkpoint: a file, or the name of a run, of a released checkpoint or of one that comes
        with the package, of which the default is for heads of any rotation. ``KIND:FILE`` is a network of others, whose
        heads are cropped by its own rule.

        See :func:`semiuhpe.foreign.load_model`.

        Raises:
            CheckpointError: it can't be found or read, or its convention is unknown.
            ConfigError: there is no such device or dtype.
        """
        return cls(load_model(path_or_name), device, dtype)

    def predict(
        self,
        image: np.ndarray,
        boxes: ArrayLike | Detections | None = None,
        detector: Detector | None = None,
        source: Source | None = None,
    ) -> HeadPoses:
        """Return the heads of one image; see :meth:`predict_batch`."""
        return self.predict_batch(
            [image], None if boxes is None else [boxes], detector, None if source is None else [source]
        )[0]

    def predict_batch(
        self,
        images: Sequence[np.ndarray],
        boxes: Sequence[ArrayLike | Detections] | None = None,
        detector: Detector | None = None,
        sources: Sequence[Source] | None = None,
        crop_rule: AnyCropRule = HEAD_BOX,
    ) -> list[HeadPoses]:
        """Return the heads of several images of any sizes, with one forward pass for each :data:`MAX_BATCH` heads.

        Args:
            images: (H, W, 3) uint8 RGB.
            boxes: for each image, (N, 4) x, y, w, h of its heads, or the detections of a detector. A one-stage model
                takes only detections of a one-stage detector.
            detector: finds the heads if no boxes are given; if None, the model itself if it is a one-stage model, else
                the default detector.
            sources: where the images come from, for detectors that need it.
            crop_rule: how given boxes are cropped: ``HEAD_BOX``, ``FACE_BOX`` for boxes of faces, None to use every
                image as it is, or a function (:data:`semiuhpe.data.crop.AnyCropRule`). A detector has its own, and so
                has a network of others, which takes boxes by its own rule whatever they are of.

        Raises:
            DataError: an image is invalid, or a box is empty or outside of its image.
            ConfigError: both boxes and a detector are given, or boxes without poses for a one-stage model.
            CheckpointError: the file of the default detector is missing, or the network's output is not finite.
        """
        images = [checked_image(image) for image in images]
        if boxes is None:
            return HeadPipeline(self._detector() if detector is None else detector, self)(images, sources)
        if detector is not None:
            raise ConfigError("predict: boxes and a detector were given; give one of them")
        if len(boxes) != len(images):
            raise DataError(f"predict: {len(images)} images were given with {len(boxes)} lists of boxes")
        found = [_given(heads) for heads in boxes]
        if self.finds_heads:
            return [self._found_poses(heads) for heads in found]
        size, rule = self.description.image_size, self._rule(crop_rule)
        crops = [
            crop_head(image, box, size, rule) for image, heads in zip(images, found, strict=True) for box in heads.boxes
        ]
        return self._poses(crops, found)

    def predict_crops(self, crops: Sequence[np.ndarray] | np.ndarray) -> HeadPoses:
        """Return the heads of head crops, which should be cropped as by :func:`semiuhpe.data.crop.crop_by_box`.

        Args:
            crops: (N, H, W, 3) uint8 RGB, or a list of images of any sizes, padded with black if they aren't square.

        Returns:
            One head per crop; its box is the whole crop.

        Raises:
            DataError: an image is invalid.
            ConfigError: this is a one-stage model.
            CheckpointError: the network's output is not finite.
        """
        if self.finds_heads:
            raise ConfigError(f"{self.path}: finds heads on whole pictures and takes no crops; use predict")
        images = [checked_image(crop) for crop in crops]
        boxes = np.array([[0, 0, *image.shape[1::-1]] for image in images], np.float32).reshape(-1, 4)
        size, rule = self.description.image_size, self._rule(None)
        return self._poses(
            [crop_head(image, box, size, rule) for image, box in zip(images, boxes, strict=True)], [_given(boxes)]
        )[0]

    def _rule(self, crop_rule: AnyCropRule) -> AnyCropRule:
        """Return how heads are cropped that are given with a crop rule."""
        if self._facts is None:
            return crop_rule
        box_crop = self._facts.box_crop
        return box_crop.crop if crop_rule is not None else lambda image, _, size: box_crop.resize(image, size)

    def own_detector(self, min_score: float | None = None, *sizes: int) -> Detector:
        """Return the detector of a one-stage model.

        Args:
            min_score: heads with a lower score are left out; if None, the default of one-stage models applies.
            sizes: longer side of the input in pixels, or several of them; that of training if none.

        Raises:
            ConfigError: this is a model for head crops, or the score is not in [0, 1].
        """
        if not self.finds_heads:
            raise ConfigError(f"{self.path}: is a model for head crops, which finds no heads; it needs a detector")
        check_min_score(min_score)
        sizes = sizes or (self.description.image_size,)
        return onestage_detector(self._network, self.description.distribution, sizes, min_score)

    def _detector(self) -> Detector:
        if self._default_detector is None:
            self._default_detector = (
                self.own_detector() if self.finds_heads else load_detector(DEFAULT_DETECTOR, self.device)
            )
        return self._default_detector

    def _found_poses(self, heads: Detections) -> HeadPoses:
        """Return the poses that a one-stage detector has found along with the heads."""
        if heads.rotations is None or heads.entropy is None or heads.confidence is None:
            raise ConfigError(f"{self.path}: finds the heads itself; give it neither boxes nor another detector")
        rotations = torch.from_numpy(heads.rotations)
        front, full = (matrix_to_euler(rotations, full_range).numpy() for full_range in (False, True))
        unknown = np.full(len(heads), np.nan, np.float32), np.zeros(len(heads), bool)
        return HeadPoses(
            heads.boxes, heads.scores, heads.rotations, front, full, heads.entropy, heads.confidence, *unknown
        )

    @torch.no_grad()
    def _poses(self, crops: Sequence[np.ndarray], found: Sequence[Detections]) -> list[HeadPoses]:
        """Return the poses of the heads of ``found``, given their crops in order, of the input size."""
        outputs = [self._forward(crops[start : start + MAX_BATCH]) for start in range(0, len(crops), MAX_BATCH)]
        output = torch.cat(outputs) if outputs else torch.zeros((0, 9), device=self.device)
        if not torch.isfinite(output).all():
            raise CheckpointError(f"{self.path}: {not_finite(self.dtype)}")
        predicted = self._decoder(output)
        rotations = predicted.mode()
        entropy, confidence = entropy_and_confidence(predicted)
        within, reliable = torch.full_like(confidence, torch.nan), torch.zeros_like(confidence, dtype=torch.bool)
        if self._reliability is not None:
            within = self._reliability.within_90_deg(rotations, entropy)
            reliable = within <= self._reliability.reliable_deg
        columns = (
            rotations,
            matrix_to_euler(rotations),
            matrix_to_euler(rotations, full_range=True),
            entropy,
            confidence,
            within,
        )
        counts = [len(heads) for heads in found]
        rows = zip(*(part.cpu().split(counts) for part in (*(c.float() for c in columns), reliable)), strict=True)
        return [
            HeadPoses(heads.boxes, heads.scores, *(values.numpy() for values in row))
            for heads, row in zip(found, rows, strict=True)
        ]

    def _forward(self, crops: Sequence[np.ndarray]) -> Tensor:
        """Return the (B, 9) float32 outputs of the network."""
        pixels = torch.from_numpy(np.stack(crops)).to(self.device).permute(0, 3, 1, 2)
        return self._network(normalize(pixels.float() / 255.0).to(self.dtype)).float()


def _given(boxes: ArrayLike | Detections) -> Detections:
    if isinstance(boxes, Detections):
        return boxes
    try:
        array = np.asarray(boxes, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"boxes have to be numbers, (N, 4) x, y, w, h in pixels ({error})") from error
    if array.size == 0:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise DataError(f"boxes have the shape {array.shape}; they have to be (N, 4) x, y, w, h in pixels")
    return Detections(array, np.ones(len(array), np.float32))


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    if dtype is None:
        return torch.float32
    for name, known in DTYPES.items():
        if dtype in (name, known):
            return known
    raise ConfigError(f"the dtype {dtype} is not supported; choose from {', '.join(DTYPES)}")
