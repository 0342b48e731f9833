"""Detection of faces by SCRFD (Guo et al., arXiv 2105.04714) in ONNX, with onnxruntime: ``scrfd:FILE.onnx``.

Pictures are scaled to fit into the input, 640 px square unless the file fixes it, and lie at its top left; the rest is
black. Pixels are RGB, (x - 127.5) / 128. For each stride s of 8, 16 and 32 there are two anchors at the top left corner
of each cell, row by row, and outputs (N, 1), the score in [0, 1], and (N, 4), the distances in units of s from the
anchor to the left, top, right and lower edge of the box; with or without a leading dimension of one picture. Outputs
are told apart by their shapes, since exporters differ in their names. Landmarks, (N, 10), are not used.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from semiuhpe.data.crop import FACE_BOX
from semiuhpe.errors import CheckpointError
from semiuhpe.inference.detectors.base import Detections, Detector, Options, Source, register_detector, require_file
from semiuhpe.inference.detectors.letterbox import best_boxes, fit_shape
from semiuhpe.inference.detectors.onnx_session import OnnxSession, session_of

KIND = "scrfd"
SIDES = (640, 640)
"""Height and width of the input, where the file takes any."""
MIN_SCORE, MAX_IOU = 0.5, 0.4
"""Defaults of InsightFace."""
STRIDES, ANCHORS = (8, 16, 32), 2


class ScrfdDetector(Detector):
    """Finds faces with an SCRFD, one image at a time, as most files have no batches.

    Args:
        session: the network.
        min_score: faces with a lower score are left out.

    Raises:
        CheckpointError: it is not an SCRFD.
    """

    crop_rule = FACE_BOX

    def __init__(self, session: OnnxSession, min_score: float) -> None:
        self.session, self.min_score = session, min_score
        self.sides = session.sides or SIDES
        outputs = self._run(np.zeros((*self.sides, 3), np.uint8))
        self.levels = [_level(outputs, stride, self.sides, session.path) for stride in STRIDES]

    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        return [self._faces(image) for image in images]

    def _faces(self, image: np.ndarray) -> Detections:
        box = fit_shape(image.shape[0], image.shape[1], *self.sides)._replace(top=0, left=0)
        outputs = self._run(box.place(image, padding=0))
        corners, scores = [], []
        for stride, (score, distance) in zip(STRIDES, self.levels, strict=True):
            scores.append(outputs[score].flatten())
            corners.append(_corners(outputs[distance].reshape(-1, 4) * stride, stride, self.sides))
        return best_boxes(box, torch.cat(corners), torch.cat(scores), self.min_score, MAX_IOU)

    def _run(self, pixels: np.ndarray) -> list[Tensor]:
        """Return the outputs for (H, W, 3) uint8 pixels."""
        return self.session((pixels[None] - np.float32(127.5)) / 128)


def _level(outputs: Sequence[Tensor], stride: int, sides: tuple[int, int], path: Path) -> tuple[int, int]:
    """Return the numbers of the outputs that are scores and distances of a stride."""
    count = ANCHORS * (sides[0] // stride) * (sides[1] // stride)
    shapes = [tuple(output.shape) for output in outputs]
    score, distance = (
        [i for i, shape in enumerate(shapes) if shape in ((count, width), (1, count, width))] for width in (1, 4)
    )
    if len(score) != 1 or len(distance) != 1 or not _are_scores(outputs[score[0]]):
        found = ", ".join(str(shape) for shape in shapes)
        raise CheckpointError(
            f"{path}: is not an SCRFD face detector, which has ({count}, 1) scores in [0, 1] and ({count}, 4) "
            f"distances of stride {stride} for an input of {sides[1]}x{sides[0]} px; its outputs are {found}"
        )
    return score[0], distance[0]


def _are_scores(values: Tensor) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _corners(distances: Tensor, stride: int, sides: tuple[int, int]) -> Tensor:
    """Return (N, 4) corners x1, y1, x2, y2 of (N, 4) distances from the anchors to the edges, all in pixels."""
    rows, columns = (torch.arange(side // stride) * stride for side in sides)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    anchors = torch.stack([x, y], dim=2).reshape(-1, 2).repeat_interleave(ANCHORS, dim=0)
    return torch.cat([anchors - distances[:, :2], anchors + distances[:, 2:]], dim=1)


@register_detector(KIND, f"{KIND}:FILE.onnx", lambda argument: require_file(Path(argument), KIND))
def _build(options: Options) -> Detector:
    return ScrfdDetector(session_of(options, KIND), options.score_or(MIN_SCORE))
