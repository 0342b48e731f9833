"""Cut-occlusion: rectangles of nothing (cutout) and of another head (cutmix) over the strong view, in batch.

Neither changes the pose. Zhou et al., arXiv 2404.02544, section 3.3: three rectangles each, of half-size 10 to 20 px in
a 224 px picture, centres normal about the middle, because a head fills the middle of its crop.
"""

import torch
from torch import Tensor

from semiuhpe.augment.draws import Draws

RECTANGLES = 3
HALF_SIZE_PX = (10, 20)
REFERENCE_PX = 224
CENTER_DEVIATION = 1 / 6
"""Standard deviation of a rectangle's centre as a share of the picture's side."""


def cutout(image: Tensor, draws: Draws) -> Tensor:
    """(B, 3, H, W) normalised pictures with rectangles set to 0, the mean colour."""
    return image.masked_fill(_rectangles(image, draws), 0.0)


def cutmix(image: Tensor, draws: Draws) -> Tensor:
    """(B, 3, H, W) pictures with rectangles taken, at the same place, from other pictures of the batch."""
    other = image[draws.permutation(len(image))]
    return torch.where(_rectangles(image, draws), other, image)


def _rectangles(image: Tensor, draws: Draws) -> Tensor:
    """(B, 1, H, W) bool: inside any of the picture's rectangles."""
    count, _, height, width = image.shape
    device = image.device
    normal = draws.normal(count, RECTANGLES, 2)
    uniform = draws.uniform(count, RECTANGLES, 2)
    low, high = HALF_SIZE_PX
    half = (low + (high - low) * uniform) / REFERENCE_PX
    center = 0.5 + CENTER_DEVIATION * normal
    inside_x = _between(center[..., 0], half[..., 0], width, device)
    inside_y = _between(center[..., 1], half[..., 1], height, device)
    return (inside_y[..., :, None] & inside_x[..., None, :]).any(dim=1, keepdim=True)


def _between(center: Tensor, half: Tensor, length: int, device: torch.device) -> Tensor:
    """(B, K, length) bool: pixel centres within ``half`` of ``center``, both as shares of the length."""
    pixel = (torch.arange(length, device=device) + 0.5) / length
    return (pixel - center[..., None]).abs() < half[..., None]
