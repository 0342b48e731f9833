"""MobileNetV1 (Howard et al., 2017) with a quarter of the channels, the small backbone of RetinaFace (Deng et al.,
2020).

Its three stages end at strides 8, 16 and 32. As in RetinaFace, activations are leaky, with a slope of 0.1. It starts
from random weights: those that RetinaFace starts from are not in torchvision or timm.
"""

from functools import partial

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from semiuhpe.models.pose_head import pose_head
from semiuhpe.models.registry import register_model

NAME = "mobilenet0.25"
CHANNELS = (64, 128, 256)
"""Of the three stages."""
_FIRST = 8
_STAGES = (
    ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1)),
    ((128, 2), (128, 1), (128, 1), (128, 1), (128, 1), (128, 1)),
    ((256, 2), (256, 1)),
)
"""Channels and stride of each depthwise separable convolution."""


class MobileNetV1(nn.Module):
    """Maps pictures (B, 3, H, W) to the outputs of a pose head over the mean of the last stage, (B, 9)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _layer(3, _FIRST, stride=2)
        self.stage1, self.stage2, self.stage3 = (
            _stage(width, blocks) for width, blocks in zip((_FIRST, *CHANNELS), _STAGES, strict=False)
        )
        self.fc = pose_head(CHANNELS[-1], (128, 64))

    def forward(self, image: Tensor) -> Tensor:
        feature = self.stage3(self.stage2(self.stage1(self.first(image))))
        return self.fc(feature.mean((-2, -1)))


_layer = partial(Conv2dNormActivation, activation_layer=partial(nn.LeakyReLU, 0.1))


def _stage(width: int, blocks: tuple[tuple[int, int], ...]) -> nn.Sequential:
    layers = []
    for channels, stride in blocks:
        layers += [_layer(width, width, stride=stride, groups=width), _layer(width, channels, 1)]
        width = channels
    return nn.Sequential(*layers)


@register_model(NAME, has_pretrained=False)
def mobilenet025(pretrained: bool) -> nn.Module:
    """MobileNetV1 with a quarter of the channels."""
    return MobileNetV1()
