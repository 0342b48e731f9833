"""A rotation without a distribution: six numbers by Gram-Schmidt (Zhou et al., CVPR 2019, arXiv 1812.07035).

It takes the place of a distribution in training and evaluation: its log density is minus the geodesic distance, so that
its negative log likelihood is the geodesic loss, and it knows no uncertainty.
"""

import roma
import torch
from torch import Tensor

from semiuhpe.distributions.parameters import check_parameters

_STEEPEST = 1.0 - 1e-6
"""Sine of half the angle from which on the loss has no gradient: it would be infinite at 180 degrees."""


class GramSchmidt:
    """Rotations of (..., 3, 3) matrices whose first two columns count.

    Args:
        parameter: (..., 3, 3).
        validate_args: whether to refuse parameters that are not finite; by default on the CPU only, see
            :class:`semiuhpe.distributions.MatrixFisher`.

    Raises:
        NonFiniteParameterError: a parameter is not finite.
    """

    def __init__(self, parameter: Tensor, validate_args: bool | None = None):
        self.parameter = check_parameters(parameter, type(self).__name__, validate_args)

    def mode(self) -> Tensor:
        """(..., 3, 3) rotations."""
        return roma.special_gramschmidt(self.parameter[..., :2])

    def log_prob(self, rotation: Tensor) -> Tensor:
        """(...,) minus the geodesic distance to the rotations, in radians."""
        return -roma.rotmat_geodesic_distance(self.mode(), rotation, _STEEPEST)

    def entropy(self) -> Tensor:
        """(...,) zeros: all predictions are as certain as each other."""
        return torch.zeros_like(self.parameter[..., 0, 0])
