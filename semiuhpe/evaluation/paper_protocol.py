"""The paper's arithmetic: how its code computes errors, where that differs from ours.

On front-range sets with Euler labels (AFLW2000, BIWI) the paper's code averages absolute differences of Euler angles
that are *not* wrapped: a predicted roll of -179 for a true one of 80 degrees counts 259 instead of 101. Labels are
limited to +-89.99 degrees first. (Its loader does so for 300W-LP and BIWI; that of AFLW2000 drops heads beyond 90
degrees instead, so there the limit changes a label by less than 0.01 degree, if any.)

Elsewhere (DAD-3DHeads) it averages the Frobenius norm of I - R1 R2^T, and the angle of R1 R2^T as pytorch3d's
``so3_relative_angle`` gives it: the arc cosine of the trace, replaced beyond a cosine of +-(1 - 1e-4) by its tangent
there, so that gradients stay finite. A perfect prediction has an error of 0.405 degrees and a half turn one of 179.595.

Everything is computed in float32, as in the paper's code.
"""

import math

import numpy as np
import torch
from torch import Tensor

from semiuhpe.data.importers.base import MAX_ANGLE_DEG
from semiuhpe.evaluation.metrics import EULER_NAMES
from semiuhpe.rotation import euler_in_range, to_300wlp

COS_BOUND = 1.0 - 1e-4


def paper_summary(
    predicted: Tensor, truth: Tensor, truth_euler_deg: Tensor | None, full_range: bool
) -> dict[str, float]:
    """Return the numbers that the paper's code prints for a test set.

    Args:
        predicted, truth: (N, 3, 3) rotations, head to camera.
        truth_euler_deg: (N, 3) pitch, yaw, roll as the dataset gives them, or None.
        full_range: whether the set covers the full range; its Euler angles, if any, are then ignored.

    Returns:
        ``pitch_mae_deg``, ``yaw_mae_deg``, ``roll_mae_deg`` and ``euler_mae_deg`` for front-range sets with Euler
        labels, ``geodesic_mean_deg`` and ``frobenius_mean`` for others.
    """
    if truth_euler_deg is not None and not full_range:
        error = euler_error(predicted, truth_euler_deg).numpy()
        summary = {f"{name}_mae_deg": float(error[:, i].mean()) for i, name in enumerate(EULER_NAMES)}
        return summary | {"euler_mae_deg": float(((error[:, 0] + error[:, 1] + error[:, 2]) / 3).mean())}
    product = predicted.float() @ truth.float().mT
    norm = np.linalg.norm(np.eye(3) - product.numpy(), axis=(1, 2))
    return {
        "geodesic_mean_deg": float(relative_angle_deg(predicted, truth).numpy().mean()),
        "frobenius_mean": float(norm.mean()),
    }


def paper_error_deg(predicted: Tensor, truth: Tensor, truth_euler_deg: Tensor | None, full_range: bool) -> Tensor:
    """Return the errors (N,) in degrees whose mean selects ``best`` in the paper's code.

    They are the means of the three Euler errors for front-range sets with Euler labels, else the angles of R1 R2^T.
    Arguments are those of :func:`paper_summary`.
    """
    if truth_euler_deg is not None and not full_range:
        return euler_error(predicted, truth_euler_deg).mean(-1)
    return relative_angle_deg(predicted, truth)


def euler_error(predicted: Tensor, truth_euler_deg: Tensor) -> Tensor:
    """Return absolute differences (N, 3) of pitch, yaw, roll in degrees, not wrapped: up to 270.

    Labels outside the front range, which the paper's sets don't have, are replaced by the equivalent triple inside it.
    """
    limited = euler_in_range(truth_euler_deg.float()).clamp(-MAX_ANGLE_DEG, MAX_ANGLE_DEG)
    matrix = to_300wlp(predicted.float())
    cos_yaw = torch.hypot(matrix[:, 0, 0], matrix[:, 1, 0])
    euler = torch.stack(
        [
            torch.atan2(matrix[:, 2, 1], matrix[:, 2, 2]),
            torch.atan2(-matrix[:, 2, 0], cos_yaw),
            torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]),
        ],
        dim=-1,
    )
    # Gimbal lock: only the difference or the sum of pitch and roll is defined.
    locked_pitch = torch.atan2(-matrix[:, 1, 2], matrix[:, 1, 1])
    locked = torch.stack([locked_pitch, euler[:, 1], torch.zeros_like(locked_pitch)], dim=-1)
    euler = torch.where((cos_yaw < 1e-6)[:, None], locked, euler) * 180 / math.pi
    return (limited - euler).abs()


def relative_angle_deg(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the angle (N,) of R1 R2^T in degrees as pytorch3d computes it, see the top of this module."""
    product = predicted.float() @ truth.float().mT
    cosine = (product.diagonal(dim1=-2, dim2=-1).sum(-1) - 1.0) * 0.5
    bounded = cosine.clamp(-COS_BOUND, COS_BOUND)
    slope = -1.0 / math.sqrt(1.0 - COS_BOUND**2)
    beyond = (cosine - bounded) * slope
    return torch.rad2deg(torch.acos(bounded) + beyond)
