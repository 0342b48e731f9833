"""Decode a network's output to distributions of rotations."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from semiuhpe.distributions import RotationDistribution
from semiuhpe.distributions.registry import DISTRIBUTIONS, output_parameter
from semiuhpe.models.checkpoint import Description


@dataclass(frozen=True)
class PoseDecoder:
    """Decodes a model's nine numbers as its description says."""

    description: Description

    @property
    def image_size(self) -> int:
        return self.description.image_size

    def __call__(self, output: Tensor) -> RotationDistribution:
        """Return the distributions of R head to camera that (B, 9) numbers predict."""
        return DISTRIBUTIONS[self.description.distribution](output_parameter(output, self.description.convention))


@contextmanager
def eval_mode(*networks: nn.Module) -> Iterator[None]:
    """Put networks into eval mode within this context, and restore their modes afterwards."""
    were_training = [network.training for network in networks]
    try:
        for network in networks:
            network.eval()
        yield
    finally:
        for network, was_training in zip(networks, were_training, strict=True):
            network.train(was_training)
