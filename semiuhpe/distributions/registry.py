"""The table of distributions, by the names of the option ``--distribution``."""

from torch import Tensor

from semiuhpe.distributions.base import RotationDistribution
from semiuhpe.distributions.gram_schmidt import GramSchmidt
from semiuhpe.distributions.matrix_fisher import MatrixFisher
from semiuhpe.distributions.rotation_laplace import RotationLaplace
from semiuhpe.registry import Registry
from semiuhpe.rotation import HEAD_TO_CAMERA, R_300WLP, from_300wlp

DISTRIBUTIONS: Registry[type[RotationDistribution]] = Registry("distribution", "--distribution")
DISTRIBUTIONS.register("matrixFisher", MatrixFisher)
DISTRIBUTIONS.register("RotationLaplace", RotationLaplace)
DISTRIBUTIONS.register("gramSchmidt", GramSchmidt)
POINT_ESTIMATES = tuple(name for name, kind in DISTRIBUTIONS.items() if not kind.has_uncertainty)
"""Distributions that are only a rotation, without entropy and cross entropy."""


def output_parameter(output: Tensor, convention: str = HEAD_TO_CAMERA) -> Tensor:
    """Return the float32 parameter (..., 3, 3) of a distribution of R head to camera from a network's (..., 9) output.

    Args:
        output: a matrix row by row.
        convention: rotation convention of the network, one of :data:`semiuhpe.rotation.CONVENTIONS`.
    """
    parameter = output.float().unflatten(-1, (3, 3))
    return from_300wlp(parameter) if convention == R_300WLP else parameter
