"""Files of detectors, written in the layouts that others write: networks that find red, and module trees of YOLOv5."""

import sys
import types
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from semiuhpe.inference.detectors.yolov5 import YOLOv5

ARCHITECTURE = {
    "nc": 4,
    "depth_multiple": 0.33,
    "width_multiple": 0.25,
    "ch": 3,
    "anchors": [[10, 20, 30, 40], [60, 50, 70, 90]],
    "backbone": [
        [-1, 1, "Focus", [32, 3]],
        [-1, 1, "Conv", [32, 3, 2]],
        [-1, 3, "C3", [32]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "SPP", [64, [3, 5]]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[-1, 2], 1, "Concat", [1]],
        [-1, 3, "C3", [32, False]],
        [[7, 4], 1, "Detect", ["nc", "anchors"]],
    ],
}
TREE = {
    "models.yolo": ("Model", "Detect"),
    "models.common": ("Conv", "C3", "Bottleneck", "SPP", "SPPF", "Focus", "Concat"),
}


def random_network(seed: int = 0, architecture: dict = ARCHITECTURE) -> YOLOv5:
    torch.manual_seed(seed)
    network = YOLOv5(architecture, classes=2, offsets=2).eval()
    network.model[-1].anchors.copy_(torch.rand_like(network.model[-1].anchors) * 4 + 1)
    return network


def save_released(path: Path, network: YOLOv5, monkeypatch, key: str = "model", **entries) -> None:
    """Writes a network as YOLOv5 does: the pickled module tree, its classes under the names of YOLOv5's modules."""
    classes = {}
    for module, names in TREE.items():
        made = {name: type(name, (nn.Module,), {"__module__": module}) for name in names}
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**made))
        classes |= made
    monkeypatch.setitem(sys.modules, "models", types.SimpleNamespace())

    def renamed(module: nn.Module) -> nn.Module:
        module.__class__ = classes.get(type(module).__name__, type(module))
        for child in module.children():
            renamed(child)
        return module

    layers = nn.Sequential(*(renamed(layer) for layer in network.model))
    layers[-1].num_offsets, layers[-1].num_states = 2, 0
    model = classes["Model"]()
    model.model, model.yaml, model.names = layers, ARCHITECTURE, ["person", "head"]
    torch.save({"epoch": -1, "model": None, "ema": None, key: model} | entries, path)


def save_onnx(
    path: Path, nodes: list, constants: dict, outputs: list[str], shape: list, metadata: dict, dimensions: int = 3
) -> None:
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * dimensions) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.save(model, str(path))


class Graph:
    """Nodes and constants; :meth:`add` gives the name of a node's output."""

    def __init__(self) -> None:
        self.nodes, self.constants = [], {}

    def add(self, kind: str, *inputs: str, name: str = "", **attributes) -> str:
        name = name or f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        name = f"constant{len(self.constants)}"
        self.constants[name] = value
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def redness(self, stride: int, channels: tuple[float, float, float], offset: float = 0.0) -> str:
        """(B, 1, h, w): how red a cell is, 1 where all of it is pure red."""
        weight = np.zeros((1, 3, stride, stride), np.float32)
        weight[0] = np.array(channels)[:, None, None] / stride**2
        conv = self.add("Conv", "images", self.constant(weight), strides=[stride] * 2, kernel_shape=[stride] * 2)
        return self.add("Clip", self.add("Add", conv, self.number(offset)), self.number(0), self.number(1))


def save_yolo(path: Path, layout: str, names: list[str], shape=(1, 3, 64, 64), metadata: dict | None = None) -> None:
    """A YOLO that finds cells of 8, 16 or 32 px that are red, as boxes of their size, of the last class.

    Args:
        layout: ``objectness``, ``classes`` or ``end2end`` (of shape (1, 300, 6), for 64 px only).
        names: of the classes.
        metadata: instead of the names.
    """
    graph, scales = Graph(), []
    for stride in (8, 16, 32):
        score = graph.redness(stride, (1, -1, -1))
        zeros = graph.add("Mul", score, graph.number(0))
        ones = graph.add("Add", zeros, graph.number(1))
        box = []
        for axis in (3, 2):
            count = graph.add("CumSum", ones, graph.constant(np.array(axis)))
            box.append(graph.add("Mul", graph.add("Sub", count, graph.number(0.5)), graph.number(stride)))
        side = graph.add("Mul", ones, graph.number(stride))
        others = [zeros] * (len(names) - 1)
        if layout == "end2end":
            half = graph.add("Mul", side, graph.number(0.5))
            box = [graph.add("Sub", center, half) for center in box] + [
                graph.add("Add", center, half) for center in box
            ]
            parts = [*box, score, graph.add("Mul", ones, graph.number(len(names) - 1))]
        elif layout == "objectness":
            parts = [*box, side, side, score, *others, ones]
        else:
            parts = [*box, side, side, *others, score]
        together = graph.add("Concat", *parts, axis=1)
        flat = graph.add("Reshape", together, graph.constant(np.array([0, len(parts), -1])))
        scales += [flat] * (3 if layout == "objectness" else 1)
    if layout == "end2end":
        scales.append(graph.constant(np.zeros((1, 6, 300 - 84), np.float32)))
    last = graph.add("Concat", *scales, axis=2)
    output = last if layout == "classes" else graph.add("Transpose", last, perm=[0, 2, 1])
    given = {"names": dict(enumerate(names))} if metadata is None else metadata
    save_onnx(path, graph.nodes, graph.constants, [output], list(shape), given)


