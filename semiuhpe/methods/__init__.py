"""Training methods: each one is a module with what :mod:`semiuhpe.methods.base` names."""

from types import ModuleType

from semiuhpe.errors import ConfigError
from semiuhpe.methods import clerf, onestage, semiuhpe

METHODS = {"semiuhpe": semiuhpe, "clerf": clerf, "onestage": onestage}
_NAMES = ("METRICS", "add_options", "check_options", "open_data", "create_student", "create_optimizer", "phases")


def register_method(name: str, method: ModuleType) -> None:
    """Makes a method known to ``--method``. Its options are then options of training and evaluation.

    Args:
        name: for the command line.
        method: a module, or another object, with the names that :mod:`semiuhpe.methods.base` lists.

    Raises:
        ConfigError: it lacks one of them, or the name is taken.
    """
    missing = [attribute for attribute in _NAMES if not hasattr(method, attribute)]
    if missing:
        raise ConfigError(f"method {name}: has no {', '.join(missing)}")
    if METHODS.get(name, method) is not method:
        raise ConfigError(f"method {name}: there is one of that name already")
    METHODS[name] = method
