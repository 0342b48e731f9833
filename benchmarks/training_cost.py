"""Counts what training needs, without training: arithmetic and memory of a network's passes.

    python benchmarks/training_cost.py [--networks resnet50 repvgg effinetv2] [--image_size 224]

Networks run on torch's meta device, where tensors have shapes and no contents, so this takes seconds. A multiplication
and an addition are two operations. A backward pass takes about twice its forward pass. (torch's counter doesn't know
groups of channels there, so it isn't asked.) Activations are the tensors that autograd keeps for the backward pass, in
float32. A GPU needs more: libraries' workspaces, and blocks that the allocator keeps.
"""

import argparse

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from semiuhpe.models import create_model, network_spec

HEADS = 2  # batch norm needs two in training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet50", "repvgg", "effinetv2"])
    parser.add_argument("--image_size", type=int, default=224)
    options = parser.parse_args()
    print("| network | parameters, M | forward pass, GFLOP a head | activations, MB a head |")
    print("| --- | ---: | ---: | ---: |")
    for name in options.networks:
        network_spec(name).check_image_size(options.image_size)
        parameters, forward, activations = cost(name, options.image_size)
        print(f"| {name} | {parameters / 1e6:.1f} | {forward:.1f} | {activations:.0f} |")


def cost(name: str, size: int) -> tuple[int, float, float]:
    """Parameters; GFLOP of a head's forward pass; MB that are kept of it for the backward pass."""
    with torch.device("meta"):
        network = create_model(name).train()
        image = torch.zeros(HEADS, 3, size, size)
    weights = {id(parameter) for parameter in network.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in weights:
            kept[tensor.untyped_storage()._cdata] = tensor  # one entry for all views of a storage
        return tensor

    with FlopCounterMode(display=False) as flops, saved_tensors_hooks(pack, lambda tensor: tensor):
        network(image)
    memory = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return parameters, flops.get_total_flops() / HEADS / 1e9, memory / HEADS / 1e6


if __name__ == "__main__":
    main()
