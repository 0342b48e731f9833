"""The network of YOLOv5 (v4.0 to v6), limited to the layers of the body-head detectors, built from its description.

A description (``yaml``) lists the layers as ``[from, repeats, kind, arguments]``; widths and repeats are scaled by
``width_multiple`` and ``depth_multiple``. Modules are named as in YOLOv5, so that weights are loaded by key.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semiuhpe.inference.detectors.bpjdet_file import BATCH_NORM_EPS

MAX_REPEATS = 100


class Conv(nn.Module):
    """Convolution, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, padding: int | None = None) -> None:
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.bn(self.conv(x)), inplace=True)


class Focus(nn.Module):
    """Space to depth, then a convolution: each 2x2 block of pixels becomes one pixel with four times the channels."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = Conv(4 * inputs, outputs, kernel)

    def forward(self, x: Tensor) -> Tensor:
        even, odd = x[..., ::2, :], x[..., 1::2, :]
        return self.conv(torch.cat([even[..., ::2], odd[..., ::2], even[..., 1::2], odd[..., 1::2]], dim=1))


class Bottleneck(nn.Module):
    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels, 1)
        self.cv2 = Conv(channels, channels, 3)
        self.add = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = self.cv2(self.cv1(x))
        return x + out if self.add else out


class C3(nn.Module):
    """Cross stage partial block: half of the channels pass through bottlenecks, the other half bypasses them."""

    def __init__(self, inputs: int, outputs: int, repeats: int, shortcut: bool = True) -> None:
        super().__init__()
        hidden = outputs // 2
        self.cv1 = Conv(inputs, hidden)
        self.cv2 = Conv(inputs, hidden)
        self.cv3 = Conv(2 * hidden, outputs)
        self.m = nn.Sequential(*(Bottleneck(hidden, shortcut) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], dim=1))


class SPP(nn.Module):
    """Spatial pyramid pooling: concatenated maxima over windows of several sizes."""

    def __init__(self, inputs: int, outputs: int, kernels: Sequence[int] = (5, 9, 13)) -> None:
        super().__init__()
        hidden = inputs // 2
        self.cv1 = Conv(inputs, hidden)
        self.cv2 = Conv(hidden * (len(kernels) + 1), outputs)
        self.kernels = tuple(kernels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cv1(x)
        return self.cv2(torch.cat([x, *(F.max_pool2d(x, k, stride=1, padding=k // 2) for k in self.kernels)], dim=1))


class SPPF(nn.Module):
    """The same maxima as :class:`SPP` with kernels k, 2k - 1 and 3k - 2, by pooling three times."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 5) -> None:
        super().__init__()
        hidden = inputs // 2
        self.cv1 = Conv(inputs, hidden)
        self.cv2 = Conv(hidden * 4, outputs)
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        pooled = [self.cv1(x)]
        for _ in range(3):
            pooled.append(F.max_pool2d(pooled[-1], self.kernel, stride=1, padding=self.kernel // 2))
        return self.cv2(torch.cat(pooled, dim=1))


class Concat(nn.Module):
    def forward(self, parts: list[Tensor]) -> Tensor:
        return torch.cat(parts, dim=1)


class Detect(nn.Module):
    """Decodes the features of each scale to boxes in pixels of the input, usually three per cell.

    The values of a box are x, y of its center, w, h, objectness, class scores and offset points. An offset is relative
    to the cell's corner and scaled by the box's anchor, up to two anchors.
    """

    anchors: Tensor

    def __init__(self, inputs: Sequence[int], strides: Sequence[int], anchors: int, classes: int, offsets: int) -> None:
        super().__init__()
        self.classes, self.outputs, self.strides = classes, 5 + classes + offsets, tuple(strides)
        self.register_buffer("anchors", torch.zeros(len(inputs), anchors, 2))  # in cells
        self.m = nn.ModuleList(nn.Conv2d(channels, self.outputs * anchors, 1) for channels in inputs)

    def forward(self, features: list[Tensor]) -> Tensor:
        return torch.cat([self._decode(scale, x) for scale, x in enumerate(features)], dim=1)

    def _decode(self, scale: int, x: Tensor) -> Tensor:
        stride, anchors = self.strides[scale], self.anchors[scale][:, None, None, :] * self.strides[scale]
        batch, _, height, width = x.shape
        out = self.m[scale](x).sigmoid().unflatten(1, (-1, self.outputs)).permute(0, 1, 3, 4, 2)
        rows, columns = torch.meshgrid(
            torch.arange(height, device=x.device), torch.arange(width, device=x.device), indexing="ij"
        )
        cells = torch.stack([columns, rows], dim=-1).to(out.dtype)
        center, size, scores, offsets = out.split((2, 2, 1 + self.classes, self.outputs - 5 - self.classes), dim=-1)
        points = (offsets.unflatten(-1, (-1, 2)) * 4 - 2) * anchors.unsqueeze(-2) + (cells * stride).unsqueeze(-2)
        decoded = [(center * 2 - 0.5 + cells) * stride, (size * 2) ** 2 * anchors, scores, points.flatten(-2)]
        return torch.cat(decoded, dim=-1).reshape(batch, -1, self.outputs)


class YOLOv5(nn.Module):
    """YOLOv5: (B, 3, H, W) RGB in [0, 1], H and W multiples of :attr:`stride` -> (B, N, 5 + classes + offsets).

    Args:
        architecture: YOLOv5's description of the layers.
        classes: number of classes.
        offsets: number of values per box after the class scores.

    Raises:
        ValueError, TypeError, KeyError, IndexError: the description is not that of a supported network.
    """

    def __init__(self, architecture: dict[str, Any], classes: int, offsets: int) -> None:
        super().__init__()
        builder = _Builder(architecture, classes, offsets)
        layers = [*architecture["backbone"], *architecture["head"]]
        self.model = nn.ModuleList(builder.layer(*layer) for layer in layers)
        *others, last = self.model
        if not isinstance(last, Detect) or any(isinstance(layer, Detect) for layer in others):
            raise ValueError("Detect is not its last layer")
        self.stride = max(last.strides)
        self._inputs = builder.inputs
        self._last_use = {i: index for index, inputs in enumerate(builder.inputs) for i in inputs}

    def forward(self, x: Tensor) -> Tensor:
        kept: dict[int, Tensor] = {-1: x}
        for index, (layer, inputs) in enumerate(zip(self.model, self._inputs, strict=True)):
            several = isinstance(layer, (Concat, Detect))
            x = layer([kept[i] for i in inputs] if several else kept[inputs[0]])
            kept[index] = x
            for i in inputs:
                if self._last_use[i] == index:
                    del kept[i]
        return x


class _Builder:
    """Builds the layers in order, and records the channels and the stride of each output; -1 is the network's input."""

    def __init__(self, architecture: dict[str, Any], classes: int, offsets: int) -> None:
        self.width, self.depth = float(architecture["width_multiple"]), float(architecture["depth_multiple"])
        anchors = architecture["anchors"]
        self.anchors = anchors if isinstance(anchors, int) else len(anchors[0]) // 2
        self.classes, self.offsets = classes, offsets
        self.channels = {-1: int(architecture.get("ch", 3))}
        self.strides: dict[int, float] = {-1: 1}
        self.inputs: list[list[int]] = []

    def layer(self, sources: int | list[int], repeats: int, kind: str, arguments: list[Any]) -> nn.Module:
        index = len(self.inputs)
        inputs = [index + i if i < 0 else i for i in ([sources] if isinstance(sources, int) else sources)]
        if any(not -1 <= i < index for i in inputs):
            raise ValueError(f"layer {index} takes its input from {sources}")
        self.inputs.append(inputs)
        repeats = max(round(repeats * self.depth), 1) if repeats > 1 else repeats
        if not 1 <= repeats <= MAX_REPEATS or (repeats > 1 and kind != "C3"):
            raise ValueError(f"layer {index}, {kind}, is repeated {repeats} times")
        module, self.channels[index], factor = self._build(kind, inputs, repeats, arguments)
        self.strides[index] = self.strides[inputs[0]] * factor
        return module

    def _build(self, kind: str, inputs: list[int], repeats: int, arguments: list[Any]) -> tuple[nn.Module, int, float]:
        """Return the layer, the channels of its output, and the factor by which it changes the stride."""
        channels = self.channels[inputs[0]]
        if kind in ("Conv", "Focus", "C3", "SPP", "SPPF"):
            outputs, *rest = arguments
            outputs = math.ceil(outputs * self.width / 8) * 8
            if kind == "Conv":
                return Conv(channels, outputs, *rest), outputs, rest[1] if len(rest) > 1 else 1
            if kind == "C3":
                return C3(channels, outputs, repeats, *rest), outputs, 1
            module = {"Focus": Focus, "SPP": SPP, "SPPF": SPPF}[kind](channels, outputs, *rest)
            return module, outputs, 2 if kind == "Focus" else 1
        if kind == "nn.Upsample":
            _, scale, mode = arguments
            return nn.Upsample(scale_factor=scale, mode=mode), channels, 1 / scale
        if kind == "Concat":
            return Concat(), sum(self.channels[i] for i in inputs), 1
        if kind == "Detect":
            strides = [int(self.strides[i]) for i in inputs]
            widths = [self.channels[i] for i in inputs]
            return Detect(widths, strides, self.anchors, self.classes, self.offsets), 0, 1
        raise ValueError(f"layers of the kind {kind!r} are not known")
