"""Which network is trained, and what it predicts."""

from dataclasses import dataclass

from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.models.registry import network_choices
from semiuhpe.options import OptionGroup, PositiveInt, option


@dataclass(frozen=True)
class NetworkOptions(OptionGroup, title="network"):
    """The options of the network."""

    network: str = option("resnet50", lambda: f"backbone with pose head: {network_choices()}")
    pretrained: bool | None = option(None, "start from ImageNet weights; where they exist if not given")
    image_size: PositiveInt = option(224, "side of the network's input in pixels")
    distribution: str = option(
        "matrixFisher", "distribution of rotations that the network predicts", choices=lambda: DISTRIBUTIONS
    )
    is_full_range: bool = option(False, "all of SO(3), not just front to profile")
