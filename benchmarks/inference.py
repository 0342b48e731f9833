"""Heads per second from network input to pose on one core, per network and batch.

    python benchmarks/inference.py [--networks resnet50 repvgg] [--batches 1 8 64] [--runs 3]

Compares eager PyTorch with its tensors in channels-last order, re-parametrized where the network can be, both, and the
exported ONNX file in onnxruntime. All compute the pose with Euler angles and entropy, with one thread. Weights are
random: they don't matter for the time. Seconds are of processor time, so that other processes on the machine count
little. The ways take turns, and medians are printed, with their ratio to eager PyTorch.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from torch import nn

from semiuhpe.inference.export import export_onnx
from semiuhpe.inference.pose_graph import PoseGraph
from semiuhpe.models import LoadedModel, create_model, list_models, reparametrize
from semiuhpe.models.checkpoint import Description
from semiuhpe.rotation import HEAD_TO_CAMERA

BY_DEFAULT = ("resnet18", "resnet50", "effinetv2", "repvgg", "effinet", "tinyvit", "mobilenet")
WAYS = ("eager", "channels-last", "re-parametrized", "re-param., channels-last", "ONNX")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=BY_DEFAULT, help=f"of {', '.join(list_models())}, timm:<name>")
    parser.add_argument("--batches", nargs="+", type=int, default=(1, 8, 64))
    parser.add_argument("--runs", type=int, default=3, help="whose median is taken, after one to warm up")
    parser.add_argument("--image_size", type=int, default=224)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| heads per second (ratio) | batch | {' | '.join(WAYS)} |")
    print("| --- | ---: |" + " ---: |" * len(WAYS))
    for name in options.networks:
        ways = ways_of(name, options.image_size)
        for batch in options.batches:
            image = torch.randn(batch, 3, options.image_size, options.image_size)
            rates = heads_per_second(ways, image, options.runs)
            cells = [f"{rates[way]:.3g} ({rates[way] / rates['eager']:.2f})" if way in rates else "" for way in WAYS]
            print(f"| {name} | {batch} | {' | '.join(cells)} |", flush=True)


def ways_of(name: str, image_size: int) -> dict[str, Callable[[torch.Tensor], object]]:
    """Functions from (B, 3, S, S) pictures to poses; without the re-parametrized ones where nothing can be merged."""
    network = create_model(name).eval()
    description = Description(name, "matrixFisher", HEAD_TO_CAMERA, True, image_size, "", "")
    merged = reparametrize(network)
    ways = {"eager": eager(network, description), "channels-last": eager(network, description, channels_last=True)}
    if merged.state_dict().keys() != network.state_dict().keys():
        ways["re-parametrized"] = eager(merged, description)
        ways["re-param., channels-last"] = eager(merged, description, channels_last=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(LoadedModel(network, description, {}, Path(name)), path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return ways | {"ONNX": lambda image: session.run(None, {"image": image.numpy()})}


def eager(network: nn.Module, description: Description, channels_last: bool = False) -> Callable:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    graph = PoseGraph(copy.deepcopy(network).to(memory_format=layout), description).eval()

    @torch.inference_mode()
    def run(image: torch.Tensor) -> object:
        return graph(image.contiguous(memory_format=layout))

    return run


def heads_per_second(ways: dict[str, Callable], image: torch.Tensor, runs: int) -> dict[str, float]:
    times: dict[str, list[float]] = {way: [] for way in ways}
    for run in range(runs + 1):
        for way, function in ways.items():
            start = time.process_time()
            function(image)
            if run:
                times[way].append(time.process_time() - start)
    return {way: len(image) / statistics.median(values) for way, values in times.items()}


if __name__ == "__main__":
    main()
