"""Labels of which some angles are unknown: yaw alone, or pitch and yaw.

Of R head to camera the Euler angles of :mod:`semiuhpe.rotation` are

    R(pitch, yaw, roll) = X(-pitch) R(0, yaw, 0) Z(-roll),

where X and Z turn about the first and the third axis: the head is first rolled about the axis out of its own face, and
pitched last, about the camera's horizontal axis. So where the roll is unknown, R is any R(pitch, yaw, 0) Z(t): what is
known is the direction that the face points in. Where the pitch is unknown too, R is any X(s) R(0, yaw, 0) Z(t).

A label is a rotation in which unknown angles are 0, and the two axes about which it may be turned, ``free`` (..., 2,
3): the camera's axis of the unknown pitch, and the head's axis of the unknown roll; an axis is zero if the angle is
known. ``R(s, t) = exp(s [free_0]) R exp(t [free_1])``, with s in [-90, 90] degrees, because the yaw of a label without
pitch is that of the full range, and t in [-180, 180]. Turning and mirroring the picture, and another frame of the head,
turn and mirror the axes along with the rotation. Nothing is lost: no label becomes vaguer or more certain than it was.
"""

import torch
from torch import Tensor

from semiuhpe.rotation import euler_to_matrix


def known_angles(euler_deg: Tensor) -> Tensor:
    """Return (..., 3) bool: which of the angles (..., 3) are known; unknown ones are NaN."""
    return euler_deg.isfinite()


def is_allowed(euler_deg: Tensor) -> Tensor:
    """Return (...,) bool: whether the known ones of angles (..., 3) are yaw, or pitch and yaw, or all."""
    pitch, yaw, roll = known_angles(euler_deg).unbind(-1)
    return yaw & (pitch | ~roll)


def label_of_angles(euler_deg: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rotations (..., 3, 3) and the free axes (..., 2, 3) of angles of which some may be unknown.

    Args:
        euler_deg: (..., 3) pitch, yaw, roll in degrees, NaN where unknown.
    """
    known = known_angles(euler_deg)
    free = torch.zeros(*euler_deg.shape[:-1], 2, 3, dtype=euler_deg.dtype, device=euler_deg.device)
    free[..., 0, 0] = (~known[..., 0]).to(free.dtype)
    free[..., 1, 2] = (~known[..., 2]).to(free.dtype)
    return euler_to_matrix(torch.where(known, euler_deg, 0.0)), free


def is_whole(free: Tensor) -> Tensor:
    """Return (...,) bool: whether all angles are known, from the free axes (..., 2, 3)."""
    return (free == 0).all(-1).all(-1)


def turn_axes(free: Tensor, turn: Tensor) -> Tensor:
    """Return the free axes (..., 2, 3) of labels ``turn @ R``, for rotations in plane (..., 3, 3)."""
    camera, head = free.unbind(-2)
    return torch.stack([(turn @ camera[..., None]).squeeze(-1), head.expand_as(camera)], dim=-2)


def mirror_axes(free: Tensor) -> Tensor:
    """Return the free axes (..., 2, 3) of labels ``mirror(R)``: a mirrored turn is one about the mirrored axis, the
    other way round."""
    return torch.cat([-free[..., :1], free[..., 1:]], dim=-1)


def reframe_axes(free: Tensor, frame: Tensor) -> Tensor:
    """Return the free axes (..., 2, 3) of labels ``R @ frame``, for rotations of the head's frame (..., 3, 3)."""
    camera, head = free.unbind(-2)
    head = (frame.mT @ head[..., None]).squeeze(-1)
    return torch.stack([camera.expand_as(head), head], dim=-2)
