"""Matching of anchors with heads, and the losses of the one-stage network, vectorized over the batch.

As in RetinaFace, an anchor is matched with the head that it overlaps most if their IoU is at least 0.35, and each head
with its best anchor if their IoU is at least 0.2. Other anchors that overlap a head to be ignored are left out. The
class loss uses the hardest of the rest, seven for each matched anchor, or is the focal loss.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou, sigmoid_focal_loss

from semiuhpe.augment.scenes import SceneView
from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.methods.supervised import predict
from semiuhpe.models.onestage import Outputs, encode_boxes, encode_landmarks

MATCHED, BEST_AT_LEAST, IGNORED = 0.35, 0.2, 0.35
NEGATIVES = 7
EMPTY_SCENE = 4
"""A scene without matched anchors gets as many negatives as a scene with this many."""
BOX_WEIGHT = 2.0
LANDMARK_WEIGHT = 0.1
"""Ten numbers per anchor, coded in tenths of its side as in RetinaFace, would otherwise outweigh the rest."""
POSE_ANCHORS = 48
"""Number of anchors per scene, the best matched ones, that get a pose loss. It is fixed, so that nothing waits for the
device."""
MINING, FOCAL = "mining", "focal"
_FORCED = 2.0  # added to the IoU of a head's best anchor, so that it is above all others


@dataclass(frozen=True)
class Matches:
    """The head that each of A anchors is matched with.

    Attributes:
        head: (B, A) row of the head; 0 if there is none.
        positive: (B, A) bool, the anchor is matched with that head.
        negative: (B, A) bool, the anchor shows no head. Anchors that are neither are left out of the class loss.
        overlap: (B, A) IoU with the head.
    """

    head: Tensor
    positive: Tensor
    negative: Tensor
    overlap: Tensor


def match(view: SceneView, anchors: Tensor) -> Matches:
    """Match anchors (A, 4) with the heads of a batch of views."""
    batch, most = view.wanted.shape
    iou = box_iou(view.box.flatten(0, 1), anchors).unflatten(0, (batch, most))
    overlap = iou * view.wanted[..., None]
    best = overlap.amax(-1, keepdim=True)
    forced = torch.zeros_like(overlap).scatter_(-1, overlap.argmax(-1, keepdim=True), 1.0)
    quality = overlap + _FORCED * forced * (best >= BEST_AT_LEAST)
    # The matcher takes one matrix, heads by anchors: the anchors of all views are concatenated.
    matcher = Matcher(MATCHED, MATCHED)
    found = matcher(quality.transpose(0, 1).flatten(1)).unflatten(0, (batch, len(anchors)))
    positive = found >= 0
    head = found.clamp(min=0)
    ignored = ((iou * view.ignored[..., None]) >= IGNORED).any(1)
    overlap = overlap.gather(1, head[:, None]).squeeze(1)
    return Matches(head, positive, ~positive & ~ignored, overlap)


Mean = Callable[[Tensor], Tensor]
"""Returns the mean of a number over all processes."""


def _own(count: Tensor) -> Tensor:
    return count


@dataclass(frozen=True)
class Losses:
    """Losses of a batch, each a sum over anchors divided by the number of anchors with a head (or with landmarks).

    Attributes:
        total: the weighted sum.
        parts: class, box, landmarks and pose, without weights and gradients, 0-dimensional.
    """

    total: Tensor
    parts: dict[str, Tensor]


def losses(
    outputs: Outputs, view: SceneView, anchors: Tensor, distribution: str, class_loss: str, mean: Mean = _own
) -> Losses:
    """Return the losses of a batch.

    Args:
        outputs: outputs of the network on the view.
        view: the view with its labels.
        anchors: (A, 4) corners of the anchors.
        distribution: name of the distribution of rotations; with ``gramSchmidt`` the pose loss is geodesic.
        class_loss: :data:`MINING` or :data:`FOCAL`.
        mean: averages a count over all processes, so that several processes have the loss of one.
    """
    matches = match(view, anchors)
    positive = matches.positive
    counted = mean(positive.sum().float()).clamp(min=1.0)
    box = _gather(view.box, matches.head)
    box_code = encode_boxes(torch.where(positive[..., None], box, anchors), anchors)
    box_loss = (F.smooth_l1_loss(outputs.box, box_code, reduction="none").sum(-1) * positive).sum() / counted

    landmarks = _gather(view.landmarks, matches.head)
    known = positive & landmarks.isfinite().all(-1).all(-1)
    target = encode_landmarks(torch.where(known[..., None, None], landmarks, 0.0), anchors)
    landmark_loss = F.smooth_l1_loss(outputs.landmarks, target, reduction="none").sum(-1)
    landmark_loss = torch.where(known, landmark_loss, 0.0).sum() / mean(known.sum().float()).clamp(min=1.0)

    parts = {
        "class": (_focal if class_loss == FOCAL else _mined)(outputs.logit, matches).sum() / counted,
        "box": box_loss,
        "landmarks": landmark_loss,
        "pose": _pose(outputs.pose, view, matches, distribution, mean),
    }
    total = parts["class"] + BOX_WEIGHT * parts["box"] + LANDMARK_WEIGHT * parts["landmarks"] + parts["pose"]
    return Losses(total, {name: part.detach() for name, part in parts.items()})


def _mined(logit: Tensor, matches: Matches) -> Tensor:
    """Return the (B, A) cross entropy of anchors with a head and of the hardest negatives, 0 elsewhere."""
    loss = F.binary_cross_entropy_with_logits(logit, matches.positive.float(), reduction="none")
    hardness = torch.where(matches.negative, loss.detach(), -1.0)
    rank = hardness.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    found = matches.positive.sum(1, keepdim=True)
    taken = matches.negative & (rank < NEGATIVES * torch.where(found > 0, found, EMPTY_SCENE))
    return loss * (matches.positive | taken)


def _focal(logit: Tensor, matches: Matches) -> Tensor:
    """Return the (B, A) focal loss (Lin et al., ICCV 2017) of positive and negative anchors, 0 elsewhere."""
    loss: Tensor = sigmoid_focal_loss(logit, matches.positive.float(), reduction="none")
    return loss * (matches.positive | matches.negative)


def _pose(pose: Tensor, view: SceneView, matches: Matches, distribution: str, mean: Mean) -> Tensor:
    """Return the negative log likelihood of the rotations, averaged over anchors with a head."""
    score, anchor = (matches.overlap * matches.positive).topk(min(POSE_ANCHORS, pose.shape[1]), dim=1)
    weight = (score > 0).float()
    predicted = _gather(pose, anchor)
    truth = _gather(view.rotation, matches.head.gather(1, anchor))
    loss = predict(DISTRIBUTIONS[distribution], predicted).negative_log_likelihood(truth)
    return (loss * weight).sum() / mean(weight.sum()).clamp(min=1.0)


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows (B, N, ...) of values (B, M, ...) at the indices (B, N)."""
    shape = values.shape[2:]
    wide = index.reshape(*index.shape, *(1 for _ in shape)).expand(*index.shape, *shape)
    return values.gather(1, wide)
