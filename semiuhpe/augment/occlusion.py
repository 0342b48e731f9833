"""Cut-occlusion: gray rectangles (cutout) and rectangles of other heads (cutmix) over strong views, batched.

Neither changes the pose. Zhou et al., arXiv 2404.02544, section 3.3: three rectangles each, of half-size 10 to 20 px in
a 224 px picture, centers normal about the middle, because a head fills the middle of its crop.
"""

import torch
from torch import Tensor

from semiuhpe.augment.random import BatchRandom

RECTANGLES = 3
HALF_SIZE_PX = (10, 20)
REFERENCE_PX = 224
CENTER_DEVIATION = 1 / 6
"""Standard deviation of a rectangle's center as a share of the picture's side."""


def cutout(image: Tensor, random: BatchRandom, whole_pixels: bool = False) -> Tensor:
    """Return normalized pictures (B, 3, H, W) with rectangles set to 0, the mean color; see :func:`_rectangles`."""
    return image.masked_fill(_rectangles(image, random, whole_pixels), 0.0)


def cutmix(image: Tensor, random: BatchRandom, whole_pixels: bool = False) -> Tensor:
    """Return pictures (B, 3, H, W) with rectangles taken from the same places of other pictures of the batch."""
    other = image[random.permutation(len(image))]
    return torch.where(_rectangles(image, random, whole_pixels), other, image)


def _rectangles(image: Tensor, random: BatchRandom, whole_pixels: bool) -> Tensor:
    """Return a mask (B, 1, H, W): True inside any of the picture's random rectangles.

    Args:
        whole_pixels: use the rectangles of the paper's code, whose edges lie between pixels: half sides of 10 to 19 px
            and centers rounded toward 0 in a picture of 224 px; for other sizes both are scaled and rounded down.
    """
    count, _, height, width = image.shape
    device = image.device
    normal = random.normal(count, RECTANGLES, 2)
    uniform = random.uniform(count, RECTANGLES, 2)
    low, high = HALF_SIZE_PX
    half = low + (high - low) * uniform
    center = 0.5 + CENTER_DEVIATION * normal
    if whole_pixels:
        sides = torch.stack([torch.full_like(half[..., 0], side) for side in (width, height)], dim=-1)
        half = (half.floor() * sides / REFERENCE_PX).floor() / sides
        center = (center * sides).trunc() / sides
    else:
        half = half / REFERENCE_PX
    inside_x = _between(center[..., 0], half[..., 0], width, device)
    inside_y = _between(center[..., 1], half[..., 1], height, device)
    return (inside_y[..., :, None] & inside_x[..., None, :]).any(dim=1, keepdim=True)


def _between(center: Tensor, half: Tensor, length: int, device: torch.device) -> Tensor:
    """Return (B, K, length) bool: pixel centers within ``half`` of ``center``, both as shares of the length."""
    pixel = (torch.arange(length, device=device) + 0.5) / length
    return (pixel - center[..., None]).abs() < half[..., None]
