"""The rotation convention of the whole project, Euler angles, and distances. Nothing else defines one.

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
    """Wraps angles or differences of angles, in degrees, into [-180, 180)."""
    return torch.remainder(angle + 180.0, 360.0) - 180.0


def from_300wlp(matrix: Tensor) -> Tensor:
    """Turns R_300wlp into R head to camera, ``diag(1, -1, -1) @ matrix.T``.

    The same map turns parameters of a matrix Fisher distribution of R_300wlp into those of R head to camera, because
    ``tr(A.T R_300wlp) = tr((diag(1, -1, -1) A.T).T R)``.

    Args:
        matrix: (..., 3, 3) rotations or parameters.
    """
    return negate_yz_rows(matrix.mT)


def to_300wlp(matrix: Tensor) -> Tensor:
    """Turns R head to camera into R_300wlp, ``matrix.T @ diag(1, -1, -1)``; the inverse of :func:`from_300wlp`.

    Args:
        matrix: (..., 3, 3) rotations or parameters of a matrix Fisher distribution.
    """
    return negate_yz_columns(matrix.mT)


# Written without a constant tensor, which would have to travel to the device.
def negate_yz_rows(matrix: Tensor) -> Tensor:
    """``diag(1, -1, -1) @ matrix``."""
    return torch.cat([matrix[..., :1, :], -matrix[..., 1:, :]], dim=-2)


def negate_yz_columns(matrix: Tensor) -> Tensor:
    """``matrix @ diag(1, -1, -1)``."""
    return torch.cat([matrix[..., :1], -matrix[..., 1:]], dim=-1)


def euler_to_matrix(euler_deg: Tensor) -> Tensor:
    """Rotation, head to camera, of Euler angles.

    Args:
        euler_deg: (..., 3) pitch, yaw, roll in degrees.

    Returns:
        (..., 3, 3) rotations.
    """
    return from_300wlp(roma.euler_to_rotmat("xyz", euler_deg, degrees=True))


def matrix_to_euler(rotation: Tensor, full_range: bool = False) -> Tensor:
    """Euler angles of rotations, head to camera.

    Args:
        rotation: (..., 3, 3) rotations, head to camera.
        full_range: which of the two equivalent triples to return; see the top of this module.

    Returns:
        (..., 3) pitch, yaw, roll in degrees. Computed in float64 and returned in the input's dtype.
    """
    euler = roma.rotmat_to_euler("xyz", to_300wlp(rotation.double()), degrees=True)
    if full_range:
        euler = torch.where(euler[..., :1].abs() > 90.0, _other_triple(euler), euler)
    return euler.to(rotation.dtype)


def euler_in_range(euler_deg: Tensor, full_range: bool = False) -> Tensor:
    """The triple that describes the same rotation in the range that :func:`matrix_to_euler` uses.

    Args:
        euler_deg: (..., 3) pitch, yaw, roll in degrees, of any size.
        full_range: the range; see the top of this module.

    Returns:
        (..., 3) pitch, yaw, roll in degrees. Angles that are in the range already are returned bit by bit.
    """
    euler = torch.where(euler_deg.abs() > 180.0, _wrap_half_open(euler_deg), euler_deg)
    beyond = euler[..., 0 if full_range else 1].abs() > 90.0
    return torch.where(beyond[..., None], _other_triple(euler), euler)


def _other_triple(euler_deg: Tensor) -> Tensor:
    """(..., 3) the other Euler angles of the same rotation, within (-180, 180]."""
    pitch, yaw, roll = euler_deg.unbind(-1)
    return _wrap_half_open(torch.stack([pitch + 180.0, 180.0 - yaw, roll + 180.0], dim=-1))


def _wrap_half_open(angle: Tensor) -> Tensor:
    """Wraps into (-180, 180], so that a head seen exactly from behind has yaw 180 and not -180."""
    return -wrap_deg(-angle)


def in_plane_rotation(angle_deg: Tensor) -> Tensor:
    """The rotation about the camera's z axis that turning the image clockwise, as it is looked at, amounts to.

    A head of rotation R in an image that is turned by the angle has the rotation ``in_plane_rotation(angle) @ R``.

    Args:
        angle_deg: (...,) degrees.

    Returns:
        (..., 3, 3) rotations.
    """
    zero = torch.zeros_like(angle_deg)
    return roma.euler_to_rotmat("xyz", torch.stack([zero, zero, angle_deg], dim=-1), degrees=True)


def mirror(rotation: Tensor) -> Tensor:
    """Rotation of the head in the left-right mirrored image, ``M R M`` with ``M = diag(-1, 1, 1)``.

    In Euler angles yaw and roll change their signs.

    Args:
        rotation: (..., 3, 3) rotations, head to camera.
    """
    return negate_yz_rows(negate_yz_columns(rotation))


def mirror_vertical(rotation: Tensor) -> Tensor:
    """Rotation of the head in the image mirrored top to bottom: mirrored left to right, then turned by 180 degrees.

    Args:
        rotation: (..., 3, 3) rotations, head to camera.
    """
    mirrored = mirror(rotation)
    return torch.cat([-mirrored[..., :2, :], mirrored[..., 2:, :]], dim=-2)


def aligning_turn_deg(rotation: Tensor, target: Tensor) -> Tensor:
    """The turn of the image that brings a rotation nearest to another: rolls then agree.

    What is left between ``in_plane_rotation(angle) @ rotation`` and the target is the angle between the directions that
    the two heads are seen from, which no turn of the image changes.

    Args:
        rotation, target: (..., 3, 3) rotations, head to camera.

    Returns:
        (...,) degrees.
    """
    relative = rotation @ target.mT  # the trace of in_plane_rotation(angle) @ relative has to be the largest
    return torch.rad2deg(
        torch.atan2(relative[..., 0, 1] - relative[..., 1, 0], relative[..., 0, 0] + relative[..., 1, 1])
    )


def geodesic_deg(first: Tensor, second: Tensor) -> Tensor:
    """Angle of the rotation between two rotations: the length of the shortest path on SO(3).

    Computed from quaternions, where both ends are well conditioned: equal rotations give exactly 0 and half turns 180,
    unlike the arc cosine of the trace.

    Args:
        first, second: (..., 3, 3) rotations that broadcast against each other.

    Returns:
        (...,) degrees in [0, 180].
    """
    first, second = torch.broadcast_tensors(first, second)
    angle = roma.unitquat_geodesic_distance(roma.rotmat_to_unitquat(first), roma.rotmat_to_unitquat(second))
    return torch.rad2deg(angle)


def is_rotation(matrix: Tensor, tolerance: float = 1e-4) -> Tensor:
    """(...,) bool: whether each (3, 3) matrix is a rotation up to the tolerance in any of its entries."""
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    orthonormal = ((matrix @ matrix.mT - identity).abs() <= tolerance).all(-1).all(-1)
    return orthonormal & (torch.linalg.det(matrix) > 0)
