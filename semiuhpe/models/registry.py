"""Registry of pose networks: a backbone with the paper's pose head.

Each network takes (B, 3, H, W) float pictures, normalised with ImageNet's mean and deviation, and gives (B, 9): the
parameter of a rotation distribution, a 3x3 matrix row by row.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from semiuhpe.errors import ConfigError


@dataclass(frozen=True)
class NetworkSpec:
    """What is known of a registered network."""

    name: str
    build: Callable[[bool], nn.Module]
    has_pretrained: bool


_NETWORKS: dict[str, NetworkSpec] = {}


def register_model(name: str, has_pretrained: bool) -> Callable:
    """Decorator: registers ``build(pretrained) -> nn.Module`` under a name for ``--network``."""

    def register(build: Callable[[bool], nn.Module]) -> Callable[[bool], nn.Module]:
        _NETWORKS[name] = NetworkSpec(name, build, has_pretrained)
        return build

    return register


def list_models() -> list[str]:
    """Names of all registered networks."""
    return sorted(_NETWORKS)


def network_spec(name: str) -> NetworkSpec:
    """The registered network of a name.

    Raises:
        ConfigError: there is no such network.
    """
    if name not in _NETWORKS:
        close = difflib.get_close_matches(name, _NETWORKS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(list_models())}"
        raise ConfigError(f"--network {name}: unknown network; {hint}")
    return _NETWORKS[name]


def create_model(name: str, pretrained: bool = False) -> nn.Module:
    """A pose network: (B, 3, H, W) -> (B, 9), row-major 3x3.

    Args:
        name: one of :func:`list_models`.
        pretrained: start the backbone from ImageNet weights.

    Raises:
        ConfigError: unknown network, no ImageNet weights for it, or they can't be loaded.
    """
    spec = network_spec(name)
    if pretrained and not spec.has_pretrained:
        raise ConfigError(f"--network {name}: has no ImageNet weights; pass --pretrained false")
    try:
        return spec.build(pretrained)
    except OSError as error:  # urllib's errors and a full disk
        raise ConfigError(
            f"--network {name}: its ImageNet weights can't be fetched ({error}); connect once, place the file in "
            f"{torch.hub.get_dir()}/checkpoints, or start from random weights with --pretrained false"
        ) from error
