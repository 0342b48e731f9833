"""Detection of faces by Ultra-Light-Fast-Generic-Face-Detector-1MB (Linzaer, 2019) in ONNX: ``ultraface:FILE.onnx``.

Its files, slim and RFB, have an input of a fixed size, mostly 320x240 or 640x480 px. Pixels are RGB, (x - 127) / 128.
For A anchors the outputs are (1, A, 2), the probabilities of background and face, and (1, A, 4), corners x1, y1, x2, y2
in shares of the input. The authors' programs stretch pictures to the input; here they keep their aspect ratio, and are
padded with gray.
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

KIND = "ultraface"
MEAN = 127
MIN_SCORE, MAX_IOU = 0.7, 0.5
"""Those of the authors' program for ONNX."""


class UltraFaceDetector(Detector):
    """Finds faces with an Ultra-Light detector, one image at a time, as its files have no batches.

    Args:
        session: the network.
        min_score: faces with a lower score are left out.

    Raises:
        CheckpointError: it is not such a detector, or one without its own decoding of boxes.
    """

    crop_rule = FACE_BOX

    def __init__(self, session: OnnxSession, min_score: float) -> None:
        self.session, self.min_score = session, min_score
        if session.sides is None:
            raise CheckpointError(
                f"{session.path}: takes pictures of any size; Ultra-Light face detectors have a fixed one, as 320x240"
            )
        self.sides = session.sides
        self.scores, self.boxes = _recognise(self._run(np.zeros((*self.sides, 3), np.uint8)), session.path)

    def _detect(self, images: Sequence[np.ndarray], sources: Sequence[Source | None]) -> list[Detections]:
        return [self._faces(image) for image in images]

    def _faces(self, image: np.ndarray) -> Detections:
        box = fit_shape(image.shape[0], image.shape[1], *self.sides)
        outputs = self._run(box.place(image, padding=MEAN))
        height, width = self.sides
        corners = outputs[self.boxes][0] * torch.tensor([width, height, width, height])
        return best_boxes(box, corners, outputs[self.scores][0, :, 1], self.min_score, MAX_IOU)

    def _run(self, pixels: np.ndarray) -> list[Tensor]:
        """Return the outputs for (H, W, 3) uint8 pixels."""
        return self.session((pixels[None] - np.float32(MEAN)) / 128)


def _recognise(outputs: Sequence[Tensor], path: Path) -> tuple[int, int]:
    """Return the numbers of the outputs that are probabilities and boxes, seen on a black picture."""
    widths = [output.shape[2] if output.ndim == 3 and len(output) == 1 else 0 for output in outputs]
    if sorted(widths) != [2, 4] or outputs[0].shape[1] != outputs[1].shape[1]:
        found = ", ".join(str(tuple(output.shape)) for output in outputs)
        raise CheckpointError(
            f"{path}: is not an Ultra-Light face detector: its outputs are {found}, not (1, A, 2) probabilities and "
            "(1, A, 4) boxes"
        )
    scores, boxes = widths.index(2), widths.index(4)
    corners = outputs[boxes][0]
    are_probabilities = torch.allclose(outputs[scores].sum(dim=2), torch.ones(1), atol=1e-3)
    if not are_probabilities or not (corners[:, 2:] > corners[:, :2]).all():
        raise CheckpointError(
            f"{path}: its outputs are not probabilities and corners of boxes; use a file with postprocessing, such as "
            "version-RFB-320.onnx"
        )
    return scores, boxes


@register_detector(KIND, f"{KIND}:FILE.onnx", lambda argument: require_file(Path(argument), KIND))
def _build(options: Options) -> Detector:
    return UltraFaceDetector(session_of(options, KIND), options.score_or(MIN_SCORE))
