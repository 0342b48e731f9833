"""Semi-supervised head pose estimation over the full range of rotations."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semiuhpe.data.preparing import prepare
    from semiuhpe.distributions import MatrixFisher
    from semiuhpe.evaluation.run import evaluate_checkpoint as evaluate
    from semiuhpe.inference.estimator import HeadPoseEstimator
    from semiuhpe.training.run import train

__version__ = "0.1.0"

__all__ = ["HeadPoseEstimator", "MatrixFisher", "evaluate", "prepare", "train"]

_HOMES = {
    "HeadPoseEstimator": ("semiuhpe.inference.estimator", "HeadPoseEstimator"),
    "MatrixFisher": ("semiuhpe.distributions", "MatrixFisher"),
    "evaluate": ("semiuhpe.evaluation.run", "evaluate_checkpoint"),
    "prepare": ("semiuhpe.data.preparing", "prepare"),
    "train": ("semiuhpe.training.run", "train"),
}


def __getattr__(name: str) -> Any:
    # Imported when first used: torch takes seconds to import, which would slow down --help.
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
