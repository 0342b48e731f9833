"""Architectures of other networks whose files hold weights alone, with the names of their authors' state dicts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from semiuhpe.errors import CheckpointError, ConfigError, first_line
from semiuhpe.models.repvgg import RepVGG, reparametrize
from semiuhpe.models.weights_files import read_weights_file

BINS = 66
_WRAPPINGS = ("model_state_dict", "state_dict")


class Hopenet(nn.Module):
    """Hopenet (Ruiz et al., CVPRW 2018): ResNet-50 with 66 bins each of yaw, pitch and roll."""

    def __init__(self):
        super().__init__()
        self.features = _resnet50()
        self.fc_yaw, self.fc_pitch, self.fc_roll = (nn.Linear(2048, BINS) for _ in range(3))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        feature = self.features(image)
        return self.fc_yaw(feature), self.fc_pitch(feature), self.fc_roll(feature)


class SixDRepNet(nn.Module):
    """6DRepNet (Hempel et al., ICIP 2022): RepVGG-B1g2, with its branches or merged, and six numbers of a rotation."""

    def __init__(self, merged: bool):
        super().__init__()
        network = RepVGG()
        self.features = reparametrize(network) if merged else network
        self.features.linear_reg = nn.Linear(2048, 6)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.features(image),)


class SixDRepNet360(nn.Module):
    """6DRepNet360 (Hempel et al., arXiv 2309.07654): ResNet-50 and six numbers of a rotation."""

    def __init__(self):
        super().__init__()
        self.features = _resnet50()
        self.linear_reg = nn.Linear(2048, 6)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.linear_reg(self.features(image)),)


class Lightweight(nn.Module):
    """The network of Shaw-git/Lightweight-Head-Pose-Estimation: eight small stages, and 66 bins of each angle.

    Published as ``model-b66.pkl``, of "Accurate Head Pose Estimation Using Image Rectification and Lightweight
    Convolutional Neural Network". It predicts roll, yaw and pitch.
    """

    # Input and output channels, kernel and stride of each stage; from the fourth on with hard swish.
    stages = (
        (16, 32, 3, 2), (32, 64, 3, 2), (64, 96, 3, 1), (96, 96, 5, 2), (96, 128, 5, 1), (128, 128, 5, 2),
        (128, 128, 3, 1),
    )  # fmt: skip

    def __init__(self):
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        stages = [
            _LightweightStage(*stage, nn.ReLU if number < 3 else nn.Hardswish)
            for number, stage in enumerate(self.stages)
        ]
        self.features = nn.Sequential(stem, *stages, nn.AdaptiveAvgPool2d(1), nn.ReLU())
        self.fc_yaw, self.fc_pitch, self.fc_roll = (nn.Linear(128, BINS) for _ in range(3))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        feature = self.features(image).flatten(1)
        return self.fc_roll(feature), self.fc_yaw(feature), self.fc_pitch(feature)


class _LightweightStage(nn.Module):
    """A grouped expansion, a depthwise convolution and a projection, each with batch norm and activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, activation: type[nn.Module]):
        super().__init__()
        wide = 2 * inputs

        def layer(first: int, last: int, size: int, step: int, groups: int) -> nn.Sequential:
            convolution = nn.Conv2d(first, last, size, step, size // 2, groups=groups, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(last), activation())

        self.exp_conv = layer(inputs, wide, 1, 1, 4)
        self.dw_conv = layer(wide, wide, kernel, stride, wide)
        self.pw_conv = layer(wide, outputs, 1, 1, 1)

    def forward(self, feature: Tensor) -> Tensor:
        return self.pw_conv(self.dw_conv(self.exp_conv(feature)))


class WHENet(nn.Module):
    """WHENet (Zhou and Gregson, BMVC 2020): EfficientNet-B0 with 120 bins of yaw and 66 of pitch and roll."""

    def __init__(self):
        super().__init__()
        self.features = timm.create_model("tf_efficientnet_b0", num_classes=0)
        self.yaw_new, self.pitch_new, self.roll_new = nn.Linear(1280, 120), nn.Linear(1280, BINS), nn.Linear(1280, BINS)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        feature = self.features(image)
        return self.yaw_new(feature), self.pitch_new(feature), self.roll_new(feature)


class Tddfa(nn.Module):
    """The MobileNet-V1 of 3DDFA_V2 (Guo et al., ECCV 2020): 62 parameters of a face, standardized.

    Args:
        width: factor of all widths: 1, or 0.5 for the smaller file.
    """

    # Name, output channels at width 1, stride.
    blocks = (
        ("dw2_1", 64, 1), ("dw2_2", 128, 2), ("dw3_1", 128, 1), ("dw3_2", 256, 2), ("dw4_1", 256, 1),
        ("dw4_2", 512, 2), ("dw5_1", 512, 1), ("dw5_2", 512, 1), ("dw5_3", 512, 1), ("dw5_4", 512, 1),
        ("dw5_5", 512, 1), ("dw5_6", 1024, 2), ("dw6", 1024, 1),
    )  # fmt: skip

    def __init__(self, width: float):
        super().__init__()
        channels = int(32 * width)
        self.conv1 = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        for name, outputs, stride in self.blocks:
            self.add_module(name, _SeparableConvolution(channels, int(outputs * width), stride))
            channels = int(outputs * width)
        self.fc = nn.Linear(channels, 62)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        feature = self.bn1(self.conv1(image)).relu()
        for name, _, _ in self.blocks:
            feature = self.get_submodule(name)(feature)
        return (self.fc(feature.mean((-2, -1))),)


class _SeparableConvolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.bn_dw = nn.BatchNorm2d(inputs)
        self.conv_sep = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn_sep = nn.BatchNorm2d(outputs)

    def forward(self, feature: Tensor) -> Tensor:
        return self.bn_sep(self.conv_sep(self.bn_dw(self.conv_dw(feature)).relu())).relu()


def _resnet50() -> nn.Module:
    network = torchvision.models.resnet50(weights=None)
    network.fc = nn.Identity()
    return network


def open_hopenet(path: Path) -> nn.Module:
    """Load a file of Hopenet; its ``fc_finetune`` has no effect."""
    weights = {name: value for name, value in state_dict(path).items() if not name.startswith("fc_finetune.")}
    return loaded(Hopenet(), _below(weights, "features", ("fc_yaw.", "fc_pitch.", "fc_roll.")), path, "hopenet")


def open_6drepnet(path: Path) -> nn.Module:
    """Load a file of 6DRepNet, in its form for training or for inference."""
    weights = state_dict(path)
    merged = any(".rbr_reparam." in name for name in weights)
    renamed = {name.replace(".rbr_reparam.", ".merged."): value for name, value in weights.items()}
    return loaded(SixDRepNet(merged), _below(renamed, "features"), path, "6drepnet")


def open_6drepnet360(path: Path) -> nn.Module:
    """Load a file of 6DRepNet360."""
    return loaded(SixDRepNet360(), _below(state_dict(path), "features", ("linear_reg.",)), path, "6drepnet360")


def open_lightweight(path: Path) -> nn.Module:
    """Load ``model-b66.pkl``."""
    return loaded(Lightweight(), state_dict(path), path, "lightweight")


def open_tddfa(path: Path) -> nn.Module:
    """Load a file of 3DDFA_V2, of either width."""
    weights = {name.replace("fc_param.", "fc."): value for name, value in state_dict(path).items()}
    first = weights.get("conv1.weight")
    width = 1.0 if first is None else len(first) / 32
    return loaded(Tddfa(width), weights, path, "3ddfa_v2")


def open_whenet(path: Path) -> nn.Module:
    """Load ``WHENet.h5``, whose arrays of Keras are in the order of timm's EfficientNet-B0."""
    arrays = _keras_arrays(path)
    network = WHENet()
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    converted = [_from_keras(array) for array in arrays]
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    weights = dict(zip(names, converted, strict=False)) if len(names) == len(converted) else {}
    return loaded(network, weights | counters, path, "whenet")


def _keras_arrays(path: Path) -> list[Any]:
    """Return the weights in a file of Keras, in their order.

    Raises:
        ConfigError: h5py is not installed.
        CheckpointError: the file is missing, or none of Keras.
    """
    try:
        import h5py
    except ImportError as error:
        raise ConfigError(f"{path}: reading .h5 files needs h5py; pip install h5py") from error
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        with h5py.File(path) as file:
            return [
                file[layer][name][()]
                for layer in file.attrs["layer_names"]
                for name in file[layer].attrs["weight_names"]
            ]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: is not a readable file of Keras' weights ({first_line(error)})") from error


def _from_keras(array: Any) -> Tensor:
    """Return a weight in torch's layout: of convolutions (outputs, inputs, height, width), depthwise ones along."""
    value = torch.from_numpy(array)
    if value.ndim == 2:
        return value.mT.contiguous()
    if value.ndim == 4:
        # Height, width, inputs, outputs; depthwise ones have one output for each input.
        return (value.permute(2, 3, 0, 1) if value.shape[3] == 1 else value.permute(3, 2, 0, 1)).contiguous()
    return value


def state_dict(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file of torch, whatever it is wrapped in; loading runs no code.

    Raises:
        CheckpointError: the file is missing, damaged, or holds no state dict.
    """
    found = read_weights_file(path)
    for wrapping in _WRAPPINGS:
        if isinstance(found, Mapping) and wrapping in found:
            found = found[wrapping]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise CheckpointError(f"{path}: holds no state dict: it is no file of weights")
    return {str(name).removeprefix("module."): value for name, value in found.items()}


def loaded(network: nn.Module, weights: Mapping[str, Tensor], path: Path, kind: str) -> nn.Module:
    """Return a network with weights, in eval mode; CheckpointError if they are another's."""
    expected = network.state_dict()
    wrong = [name for name, value in expected.items() if name not in weights or weights[name].shape != value.shape]
    wrong = [name for name in wrong if not name.endswith("num_batches_tracked")]
    unknown = weights.keys() - expected.keys()
    if wrong or unknown:
        raise CheckpointError(
            f"{path}: is no file of {kind}: {len(wrong)} of its {len(expected)} weights are missing or have another "
            f"shape, {len(unknown)} are unknown"
        )
    network.load_state_dict({**expected, **weights})
    return network.eval()


def _below(weights: Mapping[str, Tensor], module: str, outside: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Return weights with the names that they have where all but those ``outside`` are in a module."""
    return {
        name if outside and name.startswith(outside) else f"{module}.{name}": value for name, value in weights.items()
    }
