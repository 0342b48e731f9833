"""Views of stored scenes for the one-stage network, batched on the device: one affine resampling each.

A training view is a square region of the picture, from half its longer side to more than all of it. Half of the views
are mirrored, and a share of them is turned by up to 45 degrees. Areas beyond the picture are black.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from semiuhpe.augment.in_plane import FLIP_PROBABILITY
from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import normalize, resample
from semiuhpe.data.affine import compose, flip_matrix, invert_similarity, turn_matrix, zoom_matrix
from semiuhpe.data.batches.scenes import SceneBatch
from semiuhpe.data.scene_labels import clip_and_filter, transform_labels
from semiuhpe.data.turning import MAX_SCENE_TURN_DEG

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
        random: all randomness.
    """
    count = len(batch)
    mirrored = random.chance(count, FLIP_PROBABILITY)
    angle = (random.uniform(count) * 2 - 1) * MAX_SCENE_TURN_DEG * random.chance(count, turned)
    place, light = random.uniform(count, 3), random.uniform(count, 2) * 2 - 1
    width, height = batch.extent.unbind(-1)
    side = (SCALE[0] + (SCALE[1] - SCALE[0]) * place[:, 0]) * torch.maximum(width, height)
    low = place[:, 1:] * (batch.extent - side[:, None])  # where a piece wider than the picture is, so are black rims
    turned_picture = compose(turn_matrix(angle, width, height), flip_matrix(mirrored, width))
    matrix = compose(zoom_matrix(low, size / side), turned_picture)
    view = _view(batch, matrix, angle, mirrored, size)
    contrast, brightness = (1 + LIGHT * light[:, 0]), LIGHT * light[:, 1]
    view.image.mul_(contrast[:, None, None, None]).add_(brightness[:, None, None, None])
    return view


def plain_view(batch: SceneBatch, size: int) -> SceneView:
    """Return the whole picture, its longer side resized to ``size``, in the top left corner: no randomness."""
    zero = torch.zeros(len(batch), device=batch.image.device)
    matrix = zoom_matrix(zero[:, None].expand(-1, 2), size / batch.extent.amax(-1))
    return _view(batch, matrix, zero, zero > 0, size)


def _view(batch: SceneBatch, matrix: Tensor, angle_deg: Tensor, mirrored: Tensor, size: int) -> SceneView:
    """Return the view of matrices (B, 2, 3) that map the stored picture to it."""
    labels = transform_labels(batch.labels, matrix, angle_deg, mirrored)
    extent = torch.full_like(batch.extent, size)
    box, wanted, ignored = clip_and_filter(labels.box, batch.visible, extent)
    image = normalize(resample(batch.image, invert_similarity(matrix), size))
    return SceneView(image, box, labels.landmarks, labels.rotation, wanted, ignored)
