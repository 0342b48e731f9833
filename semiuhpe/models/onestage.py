"""The one-stage network: heads and their rotations from a whole picture in a single pass.

After RetinaFace (Deng et al., CVPR 2020) with a pose branch: three feature levels of a backbone (strides 8, 16, 32), a
feature pyramid, a context module on each level, and four branches with two anchors per place, of 16/32, 64/128 and
256/512 px. Anchors, box coding, feature pyramid, matching and suppression are torchvision's. Networks are named
``onestage:<backbone>``, where the backbone is ``resnet18``, ``resnet50``, ``mobilenet0.25`` or ``timm:<name>``. The
pose branch predicts the nine numbers of a rotation distribution, as all networks here do.

In this module boxes are corners x1, y1, x2, y2 in pixels of the network's input. The five landmarks are the subject's
right eye, left eye, tip of the nose, right and left corner of the mouth.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection._utils import encode_boxes as encode_with_weights
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork, box_convert

from semiuhpe.errors import ConfigError
from semiuhpe.models import mobilenetv1
from semiuhpe.models.output import eval_mode
from semiuhpe.models.pose_head import OUTPUTS
from semiuhpe.models.registry import NetworkSpec, create_model, network_spec, register_family
from semiuhpe.models.timm_networks import timm_model

STRIDES = (8, 16, 32)
ANCHOR_SIZES = ((16, 32), (64, 128), (256, 512))
ANCHORS_PER_PLACE = 2
LANDMARKS = 5
FAMILY = "onestage"
BOX_CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))
"""RetinaFace's variances of 0.1 for centers and 0.2 for sizes."""
LANDMARK_SCALE = 0.1
_PRIOR = 0.01  # initial probability of a head at an anchor (Lin et al., ICCV 2017)
_LAYERS = ("layer2", "layer3", "layer4")
_STAGED = {
    "resnet18": (_LAYERS, (128, 256, 512)),
    "resnet50": (_LAYERS, (512, 1024, 2048)),
    mobilenetv1.NAME: (("stage1", "stage2", "stage3"), mobilenetv1.CHANNELS),
}
"""Backbones with the modules that end at :data:`STRIDES`, and their channels."""


class Outputs(NamedTuple):
    """Predictions of the network for each of A anchors, float32.

    Attributes:
        logit: (B, A) log-odds that there is a head.
        box: (B, A, 4) encoded relative to the anchor.
        landmarks: (B, A, 10) encoded relative to the anchor.
        pose: (B, A, 9) parameter of a rotation distribution, row by row.
    """

    logit: Tensor
    box: Tensor
    landmarks: Tensor
    pose: Tensor


