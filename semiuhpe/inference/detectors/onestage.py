"""Detection of heads with their rotations by a one-stage network: ``onestage:CKPT[:SIZE[,SIZE...]]``.

``CKPT`` is a checkpoint's file or a run's name. Pictures are scaled so that their longer side is ``SIZE`` px (the size
of training if not given), and padded with black to whole strides. With several sizes each picture is looked at in all
of them: small heads are found in large ones, and large heads in small ones.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from semiuhpe.augment.views import normalize
from semiuhpe.distributions import NonFiniteParameterError
from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.inference.detectors.base import (
    Detections,
    Detector,
    Options,
    Source,
    best_of,
    file_and_option,
    register_detector,
)
from semiuhpe.inference.detectors.letterbox import Letterbox, fit_size, same_shape
from semiuhpe.models import load_checkpoint, network_spec
from semiuhpe.models.onestage import FAMILY, STRIDES, Outputs, anchor_boxes
from semiuhpe.models.onestage_decoding import MIN_SCORE, FoundHeads, find_heads
from semiuhpe.models.output import entropy_and_confidence, not_finite

AT_ONCE = 8
LARGE = 0.2
"""Heads with a larger share of a picture's longer side are looked for in the smallest of several sizes alone."""
USAGE = f"{FAMILY}:CKPT[:SIZE[,SIZE]]"


class OneStageDetector(Detector):
    """Finds heads with their rotations and uncertainty; see :class:`Detections`.

    Args:
        network: a one-stage network in eval mode on its device; inputs are converted to its dtype.
        distribution: name of the distribution that its nine outputs describe.
        size: longer side of its input in pixels.
        min_score: heads with a lower score are left out.
    """

    def __init__(self, network: nn.Module, distribution: str, size: int, min_score: float | None = None):
        self.network, self.distribution, self.size = network, distribution, size
        self.min_score = MIN_SCORE if min_score is None else min_score
        weight = next(network.parameters())
        self.device, self.dtype = weight.device, weight.dtype

    @torch.no_grad()
    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        boxes = [fit_size(image.shape[0], image.shape[1], self.size, STRIDES[-1]) for image in images]
        results: dict[int, Detections] = {}
        for group in same_shape(boxes, AT_ONCE):
            placed = np.stack([boxes[i].place(images[i], padding=0) for i in group])  # black as in training
            inputs = torch.from_numpy(placed).to(self.device).permute(0, 3, 1, 2).float() / 255
            anchors = anchor_boxes(*inputs.shape[2:], self.device)
            outputs = self.network(normalize(inputs).to(self.dtype))
            found = self._finite_heads(outputs, anchors)
            sureness = entropy_and_confidence(DISTRIBUTIONS[self.distribution](found.parameter))
            for row, i in enumerate(group):
                results[i] = _detections(found, sureness, row, boxes[i])
        return [results[i] for i in range(len(images))]

    def _finite_heads(self, outputs: Outputs, anchors: Tensor) -> FoundHeads:
        """Return the heads of a batch of pictures; raise CheckpointError if the network's outputs are not finite."""
        message = f"--detector {FAMILY}: {not_finite(self.dtype)}"
        try:
            found = find_heads(outputs, anchors, self.distribution, self.min_score)
        except NonFiniteParameterError as error:
            raise CheckpointError(message) from error
        # On a GPU, distributions don't check their parameters; and with NaN scores, no head would be found.
        looked_at = (outputs.logit, found.box, found.landmarks, found.parameter, found.rotation)
        if not all(torch.isfinite(values).all() for values in looked_at):
            raise CheckpointError(message)
        return found


class ManySizes(Detector):
    """Finds heads in pictures of several sizes. Only the smallest finds large heads: in others, parts look like heads.

    Args:
        detectors: one for each size.
    """

    def __init__(self, detectors: Sequence[OneStageDetector]):
        self.detectors = sorted(detectors, key=lambda detector: detector.size)

    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        smallest, *others = (detector.batch(images) for detector in self.detectors)
        small = [[_small(heads, image) for heads, image in zip(view, images, strict=True)] for view in others]
        return [best_of(views) for views in zip(smallest, *small, strict=True)]


def _small(heads: Detections, image: np.ndarray) -> Detections:
    return heads.select(heads.boxes[:, 2:].max(axis=1, initial=0) <= LARGE * max(image.shape[:2]))


def onestage_detector(
    network: nn.Module, distribution: str, sizes: Sequence[int], min_score: float | None = None
) -> Detector:
    """Return the detector of a network at one or several sizes, see :class:`OneStageDetector`."""
    detectors = [OneStageDetector(network, distribution, size, min_score) for size in sizes]
    return detectors[0] if len(detectors) == 1 else ManySizes(detectors)


def _detections(found: FoundHeads, sureness: tuple[Tensor, Tensor], row: int, letterbox: Letterbox) -> Detections:
    """Return the heads of one picture of a batch, without heads that lie completely in the padding."""
    chosen = found.picture == row
    boxes = letterbox.to_image(found.box[chosen]).cpu()
    inside = (boxes[:, 2:] > 0).all(dim=1)
    columns = (found.score, found.rotation, *sureness)
    score, *pose = (column[chosen].cpu()[inside].float().numpy() for column in columns)
    return Detections(boxes[inside].numpy(), score, None, *pose)


def split_spec(text: str) -> tuple[Path, tuple[int, ...]]:
    """Return checkpoint and input sizes of ``CKPT[:SIZE[,SIZE...]]``; no sizes if none are given.

    Raises:
        ConfigError: it names no checkpoint, or the text after the colon is not one of sizes.
    """
    path, option = file_and_option(text)
    if not text:
        raise ConfigError(f"--detector {FAMILY}: names no checkpoint; write {USAGE}")
    sizes = option.split(",") if option else []
    for size in sizes:
        if not (size.isdecimal() and int(size) >= STRIDES[-1]):
            raise ConfigError(f"{FAMILY}:{text}: the size {size} is not a number of pixels from {STRIDES[-1]}")
    return path, tuple(int(size) for size in sizes)


@register_detector(FAMILY, USAGE, split_spec)
def _build(options: Options) -> Detector:
    path, sizes = split_spec(options.argument)
    loaded = load_checkpoint(path)
    if not network_spec(loaded.network).detects:
        raise CheckpointError(f"{path}: is a model for head crops ({loaded.network}), which finds no heads")
    network = loaded.model.to(options.device)
    return onestage_detector(network, loaded.distribution, sizes or (loaded.image_size,), options.min_score)
