"""Motions of a picture in its plane that change the pose in a known way: turns by any angle, and flips.

Geometric augmentation of CLERF (Wei et al., arXiv 2412.02066). Applied alike to several heads, a motion leaves the
geodesic distances between them as they are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from semiuhpe.augment.random import BatchRandom
from semiuhpe.rotation import in_plane_rotation, mirror, mirror_vertical

FULL_TURN_DEG = 360.0
FLIP_PROBABILITY = 0.5
"""Of all views: half of the pictures are mirrored."""


@dataclass
class InPlane:
    """A motion for each head of a batch: the flips first, then the turn.

    Attributes:
        angle_deg: (B,) clockwise, as the picture is looked at.
        mirrored: (B,) bool, left to right.
        flipped_vertical: (B,) bool, mirrored top to bottom.
    """

    angle_deg: Tensor
    mirrored: Tensor
    flipped_vertical: Tensor

    def moved(self, rotation: Tensor) -> Tensor:
        """(B, 3, 3) rotations of the heads in the moved pictures."""
        rotation = torch.where(self.mirrored[:, None, None], mirror(rotation), rotation)
        rotation = torch.where(self.flipped_vertical[:, None, None], mirror_vertical(rotation), rotation)
        return in_plane_rotation(self.angle_deg.to(rotation.dtype)) @ rotation


def random_in_plane(count: int, random: BatchRandom) -> InPlane:
    """Turns uniform in [0, 360) degrees; half of the heads mirrored, half of them upended."""
    return InPlane(
        angle_deg=random.uniform(count) * FULL_TURN_DEG,
        mirrored=random.chance(count, FLIP_PROBABILITY),
        flipped_vertical=random.chance(count, FLIP_PROBABILITY),
    )
