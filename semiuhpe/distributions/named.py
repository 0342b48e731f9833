"""The distributions by the names of the option ``--distribution``."""

from torch import Tensor

from semiuhpe.distributions.matrix_fisher import MatrixFisher
from semiuhpe.distributions.rotation_laplace import RotationLaplace

DISTRIBUTIONS = {"matrixFisher": MatrixFisher, "RotationLaplace": RotationLaplace}


def output_parameter(output: Tensor) -> Tensor:
    """(..., 3, 3) float32 parameter of a distribution from a network's (..., 9) numbers, row by row."""
    return output.float().unflatten(-1, (3, 3))
