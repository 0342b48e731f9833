"""Detection of heads and their bodies by the released detectors of BPJDet (Zhou et al., arXiv 2212.07652).

``bpjdet`` fetches the authors' file, ``bpjdet:FILE.pt`` reads one; both find all heads. ``bpjdet:paired`` and
``bpjdet:FILE.pt:paired`` keep only heads with a body: fewer false positives, but a few true heads are lost. The
thresholds are those of the authors' commands for pictures.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor

from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.inference.detectors.base import (
    Detections,
    Detector,
    Options,
    Source,
    file_and_option,
    list_detectors,
    register_detector,
    require_file,
)
from semiuhpe.inference.detectors.bpjdet_file import DetectorFile, read_detector_file
from semiuhpe.inference.detectors.letterbox import Letterbox, fit_size, nms, same_shape
from semiuhpe.inference.detectors.yolov5 import YOLOv5
from semiuhpe.models.fetching import HubFile, check_fetched, fetched

KIND = "bpjdet"
PAIRED = "paired"
HUB_FILE = HubFile("HoyerChou/BPJDet", "ch_head_l_1536_e150_best_mMR.pt", "GPL-3.0")
IMAGE_SIZE = 1536
MIN_SCORE = 0.45
MAX_IOU = 0.75
MIN_INSIDE = 0.6
"""Minimum share of a head's area inside its body."""
BATCH = 4
"""Images per forward pass; each takes about 0.4 GB with the large network at 1536x1536 px."""


class BodyHeadDetector(Detector):
    """Finds heads and their bodies with a body-head YOLOv5.

    Args:
        network: the network on its device, in eval mode.
        head, body: numbers of the classes.
        min_score: minimum score of heads and of bodies.
        paired: leave out heads without a body.
    """

    def __init__(self, network: YOLOv5, head: int, body: int, min_score: float, paired: bool) -> None:
        self.network, self.head, self.body = network, head, body
        self.min_score, self.paired = min_score, paired
        self.device = next(network.parameters()).device

    @torch.inference_mode()
    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        boxes = [fit_size(image.shape[0], image.shape[1], IMAGE_SIZE, self.network.stride) for image in images]
        found: dict[int, Detections] = {}
        for indices in same_shape(boxes, BATCH):
            inputs = torch.from_numpy(np.stack([boxes[i].place(images[i]) for i in indices]))
            inputs = inputs.to(self.device).permute(0, 3, 1, 2).float() / 255
            for index, output in zip(indices, self.network(inputs), strict=True):
                found[index] = self._decode(output, boxes[index])
        return [found[index] for index in range(len(images))]

    def _decode(self, output: Tensor, box: Letterbox) -> Detections:
        """Return the heads of an image from the network's (N, 9) output."""
        corners, scores = torchvision.ops.box_convert(output[:, :4], "cxcywh", "xyxy"), output[:, 4:5] * output[:, 5:7]
        heads = nms(corners, scores[:, self.head], self.min_score, MAX_IOU)
        bodies = nms(corners, scores[:, self.body], self.min_score, MAX_IOU)
        owner = _owners(corners[heads], output[heads, 7:9], corners[bodies])
        placed, placed_bodies = box.to_image(corners[heads]), box.to_image(corners[bodies])
        owned = torch.full_like(placed, float("nan"))
        owned[owner >= 0] = placed_bodies[owner[owner >= 0]]
        kept = (placed[:, 2:] > 0).all(dim=1)  # not completely in the padding
        if self.paired:
            kept &= owner >= 0
        results = (placed[kept], scores[heads, self.head][kept], owned[kept])
        return Detections(*(result.cpu().numpy() for result in results))


def _owners(heads: Tensor, points: Tensor, bodies: Tensor) -> Tensor:
    """Return the index of each head's body, -1 if it has none.

    The offset point of a head predicts the center of its body. A body is a candidate if it contains enough of the
    head. The closest pairs are matched first, and each body has at most one head.

    Args:
        heads: (H, 4) corners of the heads.
        points: (H, 2) offset points.
        bodies: (B, 4) corners of the bodies.
    """
    low = torch.maximum(heads[:, None, :2], bodies[None, :, :2])
    high = torch.minimum(heads[:, None, 2:], bodies[None, :, 2:])
    inside = (high - low).clamp(min=0).prod(dim=2) / torchvision.ops.box_area(heads)[:, None]
    distance = torch.cdist(points, (bodies[:, :2] + bodies[:, 2:]) / 2)
    distance[inside < MIN_INSIDE] = float("inf")
    pairs = distance.flatten().argsort()[: int(distance.isfinite().sum())]
    count = len(bodies)
    owners, taken = [-1] * len(heads), [False] * count
    for pair in pairs.tolist():
        head, body = divmod(pair, count)
        if owners[head] < 0 and not taken[body]:
            owners[head], taken[body] = body, True
    return torch.tensor(owners, dtype=torch.long, device=heads.device)


def build_network(file: DetectorFile, path: Path) -> YOLOv5:
    """Return the network of a file with its weights, in eval mode.

    Raises:
        CheckpointError: its architecture is unknown, or its weights don't fit it.
    """
    try:
        with torch.device("meta"):  # a wrong description can't allocate memory
            network = YOLOv5(file.architecture, len(file.names), file.offsets)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RuntimeError) as error:
        raise CheckpointError(f"{path}: its network can't be built ({type(error).__name__}: {error})") from error
    # Older files also have the anchors in pixels.
    weights = {key: value for key, value in file.weights.items() if not key.endswith("anchor_grid")}
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        expected, found = set(network.state_dict()), set(weights)
        raise CheckpointError(
            f"{path}: its weights don't fit its own architecture ({len(expected - found)} missing, "
            f"{len(found - expected)} unknown, others may differ in shape)"
        ) from error
    return network.eval().requires_grad_(False)


def _file_and_paired(argument: str) -> tuple[Path | None, bool]:
    """Return the file that is named, None for the one that is fetched, and whether heads need a body."""
    if argument in ("", PAIRED) and not Path(argument).is_file():
        return None, argument == PAIRED
    path, option = file_and_option(argument)
    if option not in ("", PAIRED):
        raise ConfigError(f"--detector {KIND}:{argument}: unknown option {option}; it takes only {PAIRED}")
    if path == HUB_FILE.path and not path.exists():
        others = ", ".join(kind.usage for kind in list_detectors() if kind.name != KIND)
        raise CheckpointError(
            f"{path}: there is no such file. It is the head detector of the BPJDet project ({HUB_FILE.license}): "
            f"--detector {KIND} fetches it, or put it there by hand, from {HUB_FILE.url}; or choose another detector: "
            f"--detector {others}"
        )
    return require_file(path, KIND), option == PAIRED


def _check(argument: str) -> None:
    path, _ = _file_and_paired(argument)
    if path is None:
        check_fetched(HUB_FILE)


@register_detector(KIND, f"{KIND}[:FILE.pt][:{PAIRED}]", _check)
def _build(options: Options) -> Detector:
    named, paired = _file_and_paired(options.argument)
    path = named or fetched(HUB_FILE)
    file = read_detector_file(path)
    body = next((file.names.index(name) for name in ("person", "body") if name in file.names), None)
    if "head" not in file.names or body is None or len(file.names) != 2 or file.offsets != 2:
        raise CheckpointError(
            f"{path}: has the classes {', '.join(file.names)} and {file.offsets} offsets per box; a body-head detector "
            "has person and head, and two offsets"
        )
    network = build_network(file, path).to(options.device)
    min_score = options.score_or(MIN_SCORE)
    return BodyHeadDetector(network, file.names.index("head"), body, min_score, paired)
