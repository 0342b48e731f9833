"""Errors without a constant rotation between predictions and labels: is a network bad, or does its frame differ?

Datasets and networks disagree about which head looks straight ahead (in the head frame) and what is level (in the
camera frame). Predictions P and labels T then differ by a constant rotation: T = P C in the head frame, T = C P in the
camera frame. It is estimated by the chordal mean (Hartley et al., "Rotation averaging", IJCV 2013) on one half of the
heads, and errors without it are measured on the other, both ways.
"""

import roma
import torch
from torch import Tensor

from semiuhpe.rotation import geodesic_deg

HEAD_FRAME, CAMERA_FRAME = "head_frame", "camera_frame"
FEWEST = 20
"""Heads that a rotation and its error can be measured on."""


def alignment(predicted: Tensor, truth: Tensor) -> dict[str, dict[str, float | list[float]]] | None:
    """Return, by frame, the constant rotation and the errors without it.

    Args:
        predicted, truth: (N, 3, 3) rotations, head to camera.

    Returns:
        By :data:`HEAD_FRAME` and :data:`CAMERA_FRAME`: ``offset_deg``, the angle of the rotation over all heads;
        ``rotation_vector_deg``, its axis times its angle; ``geodesic_mean_deg`` and ``geodesic_median_deg``. None for
        fewer than :data:`FEWEST` heads.
    """
    if len(truth) < FEWEST:
        return None
    predicted, truth = predicted.double(), truth.double()
    found: dict[str, dict[str, float | list[float]]] = {}
    for frame in (HEAD_FRAME, CAMERA_FRAME):
        error = errors_without_it(predicted, truth, frame)
        vector = torch.rad2deg(roma.rotmat_to_rotvec(constant_rotation(predicted, truth, frame)))
        found[frame] = {
            "offset_deg": float(vector.norm()),
            "rotation_vector_deg": vector.tolist(),
            "geodesic_mean_deg": float(error.mean()),
            "geodesic_median_deg": float(error.quantile(0.5)),
        }
    return found


def errors_without_it(predicted: Tensor, truth: Tensor, frame: str) -> Tensor:
    """Return (N,) geodesic errors in degrees without the constant rotation that the other half of the heads has."""
    error, first = torch.empty_like(truth[:, 0, 0]), torch.arange(len(truth)) % 2 == 0
    for half in (first, ~first):
        constant = constant_rotation(predicted[~half], truth[~half], frame)
        error[half] = geodesic_deg(turned_by(predicted[half], constant, frame), truth[half])
    return error


def constant_rotation(predicted: Tensor, truth: Tensor, frame: str) -> Tensor:
    """Return the (3, 3) rotation that turns predictions into labels best."""
    differences = predicted.mT @ truth if frame == HEAD_FRAME else truth @ predicted.mT
    return roma.special_procrustes(differences.mean(0))


def turned_by(predicted: Tensor, constant: Tensor, frame: str) -> Tensor:
    """Return predictions with a constant rotation in a frame."""
    return predicted @ constant if frame == HEAD_FRAME else constant @ predicted
