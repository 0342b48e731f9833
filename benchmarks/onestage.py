"""Milliseconds for a picture in one stage and in two, against the number of heads, on one core.

    python benchmarks/onestage.py [--backbone resnet50] [--heads 1 2 4 8 16] [--runs 5] [--image_size 640]

- One stage: the picture scaled, one pass, boxes decoded and suppressed, rotations and entropy of the heads found.
- Second stage: crops by boxes that are given, one batch of a crop network with the same backbone, rotations and
  entropy. A detector comes before it; with one of the same backbone, two stages take the sum of both columns.

Weights are random and boxes made up, which doesn't matter for the time; the one-stage network's scores are replaced so
that it finds as many heads as asked. The ways take turns; medians of the processor's time are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from semiuhpe.inference.detectors.onestage import OneStageDetector
from semiuhpe.inference.estimator import HeadPoseEstimator
from semiuhpe.models import LoadedModel, create_model
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.onestage import ANCHORS_PER_PLACE, FAMILY, STRIDES, Outputs
from semiuhpe.rotation import HEAD_TO_CAMERA

SCORE = 10.0
HEAD_PX = 64
"""Of the boxes; the smaller anchor of the middle level."""


class Finding(nn.Module):
    """A one-stage network that finds a given number of heads, apart from each other, whatever it sees."""

    def __init__(self, network: nn.Module, heads: int):
        super().__init__()
        self.network, self.heads = network, heads

    def forward(self, image: Tensor) -> Outputs:
        outputs = self.network(image)
        height, width = image.shape[-2:]
        fine = (height // STRIDES[0]) * (width // STRIDES[0]) * ANCHORS_PER_PLACE  # anchors of the level before
        columns, step = width // STRIDES[1], 2 * HEAD_PX // STRIDES[1]
        places = [
            row * columns + column
            for row in range(1, height // STRIDES[1], step)
            for column in range(1, columns, step)
        ]  # fmt: skip
        logit = torch.full_like(outputs.logit, -SCORE)
        logit[:, fine + torch.tensor(places[: self.heads]) * ANCHORS_PER_PLACE] = SCORE
        return outputs._replace(logit=logit, box=outputs.box * 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--heads", type=int, nargs="+", default=(1, 2, 4, 8, 16))
    parser.add_argument("--image_size", type=int, default=640, help="of the picture, a square; a multiple of 32")
    parser.add_argument("--crop_size", type=int, default=224, help="input of the crop network")
    parser.add_argument("--runs", type=int, default=5, help="whose median is taken, after one to warm up")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (options.image_size, options.image_size, 3), dtype=np.uint8)
    network = create_model(f"{FAMILY}:{options.backbone}").eval()
    crops = create_model(options.backbone).eval()
    described = Description(options.backbone, "matrixFisher", HEAD_TO_CAMERA, True, options.crop_size, "", "")
    estimator = HeadPoseEstimator(LoadedModel(crops, described, {}, options.backbone), "cpu")
    print(f"| heads | one stage (ms) | second stage alone (ms) | two stages / one, {options.backbone} |")
    print("| ---: | ---: | ---: | ---: |")
    for heads in options.heads:
        detector = OneStageDetector(Finding(network, heads), "matrixFisher", options.image_size)
        boxes = detector(picture).boxes
        if len(boxes) != heads:
            raise SystemExit(f"{heads} heads don't fit into {options.image_size} px; raise --image_size")
        ways = {"one": lambda found=detector: found(picture), "second": lambda b=boxes: estimator.predict(picture, b)}
        one, second = (1000 * seconds for seconds in medians(ways, options.runs))
        print(f"| {heads} | {one:.0f} | {second:.0f} | {(one + second) / one:.2f} |", flush=True)


def medians(ways: dict[str, Callable[[], object]], runs: int) -> list[float]:
    """Seconds of the processor of each way, which take turns after one run to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(runs + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if run:
                seconds[name].append(time.process_time() - start)
    return [statistics.median(values) for values in seconds.values()]


if __name__ == "__main__":
    main()
