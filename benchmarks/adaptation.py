"""What helps a network that was trained on rendered heads on photographs, without a label of them.

Evaluates a run's student and teacher (the average of its weights), and the teacher with batch-norm statistics of
photographs, on AFLW2000-3D: statistics of one half of the photographs, errors on the other. Prints a Markdown table of
errors in degrees. Self-training is measured by `semiuhpe tables photographs`.

    python benchmarks/adaptation.py EXP_DETAIL/DATE/last --aflw2000 AFLW2000
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from semiuhpe.data.batches.heads import ordered_batches
from semiuhpe.data.preparing import prepare
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation.metrics import pose_errors
from semiuhpe.evaluation.predict import evaluation_view, predict_views
from semiuhpe.models import LoadedModel, load_checkpoint
from semiuhpe.models.output import PoseDecoder

BATCH = 64
SHARES = (0.25, 0.5, 1.0)
"""Of the photographs' statistics in the mixture with the model's own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="of a run, or heads-full or heads-front, which have no student")
    parser.add_argument("--aflw2000", type=Path, required=True, help="folder of AFLW2000-3D's pictures")
    parser.add_argument(
        "--work", type=Path, default=Path("outputs/adaptation"), help="where the photographs' store goes"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = arguments.work / "aflw2000.lmdb"
    if not store.exists():
        arguments.work.mkdir(parents=True, exist_ok=True)
        prepare("AFLW2000", arguments.aflw2000, store, size=112)
    heads = HeadStore(store)
    teacher = load_checkpoint(arguments.checkpoint)
    student = load_checkpoint(arguments.checkpoint, teacher=False)
    views = [evaluation_view(batch, heads, teacher.image_size) for batch in ordered_batches(heads, BATCH, 0)]
    views = torch.cat(views)
    print("| | geodesic mean | median |\n| --- | ---: | ---: |")
    test = np.arange(len(heads)) % 2 == 1
    ours, theirs = student.model.state_dict(), teacher.model.state_dict()
    if any(not torch.equal(ours[name], theirs[name]) for name in ours):  # shipped models have the teacher alone
        report("student", student, heads, views, test)
    report("teacher: averaged weights", teacher, heads, views, test)
    layers = [module for module in teacher.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for which, chosen in (("the first layer", layers[:1]), ("a third", layers[: len(layers) // 3]), ("all", layers)):
        own = [statistics(layer) for layer in chosen]
        theirs = measured(teacher.model, chosen, views[~test])
        for share in SHARES:
            for layer, before, after in zip(chosen, own, theirs, strict=True):
                set_statistics(layer, [a + share * (b - a) for a, b in zip(before, after, strict=True)])
            report(f"{share:.0%} of the photographs' statistics, in {which}", teacher, heads, views, test)
        for layer, before in zip(chosen, own, strict=True):
            set_statistics(layer, before)


def report(name: str, loaded: LoadedModel, heads: HeadStore, views: Tensor, test: np.ndarray) -> None:
    """Print the errors on the photographs of the other half."""
    decoder = PoseDecoder(loaded.description)
    found = predict_views({"model": loaded.model}, decoder, views[test].split(BATCH), "photographs")["model"]
    truth = torch.from_numpy(heads.rotation[test]).double()
    error = pose_errors(found.rotation.double(), truth)["geodesic_deg"]
    print(f"| {name} | {error.mean():.1f} | {error.median():.1f} |", flush=True)


def statistics(layer: nn.Module) -> list[Tensor]:
    return [layer.running_mean.clone(), layer.running_var.clone()]


def set_statistics(layer: nn.Module, values: Iterable[Tensor]) -> None:
    for mine, value in zip((layer.running_mean, layer.running_var), values, strict=True):
        mine.copy_(value)


@torch.no_grad()
def measured(network: nn.Module, layers: list[nn.Module], views: Tensor) -> list[list[Tensor]]:
    """The statistics of layers over views, every batch counted alike; the network is left as it was."""
    network.eval()
    before = [statistics(layer) for layer in layers]
    momentum = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean
        layer.train()
    for batch in views.split(BATCH):
        network(batch)
    network.eval()
    after = [statistics(layer) for layer in layers]
    for layer, values, own in zip(layers, before, momentum, strict=True):
        set_statistics(layer, values)
        layer.momentum = own
    return after


if __name__ == "__main__":
    main()
