"""Affine maps of pictures, as matrices (B, 2, 3), batched on the device.

Coordinates are continuous: a pixel (i, j) covers [i, i+1) x [j, j+1). A matrix maps points p of one picture to
``matrix @ (p, 1)`` of another; the caller chooses the direction. Labels move with the picture: their matrices map the
old picture to the new one (:mod:`semiuhpe.data.scene_labels`). Resampling looks up the origin of each pixel of a view:
its matrices map the view to the stored picture (:mod:`semiuhpe.augment.views`).
"""

import torch
from torch import Tensor


def affine(a: Tensor, b: Tensor, x: Tensor, c: Tensor, d: Tensor, y: Tensor) -> Tensor:
    """Return the matrices of the rows (a, b, x) and (c, d, y), each value (B,)."""
    return torch.stack([a, b, x, c, d, y], dim=-1).unflatten(-1, (2, 3))


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """Return the map ``p -> outer(inner(p))``."""
    linear = outer[..., :2] @ inner[..., :2]
    shift = outer[..., :2] @ inner[..., 2:] + outer[..., 2:]
    return torch.cat([linear, shift], dim=-1)


def invert_similarity(matrix: Tensor) -> Tensor:
    """Return the inverse of similarities, mirrored or not: the transpose over the squared scale."""
    linear = matrix[..., :2]
    inverse = linear.mT / linear.square().sum((-2, -1), keepdim=True) * 2
    return torch.cat([inverse, -(inverse @ matrix[..., 2:])], dim=-1)


def zoom_matrix(corner: Tensor, scale: Tensor) -> Tensor:
    """Return the map that moves points ``corner`` (B, 2) to the origin and scales by ``scale`` (B,)."""
    linear = torch.diag_embed(scale[:, None].expand(-1, 2))
    return torch.cat([linear, -(corner * scale[:, None])[..., None]], dim=-1)


def flip_matrix(
    mirrored: Tensor, width: Tensor | int, flipped_vertical: Tensor | None = None, height: Tensor | int = 0
) -> Tensor:
    """Return the map that mirrors the selected pictures; it is its own inverse.

    Args:
        mirrored: (B,) bool, which pictures to mirror left to right.
        width: width of the pictures, (B,) or a number.
        flipped_vertical: (B,) bool, which pictures to mirror top to bottom; none if None.
        height: height of the pictures, needed with ``flipped_vertical``.
    """
    one, zero = torch.ones_like(mirrored, dtype=torch.float32), torch.zeros_like(mirrored, dtype=torch.float32)
    flipped_vertical = torch.zeros_like(mirrored) if flipped_vertical is None else flipped_vertical
    scale_x, scale_y = (torch.where(flipped, -one, one) for flipped in (mirrored, flipped_vertical))
    x = torch.where(mirrored, width * one, zero)
    y = torch.where(flipped_vertical, height * one, zero)
    return affine(scale_x, zero, x, zero, scale_y, y)


def turn_matrix(angle_deg: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """Return the map that turns pictures clockwise, by (B,) degrees about their centers."""
    angle = torch.deg2rad(angle_deg)
    cos, sin = torch.cos(angle), torch.sin(angle)
    x, y = width / 2, height / 2
    return affine(cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def inverse_turn_matrix(angle_deg: Tensor, size: int) -> Tensor:
    """Return the inverse of :func:`turn_matrix` for square pictures of ``size`` pixels a side."""
    angle = torch.deg2rad(angle_deg)
    cos, sin, center = torch.cos(angle), torch.sin(angle), size / 2
    return affine(cos, sin, center * (1 - cos - sin), -sin, cos, center * (1 - cos + sin))
