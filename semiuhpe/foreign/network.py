"""Other networks as networks of this project: from normalized head crops to rotations, head to camera."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from semiuhpe.augment.views import denormalize
from semiuhpe.foreign.facts import Facts
from semiuhpe.foreign.outputs import combined
from semiuhpe.models.checkpoint import LoadedModel


class ForeignNetwork(nn.Module):
    """One or several networks of the same facts, whose predictions are combined.

    Maps (B, 3, S, S) pictures, normalized with ImageNet's mean and deviation as for all networks here, to (B, 9):
    rotations, head to camera, row by row.

    Args:
        networks: map pictures that are normalized as their facts say to a sequence of outputs.
        facts: of the networks.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, networks: Sequence[nn.Module], facts: Facts):
        super().__init__()
        self.networks, self.facts = nn.ModuleList(networks), facts
        for name, values in (("mean", facts.mean), ("std", facts.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        pixels = 255.0 * denormalize(image)
        if self.facts.colors == "bgr":
            pixels = pixels.flip(1)
        pixels = (pixels - self.mean) / self.std
        return combined([network(pixels) for network in self.networks], self.facts).flatten(1).to(image.dtype)


@dataclass(frozen=True)
class ForeignModel(LoadedModel):
    """A network of others, ready to use; ``path`` is its name, ``KIND:FILE[,FILE...]``.

    Attributes:
        facts: what is known of it.
        kind: its kind, which also names its crop rule.
    """

    facts: Facts
    kind: str
