"""A network: patches of 8 px, mixed by depthwise and pointwise convolutions (ConvMixer, Trockman and Kolter 2022)."""

from torch import Tensor, nn

from semiuhpe.models import register_model
from semiuhpe.models.pose_head import pose_head


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 5, padding=2, groups=width), nn.GELU(), nn.BatchNorm2d(width)
        )
        self.channels = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width))

    def forward(self, feature: Tensor) -> Tensor:
        return self.channels(feature + self.spatial(feature))


class Mixer(nn.Module):
    def __init__(self, width: int = 96, depth: int = 4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.blocks = nn.Sequential(*[Block(width) for _ in range(depth)])
        self.head = pose_head(width, (64, 32))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.blocks(self.patches(image)).mean(dim=(-2, -1)))


@register_model("mixer", has_pretrained=False)
def mixer(pretrained: bool) -> nn.Module:
    return Mixer()
