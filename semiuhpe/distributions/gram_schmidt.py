"""A rotation without a distribution: six numbers by Gram-Schmidt (Zhou et al., CVPR 2019, arXiv 1812.07035).

It takes the place of a distribution in training and evaluation: its log density is minus the geodesic distance, so that
its negative log likelihood is the geodesic loss, and it knows no uncertainty.
"""

import roma
import torch
from torch import Tensor

from semiuhpe.distributions.base import RotationDistribution

_STEEPEST = 1.0 - 1e-6
"""Sine of half the angle from which on the loss has no gradient: it would be infinite at 180 degrees."""


class GramSchmidt(RotationDistribution):
    """Rotations of (..., 3, 3) matrices whose first two columns count; see :class:`.RotationDistribution`."""

    has_uncertainty = False

    def mode(self) -> Tensor:  # type: ignore[override]
        """(..., 3, 3) rotations."""
        return roma.special_gramschmidt(self.parameter[..., :2])

    def log_prob(self, rotation: Tensor) -> Tensor:
        """(...,) minus the geodesic distance to the rotations, in radians."""
        return -roma.rotmat_geodesic_distance(self.mode(), rotation, _STEEPEST)

    def entropy(self) -> Tensor:
        """(...,) zeros: all predictions are as certain as each other."""
        return torch.zeros_like(self.parameter[..., 0, 0])

    def cross_entropy(self, other: "GramSchmidt") -> Tensor:
        """(...,) geodesic distances to the rotations of other, in radians."""
        return -other.log_prob(self.mode())

    def mass_within(self, angle_deg: float) -> Tensor:
        """(...,) ones: all of a point lies within any angle of it."""
        return torch.ones_like(self.parameter[..., 0, 0])