class ContextModule(nn.Module):
    """Three receptive fields, 3x3, 5x5 and 7x7, side by side (Najibi et al., SSH, ICCV 2017)."""

    def __init__(self, width: int):
        super().__init__()
        plain = {"activation_layer": None}
        self.three = Conv2dNormActivation(width, width // 2, **plain)
        self.shared = Conv2dNormActivation(width, width // 4)
        self.five = Conv2dNormActivation(width // 4, width // 4, **plain)
        self.seven = nn.Sequential(
            Conv2dNormActivation(width // 4, width // 4), Conv2dNormActivation(width // 4, width // 4, **plain)
        )

    def forward(self, feature: Tensor) -> Tensor:
        shared = self.shared(feature)
        return torch.relu(torch.cat([self.three(feature), self.five(shared), self.seven(shared)], dim=1))


class OneStageNet(nn.Module):
    """Maps pictures (B, 3, H, W), normalized with ImageNet's mean and deviation, to :class:`Outputs`.

    H and W are multiples of 32.

    Args:
        backbone: maps a picture to a dictionary or list of three feature maps, at :data:`STRIDES`.
        channels: channels of the three maps.
    """

    def __init__(self, backbone: nn.Module, channels: tuple[int, ...]):
        super().__init__()
        self._frozen: list[nn.Module] = []
        width = 256 if max(channels) >= 1024 else 64
        self.backbone = backbone
        self.pyramid = FeaturePyramidNetwork(list(channels), width, norm_layer=nn.BatchNorm2d)
        self.context = nn.ModuleList(ContextModule(width) for _ in STRIDES)
        self.pose_feature = nn.ModuleList(Conv2dNormActivation(width, width) for _ in STRIDES)
        self.logit = _branches(width, 1)
        self.box = _branches(width, 4)
        self.landmarks = _branches(width, 2 * LANDMARKS)
        self.pose = _branches(width, OUTPUTS)
        for branch in self.logit:
            nn.init.constant_(branch.get_parameter("bias"), -math.log((1 - _PRIOR) / _PRIOR))

    def freeze(self, levels: int) -> None:
        """Keep the weights and statistics of all that the first feature levels of the backbone, 1 to 3, are made of."""
        image = torch.zeros(1, 3, 2 * STRIDES[-1], 2 * STRIDES[-1])
        with eval_mode(self):
            level = self._features(image)[levels - 1]
        parameters = list(self.backbone.parameters())
        used = torch.autograd.grad(level.sum(), parameters, allow_unused=True)
        frozen = {id(p) for p, gradient in zip(parameters, used, strict=True) if gradient is not None}
        for parameter in parameters:
            parameter.requires_grad_(id(parameter) not in frozen)
        modules = self.backbone.modules()
        self._frozen = [each for each in modules if any(id(p) in frozen for p in each.parameters(recurse=False))]
        self.train(self.training)

    @torch.no_grad()
    def raise_threshold(self, score: float) -> None:
        """Shift the log-odds of all anchors so that heads of a score, in (0, 1), get 0.5, from which on they count."""
        for branch in self.logit:
            branch.get_parameter("bias").sub_(math.log(score / (1 - score)))

    def train(self, mode: bool = True) -> "OneStageNet":
        """Set the mode, but for what is frozen: that stays in eval mode, so that its statistics stay."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def _features(self, image: Tensor) -> list[Tensor]:
        features = self.backbone(image)
        return list(features.values()) if isinstance(features, dict) else features

    def forward(self, image: Tensor) -> Outputs:
        features = self._features(image)
        pyramid = self.pyramid({str(level): feature for level, feature in enumerate(features)})
        context = [module(feature) for module, feature in zip(self.context, pyramid.values(), strict=True)]
        pose = [module(feature) for module, feature in zip(self.pose_feature, context, strict=True)]
        return Outputs(
            _per_anchor(self.logit, context).squeeze(-1),
            _per_anchor(self.box, context),
            _per_anchor(self.landmarks, context),
            _per_anchor(self.pose, pose),
        )


def _branches(width: int, numbers: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(width, ANCHORS_PER_PLACE * numbers, 1) for _ in STRIDES)


def _per_anchor(branches: nn.ModuleList, features: list[Tensor]) -> Tensor:
    """Return the outputs of all levels, (B, A, numbers) float32, in the order of :func:`anchor_boxes`."""
    levels = []
    branch: Any  # a convolution, which the type of nn.ModuleList doesn't say
    for branch, feature in zip(branches, features, strict=True):
        numbers = branch(feature).float().permute(0, 2, 3, 1)
        levels.append(numbers.flatten(1).unflatten(1, (-1, branch.out_channels // ANCHORS_PER_PLACE)))
    return torch.cat(levels, dim=1)


@lru_cache(maxsize=16)
def anchor_boxes(height: int, width: int, device: torch.device) -> Tensor:
    """Return the corners (A, 4) of all anchors of an input of the given size, level by level, row by row."""
    generator = AnchorGenerator(ANCHOR_SIZES, ((1.0,),) * len(STRIDES))
    generator.set_cell_anchors(torch.float32, device)
    grids = [[math.ceil(height / stride), math.ceil(width / stride)] for stride in STRIDES]
    strides = [[torch.tensor(stride, device=device)] * 2 for stride in STRIDES]
    return torch.cat(generator.grid_anchors(grids, strides))


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Encode boxes (B, A, 4) relative to anchors (A, 4); the inverse of :func:`decode_boxes`."""
    flat = encode_with_weights(boxes.flatten(0, 1), anchors.repeat(len(boxes), 1), _box_weights(anchors.device))
    return flat.unflatten(0, boxes.shape[:2])


@lru_cache(maxsize=16)
def _box_weights(device: torch.device) -> Tensor:
    """Return the coder's weights on a device; the coder itself would copy them, and wait, in each step."""
    return torch.tensor(BOX_CODER.weights, device=device)


def decode_boxes(codes: Tensor, anchors: Tensor) -> Tensor:
    """Decode (B, A, 4) codes to corners (B, A, 4)."""
    flat = BOX_CODER.decode_single(codes.flatten(0, 1), anchors.repeat(len(codes), 1))
    return flat.unflatten(0, codes.shape[:2])


def encode_landmarks(points: Tensor, anchors: Tensor) -> Tensor:
    """Encode landmarks (B, A, 5, 2) as (B, A, 10): offsets from the anchor's center, in tenths of its side."""
    center, side = _center_and_side(anchors)
    return ((points - center) / (LANDMARK_SCALE * side)).flatten(-2)


def decode_landmarks(codes: Tensor, anchors: Tensor) -> Tensor:
    """Decode landmarks to pixels (B, A, 5, 2); the inverse of :func:`encode_landmarks`."""
    center, side = _center_and_side(anchors)
    return codes.unflatten(-1, (LANDMARKS, 2)) * (LANDMARK_SCALE * side) + center


def _center_and_side(anchors: Tensor) -> tuple[Tensor, Tensor]:
    center, side = box_convert(anchors, "xyxy", "cxcywh")[:, None].split(2, dim=-1)
    return center, side


@register_family(FAMILY)
def onestage(backbone: str) -> NetworkSpec:
    """Return the network ``onestage:<backbone>``.

    Raises:
        ConfigError: there is no such backbone.
    """
    name = f"{FAMILY}:{backbone}"
    if backbone not in _STAGED and not backbone.startswith("timm:"):
        known = ", ".join([*_STAGED, "timm:<name>"])
        raise ConfigError(f"--network {name}: unknown backbone; a one-stage network takes {known}")
    spec = network_spec(backbone)

    def build(pretrained: bool) -> nn.Module:
        features, channels = _features(name, backbone, pretrained)
        return OneStageNet(features, channels)

    return NetworkSpec(name, build, spec.has_pretrained, spec.image_size, detects=True)


def _features(name: str, backbone: str, pretrained: bool) -> tuple[nn.Module, tuple[int, ...]]:
    """Return the backbone without its head, and the channels of its levels at :data:`STRIDES`."""
    if backbone in _STAGED:
        names, channels = _STAGED[backbone]
        layers = {name: str(number) for number, name in enumerate(names, 2)}
        return IntermediateLayerGetter(create_model(backbone, pretrained), layers), channels
    model = backbone.removeprefix("timm:")
    try:
        features: Any = timm_model(name, model, pretrained, features_only=True, out_indices=(-3, -2, -1))
        found = tuple(features.feature_info.reduction())
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise ConfigError(f"--network {name}: timm gives no feature levels of this model; choose another") from error
    if found != STRIDES:
        raise ConfigError(f"--network {name}: has feature levels at strides {found}, not {STRIDES}; choose another")
    return features, tuple(features.feature_info.channels())
