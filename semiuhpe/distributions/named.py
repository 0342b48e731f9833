"""The distributions by the names of the option ``--distribution``."""

from semiuhpe.distributions.matrix_fisher import MatrixFisher

DISTRIBUTIONS = {"matrixFisher": MatrixFisher}
