"""The interface of head detectors, their result, and the registry of kinds."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torchvision

from semiuhpe.data.crop import HEAD_BOX, AnyCropRule, squeezed_picture
from semiuhpe.errors import CheckpointError, ConfigError, DataError
from semiuhpe.registry import Registry

SAME_IOU = 0.5
"""Boxes of different views of a picture that overlap more are of one head."""


class Source(NamedTuple):
    """Where an image comes from, for detectors that look boxes up.

    Attributes:
        path: path of the picture or the video.
        frame: number of the frame in the video, counted from 0; None for a picture.
    """

    path: str | Path
    frame: int | None = None


@dataclass(frozen=True)
class Detections:
    """The heads on one image, highest scores first except for the user's own boxes.

    ``boxes, scores = detections`` unpacks it.

    Attributes:
        boxes: (N, 4) float32 x, y, w, h in pixels of the image.
        scores: (N,) float32 in [0, 1].
        bodies: (N, 4) float32 box of each head's body, NaN if none was found; None if the detector doesn't find bodies.
        rotations: (N, 3, 3) float32 head to camera; None if the detector doesn't predict poses.
        entropy, confidence: (N,) float32 of the rotations, NaN if the network has no uncertainty
            (:mod:`semiuhpe.models.output`); None if there are no rotations.
    """

    boxes: np.ndarray
    scores: np.ndarray
    bodies: np.ndarray | None = None
    rotations: np.ndarray | None = None
    entropy: np.ndarray | None = None
    confidence: np.ndarray | None = None

    def __iter__(self):
        return iter((self.boxes, self.scores))

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, keep: np.ndarray) -> "Detections":
        """Return the heads selected by (N,) bool or by indices, with all their attributes."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: column[keep] for name, column in columns.items() if column is not None})


def joined(parts: Sequence[Detections]) -> Detections:
    """Return the heads of several results of one detector, one after another; there has to be one result or more."""
    columns = [field.name for field in fields(Detections) if getattr(parts[0], field.name) is not None]
    return Detections(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})


def best_of(views: Sequence[Detections]) -> Detections:
    """Return the heads of several views of a picture once: of two boxes with an IoU over :data:`SAME_IOU` the one with
    the higher score; highest scores first."""
    heads = joined(views)
    corners = torchvision.ops.box_convert(torch.from_numpy(heads.boxes), "xywh", "xyxy")
    return heads.select(torchvision.ops.nms(corners, torch.from_numpy(heads.scores), SAME_IOU).numpy())


class Detector(ABC):
    """Base class of detectors, which find heads on RGB uint8 images (H, W, 3).

    Attributes:
        crop_rule: crop rule for the boxes (:mod:`semiuhpe.data.crop`), of heads or of faces; None if the whole picture
            is the crop.
        in_file_pixels: whether boxes are in pixels of the picture file, even if the decoded image was shrunk.
    """

    crop_rule: AnyCropRule = HEAD_BOX
    in_file_pixels: bool = False

    def remarks(self) -> list[str]:
        """Return warnings for the user after a whole video, one line each."""
        return []

    @property
    def takes_crops(self) -> bool:
        """Whether pictures are taken to be head crops."""
        return self.crop_rule in (None, squeezed_picture)

    def __call__(self, image: np.ndarray, source: Source | None = None) -> Detections:
        """Return the heads on one image.

        Raises:
            DataError: it is not an RGB uint8 image, or the user's file of boxes has no entry for it.
        """
        return self.batch([image], None if source is None else [source])[0]

    def batch(self, images: Sequence[np.ndarray], sources: Sequence[Source] | None = None) -> list[Detections]:
        """Return the heads on several images of any sizes; images of the same size share forward passes.

        Raises:
            DataError: as for :meth:`__call__`, or the numbers of sources and images differ.
        """
        images = [checked_image(image) for image in images]
        if sources is not None and len(sources) != len(images):
            raise DataError(f"{len(images)} images were given with {len(sources)} sources; one is needed for each")
        return self._detect(images, [None] * len(images) if sources is None else sources)

    @abstractmethod
    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        """Return the heads on each image; the images have been checked."""


def checked_image(image: np.ndarray) -> np.ndarray:
    """Return the image, contiguous as OpenCV needs it; raise DataError if it isn't an RGB uint8 image."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError(
            f"images have to be RGB, uint8 (H, W, 3), not {found}; convert it first, a gray one for instance with "
            "numpy.repeat(gray[..., None], 3, axis=2)"
        )
    if image.size == 0:
        raise DataError(f"the image has no pixels: {image.shape}")
    return np.ascontiguousarray(image)


class Options(NamedTuple):
    """The options that :func:`load_detector` passes to a detector kind.

    Attributes:
        argument: the text after the kind's name and a colon; may be empty.
        device: device for networks that run in torch or onnxruntime.
        min_score: heads with a lower score are left out; None for the kind's own threshold.
    """

    argument: str
    device: torch.device
    min_score: float | None

    def score_or(self, default: float) -> float:
        """Return the lowest score of heads, that of the kind where none is given."""
        return default if self.min_score is None else self.min_score


Build = Callable[[Options], Detector]


@dataclass(frozen=True)
class DetectorKind:
    """A registered detector kind.

    Attributes:
        name: name of the kind, before the colon.
        usage: how the kind is written with its argument, for messages.
        build: loads the detector.
        check: checks the argument without loading anything.
    """

    name: str
    usage: str
    build: Build
    check: Callable[[str], object]


DETECTORS: Registry[DetectorKind] = Registry("kind of detector", "--detector")


def register_detector(
    name: str, usage: str, check: Callable[[str], object] = lambda argument: None
) -> Callable[[Build], Build]:
    """Return a decorator that registers ``build(options) -> Detector`` for a kind, as in ``kind:FILE``.

    Args:
        name: name of the kind.
        usage: how the kind is written, for messages, such as ``onnx:FILE.onnx[:CLASS]``.
        check: raises the errors of ``build`` for an argument, such as a missing file, without loading anything.
    """

    def register(build: Build) -> Build:
        DETECTORS.register(name, DetectorKind(name, usage, build, check))
        return build

    return register


def list_detectors() -> list[DetectorKind]:
    """Return all registered kinds, sorted by name."""
    return [DETECTORS[name] for name in sorted(DETECTORS)]


def detector_kind(name: str) -> DetectorKind:
    """Return the registered kind with the given name.

    Raises:
        ConfigError: there is no such kind.
    """
    return DETECTORS.find(name, ", ".join(kind.usage for kind in list_detectors()))


def file_and_option(argument: str) -> tuple[Path, str]:
    """Split ``FILE[:OPTION]`` into path and option; a path with a colon is not split if that file exists."""
    if Path(argument).exists() or ":" not in argument:
        return Path(argument), ""
    file, _, option = argument.rpartition(":")
    return Path(file), option


def require_file(path: Path, kind: str) -> Path:
    """Return the path if it is a file.

    Raises:
        ConfigError: no path was given.
        CheckpointError: there is no such file.
    """
    usage = detector_kind(kind).usage
    if path == Path(""):
        raise ConfigError(f"--detector {kind}: names no file; write {usage}")
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file (--detector {usage})")
    return path
