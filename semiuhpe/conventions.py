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
=============  ==========================================================  =================================

They differ in the signs of y and z of the head's or the camera's axes; that of 300W-LP is also transposed.
docs/conventions.md has pictures and an example of each. All functions take any number of leading batch dimensions and
keep dtype and device.
"""

import roma
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
