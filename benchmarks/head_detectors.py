"""Do head detectors find the faces on photographs, and only heads? Against a face detector, where nothing is labeled.

Faces that a reference finds with a score of 0.9 or more stand for the truth. Its boxes are of faces, so they are first
made boxes of heads, by margins that are fitted on rendered heads. Prints a Markdown table: the share of these that each
detector finds with an overlap (IoU) of 0.5, the same for the reference's own boxes, the share of its boxes whose center
lies in one of them, or in one that the reference suspects (a score of 0.3), its boxes on a picture, and milliseconds
for a picture.

    python benchmarks/head_detectors.py --pictures AFLW2000 --reference yunet:FILE.onnx \
        heads-detector onestage:EXP_DETAIL/DATE/best:416

A head whose face is not seen is a wrong box here, so the third and fourth column are lower bounds.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torchvision.ops import box_convert, box_iou
from tqdm import tqdm

from semiuhpe.inference.detectors import Detections, Detector, load_detector
from semiuhpe.pictures import find_pictures, read_picture
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.synthetic.rotations import random_rotations

SURE, SUSPECTED, OVERLAP = 0.9, 0.3, 0.5
RENDERED, RENDERED_PX = 300, 192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detectors", nargs="+", help="as --detector of image.py")
    parser.add_argument("--pictures", nargs="+", required=True, help="pictures, folders or patterns")
    parser.add_argument("--reference", default="yunet", help="face detector that stands for the truth")
    parser.add_argument("--every", type=int, default=1, help="take each so manieth picture")
    parser.add_argument("--min_score", type=float, help="of the detectors; their own if not given")
    arguments = parser.parse_args()
    reference = load_detector(arguments.reference, min_score=SUSPECTED)
    margins = fitted_margins(reference)
    print(f"head from face box: {', '.join(f'{value:.2f}' for value in margins)} (left, above, right, below)\n")
    paths = find_pictures(arguments.pictures, Path("outputs"))[0][:: arguments.every]
    pictures = [read_picture(path).image for path in paths]
    faces = [Faces.of(reference(picture), margins) for picture in tqdm(pictures, desc="reference", disable=None)]
    print(f"{len(pictures)} pictures with {sum(len(face.sure) for face in faces)} faces\n")
    print("| detector | faces found | by their own boxes | boxes on one | on a suspected one | boxes a picture | ms |")
    print("| --- |" + " ---: |" * 6)
    for name in arguments.detectors:
        print(row(name, load_detector(name, min_score=arguments.min_score), pictures, faces), flush=True)


class Faces(NamedTuple):
    """Faces on a picture, as corners (N, 4).

    Attributes:
        sure: the reference's boxes of high scores.
        heads: the heads that these are of.
        suspected: the heads of all that it finds.
    """

    sure: torch.Tensor
    heads: torch.Tensor
    suspected: torch.Tensor

    @classmethod
    def of(cls, found: Detections, margins: np.ndarray) -> "Faces":
        sure, every = corners(found.boxes[found.scores >= SURE]), corners(found.boxes)
        return cls(sure, grown(sure, margins), grown(every, margins))


def fitted_margins(reference: Detector) -> np.ndarray:
    """Return by how much heads are larger than the reference's boxes: medians, as shares of width and height, (4,)."""
    rng = np.random.default_rng(0)
    shares = []
    for rotation in random_rotations(RENDERED, rng, "aflw2000"):
        head = render_head(rotation, rng, "wild", RENDERED_PX)
        found = reference(head.image)
        if len(found) == 1:
            (x, y, w, h), (left, top, width, height) = found.boxes[0], head.box
            shares.append([(x - left) / w, (y - top) / h, (left + width - x - w) / w, (top + height - y - h) / h])
    return np.median(shares, axis=0)


def corners(boxes: np.ndarray) -> torch.Tensor:
    return box_convert(torch.from_numpy(boxes).float().reshape(-1, 4), "xywh", "xyxy")


def grown(boxes: torch.Tensor, margins: np.ndarray) -> torch.Tensor:
    """Return corners (N, 4) of boxes with margins on their left, above, on their right and below."""
    w, h = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
    left, above, right, below = (float(margin) for margin in margins)
    return boxes + torch.stack([-left * w, -above * h, right * w, below * h], dim=1)


def row(name: str, detector: Detector, pictures: list[np.ndarray], faces: list[Faces]) -> str:
    """Return the row of a detector."""
    found = own = on_one = on_any = boxes = 0
    times = []
    for picture, face in zip(tqdm(pictures, desc=name, disable=None), faces, strict=True):
        start = time.perf_counter()
        detected = corners(detector(picture).boxes)
        times.append(1000 * (time.perf_counter() - start))
        found += matched(face.heads, detected)
        own += matched(face.sure, detected)
        on_one += centered(detected, face.heads)
        on_any += centered(detected, face.suspected)
        boxes += len(detected)
    total = max(sum(len(face.sure) for face in faces), 1)
    shares = (found / total, own / total, on_one / max(boxes, 1), on_any / max(boxes, 1))
    cells = [*(f"{share:.1%}" for share in shares), f"{boxes / len(pictures):.2f}", f"{statistics.median(times):.0f}"]
    return f"| {name} | {' | '.join(cells)} |"


def centered(detected: torch.Tensor, heads: torch.Tensor) -> int:
    """Return how many of the boxes (N, 4) have their center in some of the others (M, 4)."""
    center = (detected[:, None, :2] + detected[:, None, 2:]) / 2
    inside = ((center > heads[None, :, :2]) & (center < heads[None, :, 2:])).all(-1)
    return int(inside.any(1).sum()) if inside.numel() else 0


def matched(wanted: torch.Tensor, detected: torch.Tensor) -> int:
    """Return how many of the boxes (N, 4) some of the others (M, 4) overlap enough."""
    if not len(wanted) or not len(detected):
        return 0
    return int((box_iou(wanted, detected).max(1).values >= OVERLAP).sum())


if __name__ == "__main__":
    main()
