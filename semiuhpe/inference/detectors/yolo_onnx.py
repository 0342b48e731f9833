"""Detection of heads by any YOLOv5 to v11 exported to ONNX, with onnxruntime: ``onnx:FILE.onnx[:CLASS]``.

Three layouts of the output, for A boxes and C classes, are distinguished by shape and metadata:

- (B, A, 5 + C), YOLOv5 to v7: center, size, objectness, class scores; several boxes per cell.
- (B, 4 + C, A), v8, v9, v11: center, size, class scores; one box per cell.
- (B, A, 6), v10 and exports with NMS: corners, score, class number; boxes after NMS.

Coordinates are in pixels of the network's input. Metadata are those of Ultralytics' exporters, all optional:
``names``, ``imgsz``, ``stride``, ``task``, ``end2end``, ``args``.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from semiuhpe.data.crop import FACE_BOX, HEAD_BOX
from semiuhpe.errors import CheckpointError, ConfigError, first_line
from semiuhpe.inference.detectors.base import (
    Detections,
    Detector,
    Options,
    Source,
    file_and_option,
    register_detector,
    require_file,
)
from semiuhpe.inference.detectors.letterbox import Letterbox, best_boxes, fit_shape, fit_size, same_shape
from semiuhpe.inference.detectors.onnx_session import OnnxSession

KIND = "onnx"
IMAGE_SIZE, STRIDE = 640, 32
"""Input size and stride of networks without this metadata."""
MIN_SCORE, MAX_IOU = 0.25, 0.45
"""Defaults of YOLOv5's own detection script."""
BATCH = 8
SCALES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
"""Strides of the output scales of existing YOLOs."""


class Layout(Enum):
    OBJECTNESS = "YOLOv5 to v7"
    CLASSES = "YOLOv8 to v11"
    END_TO_END = "with NMS"


@dataclass(frozen=True)
class Metadata:
    """The metadata of a network.

    Attributes:
        names: names of the classes by number; empty if unknown.
        image_size: longer side of the input in pixels.
        stride: the input's sides are multiples of it.
        end_to_end: whether NMS is part of the network; None if unknown.
    """

    names: dict[int, str]
    image_size: int
    stride: int
    end_to_end: bool | None


class OnnxDetector(Detector):
    """Finds heads with a YOLO in ONNX.

    Args:
        session: the network.
        metadata: the metadata of the network.
        wanted: name or number of the class to detect; empty for ``head``, or the only class.
        min_score: boxes with a lower score are left out.

    Raises:
        CheckpointError: the network can't be run, or its output has an unknown layout.
        ConfigError: the network has no such class.
    """

    def __init__(self, session: OnnxSession, metadata: Metadata, wanted: str, min_score: float) -> None:
        self.session, self.metadata, self.min_score = session, metadata, min_score
        height, width = session.sides or (metadata.image_size, metadata.image_size)
        outputs = self._run(np.zeros((1, height, width, 3), np.uint8))
        self.layout, count = recognise(tuple(outputs.shape), (height, width), metadata, session.path)
        self.chosen = choose_class(wanted, count, metadata.names, session.path)
        self.crop_rule = FACE_BOX if metadata.names.get(self.chosen, wanted).lower() == "face" else HEAD_BOX

    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        boxes = [self._fit(*image.shape[:2]) for image in images]
        found: dict[int, Detections] = {}
        for indices in same_shape(boxes, BATCH if self.session.takes_batches else 1):
            outputs = self._run(np.stack([boxes[i].place(images[i]) for i in indices]))
            for index, output in zip(indices, outputs, strict=True):
                found[index] = self._decode(output, boxes[index])
        return [found[index] for index in range(len(images))]

    def _fit(self, height: int, width: int) -> Letterbox:
        if self.session.sides is not None:
            return fit_shape(height, width, *self.session.sides)
        return fit_size(height, width, self.metadata.image_size, self.metadata.stride)

    def _run(self, inputs: np.ndarray) -> Tensor:
        """Return the network's (B, ..., ...) output for (B, H, W, 3) uint8 inputs."""
        return self.session(inputs / np.float32(255))[0]

    def _decode(self, output: Tensor, box: Letterbox) -> Detections:
        """Return the heads of an image from its part of the output."""
        if self.layout is Layout.END_TO_END:
            corners, scores = output[:, :4], output[:, 4]
            scores = torch.where(output[:, 5].round() == self.chosen, scores, -1.0)
        elif self.layout is Layout.OBJECTNESS:
            # With one class, YOLOv5 to v7 train the objectness only.
            of_class = output[:, 5 + self.chosen] if output.shape[1] > 6 else 1.0
            corners, scores = box_convert(output[:, :4], "cxcywh", "xyxy"), output[:, 4] * of_class
        else:
            corners, scores = box_convert(output[:4].T, "cxcywh", "xyxy"), output[4 + self.chosen]
        max_iou = 1.0 if self.layout is Layout.END_TO_END else MAX_IOU  # 1 disables suppression
        return best_boxes(box, corners, scores, self.min_score, max_iou)


