"""In-plane transforms of pictures that change the pose in a known way: turns by any angle, and flips.

Geometric augmentation of CLERF (Wei et al., arXiv 2412.02066). The same transform of several heads preserves the
geodesic distances between them.
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
    """An in-plane transform for each head of a batch: first the flips, then the turn.

    Attributes:
        angle_deg: (B,) clockwise, as seen in the picture.
        mirrored: (B,) bool, left to right.
        flipped_vertical: (B,) bool, mirrored top to bottom.
    """

    angle_deg: Tensor
    mirrored: Tensor
    flipped_vertical: Tensor

    def moved(self, rotation: Tensor) -> Tensor:
        """Return the rotations (B, 3, 3) of the heads in the transformed pictures."""
        rotation = torch.where(self.mirrored[:, None, None], mirror(rotation), rotation)
        rotation = torch.where(self.flipped_vertical[:, None, None], mirror_vertical(rotation), rotation)
        return in_plane_rotation(self.angle_deg.to(rotation.dtype)) @ rotation


def random_in_plane(count: int, random: BatchRandom) -> InPlane:
    """Draw turns uniform in [0, 360) degrees; half of the heads mirrored, half of them flipped top to bottom."""
    return InPlane(
        angle_deg=random.uniform(count) * FULL_TURN_DEG,
        mirrored=random.chance(count, FLIP_PROBABILITY),
        flipped_vertical=random.chance(count, FLIP_PROBABILITY),
    )
