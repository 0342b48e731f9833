"""Registry of training methods by their names for ``--method``."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from semiuhpe.errors import require
from semiuhpe.registry import Registry

if TYPE_CHECKING:
    from semiuhpe.methods.base import Method

M = TypeVar("M", bound="type[Method[Any, Any]]")

METHODS: "Registry[type[Method[Any, Any]]]" = Registry("method", "--method")


def register_method(name: str) -> Callable[[M], M]:
    """Return a decorator that registers a :class:`semiuhpe.methods.base.Method` for ``--method``.

    Its options become options of training and evaluation.

    Args:
        name: value of ``--method``.

    Raises:
        ConfigError: the name is taken, or the class lacks a required attribute.
    """

    def register(method: M) -> M:
        missing = [attribute for attribute in ("options_type", "metrics") if getattr(method, attribute, None) is None]
        missing += sorted(method.__abstractmethods__)
        require(not missing, f"method {name}: has no {', '.join(missing)}")
        METHODS.register(name, method)
        return method

    return register
