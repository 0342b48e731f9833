"""What an evaluation costs beside the network's passes: reading heads, metrics, intervals, calibration, the report.

    python benchmarks/evaluation.py --heads 2000 --network resnet50

Student and teacher are two randomly initialized networks: times don't depend on the weights. The passes are timed
inside the evaluation, so both numbers are of the same run on the same machine, however busy it is.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from semiuhpe.cli.checkpoint_options import ROLES
from semiuhpe.data import HeadStore
from semiuhpe.distributed import pick_device
from semiuhpe.evaluation.evaluation_page import write_report
from semiuhpe.evaluation.predict import evaluate_all
from semiuhpe.evaluation.results import collect, write_results
from semiuhpe.models import create_model, save_checkpoint
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import HEAD_TO_CAMERA
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store

SIZE = 224


class Timed(nn.Module):
    """A network that adds up the seconds of its passes."""

    def __init__(self, network: nn.Module, device: torch.device):
        super().__init__()
        self.network, self.device, self.seconds = network, device, 0.0

    def forward(self, image: Tensor) -> Tensor:
        start = now(self.device)
        output = self.network(image)
        self.seconds += now(self.device) - start
        return output


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=2000)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--num_workers", type=int, default=0)
    options = parser.parse_args()
    device = pick_device(None)
    with tempfile.TemporaryDirectory() as folder:
        measure(options, device, Path(folder))


def measure(options: argparse.Namespace, device: torch.device, folder: Path) -> None:
    """Prints a table of seconds, and of shares of the passes' seconds."""
    write_store(SyntheticSet(options.heads, "wild", "full", 0, SIZE, test=True), folder / "heads.lmdb")
    store = HeadStore(folder / "heads.lmdb")
    networks = {role: Timed(create_model(options.network).to(device), device) for role in ROLES}
    description = Description(options.network, "matrixFisher", HEAD_TO_CAMERA, True, SIZE, "", "")
    checkpoint = folder / "last.pth"
    save_checkpoint(checkpoint, {"model_state_dict": networks[ROLES[0]].network.state_dict()})
    start = now(device)
    evaluations = evaluate_all(
        networks,
        PoseDecoder(description),
        store,
        device,
        options.batch_size,
        num_workers=options.num_workers,
        progress=True,
    )
    evaluated = now(device)
    results = collect(evaluations, store, description, checkpoint, {"test_set": "heads"})
    collected = now(device)
    write_results(results, folder / "eval_heads.json")
    write_report(folder / "report.html", results, store)
    end = now(device)
    passes = sum(network.seconds for network in networks.values())
    parts = {
        "passes of both networks": passes,
        "reading heads, distributions, errors": evaluated - start - passes,
        "intervals, calibration, break-downs": collected - evaluated,
        "files and report": end - collected,
        "all beside the passes": end - start - passes,
    }
    print(f"{options.heads} heads, {options.network}, {SIZE} px, {device.type}, {torch.get_num_threads()} threads\n")
    print("| | seconds | share of the passes |\n| --- | ---: | ---: |")
    for name, seconds in parts.items():
        print(f"| {name} | {seconds:.1f} | {seconds / passes:.1%} |")


if __name__ == "__main__":
    main()
