"""Semi-supervised head pose estimation over the full range of rotations."""

from semiuhpe.distributions import MatrixFisher

__version__ = "0.1.0"

__all__ = ["MatrixFisher"]
