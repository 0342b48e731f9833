"""Detection of heads with their rotations by a one-stage network: ``onestage:CKPT[:SIZE]``.

``CKPT`` is a checkpoint's file or a run's name. Pictures are scaled so that their longer side is ``SIZE`` px (the size
of training if not given), and padded with black to whole strides.
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
from semiuhpe.inference.detectors.base import Detections, Detector, Options, Source, file_and_option, register_detector
from semiuhpe.inference.detectors.letterbox import Letterbox, fit_size, same_shape
from semiuhpe.models import load_checkpoint, network_spec
from semiuhpe.models.onestage import FAMILY, STRIDES, Outputs, anchor_boxes
from semiuhpe.models.onestage_decoding import MIN_SCORE, FoundHeads, find_heads
from semiuhpe.models.output import entropy_and_confidence, not_finite

AT_ONCE = 8


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


def _detections(found: FoundHeads, sureness: tuple[Tensor, Tensor], row: int, letterbox: Letterbox) -> Detections:
    """Return the heads of one picture of a batch, without heads that lie completely in the padding."""
    chosen = found.picture == row
    boxes = letterbox.to_image(found.box[chosen]).cpu()
    inside = (boxes[:, 2:] > 0).all(dim=1)
    columns = (found.score, found.rotation, *sureness)
    score, *pose = (column[chosen].cpu()[inside].float().numpy() for column in columns)
    return Detections(boxes[inside].numpy(), score, None, *pose)


def split_spec(text: str) -> tuple[Path, int | None]:
    """Return checkpoint and input size of ``CKPT[:SIZE]``; the size is None if not given.

    Raises:
        ConfigError: it names no checkpoint, or the text after the colon is not a size.
    """
    path, option = file_and_option(text)
    if not text:
        raise ConfigError(f"--detector {FAMILY}: names no checkpoint; write {FAMILY}:CKPT[:SIZE]")
    if option and not (option.isdecimal() and int(option) >= STRIDES[-1]):
        raise ConfigError(f"{FAMILY}:{text}: the size {option} is not a number of pixels from {STRIDES[-1]}")
    return path, int(option) if option else None


@register_detector(FAMILY, f"{FAMILY}:CKPT[:SIZE]", split_spec)
def _build(options: Options) -> Detector:
    path, size = split_spec(options.argument)
    loaded = load_checkpoint(path)
    if not network_spec(loaded.network).detects:
        raise CheckpointError(f"{path}: is a model for head crops ({loaded.network}), which finds no heads")
    network = loaded.model.to(options.device)
    return OneStageDetector(network, loaded.distribution, size or loaded.image_size, options.min_score)
