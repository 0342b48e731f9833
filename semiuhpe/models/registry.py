"""Registry of pose networks: a backbone with the paper's pose head.

Each network maps (B, 3, H, W) float pictures, normalized with ImageNet's mean and deviation, to (B, 9): the parameter
of a rotation distribution, a 3x3 matrix row by row.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from semiuhpe.errors import ConfigError
from semiuhpe.registry import Registry


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


NETWORKS: Registry[NetworkSpec] = Registry("network", "--network")
FAMILIES: Registry[Callable[[str], NetworkSpec]] = Registry("family of networks", "--network")
_LISTED: set[str] = set()


def register_model(name: str, has_pretrained: bool) -> Callable:
    """Decorate ``build(pretrained) -> nn.Module`` to register it under a name for ``--network``."""

    def register(build: Callable[[bool], nn.Module]) -> Callable[[bool], nn.Module]:
        NETWORKS.register(name, NetworkSpec(name, build, has_pretrained))
        return build

    return register


def register_family(prefix: str, listed: bool = True) -> Callable:
    """Decorate ``find(name) -> NetworkSpec`` to register it for all networks ``<prefix>:<name>``.

    Args:
        prefix: before the colon.
        listed: whether help texts name the family, because its networks can be trained.
    """

    def register(find: Callable[[str], NetworkSpec]) -> Callable[[str], NetworkSpec]:
        FAMILIES.register(prefix, find)
        if listed:
            _LISTED.add(prefix)
        return find

    return register


def list_models() -> list[str]:
    """Names of all registered networks; those of a family, such as ``timm:<name>``, are not among them."""
    return sorted(NETWORKS)


def network_choices() -> str:
    """What ``--network`` takes, in words."""
    return ", ".join([*list_models(), *(f"{prefix}:<name>" for prefix in sorted(_LISTED))])


def network_spec(name: str) -> NetworkSpec:
    """Return the registered network of a name.

    Raises:
        ConfigError: there is no such network.
    """
    prefix, colon, member = name.partition(":")
    if colon and prefix in FAMILIES:
        return FAMILIES[prefix](member)
    return NETWORKS.find(name, network_choices())


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
