"""Views of stored scenes for the one-stage network, batched on the device: one affine resampling each.

A training view is a square region of the picture, from half its longer side to more than all of it. Half of the views
are mirrored, and a share of them is turned by up to 45 degrees. Areas beyond the picture are black.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import normalize, resample
from semiuhpe.data.batches.scenes import SceneBatch
from semiuhpe.data.scene_labels import clip_and_filter, compose, rotation_about_center, transform_labels

FLIP_PROBABILITY = 0.5
MAX_TURN_DEG = 45.0
SCALE = (0.5, 1.15)
"""Side of the region that a view shows, relative to the picture's longer side."""
LIGHT = 0.25
"""Largest change of contrast and brightness, in ImageNet's standard deviations."""


@dataclass
class SceneView:
    """Network inputs and the heads to be found on them.

    Attributes:
        image: (B, 3, size, size) float32, normalized with ImageNet's mean and deviation.
        box: (B, M, 4) corners in pixels, limited to the picture.
        landmarks: (B, M, 5, 2) pixels, NaN where unknown.
        rotation: (B, M, 3, 3) head to camera, as seen in the view.
        wanted: (B, M) bool, heads to be found.
        ignored: (B, M) bool, heads that may be found or not; entries that are neither are padding.
    """

    image: Tensor
    box: Tensor
    landmarks: Tensor
    rotation: Tensor
    wanted: Tensor
    ignored: Tensor


def training_view(batch: SceneBatch, size: int, turned: float, random: BatchRandom) -> SceneView:
    """Return a random view.

    Args:
        batch: stored scenes.
        size: side of the view in pixels.
        turned: share of the views that are turned.
        random: the source of all randomness.
    """
    count = len(batch)
    mirrored = random.chance(count, FLIP_PROBABILITY)
    angle = (random.uniform(count) * 2 - 1) * MAX_TURN_DEG * random.chance(count, turned)
    place, light = random.uniform(count, 3), random.uniform(count, 2) * 2 - 1
    width, height = batch.extent.unbind(-1)
    side = (SCALE[0] + (SCALE[1] - SCALE[0]) * place[:, 0]) * torch.maximum(width, height)
    low = place[:, 1:] * (batch.extent - side[:, None])  # a region wider than the picture has black rims anywhere
    matrix = compose(
        _zoom(low, size / side), compose(rotation_about_center(angle, width, height), _flip(mirrored, width))
    )
    view = _view(batch, matrix, angle, mirrored, size)
    contrast, brightness = (1 + LIGHT * light[:, 0]), LIGHT * light[:, 1]
    view.image.mul_(contrast[:, None, None, None]).add_(brightness[:, None, None, None])
    return view


def plain_view(batch: SceneBatch, size: int) -> SceneView:
    """Return the whole picture, its longer side resized to ``size``, in the top left corner: no randomness."""
    zero = torch.zeros(len(batch), device=batch.image.device)
    matrix = _zoom(zero[:, None].expand(-1, 2), size / batch.extent.amax(-1))
    return _view(batch, matrix, zero, zero > 0, size)


def _view(batch: SceneBatch, matrix: Tensor, angle_deg: Tensor, mirrored: Tensor, size: int) -> SceneView:
    """Return the view of matrices (B, 2, 3) that map the stored picture to it."""
    labels = transform_labels(batch.labels, matrix, angle_deg, mirrored)
    extent = torch.full_like(batch.extent, size)
    box, wanted, ignored = clip_and_filter(labels.box, batch.visible, extent)
    image = normalize(resample(batch.image, _inverse(matrix), size))
    return SceneView(image, box, labels.landmarks, labels.rotation, wanted, ignored)


def _zoom(low: Tensor, scale: Tensor) -> Tensor:
    """Return matrices that move the corner ``low`` (B, 2) to the origin and scale by (B,)."""
    linear = torch.diag_embed(scale[:, None].expand(-1, 2))
    return torch.cat([linear, -(low * scale[:, None])[..., None]], dim=-1)


def _flip(mirrored: Tensor, width: Tensor) -> Tensor:
    sign = 1.0 - 2.0 * mirrored.float()
    zero, one = torch.zeros_like(sign), torch.ones_like(sign)
    return torch.stack([sign, zero, mirrored * width, zero, one, zero], dim=-1).unflatten(-1, (2, 3))


def _inverse(matrix: Tensor) -> Tensor:
    """Invert similarities, mirrored or not: the transpose over the squared scale."""
    linear = matrix[..., :2]
    inverse = linear.mT / linear.square().sum((-2, -1), keepdim=True) * 2
    return torch.cat([inverse, -(inverse @ matrix[..., 2:])], dim=-1)