def save_yunet(path: Path) -> None:
    """A network with YuNet's outputs whose faces are red cells; its input is BGR, 0 to 255."""
    graph, outputs = Graph(), []
    for stride in (8, 16, 32):
        score = graph.redness(stride, (-1 / 255, -1 / 255, 1 / 255))
        flat = graph.add("Reshape", score, graph.constant(np.array([1, -1, 1])))
        for name, width, value in (("cls", 1, 1), ("obj", 1, 1), ("bbox", 4, 0), ("kps", 10, 0)):
            weight = graph.constant(np.full((1, width), value, np.float32))
            product = graph.add("MatMul", flat, weight)
            # Box offsets are in strides from the cell's corner, then the logarithm of its sides.
            offset = graph.constant(np.array([0.5, 0.5, 0, 0], np.float32)[:4] if name == "bbox" else np.float32(0))
            outputs.append(graph.add("Add", product, offset, name=f"{name}_{stride}"))
    save_onnx(path, graph.nodes, graph.constants, outputs, [1, 3, "height", "width"], {})


def save_scrfd(path: Path, shape=(1, 3, 64, 64), batched: bool = False, shift: float = 0.0) -> None:
    """An SCRFD whose faces are red cells of 8, 16 or 32 px, found by the second of a cell's two anchors.

    The anchor is the cell's top left corner; distances are 0 to the left, 0.25 up, 1 to the right, 0.75 down, so faces
    lie a quarter of a cell above their cells. Scores are the cell's redness by its own normalized values: pure red of
    (255, 0, 0) is (127.5, -127.5, -127.5) / 128, and black is no face.

    Args:
        shape: of the input.
        batched: outputs have a leading dimension, and other names and places than those without.
        shift: of the scores, which are probabilities without it.
    """
    graph, scores, boxes, points = Graph(), [], [], []
    for stride in (8, 16, 32):
        red = graph.redness(stride, (128 / 255, -128 / 255, -128 / 255), offset=-0.5)
        score = graph.add("Add", red, graph.number(shift))
        flat = graph.add("Reshape", score, graph.constant(np.array([-1, 1])))
        pair = graph.add("Reshape", graph.add("Mul", flat, graph.constant(np.array([[0, 1]], np.float32))),
                         graph.constant(np.array([-1, 1])))  # fmt: skip
        zeros = graph.add("Mul", pair, graph.number(0))
        distances = graph.add("Add", zeros, graph.constant(np.array([[0, 0.25, 1, 0.75]], np.float32)))
        landmarks = graph.add("Add", zeros, graph.constant(np.zeros((1, 10), np.float32)))
        found = [pair, distances, landmarks]
        if batched:
            found = [graph.add("Unsqueeze", each, graph.constant(np.array([0]))) for each in found]
        for each, table in zip(found, (scores, boxes, points), strict=True):
            table.append(each)
    outputs = [*points, *boxes, *scores] if batched else [*scores, *boxes, *points]
    save_onnx(path, graph.nodes, graph.constants, outputs, list(shape), {}, 3 if batched else 2)


def save_ultraface(path: Path, shape=(1, 3, 48, 64), raw: bool = False) -> None:
    """An Ultra-Light face detector whose faces are red cells of 8 px, in shares of the input.

    Args:
        shape: of the input, 1, 3, height, width; multiples of 8.
        raw: boxes are not decoded: numbers of either sign.
    """
    graph = Graph()
    height, width = shape[2] // 8, shape[3] // 8
    score = graph.redness(8, (128 / 255, -128 / 255, -128 / 255), offset=-127 / 255)
    face = graph.add("Reshape", score, graph.constant(np.array([1, -1, 1])))
    background = graph.add("Sub", graph.number(1), face)
    y, x = np.mgrid[:height, :width].reshape(2, -1)
    boxes = np.stack([x / width, y / height, (x + 1) / width, (y + 1) / height], axis=1)[None].astype(np.float32)
    nothing = graph.add("Mul", face, graph.number(0))
    corners = graph.add("Add", nothing, graph.constant(-boxes if raw else boxes), name="boxes")
    both = graph.add("Concat", background, face, axis=2, name="scores")
    save_onnx(path, graph.nodes, graph.constants, [both, corners], list(shape), {})
