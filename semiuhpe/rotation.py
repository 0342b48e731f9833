"""The rotation convention of the project, Euler angles, and distances of rotations. No other module defines one.

**R, head to camera.** ``v_camera = R v_head``. Camera axes: x right, y down, z into the scene. Head axes: x to the
subject's left, y up, z out of the face. A head that looks into the camera is ``diag(1, -1, -1)``. This is the matrix of
DAD-3DHeads, ``(diag(1, -1, -1, 1) @ model_view_matrix)[:3, :3]``.

**R_300wlp** is the convention of 300W-LP, AFLW2000 and of models trained on them:
``R_300wlp = Rz(roll) Ry(yaw) Rx(pitch)`` and ``R = diag(1, -1, -1) @ R_300wlp.T``.

**Euler angles** are ``(pitch, yaw, roll)`` in degrees, in this order, of R_300wlp. Two triples describe each rotation:
the front range has ``|yaw| <= 90``, the full range ``|pitch| <= 90`` and yaw in (-180, 180]. At ``|yaw| = 90`` only the
sum or difference of pitch and roll is defined (gimbal lock); roll is then 0.

All functions take any number of leading batch dimensions and keep dtype and device.
"""

import roma
import torch
from torch import Tensor

HEAD_TO_CAMERA = "head_to_camera"
R_300WLP = "300wlp"
CONVENTIONS = (HEAD_TO_CAMERA, R_300WLP)
FRONTAL = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
"""R of a head that looks into the camera."""


def wrap_deg(angle: Tensor) -> Tensor:
    """Wrap angles or differences of angles in degrees into [-180, 180)."""
    return torch.remainder(angle + 180.0, 360.0) - 180.0


def from_300wlp(matrix: Tensor) -> Tensor:
    """Convert R_300wlp to R head to camera, ``diag(1, -1, -1) @ matrix.T``.

    The same map converts parameters of a matrix Fisher distribution of R_300wlp to those of R head to camera, because
    ``tr(A.T R_300wlp) = tr((diag(1, -1, -1) A.T).T R)``.

    Args:
        matrix: (..., 3, 3) rotations or parameters.
    """
    return negate_yz_rows(matrix.mT)


def to_300wlp(matrix: Tensor) -> Tensor:
    """Convert R head to camera to R_300wlp, ``matrix.T @ diag(1, -1, -1)``; the inverse of :func:`from_300wlp`.

    Args:
        matrix: (..., 3, 3) rotations or parameters of a matrix Fisher distribution.
    """
    return negate_yz_columns(matrix.mT)


# Without a constant tensor, which would have to be copied to the device.
def negate_yz_rows(matrix: Tensor) -> Tensor:
    """Return ``diag(1, -1, -1) @ matrix``."""
    return torch.cat([matrix[..., :1, :], -matrix[..., 1:, :]], dim=-2)


def negate_yz_columns(matrix: Tensor) -> Tensor:
    """Return ``matrix @ diag(1, -1, -1)``."""
    return torch.cat([matrix[..., :1], -matrix[..., 1:]], dim=-1)


def euler_to_matrix(euler_deg: Tensor) -> Tensor:
    """Convert Euler angles to rotations, head to camera.

    Args:
        euler_deg: (..., 3) pitch, yaw, roll in degrees.

    Returns:
        (..., 3, 3) rotations.
    """
    return from_300wlp(roma.euler_to_rotmat("xyz", euler_deg, degrees=True))


def matrix_to_euler(rotation: Tensor, full_range: bool = False) -> Tensor:
    """Convert rotations, head to camera, to Euler angles.

    Args:
        rotation: (..., 3, 3) rotations, head to camera.
        full_range: return the triple in the full range instead of that in the front range; see this module's docstring.

    Returns:
        (..., 3) pitch, yaw, roll in degrees. Computed in float64 and returned in the input's dtype.
    """
    euler = roma.rotmat_to_euler("xyz", to_300wlp(rotation.double()), degrees=True)
    if full_range:
        euler = torch.where(euler[..., :1].abs() > 90.0, _other_triple(euler), euler)
    return euler.to(rotation.dtype)