def recognise(shape: tuple[int, ...], sides: tuple[int, int], metadata: Metadata, path: Path) -> tuple[Layout, int]:
    """Return the layout of an output and its number of classes, 0 if unknown.

    Both an end-to-end output and that of a YOLOv5 with one class have a width of 6. The latter has a box for every
    anchor.

    Raises:
        CheckpointError: the output is not that of a YOLO detector.
    """
    if len(shape) == 3:
        rows, columns = shape[1:]
        count = len(metadata.names)
        cells = {sum((sides[0] // s) * (sides[1] // s) for s in strides) for strides in SCALES}
        anchored = any(rows in (cell, 3 * cell) for cell in cells)
        end_to_end = not anchored if metadata.end_to_end is None else metadata.end_to_end
        if columns == 6 and end_to_end:
            return Layout.END_TO_END, count
        if columns == 5 + count if count else columns > 5 and rows > columns:
            return Layout.OBJECTNESS, columns - 5
        if rows == 4 + count if count else rows > 4 and columns > rows:
            return Layout.CLASSES, rows - 4
    says = f"{len(metadata.names)} classes" if metadata.names else "no class names"
    raise CheckpointError(
        f"{path}: its output {shape} (with {says}) is not that of a YOLO detector: (B, A, 5 + classes), "
        "(B, 4 + classes, A) or (B, A, 6)"
    )


def choose_class(wanted: str, count: int, names: dict[int, str], path: Path) -> int:
    """Return the number of the class to detect.

    Args:
        wanted: name or number; empty for the class ``head``, or the only class.
        count: number of classes, 0 if unknown.
        names: names of the classes by number; empty if unknown.
        path: path of the file, for messages.

    Raises:
        ConfigError: there is no such class, or ``wanted`` is empty and the class is ambiguous.
    """
    numbers = {name.lower(): number for number, name in names.items()}
    if not wanted:
        if "head" in numbers:
            return numbers["head"]
        if count == 1:
            return 0
    elif wanted.lower() in numbers:
        return numbers[wanted.lower()]
    elif wanted.isascii() and wanted.isdigit() and (int(wanted) < count or not count):
        return int(wanted)
    known = ", ".join(names.values()) or (f"0 to {count - 1}" if count else "not named in the file")
    what = f"there is no class {wanted!r}" if wanted else "there is no class named head, and it is not the only one"
    raise ConfigError(f"--detector onnx:{path}: {what}; say which with onnx:{path}:CLASS (its classes: {known})")


def read_metadata(entries: dict[str, str], path: Path) -> Metadata:
    """Read a network's custom metadata.

    Raises:
        CheckpointError: the network's task is not detection, or its metadata can't be read.
    """
    task = entries.get("task", "detect")
    if task != "detect":
        raise CheckpointError(f"{path}: is a network for the task {task}; a detector is needed")
    try:
        names = ast.literal_eval(entries.get("names", "{}"))
        names = dict(enumerate(names)) if isinstance(names, (list, tuple)) else dict(names)
        names = {int(number): str(name) for number, name in names.items()}
        size = ast.literal_eval(entries.get("imgsz", str(IMAGE_SIZE)))
        size = max(size) if isinstance(size, (list, tuple)) else int(size)
        stride = int(float(entries.get("stride", STRIDE)))
        arguments = ast.literal_eval(entries.get("args", "{}"))
        nms = isinstance(arguments, dict) and arguments.get("nms") is True
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata can't be read ({first_line(error)})") from error
    if not (0 < stride <= size <= 16384):
        raise CheckpointError(f"{path}: its metadata claim a stride of {stride} and images of {size} px")
    says = entries.get("end2end")
    return Metadata(names, size, stride, True if nms else None if says is None else says.strip().lower() == "true")


def _file_and_class(argument: str) -> tuple[Path, str]:
    path, wanted = file_and_option(argument)
    return require_file(path, KIND), wanted


@register_detector(KIND, f"{KIND}:FILE.onnx[:CLASS]", _file_and_class)
def _build(options: Options) -> Detector:
    path, wanted = _file_and_class(options.argument)
    session = OnnxSession(path, options.device, KIND)
    min_score = options.score_or(MIN_SCORE)
    return OnnxDetector(session, read_metadata(session.metadata, path), wanted, min_score)
