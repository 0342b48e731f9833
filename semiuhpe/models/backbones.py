"""The registered networks. Those of torchvision keep its module names, which are those of the released checkpoints."""

import torch
import torchvision
from torch import Tensor, nn

from semiuhpe.models.heads import pose_head
from semiuhpe.models.registry import register_model


@register_model("resnet18", has_pretrained=True)
def resnet18(pretrained: bool) -> nn.Module:
    """ResNet-18 (He et al., CVPR 2016)."""
    return _torchvision("resnet18", "fc", 512, (128, 64), pretrained)


@register_model("resnet50", has_pretrained=True)
def resnet50(pretrained: bool) -> nn.Module:
    """ResNet-50 (He et al., CVPR 2016)."""
    return _torchvision("resnet50", "fc", 2048, (512, 128), pretrained)


@register_model("mobilenet", has_pretrained=True)
def mobilenet(pretrained: bool) -> nn.Module:
    """MobileNetV2 (Sandler et al., CVPR 2018)."""
    return _torchvision("mobilenet_v2", "classifier", 1280, (256, 64), pretrained)


@register_model("effinetv2", has_pretrained=True)
def effinetv2(pretrained: bool) -> nn.Module:
    """EfficientNetV2-S (Tan and Le, ICML 2021)."""
    return _torchvision("efficientnet_v2_s", "classifier", 1280, (512, 128), pretrained)


def _torchvision(name: str, head: str, features: int, hidden: tuple[int, int], pretrained: bool) -> nn.Module:
    network = torchvision.models.get_model(name, weights="IMAGENET1K_V1" if pretrained else None)
    setattr(network, head, pose_head(features, hidden))
    return network


class PlainNet(nn.Module):
    """Seven plain convolutions: the network that learns from scratch in minutes on two cores.

    The feature keeps its 4x4 places instead of being averaged, because where an eye or an ear is tells the pose.
    For pictures of 64 px; others are pooled to the same 4x4 places.
    """

    channels = (16, 32, 64, 64, 128, 128, 128)
    strides = (2, 1, 2, 1, 2, 1, 2)

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for width, stride in zip(self.channels, self.strides, strict=True):
            layers += [
                nn.Conv2d(previous, width, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            previous = width
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.head = pose_head(previous * 16, (128, 64))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.flatten(self.pool(self.features(image)), 1))


@register_model("plainnet", has_pretrained=False)
def plainnet(pretrained: bool) -> nn.Module:
    """A 0.7 M-parameter network for small pictures, without ImageNet weights; see :class:`PlainNet`."""
    return PlainNet()
