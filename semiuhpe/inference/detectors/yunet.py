"""Detection of faces by YuNet (Wu et al., 2023) with OpenCV: ``yunet``, or ``yunet:FILE.onnx``.

Without a file, that of OpenCV's model zoo is fetched. Boxes contain the face without the hair and the back of the
head, and are cropped by the rule for faces. Heads from behind are not found.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from semiuhpe.data.crop import FACE_BOX
from semiuhpe.errors import CheckpointError
from semiuhpe.inference.detectors.base import Detections, Detector, Options, Source, register_detector, require_file
from semiuhpe.models.fetching import HubFile, check_fetched, fetched

KIND = "yunet"
ZOO_FILE = HubFile("opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx", "MIT")
MAX_SIDE = 1280
"""Longer side to which larger images are shrunk, as YuNet was trained on faces of about 10 to 300 px."""
MIN_SCORE, MAX_IOU, CANDIDATES = 0.9, 0.3, 5000
"""OpenCV's own defaults."""


_TRIAL = """
import sys, cv2, numpy
cv2.FaceDetectorYN.create(sys.argv[1], "", (64, 64)).detect(numpy.zeros((64, 64, 3), numpy.uint8))
"""


class FaceDetector(Detector):
    """Finds faces with OpenCV's ``FaceDetectorYN``, one image at a time, as it has no batches."""

    crop_rule = FACE_BOX

    def __init__(self, network: cv2.FaceDetectorYN) -> None:
        self.network = network

    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        return [self._faces(image) for image in images]

    def _faces(self, image: np.ndarray) -> Detections:
        height, width = image.shape[:2]
        scale = min(1.0, MAX_SIDE / max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        if size != (width, height):
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self.network.setInputSize(size)
        _, faces = self.network.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        faces = np.zeros((0, 15), np.float32) if faces is None else faces
        factor = np.array([width / size[0], height / size[1]], np.float32)
        low = np.clip(faces[:, :2] * factor, 0, (width, height))
        high = np.clip((faces[:, :2] + faces[:, 2:4]) * factor, 0, (width, height))
        inside = (high > low).all(axis=1)
        boxes = np.concatenate([low, high - low], axis=1)[inside].astype(np.float32)
        return Detections(boxes, faces[inside, 14].clip(0, 1))


def _check_in_subprocess(path: Path) -> None:
    """Raise CheckpointError if OpenCV crashes on a file. A crash can't be caught, so a subprocess tries the file."""
    command = [sys.executable, "-c", _TRIAL, str(path)]
    if subprocess.run(command, capture_output=True).returncode < 0:
        raise CheckpointError(f"{path}: OpenCV {cv2.__version__} crashes on it, so it is damaged; download it again")


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence OpenCV's warnings, not its errors: version 5 warns of its own choice of a target for each network."""
    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(min(level, log.LOG_LEVEL_ERROR))
    try:
        yield
    finally:
        log.setLogLevel(level)


def _create(path: Path, min_score: float) -> FaceDetector:
    with _without_warnings():
        return FaceDetector(cv2.FaceDetectorYN.create(str(path), "", (64, 64), min_score, MAX_IOU, CANDIDATES))


def _check(argument: str) -> None:
    if argument:
        require_file(Path(argument), KIND)
    else:
        check_fetched(ZOO_FILE)


@register_detector(KIND, f"{KIND}[:FILE.onnx]", _check)
def _build(options: Options) -> Detector:
    path = require_file(Path(options.argument), KIND) if options.argument else fetched(ZOO_FILE)
    _check_in_subprocess(path)
    try:
        detector = _create(path, options.score_or(MIN_SCORE))
        detector(np.zeros((64, 64, 3), np.uint8))  # fails with a network of another kind
    except cv2.error as error:
        words = " ".join((error.err or str(error)).split())
        raise CheckpointError(
            f"{path}: is broken or not a YuNet face detector for OpenCV {cv2.__version__} ({words}); use "
            f"{ZOO_FILE.name} or later of OpenCV's model zoo, which --detector {KIND} fetches"
        ) from error
    return detector
