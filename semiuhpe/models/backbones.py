"""Registered networks. Those from torchvision keep its module names, which the released checkpoints use."""

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from semiuhpe.errors import CheckpointError
from semiuhpe.models.pose_head import pose_head
from semiuhpe.models.registry import register_model
from semiuhpe.models.repvgg import RepVGG
from semiuhpe.models.weights import WEIGHTS, no_imagenet_weights
from semiuhpe.models.weights_files import read_weights_file

REPVGG_WEIGHTS = "RepVGG-B1g2-train.pth"
REPVGG_SOURCE = "https://drive.google.com/drive/folders/1Avome4KvNp0Lqh2QwhXO6L5URQjzCjUq"


@register_model("resnet18", has_pretrained=True)
def resnet18(pretrained: bool) -> nn.Module:
    """ResNet-18 (He et al., CVPR 2016)."""
    return _torchvision("resnet18", "resnet18", "fc", 512, (128, 64), pretrained)


@register_model("resnet50", has_pretrained=True)
def resnet50(pretrained: bool) -> nn.Module:
    """ResNet-50 (He et al., CVPR 2016)."""
    return _torchvision("resnet50", "resnet50", "fc", 2048, (512, 128), pretrained)


@register_model("mobilenet", has_pretrained=True)
def mobilenet(pretrained: bool) -> nn.Module:
    """MobileNetV2 (Sandler et al., CVPR 2018)."""
    return _torchvision("mobilenet", "mobilenet_v2", "classifier", 1280, (256, 64), pretrained)


@register_model("effinetv2", has_pretrained=True)
def effinetv2(pretrained: bool) -> nn.Module:
    """EfficientNetV2-S (Tan and Le, ICML 2021)."""
    return _torchvision("effinetv2", "efficientnet_v2_s", "classifier", 1280, (512, 128), pretrained)


@register_model("repvgg", has_pretrained=True)
def repvgg(pretrained: bool) -> nn.Module:
    """RepVGG-B1g2 (Ding et al., CVPR 2021); its authors' ImageNet weights are a file to put into ``weights/``."""
    network = RepVGG()
    if pretrained:
        path = WEIGHTS / REPVGG_WEIGHTS
        try:
            weights = read_weights_file(path)
            weights = weights.get("state_dict", weights)
            network.load_backbone({key.removeprefix("module."): value for key, value in weights.items()})
        except (CheckpointError, RuntimeError, AttributeError) as error:  # AttributeError: no dictionary of tensors
            source = f"{REPVGG_WEIGHTS} (RepVGG's authors: {REPVGG_SOURCE})"
            raise no_imagenet_weights("repvgg", error, source, path) from error
    return network


def _torchvision(
    network: str, model: str, head: str, features: int, hidden: tuple[int, int], pretrained: bool
) -> nn.Module:
    built = torchvision.models.get_model(model, weights=None)
    if pretrained:
        weights = torchvision.models.get_model_weights(model)["IMAGENET1K_V1"]
        place = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        try:
            built.load_state_dict(weights.get_state_dict(progress=True, check_hash=True, weights_only=True))
        except Exception as error:  # errors of connections and damaged files have no common base class
            raise no_imagenet_weights(network, error, weights.url, place) from error
    setattr(built, head, pose_head(features, hidden))
    return built


class PlainNet(nn.Module):
    """Seven plain convolutions: a network that learns from scratch in minutes on two cores.

    The feature keeps its 4x4 grid instead of being averaged, because the position of an eye or an ear shows the pose.
    Made for pictures of 64 px; others are pooled to the same grid.
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
    """A network of 0.7 M parameters for small pictures, without ImageNet weights; see :class:`PlainNet`."""
    return PlainNet()
