"""Export of a one-stage model to ONNX, with decoding and non-maximum suppression.

The inputs are ``image`` (1, 3, S, S), float32, RGB in [0, 1], normalized with ImageNet's mean and standard deviation,
and ``min_score`` (), float32: heads with a lower score are left out, 0.5 is usual. The outputs for the n heads found,
highest scores first, are ``boxes`` (n, 4), corners x1, y1, x2, y2 in pixels of the input; ``scores`` (n,);
``landmarks`` (n, 5, 2) in pixels; ``rotation`` (n, 3, 3), head to camera; ``euler_deg`` (n, 3), pitch, yaw, roll in
degrees; and ``entropy`` (n,).
"""

import math
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import nms

from semiuhpe.errors import ConfigError
from semiuhpe.inference.export import check_distribution, check_onnx_packages, difference, exporting, onnx_model
from semiuhpe.inference.pose_graph import PoseGraph
from semiuhpe.models import LoadedModel
from semiuhpe.models.onestage import anchor_boxes, decode_boxes, decode_landmarks
from semiuhpe.models.onestage_decoding import CANDIDATES, MAX_IOU, find_heads
from semiuhpe.rotation import HEAD_TO_CAMERA, matrix_to_euler

INPUTS = ("image", "min_score")
OUTPUTS = ("boxes", "scores", "landmarks", "rotation", "euler_deg", "entropy")
TOLERANCES = {"boxes": 0.05, "scores": 1e-4, "landmarks": 0.05, "rotation": 1e-3, "euler_deg": 0.5, "entropy": 1e-3}
_COMPARED = 40  # number of anchors of a random picture to compare, before NMS


class SceneGraph(nn.Module):
    """A one-stage network with its decoding and NMS: from one picture to the heads on it.

    Args:
        loaded: a one-stage model.

    Raises:
        ConfigError: it predicts rotations without a distribution, or was loaded with a convention not its own.
    """

    anchors: Tensor

    def __init__(self, loaded: LoadedModel):
        super().__init__()
        check_distribution(loaded)
        if loaded.convention != HEAD_TO_CAMERA:
            raise ConfigError(f"--convention {loaded.convention}: {loaded.path} is a one-stage model; leave it out")
        self.network = loaded.model
        self.pose = PoseGraph(nn.Identity(), loaded.description)
        size = loaded.image_size
        self.register_buffer("anchors", anchor_boxes(size, size, torch.device("cpu")).clone(), persistent=False)

    def forward(self, image: Tensor, min_score: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs listed in the docstring of this module."""
        outputs = self.network(image)
        score, anchor = outputs.logit[0].sigmoid().topk(min(CANDIDATES, len(self.anchors)))
        chosen = self.anchors[anchor]
        box = decode_boxes(outputs.box[:, anchor], chosen)[0]
        kept = nms(box, score, MAX_IOU)
        # Low scores never suppress higher ones, so the threshold can be applied after NMS.
        kept = kept[score[kept] >= min_score]
        landmarks = decode_landmarks(outputs.landmarks[0, anchor], chosen)
        # Poses of all candidates: the exporter knows their number, but not that of the heads.
        numbers = (box, score, landmarks, *self.pose(outputs.pose[0, anchor]))
        return tuple(values[kept] for values in numbers)


def export_onestage(loaded: LoadedModel, path: str | os.PathLike) -> dict[str, float]:
    """Write an ONNX file and compare it with PyTorch on a few random pictures.

    Args:
        loaded: a one-stage model.
        path: the file to write; it is created only after the comparison.

    Returns:
        Largest differences from PyTorch, by output.

    Raises:
        ConfigError: a package is missing, the file can't be written, the network can't be exported, or the file's
            outputs differ from PyTorch's.
    """
    check_onnx_packages()
    import onnx
    import onnxruntime

    path = Path(path)
    graph = SceneGraph(loaded).eval()
    differences: dict[str, float] = {}
    with exporting(path, "--onnx", loaded.network, differences, TOLERANCES) as temporary:
        with torch.no_grad():
            model = onnx_model(graph, (_picture(loaded, 0), torch.tensor(0.5)), INPUTS, OUTPUTS)
        described = {name: str(value) for name, value in asdict(loaded.description).items()}
        onnx.helper.set_model_props(model, described | {"checkpoint": loaded.path.name})
        onnx.save(model, str(temporary))
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])

        def run(*inputs: Tensor) -> list[np.ndarray]:
            return session.run(list(OUTPUTS), {name: given.numpy() for name, given in zip(INPUTS, inputs, strict=True)})

        differences |= compare(loaded, run)
    return differences


@torch.no_grad()
def compare(loaded: LoadedModel, run: Callable[[Tensor, Tensor], list[np.ndarray]]) -> dict[str, float]:
    """Return the largest differences between the heads of ``find_heads`` and of ``run(image, min_score)``, by output.

    They are infinite if the numbers of heads differ. Pictures are random, with thresholds that the best anchors pass,
    so that there are heads to compare.
    """
    differences = dict.fromkeys(OUTPUTS, 0.0)
    anchors = anchor_boxes(loaded.image_size, loaded.image_size, torch.device("cpu"))
    for seed in range(3):
        image = _picture(loaded, seed)
        outputs = loaded.model(image)
        min_score = outputs.logit[0].sigmoid().topk(_COMPARED).values[-1] - 1e-6
        found = find_heads(outputs, anchors, loaded.distribution, float(min_score))
        euler_deg = matrix_to_euler(found.rotation, loaded.full_range)
        expected = (found.box, found.score, found.landmarks, found.rotation, euler_deg, found.entropy)
        given = [torch.from_numpy(part) for part in run(image, min_score)]
        same = expected[0].shape == given[0].shape and len(expected[0]) > 0
        partner = torch.cdist(expected[0], given[0]).argmin(1) if same else None  # the order of equal scores may differ
        for name, mine, theirs in zip(OUTPUTS, expected, given, strict=True):
            worst = float(difference(name, mine, theirs[partner]).max()) if same else math.inf
            differences[name] = worst if math.isnan(worst) else max(differences[name], worst)
    return differences


def _picture(loaded: LoadedModel, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, loaded.image_size, loaded.image_size, generator=generator)
