"""Training methods by the names of the option ``--method``."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from semiuhpe.errors import require
from semiuhpe.registry import Registry

if TYPE_CHECKING:
    from semiuhpe.methods.base import Method

M = TypeVar("M", bound="type[Method[Any, Any]]")

METHODS: "Registry[type[Method[Any, Any]]]" = Registry("method", "--method")


def register_method(name: str) -> Callable[[M], M]:
    """Decorator: make a :class:`semiuhpe.methods.base.Method` known to ``--method``.

    Its options are then options of training and evaluation.

    Args:
        name: for the command line.

    Raises:
        ConfigError: there is a method of that name already, or the class lacks what a method has to have.
    """

    def register(method: M) -> M:
        missing = [attribute for attribute in ("options_type", "metrics") if getattr(method, attribute, None) is None]
        missing += sorted(method.__abstractmethods__)
        require(not missing, f"method {name}: has no {', '.join(missing)}")
        METHODS.register(name, method)
        return method

    return register
