"""Training methods, each a subclass of :class:`semiuhpe.methods.base.Method`, and their options."""

from importlib import import_module
from typing import Any

from semiuhpe.methods.base import Method
from semiuhpe.methods.options import Experiment, option_groups
from semiuhpe.methods.registry import METHODS, register_method

for _name in ("semiuhpe", "clerf", "onestage"):  # each registers its method, in the order in which help names them
    import_module(f"{__name__}.{_name}")


def method_of(experiment: Experiment) -> Method[Any, Any]:
    """Return the method that an experiment's ``--method`` names, with the experiment's options."""
    return METHODS[experiment.training.method](experiment)


__all__ = ["METHODS", "Experiment", "Method", "method_of", "option_groups", "register_method"]
