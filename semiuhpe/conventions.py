"""Conversion of rotations between R head to camera (:mod:`semiuhpe.rotation`) and other datasets and programs.

=============  ==========================================================  =================================
source         rotation there                                              R head to camera
=============  ==========================================================  =================================
300W-LP,       ``R_300wlp = Rz(roll) Ry(yaw) Rx(pitch)``                   ``diag(1, -1, -1) @ R_300wlp.T``
6DRepNet
DAD-3DHeads    ``model_view_matrix`` M: camera y up, z to the viewer       ``diag(1, -1, -1) @ M[:3, :3]``
BIWI           matrix B of ``frame_*_pose.txt``: head axes are the         ``B @ diag(1, -1, -1)``
               camera's for a frontal face (y down, z into the scene)
img2pose       rotation vector v of the same axes, in radians              ``exp(v) @ diag(1, -1, -1)``
OpenFace       ``pose_Rx, pose_Ry, pose_Rz`` of the same axes, in radians  ``Rx Ry Rz @ diag(1, -1, -1)``
AFLW           ``yaw, pitch, roll`` of its database, in radians            ``Ry(yaw) Rx(-pitch) Rz(-roll)``
                                                                           ``@ diag(1, -1, -1)``
MediaPipe,     transform M of the face: camera y up, z to the viewer       ``diag(1, -1, -1) @ M[:3, :3]``
ARKit
OpenCV         rotation vector v of ``solvePnP``, with model points in     ``exp(v)``
               our head axes
ROS            rotation O of the head (x forward, y left, z up) in the     ``O @ [[0, 0, 1], [1, 0, 0], [0, 1, 0]]``
               camera's optical frame (REP 103)
Unity          rotation U of the head in the camera's frame, both x        ``diag(1, -1, 1) @ U @ diag(-1, 1, 1)``
               right, y up, z forward, left-handed
=============  ==========================================================  =================================

Most differ in the signs of axes; that of 300W-LP is also transposed, and ROS names the head's axes otherwise.
docs/conventions.md has pictures and an example of each. All functions take any number of leading batch dimensions and
keep dtype and device.
"""

import roma
import torch
from torch import Tensor

from semiuhpe.errors import DataError
from semiuhpe.rotation import from_300wlp, negate_yz_columns, negate_yz_rows, to_300wlp


def from_dad3dheads(model_view: Tensor) -> Tensor:
    """Return R head to camera of DAD-3DHeads' ``model_view_matrix`` (Martyniuk et al., CVPR 2022).

    Args:
        model_view: (..., 4, 4) matrix without scaling, or only its (..., 3, 3) rotation.

    Raises:
        DataError: it has another shape.
    """
    if model_view.shape[-2:] not in ((4, 4), (3, 3)):
        raise DataError(f"a model_view_matrix has the shape (..., 4, 4) or (..., 3, 3), not {tuple(model_view.shape)}")
    return negate_yz_rows(model_view[..., :3, :3])


def to_dad3dheads(rotation: Tensor) -> Tensor:
    """Return the (..., 3, 3) rotation of DAD-3DHeads' ``model_view_matrix``. Submissions contain R head to camera."""
    return negate_yz_rows(rotation)


def from_biwi(matrix: Tensor) -> Tensor:
    """Return R head to camera of the 3x3 matrix in BIWI's ``frame_*_pose.txt`` (Fanelli et al., IJCV 2013)."""
    return negate_yz_columns(matrix)


def to_biwi(rotation: Tensor) -> Tensor:
    """Return the (..., 3, 3) matrix as in BIWI's ``frame_*_pose.txt``."""
    return negate_yz_columns(rotation)


def from_img2pose(rotation_vector: Tensor) -> Tensor:
    """Return R head to camera of the first three numbers of img2pose's poses (Albiero et al., CVPR 2021).

    Args:
        rotation_vector: (..., 3) axis times angle in radians, in the camera of the whole picture. Convert the pose in a
            crop to that camera first, as img2pose does.
    """
    return negate_yz_columns(roma.rotvec_to_rotmat(rotation_vector))


def to_img2pose(rotation: Tensor) -> Tensor:
    """Return (..., 3) rotation vectors in radians, as in img2pose's poses."""
    return roma.rotmat_to_rotvec(negate_yz_columns(rotation))


def from_6drepnet(matrix: Tensor) -> Tensor:
    """Return R head to camera of 6DRepNet's matrix (Hempel et al., ICIP 2022), which is R_300wlp."""
    return from_300wlp(matrix)


def to_6drepnet(rotation: Tensor) -> Tensor:
    """Return the (..., 3, 3) matrix that 6DRepNet uses for a rotation."""
    return to_300wlp(rotation)


def from_openface(angles: Tensor) -> Tensor:
    """Return R head to camera of OpenFace's ``pose_Rx``, ``pose_Ry`` and ``pose_Rz`` (Baltrusaitis et al., FG 2018).

    Args:
        angles: (..., 3) in radians, in the camera of the whole picture.
    """
    return negate_yz_columns(roma.euler_to_rotmat("XYZ", angles))


