"""Errors of predicted rotations and their means."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from semiuhpe.rotation import euler_in_range, from_300wlp, geodesic_deg, matrix_to_euler, to_300wlp, wrap_deg

Angles = Literal["300wlp", "transposed"]
"""Euler angles are compared of ``R_300wlp = Rz Ry Rx``, or of its transpose in the same order, as on Biwi+."""
AXIS_NAMES = ("left", "down", "front")
EULER_NAMES = ("pitch", "yaw", "roll")
SHARE_LIMITS_DEG = (5, 10, 15, 30)
"""Errors below these are counted."""
FAILURE_LIMITS_DEG = (30, 90)
"""Errors above these are counted."""
QUANTILES = {"geodesic_median_deg": 0.5, "geodesic_p90_deg": 0.9, "geodesic_p95_deg": 0.95}
"""Levels of the reported quantiles of the geodesic error."""


def pose_errors(
    predicted: Tensor,
    truth: Tensor,
    truth_euler_deg: Tensor | None = None,
    full_range: bool = False,
    angles: Angles = "300wlp",
) -> dict[str, Tensor]:
    """Return errors of each head.

    Args:
        predicted, truth: (N, 3, 3) rotations, head to camera.
        truth_euler_deg: (N, 3) pitch, yaw, roll as the dataset gives them; the prediction's angles are then compared
            with them too. Labels outside the range are compared by the equivalent triple inside it.
        full_range: range of the angles that are compared; the papers use the front range on AFLW2000 and BIWI.
        angles: of which rotation; those of the truth's transpose are computed from ``truth``.

    Returns:
        ``geodesic_deg`` (N,) in [0, 180]; ``frobenius`` (N,) norm of I - R1 R2^T; ``axis_deg`` (N, 3) angle between
        the predicted and true left, down and front vectors of the head; with Euler truth ``euler_abs_deg`` (N, 3),
        absolute differences wrapped to at most 180.
    """
    predicted, truth = predicted.double(), truth.double()
    identity = torch.eye(3, dtype=torch.float64, device=predicted.device)
    errors = {
        "geodesic_deg": geodesic_deg(predicted, truth),
        "frobenius": torch.linalg.matrix_norm(identity - predicted @ truth.mT),
        "axis_deg": torch.rad2deg(_angle_between(predicted, truth)),
    }
    if truth_euler_deg is not None and angles == "transposed":
        predicted, truth = (from_300wlp(to_300wlp(rotation).mT) for rotation in (predicted, truth))
        truth_euler_deg = matrix_to_euler(truth)
    if truth_euler_deg is not None:
        difference = matrix_to_euler(predicted, full_range) - euler_in_range(truth_euler_deg.double(), full_range)
        errors["euler_abs_deg"] = wrap_deg(difference).abs()
    return errors


def _angle_between(first: Tensor, second: Tensor) -> Tensor:
    """Return the angle in radians between columns, by atan2 of sine and cosine: accurate at 0 and at pi."""
    sine = torch.linalg.vector_norm(torch.linalg.cross(first, second, dim=-2), dim=-2)
    return torch.atan2(sine, (first * second).sum(-2))


def averaged_columns(errors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return all columns whose mean over the heads is reported, (N,) float64 by the name of the mean."""
    geodesic, axis = errors["geodesic_deg"], errors["axis_deg"]
    columns = {"geodesic_mean_deg": geodesic, "frobenius_mean": errors["frobenius"], "axis_mean_deg": axis.mean(-1)}
    columns |= {f"{name}_axis_mean_deg": axis[:, i] for i, name in enumerate(AXIS_NAMES)}
    columns |= {f"under_{limit}_deg": (geodesic < limit).double() for limit in SHARE_LIMITS_DEG}
    columns |= {f"over_{limit}_deg": (geodesic > limit).double() for limit in FAILURE_LIMITS_DEG}
    if "euler_abs_deg" in errors:
        euler = errors["euler_abs_deg"]
        columns |= {f"{name}_mae_deg": euler[:, i] for i, name in enumerate(EULER_NAMES)}
        columns["euler_mae_deg"] = euler.mean(-1)
    return {name: column.double() for name, column in columns.items()}


def summarize(errors: dict[str, Tensor]) -> dict[str, float]:
    """Return means over all heads, quantiles of the geodesic error, and shares of heads by it, as floats."""
    summary = {name: float(column.mean()) for name, column in averaged_columns(errors).items()}
    geodesic = errors["geodesic_deg"].numpy(force=True)  # torch's quantile refuses more than 16 million
    return summary | {name: float(np.quantile(geodesic, level)) for name, level in QUANTILES.items()}
