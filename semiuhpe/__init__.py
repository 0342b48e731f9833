"""Semi-supervised head pose estimation over the full range of rotations."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semiuhpe.distributions import MatrixFisher
    from semiuhpe.inference.estimator import HeadPoseEstimator

__version__ = "0.1.0"

__all__ = ["HeadPoseEstimator", "MatrixFisher"]

_HOMES = {"HeadPoseEstimator": "semiuhpe.inference.estimator", "MatrixFisher": "semiuhpe.distributions"}


def __getattr__(name: str) -> Any:
    # Imported when first used: torch takes seconds, and a command that only prints its help shouldn't.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
