"""Training methods, each a subclass of :class:`semiuhpe.methods.base.Method`, and their options."""

from typing import Any

from semiuhpe.methods import (  # noqa: F401
    clerf,
    onestage,
    semiuhpe,
)
from semiuhpe.methods.base import Method
from semiuhpe.methods.options import Experiment, option_groups
from semiuhpe.methods.registry import METHODS, register_method


def method_of(experiment: Experiment) -> Method[Any, Any]:
    """Return the method that an experiment's ``--method`` names, with the experiment's options."""
    return METHODS[experiment.training.method](experiment)


__all__ = ["METHODS", "Experiment", "Method", "method_of", "option_groups", "register_method"]
