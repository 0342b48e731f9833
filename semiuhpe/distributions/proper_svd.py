"""Proper singular value decomposition of 3x3 matrices, in closed form.

Any real 3x3 matrix is ``A = U diag(s) V^T`` with U and V *rotations* and ``s1 >= s2 >= |s3|``; s3 carries the sign of
det A. This is the decomposition in which distributions on SO(3) are diagonal.

The algorithm is a fixed sequence of elementwise operations on real numbers and never inspects the data on the host: a
whole batch runs at once, a GPU never waits, and it can be exported to ONNX, which has neither a decomposition nor
complex numbers. (``torch.linalg.svd`` handles the matrices one by one on the CPU, and on CUDA it
synchronizes to read LAPACK-style status codes.)

1. The best separated eigenvalue of the symmetric ``A^T A`` is an outer root of its characteristic cubic, where Newton's
   method reaches full precision in three steps; its eigenvector comes from the largest row of the adjugate of
   ``A^T A - lambda I`` (compare D. Eberly, "A robust eigensolver for 3x3 symmetric matrices", 2014). Its distance to
   the other eigenvalues is never below sqrt(3) on the scale of their spread, so both are accurate to rounding.
2. If that is not the largest eigenvalue, the largest one is found in the plane orthogonal to the vector.
3. With v the leading right singular vector and u = A v / |A v|, the rest of A is a 2x2 block in the planes orthogonal
   to v and u, taken from A itself (not from A^T A, whose small eigenvalues are lost to rounding). Two rotations of the
   plane diagonalize it, which leaves the sign where it belongs, in s3.

Every step is a rotation or acts on an orthogonal complement, so the result is backward stable: U and V are orthonormal
and ``U diag(s) V^T`` reproduces A to a few units of rounding of the largest entry, whether singular values are equal,
zero or far apart. No gradient is defined through it; the distributions have closed-form ones.
"""

import math

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
    u = torch.where(s1 > 0, image / s1, v)  # for a zero matrix any direction will do

    frames = _rotation_onto(torch.stack((u, v)))
    fixed, planes = frames[..., :1], frames[..., 1:]
    s23, turns = _svd_2x2(planes[0].mT @ matrix @ planes[1])
    left, right = torch.cat((fixed, planes @ turns), -1).unbind(0)
    return left, torch.cat((s1, s23), -1) * scale.squeeze(-1), right


def _leading_eigenvector(symmetric: Tensor) -> Tensor:
    """Return the unit eigenvector (..., 3) of the largest eigenvalue of symmetric (..., 3, 3)."""
    identity = torch.eye(3, dtype=symmetric.dtype, device=symmetric.device)
    deviator = symmetric - identity * (_trace(symmetric) / 3)
    spread_squared = deviator.square().sum((-2, -1), keepdim=True) / 6
    deviator = deviator * torch.rsqrt(torch.where(spread_squared > 0, spread_squared, 1.0))

    square = deviator @ deviator
    half_det = (deviator * square).sum((-2, -1), keepdim=True) / 6
    is_largest = half_det >= 0
    h = half_det.abs().clamp_max(1)
    eigenvalue = math.sqrt(3) + (2 - math.sqrt(3)) * h  # the root of x^3 - 3x = 2h from sqrt(3) to 2, off by 0.014
    for _ in range(3):
        x_squared = eigenvalue * eigenvalue
        eigenvalue = 2 / 3 * (eigenvalue * x_squared + h) / (x_squared - 1)
    eigenvalue = torch.where(is_largest, eigenvalue, -eigenvalue)

    adjugate = square + eigenvalue * deviator + (eigenvalue.square() - _trace(square) / 2) * identity
    row = adjugate.square().sum(-1, keepdim=True).argmax(-2, keepdim=True)
    v = adjugate.gather(-2, row.expand_as(adjugate[..., :1, :])).squeeze(-2)
    v = v / torch.linalg.vector_norm(v, dim=-1, keepdim=True)

    plane = _rotation_onto(v)[..., 1:]
    p, q, _, r = (plane.mT @ symmetric @ plane).flatten(-2).unbind(-1)
    in_plane = plane @ torch.stack(_half_turn(p - r, 2 * q)[:2], -1)[..., None]
    return torch.where(is_largest.squeeze(-1), v, in_plane.squeeze(-1))


def _svd_2x2(block: Tensor) -> tuple[Tensor, Tensor]:
    """Return s (..., 2) and plane rotations T (2, ..., 2, 2) with ``block = T[0] diag(s) T[1]^T`` and ``s1 >= |s2|``.

    A 2x2 matrix is the sum of a multiple of a rotation and a multiple of a reflection, each like a complex number.
    """
    a, b, c, d = block.flatten(-2).unbind(-1)
    real, imaginary = torch.stack((a + d, a - d)), torch.stack((c - b, c + b))
    (cos, mirror_cos), (sin, mirror_sin), (size, mirror_size) = _half_turn(real, imaginary)
    s = torch.stack((size + mirror_size, size - mirror_size), -1) / 2
    # The sum and the difference of the two half turns' angles.
    cc, ss, sc, cs = cos * mirror_cos, sin * mirror_sin, mirror_sin * cos, mirror_cos * sin
    cos, sin = torch.stack((cc - ss, cc + ss)), torch.stack((sc + cs, sc - cs))
    return s, torch.stack((cos, -sin, sin, cos), -1).unflatten(-1, (2, 2))


def _half_turn(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return cosine and sine of half the angle of x + iy, and its absolute value; roots cost less than arc tangents."""
    scale = torch.maximum(x.abs(), y.abs())
    divisor = torch.where(scale > 0, scale, 1.0)
    x, y = torch.where(scale > 0, x / divisor, 1.0), y / divisor  # the angle of zero is zero
    size = torch.sqrt(x * x + y * y)
    longer = torch.sqrt((size + x.abs()) / (2 * size))
    shorter = y.abs() / (2 * size * longer)
    right = x >= 0
    cos, sin = torch.where(right, longer, shorter), torch.where(right, shorter, longer)
    return cos, torch.where(y < 0, -sin, sin), size * scale


def _rotation_onto(unit: Tensor) -> Tensor:
    """Return a rotation (..., 3, 3) with first column unit (..., 3): a Householder reflection with columns negated."""
    x = unit[..., :1]
    sign = torch.where(x < 0, -1.0, torch.ones_like(x))
    normal = unit + torch.nn.functional.pad(sign, (0, 2))
    identity = torch.eye(3, dtype=unit.dtype, device=unit.device)
    reflection = identity - normal[..., None] * (normal / (1 + x.abs()))[..., None, :]
    return reflection * torch.cat((-sign, torch.ones_like(sign), sign), -1)[..., None, :]


def _trace(matrix: Tensor) -> Tensor:
    """Return the trace as (..., 1, 1)."""
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
