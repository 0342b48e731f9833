"""Computations behind the demo page; :mod:`semiuhpe.inference.demo_page` is the page itself."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image

import sim3dr
from semiuhpe.drawing.overlay import draw_heads, person_color
from semiuhpe.errors import SemiUHPEError
from semiuhpe.evaluation.report import render
from semiuhpe.inference.detectors import WHOLE, Detector, Source, load_detector
from semiuhpe.inference.estimator import HeadPoseEstimator
from semiuhpe.inference.pipeline import HeadPipeline
from semiuhpe.inference.records import picture_line
from semiuhpe.pictures import read_picture
from semiuhpe.rotation import euler_to_matrix
from semiuhpe.synthetic.render_head import render_head

SHOWN_PX = 1600
"""Longer side of drawings on the page in pixels; larger pictures are shrunk."""
EXAMPLE_PX = 256
EXAMPLES_DEG = ((0, 0, 0), (-15, 50, 5), (25, -35, -10), (5, 100, 0), (10, -150, 15), (0, 30, 120))
"""Pitch, yaw and roll of the rendered examples."""


class Shown(NamedTuple):
    """What the page shows for a picture.

    Attributes:
        message: one line; an error or the number of heads.
        drawing: (H, W, 3) uint8 RGB picture with the heads drawn.
        heads: the record's heads, for the table.
        record: file with the line that ``image.py`` would write for the picture.
    """

    message: str
    drawing: np.ndarray | None = None
    heads: Sequence[dict[str, Any]] = ()
    record: Path | None = None


class Demo:
    """Finds and draws the heads of one picture at a time, with any detector.

    Args:
        estimator: the model.
        detector: the detector named on the command line.
        spec: its name.
        min_score: minimum score of detectors that are loaded later.
        mesh: mesh to draw over heads; the package's own if None.
        folder: folder for records; the caller removes it.
    """

    def __init__(
        self,
        estimator: HeadPoseEstimator,
        detector: Detector,
        spec: str,
        min_score: float | None,
        mesh: sim3dr.Mesh | None,
        folder: Path,
    ) -> None:
        self.estimator, self.mesh, self.folder = estimator, mesh, folder
        self.spec, self._min_score = spec, min_score
        self._detectors = {spec: detector}
        if not estimator.finds_heads:
            self._detectors.setdefault(WHOLE, load_detector(WHOLE))
        self.choices = list(self._detectors)
        self._typed: tuple[str, Detector] | None = None

    def __call__(self, path: str | None, spec: str, how: str) -> Shown:
        """Find the heads of a picture file with the detector ``spec``, and draw them as ``how``, one of ``DRAWINGS``.

        The message explains errors of the picture or the detector.
        """
        if path is None:
            return Shown("There is no picture yet.")
        name = Path(path).name
        try:
            pipeline = HeadPipeline(self._detector(spec), self.estimator)
            picture = read_picture(path)
            (poses,) = pipeline([picture.image], [Source(path)], [picture.scale])
        except SemiUHPEError as error:
            return Shown(str(error).replace(str(path), name))
        line = picture_line(name, picture, poses)
        record = Path(tempfile.mkdtemp(dir=self.folder)) / f"{Path(path).stem}_heads.json"
        record.write_text(json.dumps(line) + "\n")
        count = f"{len(poses)} head{'' if len(poses) == 1 else 's'}" if len(poses) else "No head was found"
        message = f"{count} on {name}, {picture.width} x {picture.height} pixels."
        drawing = self._drawing(picture.image, pipeline.head_boxes(poses.boxes), poses.rotations, how)
        return Shown(message, drawing, line["heads"], record)

    def _detector(self, spec: str) -> Detector:
        """Return the detector of a name. Of detectors that visitors have typed in, only the last is kept in memory."""
        if spec in self._detectors:
            return self._detectors[spec]
        if self._typed is None or self._typed[0] != spec:
            self._typed = spec, load_detector(spec, self.estimator.device, self._min_score)
        return self._typed[1]

    def _drawing(self, image: np.ndarray, boxes: np.ndarray, rotations: np.ndarray, how: str) -> np.ndarray:
        """Return the picture, shrunk to what a page needs, with its heads and their row numbers in the table."""
        scale = SHOWN_PX / max(image.shape[:2])
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            boxes = boxes * np.float32(scale)
        numbers = [str(number) for number in range(1, len(boxes) + 1)] if len(boxes) > 1 else None
        return draw_heads(image, boxes, rotations, how, labels=numbers, mesh=self.mesh)


def heads_table(heads: Sequence[dict[str, Any]]) -> str:
    """Return an HTML table of the heads of a record: angles in degrees, boxes in pixels of the file."""
    if not heads:
        return ""
    rows = [(person_color(number), _cells(head)) for number, head in enumerate(heads)]
    return render("heads_table.html", heads=rows)


def _cells(head: dict[str, Any]) -> list[str]:
    cells = [", ".join(f"{value:.0f}" for value in head["box"]), f"{head['score']:.2f}"]
    for pitch, yaw, roll in (head["euler_front_deg"], head["euler_full_deg"]):
        cells += [f"{_plain_zero(angle):.1f}°" for angle in (yaw, pitch, roll)]
    return cells + ["not known" if head[key] is None else f"{head[key]:.2f}" for key in ("entropy", "confidence")]


def _plain_zero(angle: float) -> float:
    """Return the angle rounded as it is shown, without a minus sign before zero."""
    return round(angle, 1) + 0.0


def render_examples(folder: Path) -> list[Path]:
    """Write pictures of one rendered head each, with the rotations :data:`EXAMPLES_DEG`, and return their paths."""
    rotations = euler_to_matrix(torch.tensor(EXAMPLES_DEG, dtype=torch.float32)).numpy()
    paths = []
    for number, rotation in enumerate(rotations, 1):
        head = render_head(rotation, np.random.default_rng([number, 7]), "clean", EXAMPLE_PX)
        paths.append(folder / f"rendered_head_{number}.png")
        Image.fromarray(head.image).save(paths[-1])
    return paths
