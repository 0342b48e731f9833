"""Probability distributions on SO(3), parametrized by any 3x3 matrix."""

from semiuhpe.distributions.base import RotationDistribution
from semiuhpe.distributions.matrix_fisher import MatrixFisher
from semiuhpe.distributions.parameters import NonFiniteParameterError
from semiuhpe.distributions.rotation_laplace import RotationLaplace

__all__ = ["MatrixFisher", "NonFiniteParameterError", "RotationDistribution", "RotationLaplace"]
