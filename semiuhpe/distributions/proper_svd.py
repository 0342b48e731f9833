"""Proper singular value decomposition of 3x3 matrices, in closed form.

Any real 3x3 matrix is ``A = U diag(s) V^T`` with U and V *rotations* and ``s1 >= s2 >= |s3|``; s3 carries the sign of
det A. This is the decomposition in which distributions on SO(3) are diagonal.

The algorithm is a fixed sequence of elementwise operations, so it needs neither iterations nor a look at the data from
the host: a whole batch runs at once and a GPU is never made to wait. (``torch.linalg.svd`` handles the matrices one by
one on the CPU, and on CUDA it synchronises to read LAPACK-style status codes.)

1. The best separated eigenvalue of the symmetric ``A^T A`` comes from the trigonometric solution of its characteristic
   cubic, its eigenvector from the largest cross product of two rows of ``A^T A - lambda I`` (D. Eberly, "A robust
   eigensolver for 3x3 symmetric matrices", 2014). Its distance to the other eigenvalues is never below sqrt(3) on the
   scale of their spread, so both are accurate to rounding.
2. If that is not the largest eigenvalue, the largest one is found in the plane orthogonal to the vector.
3. With v the leading right singular vector and u = A v / |A v|, the rest of A is a 2x2 block in the planes orthogonal
   to v and u, taken from A itself (not from A^T A, whose small eigenvalues are lost to rounding). Two rotations of the
   plane diagonalise it, which leaves the sign where it belongs, in s3.

Every step is a rotation or acts on an orthogonal complement, so the result is backward stable: U and V are orthonormal
and ``U diag(s) V^T`` reproduces A to a few units of rounding of the largest entry, whether singular values are equal,
zero or far apart. No gradient is defined through it; the distributions have closed-form ones.
"""

import torch
from torch import Tensor


@torch.no_grad()
def proper_svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Decompose ``matrix = U @ diag(s) @ V.mT`` with rotations U, V and ``s1 >= s2 >= |s3|``.

    Args:
        matrix: (..., 3, 3), float32 or float64.

    Returns:
        U (..., 3, 3), s (..., 3) and V (..., 3, 3), detached from the autograd graph.
    """
    scale = matrix.abs().amax((-2, -1), keepdim=True)
    scale = torch.where(scale > 0, scale, 1.0)
    matrix = matrix / scale

    v = _leading_eigenvector(matrix.mT @ matrix)
    image = (matrix @ v[..., None]).squeeze(-1)
    s1 = torch.linalg.vector_norm(image, dim=-1, keepdim=True)
    first_axis = torch.nn.functional.pad(torch.ones_like(s1), (0, 2))
    left, right = _rotation_onto(torch.where(s1 > 0, image / s1, first_axis)), _rotation_onto(v)

    block = left[..., 1:].mT @ matrix @ right[..., 1:]
    s23, angle_left, angle_right = _svd_2x2(block)
    s = torch.cat((s1, s23), -1) * scale.squeeze(-1)
    return _turn_last_two(left, angle_left), s, _turn_last_two(right, angle_right)


def _leading_eigenvector(symmetric: Tensor) -> Tensor:
    """Unit eigenvector (..., 3) of the largest eigenvalue of symmetric (..., 3, 3)."""
    a, b, c, _, d, e, _, _, f = symmetric.flatten(-2).unbind(-1)
    centre = (a + d + f) / 3
    a, d, f = a - centre, d - centre, f - centre
    spread = torch.sqrt((a * a + d * d + f * f + 2 * (b * b + c * c + e * e)) / 6)
    inverse = 1 / spread.clamp_min(torch.finfo(spread.dtype).tiny)
    a, b, c, d, e, f = (x * inverse for x in (a, b, c, d, e, f))

    half_det = (a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)) / 2
    is_largest = half_det >= 0
    eigenvalue = 2 * torch.cos(torch.acos(half_det.abs().clamp_max(1)) / 3)
    eigenvalue = torch.where(is_largest, eigenvalue, -eigenvalue)

    a, d, f = a - eigenvalue, d - eigenvalue, f - eigenvalue
    xy, xz, yz = c * e - b * f, b * e - c * d, b * c - a * e
    adjugate = torch.stack((d * f - e * e, xy, xz, xy, a * f - c * c, yz, xz, yz, a * d - b * b), -1)
    adjugate = adjugate.unflatten(-1, (3, 3))
    square_norm, row = adjugate.square().sum(-1, keepdim=True).max(-2, keepdim=True)
    v = (adjugate * torch.rsqrt(square_norm)).gather(-2, row.expand(*row.shape[:-1], 3)).squeeze(-2)

    plane = _rotation_onto(v)[..., 1:]
    p, q, _, r = (plane.mT @ symmetric @ plane).flatten(-2).unbind(-1)
    angle = torch.atan2(2 * q, p - r)[..., None] / 2
    in_plane = plane[..., 0] * torch.cos(angle) + plane[..., 1] * torch.sin(angle)
    return torch.where(is_largest[..., None], v, in_plane)


def _svd_2x2(block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """s (..., 2) and angles (...) with ``block = rot(left) diag(s) rot(right)^T`` and ``s1 >= |s2|``."""
    a, b, c, d = block.flatten(-2).unbind(-1)
    trace, twist = (a + d) / 2, (c - b) / 2
    stretch, shear = (a - d) / 2, (c + b) / 2
    conformal, anticonformal = torch.hypot(trace, twist), torch.hypot(stretch, shear)
    total, difference = torch.atan2(shear, stretch), torch.atan2(twist, trace)
    s = torch.stack((conformal + anticonformal, conformal - anticonformal), -1)
    return s, (total + difference) / 2, (total - difference) / 2


def _rotation_onto(unit: Tensor) -> Tensor:
    """A rotation (..., 3, 3) whose first column is unit (..., 3): a Householder reflection with one column negated."""
    x, y, z = unit.unbind(-1)
    sign = torch.copysign(torch.ones_like(x), x)
    h = -1 / (1 + x.abs())
    yz = h * y * z
    entries = (x, -sign * y, -z, y, 1 + h * y * y, sign * yz, z, yz, sign * (1 + h * z * z))
    return torch.stack(entries, -1).unflatten(-1, (3, 3))


def _turn_last_two(frame: Tensor, angle: Tensor) -> Tensor:
    """Multiply frame (..., 3, 3) from the right by the rotation by angle (...) in the plane of its last two columns."""
    cos, sin = torch.cos(angle)[..., None], torch.sin(angle)[..., None]
    first, second, third = frame.unbind(-1)
    return torch.stack((first, second * cos + third * sin, third * cos - second * sin), -1)
