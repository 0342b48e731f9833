"""RepVGG-B1g2: three branches per block in training, one 3x3 convolution per block for inference.

X. Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021. timm has RepVGG, but neither this variant
nor the module names of the released weights, which are kept here: ``layer0`` to ``layer4`` with ``rbr_dense``,
``rbr_1x1`` and ``rbr_identity``, and ``linear_reg``.
"""

import copy

import torch
import torch.nn.functional as F
from timm.utils.model import reparameterize_model
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from semiuhpe.models.pose_head import pose_head

STAGES = ((128, 4), (256, 6), (512, 16), (2048, 1))  # width and number of blocks after the stem


class _ConvBN(nn.Sequential):
    """A convolution without bias, followed by batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)


class RepVGGBlock(nn.Module):
    """ReLU of a sum of branches: 3x3 and 1x1 convolution and, where shapes allow, identity; each with batch norm."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int):
        super().__init__()
        self.inputs, self.stride, self.groups = inputs, stride, groups
        self.rbr_identity = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None
        self.rbr_dense = _ConvBN(inputs, outputs, 3, stride, groups)
        self.rbr_1x1 = _ConvBN(inputs, outputs, 1, stride, groups)
        self.merged: nn.Conv2d | None = None

    def forward(self, feature: Tensor) -> Tensor:
        if self.merged is not None:
            return F.relu(self.merged(feature))
        branches = self.rbr_dense(feature) + self.rbr_1x1(feature)
        if self.rbr_identity is not None:
            branches = branches + self.rbr_identity(feature)
        return F.relu(branches)

    @torch.no_grad()
    def reparameterize(self) -> None:
        """Replace the branches by the single convolution that equals their sum in eval mode, if that isn't done."""
        if self.merged is not None:
            return
        dense = self.rbr_dense.conv
        weight, bias = _fused(dense.weight, self.rbr_dense.bn)
        branches = [_fused(self.rbr_1x1.conv.weight, self.rbr_1x1.bn)]
        if self.rbr_identity is not None:
            identity = nn.init.dirac_(torch.empty_like(self.rbr_1x1.conv.weight), self.groups)
            branches.append(_fused(identity, self.rbr_identity))
        for pointwise, shift in branches:
            weight, bias = weight + F.pad(pointwise, (1, 1, 1, 1)), bias + shift
        merged = nn.Conv2d(self.inputs, dense.out_channels, 3, self.stride, 1, groups=self.groups).to(weight)
        merged.load_state_dict({"weight": weight, "bias": bias})
        self.merged = merged
        del self.rbr_dense, self.rbr_1x1, self.rbr_identity


class RepVGG(nn.Module):
    """RepVGG-B1g2 with the pose head; every second block has two groups."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self):
        super().__init__()
        self.layer0 = RepVGGBlock(3, 64, stride=2, groups=1)
        inputs, number = 64, 0
        for stage, (width, blocks) in enumerate(STAGES, start=1):
            layer = nn.Sequential()
            for block in range(blocks):
                number += 1
                layer.append(RepVGGBlock(inputs, width, stride=1 if block else 2, groups=1 if number % 2 else 2))
                inputs = width
            self.add_module(f"layer{stage}", layer)
        self.linear_reg = pose_head(inputs, (512, 128))

    def forward(self, image: Tensor) -> Tensor:
        feature = self.layer0(image)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            feature = layer(feature)
        return self.linear_reg(feature.mean((-2, -1)))

    def load_backbone(self, weights: dict[str, Tensor]) -> None:
        """Load the authors' ImageNet weights, whose stages are named ``stage0`` to ``stage4``; drop their classifier.

        Raises:
            RuntimeError: keys or shapes are not those of RepVGG-B1g2.
        """
        renamed = {
            key.replace("stage", "layer", 1): value for key, value in weights.items() if not key.startswith("linear.")
        }
        head = {f"linear_reg.{key}": value for key, value in self.linear_reg.state_dict().items()}
        self.load_state_dict(renamed | head)


def reparametrize(network: nn.Module) -> nn.Module:
    """Return a copy of a network for inference, in eval mode, with branches and batch norm merged where possible.

    The copy computes the same up to rounding, but has other weights: it can't be trained further or saved as a
        checkpoint.
    Blocks of RepVGG and of timm's networks can be merged; a network without such blocks is copied as it is.
    """
    return reparameterize_model(copy.deepcopy(network).eval(), inplace=True)


def _fused(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that equals a convolution without bias and its batch norm."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None, "a norm in eval mode has statistics"
    return fuse_conv_bn_weights(weight, None, mean, variance, norm.eps, norm.weight, norm.bias)
