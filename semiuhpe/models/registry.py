"""Registry of pose networks: a backbone with the paper's pose head.

Each network maps (B, 3, H, W) float pictures, normalized with ImageNet's mean and deviation, to (B, 9): the parameter
of a rotation distribution, a 3x3 matrix row by row.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from semiuhpe.errors import ConfigError


@dataclass(frozen=True)
class NetworkSpec:
    """A registered network and its properties."""

    name: str
    build: Callable[..., nn.Module]
    has_pretrained: bool
    image_size: int | None = None  # the only one that it takes, or None
    detects: bool = False  # finds heads on whole pictures (:mod:`semiuhpe.models.onestage`), not the pose of a crop

    def check_image_size(self, size: int) -> None:
        """Raise ConfigError if the network takes no pictures of this size."""
        if self.image_size not in (None, size):
            raise ConfigError(
                f"--network {self.name}: takes pictures of {self.image_size} px only, not {size}; "
                f"pass --image_size {self.image_size}"
            )


_NETWORKS: dict[str, NetworkSpec] = {}
_FAMILIES: dict[str, Callable[[str], NetworkSpec]] = {}


def register_model(name: str, has_pretrained: bool) -> Callable:
    """Decorate ``build(pretrained) -> nn.Module`` to register it under a name for ``--network``."""

    def register(build: Callable[[bool], nn.Module]) -> Callable[[bool], nn.Module]:
        _NETWORKS[name] = NetworkSpec(name, build, has_pretrained)
        return build

    return register


def register_family(prefix: str) -> Callable:
    """Decorate ``find(name) -> NetworkSpec`` to register it for all networks ``<prefix>:<name>``."""

    def register(find: Callable[[str], NetworkSpec]) -> Callable[[str], NetworkSpec]:
        _FAMILIES[prefix] = find
        return find

    return register


def list_models() -> list[str]:
    """Return the names of all registered networks, without those of families such as ``timm:<name>``."""
    return sorted(_NETWORKS)


def network_choices() -> str:
    """Return the values of ``--network`` in words, for help and errors."""
    return ", ".join([*list_models(), *(f"{prefix}:<name>" for prefix in sorted(_FAMILIES))])


def network_spec(name: str) -> NetworkSpec:
    """Return the registered network of a name.

    Raises:
        ConfigError: there is no such network.
    """
    prefix, colon, member = name.partition(":")
    if colon and prefix in _FAMILIES:
        return _FAMILIES[prefix](member)
    if name not in _NETWORKS:
        close = difflib.get_close_matches(name, _NETWORKS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"--network {name}: unknown network; {hint}There are {network_choices()}")
    return _NETWORKS[name]


def create_model(name: str, pretrained: bool | str = False) -> nn.Module:
    """Create a pose network: (B, 3, H, W) -> (B, 9), row-major 3x3.

    Args:
        name: one of :func:`list_models`, or ``timm:<name>``.
        pretrained: start the backbone from ImageNet weights; a string chooses other weights of ``tinyvit`` by timm's
            tag.

    Raises:
        ConfigError: unknown network, no ImageNet weights for it, or they can't be loaded.
    """
    spec = network_spec(name)
    if isinstance(pretrained, str) and name != "tinyvit":
        raise ConfigError(f"--network {name}: has no weights named {pretrained}, only tinyvit has; leave the name out")
    if pretrained and not spec.has_pretrained:
        raise ConfigError(f"--network {name}: has no ImageNet weights; pass --pretrained false")
    return spec.build(pretrained)
