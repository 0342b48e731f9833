"""What video.py makes of the network's own throughput, beside one forward pass for each head.

    python benchmarks/video.py VIDEO [--network resnet50] [--frames 32] [--heads 7] [--runs 3]

Three ways take turns, and medians of each are printed with their ratio to the first:

- the network alone, on crops that are there, in batches of 8 and of as many heads as video.py takes at once;
- video.py: reading, boxes from a file, crops, network, distributions, meshes drawn over the frames, H.264, JSON Lines;
- the same parts one after the other, with one forward pass for each head.

Weights are random and boxes made up, which doesn't matter for the time. Seconds are of the processor, over all threads,
so that other processes on the machine count little, and of the clock, where overlapping shows.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from semiuhpe.drawing.overlay import MESH
from semiuhpe.inference.detectors import Detections, load_detector
from semiuhpe.inference.estimator import MAX_BATCH, HeadPoseEstimator
from semiuhpe.inference.pipeline import HeadPipeline
from semiuhpe.models import LoadedModel, create_model
from semiuhpe.models.checkpoint import Description
from semiuhpe.rotation import HEAD_TO_CAMERA
from semiuhpe.video.pipeline import GROUP_FRAMES, PosedFrame, drawn, frame_record, pose_video
from semiuhpe.video.source import VideoSource, open_source
from semiuhpe.video.writer import VideoWriter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--frames", type=int, default=32, help="of the video's beginning")
    parser.add_argument("--heads", type=int, default=7, help="on each frame")
    parser.add_argument("--runs", type=int, default=3, help="whose median is taken, after one to warm up")
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = create_model(options.network).eval()
    description = Description(options.network, "matrixFisher", HEAD_TO_CAMERA, True, 224, "", "")
    estimator = HeadPoseEstimator(LoadedModel(network, description, {}, Path(options.network)), "cpu")
    with tempfile.TemporaryDirectory() as folder:
        boxes = Path(folder) / "boxes.json"
        boxes.write_text(json.dumps({options.video.name: made_up_boxes(options.video, options.frames, options.heads)}))
        detector = load_detector(f"boxes:{boxes}")
        size = options.frames * options.heads

        def overlapped() -> None:
            footage = beginning(options.video, options.frames)
            write(pose_video(footage, HeadPipeline(detector, estimator), MESH), footage, Path(folder))

        def head_by_head() -> None:
            footage = beginning(options.video, options.frames)
            write(one_by_one(footage, detector, estimator), footage, Path(folder))

        batch = min(MAX_BATCH, GROUP_FRAMES * options.heads)
        ways = {
            f"network, batches of {batch}": lambda: alone(estimator, size, batch),
            "network, batches of 8": lambda: alone(estimator, size, 8),
            "video.py": overlapped,
            "a pass for each head": head_by_head,
        }
        table(ways, size, options)


def beginning(video: Path, frames: int) -> VideoSource:
    footage = open_source(str(video))
    return replace(footage, frames=itertools.islice(footage.frames, frames))


def made_up_boxes(video: Path, frames: int, heads: int) -> dict[str, list[list[float]]]:
    """Heads of a sixth to a third of the picture's height that move by a few pixels a frame."""
    height, width = next(open_source(str(video)).frames).image.shape[:2]
    rng = np.random.default_rng(0)
    side = rng.uniform(height / 6, height / 3, heads)
    start = rng.uniform(0, 1, (heads, 2)) * (np.array([width, height]) - side[:, None])
    steps = np.cumsum(rng.normal(0, 2, (frames, heads, 2)), axis=0)
    sizes = np.broadcast_to(side[:, None], (frames, heads, 2))
    boxes = np.concatenate([start + steps, sizes], axis=2)
    return {str(frame): boxes[frame].round(1).tolist() for frame in range(frames)}


def alone(estimator: HeadPoseEstimator, heads: int, batch: int) -> None:
    crops = [np.zeros((224, 224, 3), np.uint8)] * heads
    with torch.inference_mode():
        for start in range(0, heads, batch):
            estimator._forward(crops[start : start + batch])


def one_by_one(footage: VideoSource, detector: object, estimator: HeadPoseEstimator):
    for frame in footage.frames:
        heads = detector(frame.image, frame.source)
        ones = [Detections(heads.boxes[i : i + 1], heads.scores[i : i + 1]) for i in range(len(heads))]
        poses = [estimator.predict(frame.image, one) for one in ones]
        columns = (np.concatenate([getattr(p, name) for p in poses]) for name in ("rotations", "entropy", "confidence"))
        yield drawn(PosedFrame(frame, 0.0, heads.boxes, heads.scores, *columns), MESH, heads.boxes)


def write(frames, footage: VideoSource, folder: Path) -> None:
    with VideoWriter(folder / "out.mp4", footage) as writer, open(folder / "out.jsonl", "w") as lines:
        for posed in frames:
            writer.write(posed.picture, posed.frame.pts)
            print(json.dumps(frame_record(posed)), file=lines)


def table(ways: dict[str, Callable[[], None]], size: int, options: argparse.Namespace) -> None:
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for run in range(options.runs + 1):
        for name, way in ways.items():
            processor, clock = time.process_time(), time.perf_counter()
            way()
            if run:
                seconds[name].append((time.process_time() - processor, time.perf_counter() - clock))
    rates = {name: [size / statistics.median(column) for column in zip(*s, strict=True)] for name, s in seconds.items()}
    base = next(iter(rates.values()))
    print(f"{options.network}, {options.frames} frames of {options.heads} heads, {options.threads} threads\n")
    print("| heads per second (ratio) | of the processor | of the clock |\n| --- | ---: | ---: |")
    for name, (processor, clock) in rates.items():
        cells = f"{processor:.3g} ({processor / base[0]:.2f}) | {clock:.3g} ({clock / base[1]:.2f})"
        print(f"| {name} | {cells} |")


if __name__ == "__main__":
    main()
