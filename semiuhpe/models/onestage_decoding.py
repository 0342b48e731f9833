"""Decode the one-stage network's outputs to heads: boxes, thresholds, non-maximum suppression, rotations."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from semiuhpe.distributions.registry import DISTRIBUTIONS, output_parameter
from semiuhpe.models.onestage import Outputs, decode_boxes, decode_landmarks

MIN_SCORE, MAX_IOU = 0.5, 0.4
"""Lowest score of shown heads; RetinaFace's overlap threshold of the suppression."""
CANDIDATES, MOST_FOUND = 3000, 500
"""Most anchors of a picture that enter the suppression, and most heads that it returns, the best ones."""


class FoundHeads(NamedTuple):
    """Heads on the pictures of a batch, picture by picture, the best of each first.

    Attributes:
        picture: (N,) number of the picture in the batch.
        box: (N, 4) corners in pixels of the network's input.
        score: (N,).
        landmarks: (N, 5, 2) pixels.
        rotation: (N, 3, 3) head to camera, as seen in the picture.
        entropy: (N,) of the distribution of the rotation.
        parameter: (N, 3, 3) of that distribution.
    """

    picture: Tensor
    box: Tensor
    score: Tensor
    landmarks: Tensor
    rotation: Tensor
    entropy: Tensor
    parameter: Tensor


def find_heads(
    outputs: Outputs, anchors: Tensor, distribution: str, min_score: float = MIN_SCORE, max_iou: float = MAX_IOU
) -> FoundHeads:
    """Return the heads that the network finds.

    Args:
        outputs: outputs of the network.
        anchors: (A, 4) corners.
        distribution: name of the distribution of the rotation.
        min_score: heads with a lower score are dropped.
        max_iou: of two boxes that overlap more, the one with the lower score is dropped.

    Raises:
        NonFiniteParameterError: predictions are not finite (checked only on the CPU).
    """
    scores, index = outputs.logit.sigmoid().topk(min(CANDIDATES, len(anchors)), dim=1)
    picture, rank = (scores >= min_score).nonzero(as_tuple=True)
    anchor = index[picture, rank]
    score = scores[picture, rank]
    box = decode_boxes(outputs.box[picture, anchor][None], anchors[anchor])[0]
    kept = batched_nms(box, score, picture, max_iou)
    kept = kept[_best_of_each(picture[kept], len(scores))]
    picture, anchor = picture[kept], anchor[kept]
    landmarks = decode_landmarks(outputs.landmarks[picture, anchor], anchors[anchor])
    pose = DISTRIBUTIONS[distribution](output_parameter(outputs.pose[picture, anchor]))
    return FoundHeads(picture, box[kept], score[kept], landmarks, pose.mode(), pose.entropy(), pose.parameter)


def _best_of_each(picture: Tensor, pictures: int) -> Tensor:
    """Return the positions of the first :data:`MOST_FOUND` heads of each picture, picture by picture."""
    order = picture.argsort(stable=True)
    counts = picture.bincount(minlength=pictures)
    first = (counts.cumsum(0) - counts)[picture[order]]
    rank = torch.arange(len(order), device=order.device) - first
    return order[rank < MOST_FOUND]
