"""What all head detectors have in common: the call, its result, and the registry of kinds."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from semiuhpe.data.crop import HEAD_BOX, AnyCropRule, squeezed_picture
from semiuhpe.errors import CheckpointError, ConfigError, DataError
from semiuhpe.registry import Registry


class Source(NamedTuple):
    """Where an image comes from, for detectors that look boxes up.

    Attributes:
        path: of the picture or the video.
        frame: number of the frame in the video, from 0; None for a picture.
    """

    path: str | Path
    frame: int | None = None


@dataclass(frozen=True)
class Detections:
    """The heads on one image, best first unless the user's own; ``boxes, scores = detections`` takes it apart.

    Attributes:
        boxes: (N, 4) float32 x, y, w, h in pixels of the image.
        scores: (N,) float32 in [0, 1].
        bodies: (N, 4) float32 box of the body that each head belongs to, NaN where none was found; None if the
            detector doesn't look for bodies.
        rotations: (N, 3, 3) float32 head to camera, of detectors that see poses too; None of others.
        entropy, confidence: (N,) float32 of the rotations, where there are rotations; NaN where the network has no
            uncertainty (:mod:`semiuhpe.models.output`).
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
        """Some of the heads, by (N,) bool or by their numbers, with all that is known of them."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: column[keep] for name, column in columns.items() if column is not None})


class Detector(ABC):
    """Finds heads on images: RGB uint8 (H, W, 3).

    Attributes:
        crop_rule: how the boxes are cropped (:mod:`semiuhpe.data.crop`): as heads or as faces; None if the whole
            picture is the crop.
        in_file_pixels: whether boxes are in pixels of the picture in its file, even if the image was made smaller.
    """

    crop_rule: AnyCropRule = HEAD_BOX
    in_file_pixels: bool = False

    def remarks(self) -> list[str]:
        """What the user should know after a video has been gone through to its end; a line each."""
        return []

    @property
    def takes_crops(self) -> bool:
        """Whether its pictures are head crops already."""
        return self.crop_rule in (None, squeezed_picture)

    def __call__(self, image: np.ndarray, source: Source | None = None) -> Detections:
        """The heads on one image.

        Raises:
            DataError: it is not an RGB uint8 image, or its boxes are not among the user's.
        """
        return self.batch([image], None if source is None else [source])[0]

    def batch(self, images: Sequence[np.ndarray], sources: Sequence[Source] | None = None) -> list[Detections]:
        """The heads on several images of any sizes; those of one size share forward passes.

        Raises:
            DataError: as :meth:`__call__`, or there are not as many sources as images.
        """
        images = [checked_image(image) for image in images]
        if sources is not None and len(sources) != len(images):
            raise DataError(f"{len(images)} images were given with {len(sources)} sources; one is needed for each")
        return self._detect(images, [None] * len(images) if sources is None else sources)

    @abstractmethod
    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        """The heads on each of the checked images."""


def checked_image(image: np.ndarray) -> np.ndarray:
    """The image, contiguous for OpenCV; DataError if it is none."""
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
    """What :func:`load_detector` passes on to a kind.

    Attributes:
        argument: what follows the kind's name and a colon, empty if nothing does.
        device: for networks that run in torch or onnxruntime.
        min_score: heads with a lower score are left out; None for the kind's own threshold.
    """

    argument: str
    device: torch.device
    min_score: float | None


Build = Callable[[Options], Detector]


@dataclass(frozen=True)
class DetectorKind:
    """A registered kind: its name, how it is written in full, what loads it, and what checks its argument before."""

    name: str
    usage: str
    build: Build
    check: Callable[[str], object]


DETECTORS: Registry[DetectorKind] = Registry("kind of detector", "--detector")


def register_detector(
    name: str, usage: str, check: Callable[[str], object] = lambda argument: None
) -> Callable[[Build], Build]:
    """Decorator: registers ``build(options) -> Detector`` under a kind, as in ``kind:FILE``.

    Args:
        name: the kind.
        usage: how it is written, for messages: ``onnx:FILE.onnx[:CLASS]``.
        check: raises what ``build`` would for an argument such as a missing file, without loading anything.
    """

    def register(build: Build) -> Build:
        DETECTORS.register(name, DetectorKind(name, usage, build, check))
        return build

    return register


def list_detectors() -> list[DetectorKind]:
    """All registered kinds, in the order of their names."""
    return [DETECTORS[name] for name in sorted(DETECTORS)]


def detector_kind(name: str) -> DetectorKind:
    """The registered kind of a name.

    Raises:
        ConfigError: there is no such kind.
    """
    return DETECTORS.find(name, ", ".join(kind.usage for kind in list_detectors()))


def file_and_option(argument: str) -> tuple[Path, str]:
    """Splits ``FILE[:OPTION]``; a file whose name has a colon is taken as it is if it exists."""
    if Path(argument).exists() or ":" not in argument:
        return Path(argument), ""
    file, _, option = argument.rpartition(":")
    return Path(file), option


def require_file(path: Path, kind: str) -> Path:
    """The path, if it is a file.

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