def euler_in_range(euler_deg: Tensor, full_range: bool = False) -> Tensor:
    """Return the Euler angles of the same rotation in the range that :func:`matrix_to_euler` uses.

    Args:
        euler_deg: (..., 3) pitch, yaw, roll in degrees, of any size.
        full_range: full range instead of front range; see this module's docstring.

    Returns:
        (..., 3) pitch, yaw, roll in degrees. Angles within the range are returned bit for bit.
    """
    euler = torch.where(euler_deg.abs() > 180.0, _wrap_half_open(euler_deg), euler_deg)
    beyond = euler[..., 0 if full_range else 1].abs() > 90.0
    return torch.where(beyond[..., None], _other_triple(euler), euler)


def _other_triple(euler_deg: Tensor) -> Tensor:
    """Return the other (..., 3) Euler angles of the same rotation, within (-180, 180]."""
    pitch, yaw, roll = euler_deg.unbind(-1)
    return _wrap_half_open(torch.stack([pitch + 180.0, 180.0 - yaw, roll + 180.0], dim=-1))


def _wrap_half_open(angle: Tensor) -> Tensor:
    """Wrap angles into (-180, 180], so that a head seen exactly from behind has yaw 180 and not -180."""
    return -wrap_deg(-angle)


def in_plane_rotation(angle_deg: Tensor) -> Tensor:
    """Return the rotation about the camera's z axis that results from turning the image clockwise.

    If a head has the rotation R, its rotation in the turned image is ``in_plane_rotation(angle) @ R``.

    Args:
        angle_deg: (...,) degrees.

    Returns:
        (..., 3, 3) rotations.
    """
    zero = torch.zeros_like(angle_deg)
    return roma.euler_to_rotmat("xyz", torch.stack([zero, zero, angle_deg], dim=-1), degrees=True)


def mirror(rotation: Tensor) -> Tensor:
    """Return the rotation of a head in the image mirrored left to right, ``M R M`` with ``M = diag(-1, 1, 1)``.

    For Euler angles, yaw and roll change their signs.

    Args:
        rotation: (..., 3, 3) rotations, head to camera.
    """
    return negate_yz_rows(negate_yz_columns(rotation))


def mirror_vertical(rotation: Tensor) -> Tensor:
    """Return the rotation of a head in the image mirrored top to bottom, which is :func:`mirror` and a half turn.

    Args:
        rotation: (..., 3, 3) rotations, head to camera.
    """
    mirrored = mirror(rotation)
    return torch.cat([-mirrored[..., :2, :], mirrored[..., 2:, :]], dim=-2)


def aligning_turn_deg(rotation: Tensor, target: Tensor) -> Tensor:
    """Return the angle by which to turn the image so that a rotation is nearest to another; their rolls then agree.

    The remaining distance of ``in_plane_rotation(angle) @ rotation`` to the target is the angle between the viewing
    directions of the two heads, which turning the image doesn't change.

    Args:
        rotation, target: (..., 3, 3) rotations, head to camera.

    Returns:
        (...,) degrees.
    """
    relative = rotation @ target.mT  # maximize the trace of in_plane_rotation(angle) @ relative
    return torch.rad2deg(
        torch.atan2(relative[..., 0, 1] - relative[..., 1, 0], relative[..., 0, 0] + relative[..., 1, 1])
    )


def geodesic_deg(first: Tensor, second: Tensor) -> Tensor:
    """Return the angle of the rotation between two rotations: the length of the shortest path on SO(3).

    It is computed from quaternions, which is well conditioned at both ends, unlike the arc cosine of the trace: it is
    exactly 0 for equal rotations and 180 for half turns.

    Args:
        first, second: (..., 3, 3) rotations that broadcast against each other.

    Returns:
        (...,) degrees in [0, 180].
    """
    first, second = torch.broadcast_tensors(first, second)
    angle = roma.unitquat_geodesic_distance(roma.rotmat_to_unitquat(first), roma.rotmat_to_unitquat(second))
    return torch.rad2deg(angle)


def is_rotation(matrix: Tensor, tolerance: float = 1e-4) -> Tensor:
    """Return (...,) bool: whether each (3, 3) matrix is a rotation, up to the tolerance in every entry."""
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    orthonormal = ((matrix @ matrix.mT - identity).abs() <= tolerance).all(-1).all(-1)
    return orthonormal & (torch.linalg.det(matrix) > 0)
