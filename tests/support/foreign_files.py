"""Small files of other networks: ONNX files whose output is known, and state dicts with the names of their authors."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

SIZE = 64


def write_onnx(
    path, size=SIZE, outputs=3, factor=1.0, batch=1, channels_last=False, kind=TensorProto.FLOAT, flat=False
):
    """A network whose output is ``factor`` times the mean of each channel, repeated to as many numbers as asked for."""
    shape = [batch, size, size, 3] if channels_last else [batch, 3, size, size]
    sides, channels = ([1, 2], 3) if channels_last else ([2, 3], 3)
    picked = [number % channels for number in range(outputs)]
    constants = [
        numpy_helper.from_array(np.array(sides, np.int64), "sides"),
        numpy_helper.from_array(np.array(picked, np.int64), "picked"),
        numpy_helper.from_array(np.float32(factor), "factor"),
    ]
    nodes = [
        helper.make_node("Cast", ["input"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers", "sides"], ["means"], keepdims=0),
        helper.make_node("Gather", ["means", "picked"], ["chosen"], axis=1),
        helper.make_node("Mul", ["chosen", "factor"], ["product" if flat else "output"]),
    ]
    if flat:
        constants.append(numpy_helper.from_array(np.array([outputs], np.int64), "length"))
        nodes.append(helper.make_node("Reshape", ["product", "length"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "channels",
        [helper.make_tensor_value_info("input", kind, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [outputs] if flat else [batch, outputs])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, path)
    return path


def spike(bins, number):
    """Logits that leave no doubt about one bin."""
    logits = torch.full((bins,), -100.0)
    logits[number] = 100.0
    return logits


def uniform(shape):
    return torch.rand(shape) * 0.1