def to_openface(rotation: Tensor) -> Tensor:
    """Return (..., 3) angles in radians, as OpenFace's ``pose_Rx``, ``pose_Ry`` and ``pose_Rz``."""
    return roma.rotmat_to_euler("XYZ", negate_yz_columns(rotation))


def from_aflw(angles: Tensor) -> Tensor:
    """Return R head to camera of the angles in AFLW's table ``FacePose`` (Köstinger et al., ICCVW 2011).

    Its program ``facedbtool`` splits ``G @ M = Rz(yaw) Ry(pitch) Rx(roll)``, where M turns the axes (front, right of
    the subject, down) into the camera's and ``G = [[0, 0, -1], [-1, 0, 0], [0, 1, 0]]``. In the camera's axes that is
    ``Ry(yaw) Rx(-pitch) Rz(-roll)``. 300W-LP turns by pitch before yaw, so changing the sign of roll alone doesn't give
    its angles.

    Args:
        angles: (..., 3) roll, pitch, yaw in radians, in the database's order.
    """
    roll, pitch, yaw = angles.unbind(-1)
    return negate_yz_columns(roma.euler_to_rotmat("YXZ", torch.stack([yaw, -pitch, -roll], dim=-1)))


def to_aflw(rotation: Tensor) -> Tensor:
    """Return (..., 3) roll, pitch, yaw in radians, as in AFLW's table ``FacePose``."""
    yaw, pitch, roll = roma.rotmat_to_euler("YXZ", negate_yz_columns(rotation)).unbind(-1)
    return torch.stack([-roll, -pitch, yaw], dim=-1)


def from_mediapipe(transform: Tensor) -> Tensor:
    """Return R head to camera of MediaPipe's ``facial_transformation_matrixes``.

    Args:
        transform: (..., 4, 4) of the face in a camera with y up and z to the viewer, without scaling, or only its
            (..., 3, 3) rotation.
    """
    return negate_yz_rows(transform[..., :3, :3])


def to_mediapipe(rotation: Tensor) -> Tensor:
    """Return the (..., 3, 3) rotation of MediaPipe's transform."""
    return negate_yz_rows(rotation)


def from_arkit(transform: Tensor) -> Tensor:
    """Return R head to camera of the transform of an ``ARFaceAnchor``.

    Args:
        transform: (..., 4, 4) or (..., 3, 3), in the camera's frame: the inverse of the camera's transform times the
            anchor's. Row by row; ``simd_float4x4`` is stored column by column.
    """
    return negate_yz_rows(transform[..., :3, :3])


def to_arkit(rotation: Tensor) -> Tensor:
    """Return the (..., 3, 3) rotation of an ``ARFaceAnchor`` in the camera's frame."""
    return negate_yz_rows(rotation)


def from_opencv(rotation_vector: Tensor) -> Tensor:
    """Return R head to camera of the rotation vector of OpenCV's ``solvePnP``.

    Args:
        rotation_vector: (..., 3), where model points have x to the subject's left, y up and z out of the face. Where y
            is down and z into the head, so that a frontal face has the vector 0, it is img2pose's.
    """
    return roma.rotvec_to_rotmat(rotation_vector)


def to_opencv(rotation: Tensor) -> Tensor:
    """Return (..., 3) rotation vectors in radians for OpenCV's ``projectPoints`` of model points in our head axes."""
    return roma.rotmat_to_rotvec(rotation)


def from_ros(matrix: Tensor) -> Tensor:
    """Return R head to camera of a head's (..., 3, 3) rotation in ROS (REP 103).

    Args:
        matrix: of a head frame with x forward, y left and z up, in a camera's optical frame with x right, y down and z
            forward.
    """
    forward, left, up = matrix.unbind(-1)
    return torch.stack([left, up, forward], dim=-1)


def to_ros(rotation: Tensor) -> Tensor:
    """Return the (..., 3, 3) rotation of a ROS head frame in the camera's optical frame."""
    left, up, forward = rotation.unbind(-1)
    return torch.stack([forward, left, up], dim=-1)


def from_unity(matrix: Tensor) -> Tensor:
    """Return R head to camera of a head's (..., 3, 3) rotation in Unity.

    Args:
        matrix: of the quaternion ``Quaternion.Inverse(camera.rotation) * head.rotation``, whose head looks along its z.
            Both frames are left-handed, with x right, y up and z forward.
    """
    return _unity_signs(matrix)


def to_unity(rotation: Tensor) -> Tensor:
    """Return the (..., 3, 3) rotation of a head in the frame of Unity's camera."""
    return _unity_signs(rotation)


def _unity_signs(matrix: Tensor) -> Tensor:
    """Return ``diag(1, -1, 1) @ matrix @ diag(-1, 1, 1)``, which is its own inverse."""
    matrix = torch.cat([matrix[..., :1, :], -matrix[..., 1:2, :], matrix[..., 2:, :]], dim=-2)
    return torch.cat([-matrix[..., :1], matrix[..., 1:]], dim=-1)
