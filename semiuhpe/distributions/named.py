"""The distributions by the names of the option ``--distribution``."""

from semiuhpe.distributions.matrix_fisher import MatrixFisher
from semiuhpe.distributions.rotation_laplace import RotationLaplace

DISTRIBUTIONS = {"matrixFisher": MatrixFisher, "RotationLaplace": RotationLaplace}
