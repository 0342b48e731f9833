"""Point estimates: rotations from six numbers by Gram-Schmidt (Zhou et al., CVPR 2019, arXiv 1812.07035).

A point estimate takes the place of a distribution in training and evaluation. Its log density is minus the geodesic
distance, so its negative log likelihood is the geodesic loss, and it has no uncertainty.
"""

import roma
import torch
from torch import Tensor

from semiuhpe.distributions.base import RotationDistribution
from semiuhpe.distributions.marginals import nearest

_STEEPEST = 1.0 - 1e-6
"""Sine of half the angle above which the loss has no gradient: at 180 degrees it would be infinite."""


class GramSchmidt(RotationDistribution):
    """Rotations from the first two columns of (..., 3, 3) matrices; see :class:`RotationDistribution`."""

    has_uncertainty = False
    has_marginals = True

    def mode(self) -> Tensor:  # type: ignore[override]
        """Return the rotations (..., 3, 3)."""
        return roma.special_gramschmidt(self.parameter[..., :2])

    def log_prob(self, rotation: Tensor) -> Tensor:
        """Return minus the geodesic distance (...) to rotations, in radians."""
        return -roma.rotmat_geodesic_distance(self.mode(), rotation, _STEEPEST)

    def marginal_log_prob(self, rotation: Tensor, free: Tensor) -> Tensor:
        """Return minus the distance (...) to the nearest rotation with the known angles, in radians: the projection of
        a label that is known in part, as a point has no density to average."""
        return self.log_prob(nearest(self.mode().detach(), rotation, free).to(rotation.dtype))

    def entropy(self) -> Tensor:
        """Return zeros (...): all predictions are equally certain."""
        return torch.zeros_like(self.parameter[..., 0, 0])

    def cross_entropy(self, other: "GramSchmidt") -> Tensor:
        """Return the geodesic distances (...) to the rotations of other, in radians."""
        return -other.log_prob(self.mode())

    def mass_within(self, angle_deg: float) -> Tensor:
        """Return ones (...): all mass lies within any angle of a point."""
        return torch.ones_like(self.parameter[..., 0, 0])
