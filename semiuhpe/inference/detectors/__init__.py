"""Head detectors: ``load_detector("kind:file")`` returns one, ``detector(image)`` returns boxes and scores.

Further kinds are registered with :func:`register_detector`; see ``docs/detectors.md``.
"""

import torch

from semiuhpe.distributed import named_device
from semiuhpe.errors import ConfigError
from semiuhpe.inference.detectors import (  # noqa: F401  (fills the registry)
    boxes_file,
    bpjdet,
    onestage,
    scrfd,
    ultraface,
    yolo_onnx,
    yunet,
)
from semiuhpe.inference.detectors.base import (
    Detections,
    Detector,
    DetectorKind,
    Options,
    Source,
    detector_kind,
    list_detectors,
    register_detector,
)
from semiuhpe.inference.detectors.boxes_file import WHOLE
from semiuhpe.inference.detectors.tiles import TiledDetector, check_tiles
from semiuhpe.models.weights import SHIPPED_DETECTOR

DEFAULT_DETECTOR = f"{onestage.FAMILY}:{SHIPPED_DETECTOR}:256,512"


def load_detector(
    spec: str = DEFAULT_DETECTOR, device: str | torch.device = "cpu", min_score: float | None = None
) -> Detector:
    """Load a head detector.

    Args:
        spec: ``kind`` or ``kind:file``, one of :func:`list_detectors`: ``yunet`` and ``bpjdet``, which are fetched,
            ``yunet:FILE.onnx``, ``bpjdet:FILE.pt``, ``scrfd:FILE.onnx``, ``ultraface:FILE.onnx``, ``onnx:FILE.onnx``,
            ``onestage:CKPT``, ``boxes:FILE.json|csv`` or ``whole``.
        device: device of its network; yunet and detectors without a network ignore it.
        min_score: heads with a lower score, in [0, 1], are left out; None for the kind's own threshold.

    Raises:
        ConfigError: the kind or option is unknown, or a package or the device is missing.
        CheckpointError: the network's file is missing, broken or of another kind, or can't be fetched.
        DataError: the file of boxes is missing or broken.
    """
    name, _, argument = spec.partition(":")
    check_min_score(min_score)
    return detector_kind(name).build(Options(argument, named_device(device, "the detector's device"), min_score))


def check_detector(spec: str) -> None:
    """Raise the errors of :func:`load_detector` for an unknown kind or a missing file; nothing is loaded or fetched."""
    name, _, argument = spec.partition(":")
    detector_kind(name).check(argument)


def check_min_score(min_score: float | None) -> None:
    """Raise ConfigError unless ``min_score`` is None or in [0, 1]."""
    if min_score is not None and not 0.0 <= min_score <= 1.0:
        raise ConfigError(f"the detector's min_score is {min_score}; it must lie in [0, 1]")


__all__ = [
    "DEFAULT_DETECTOR",
    "WHOLE",
    "Detections",
    "Detector",
    "DetectorKind",
    "Options",
    "Source",
    "TiledDetector",
    "check_detector",
    "check_min_score",
    "check_tiles",
    "list_detectors",
    "load_detector",
    "register_detector",
]
