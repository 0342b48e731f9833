r"""What a distribution says of a label of which only some angles are known.

Such a label is a set of rotations R(s, t) = exp(s [u]) R exp(t [v]), see :mod:`semiuhpe.partial_labels`. Its likelihood
is the density averaged over the set,

.. math:: \frac{1}{\pi} \int_{-\pi/2}^{\pi/2} ds \; \frac{1}{2 \pi} \int_{-\pi}^{\pi} dt \; p(R(s, t)),

without the first integral where the pitch is known. The Haar measure is dp d(sin y) dr in pitch, yaw and roll, so this
is the density of what is known: of the direction that the face points in, with respect to the uniform distribution on
the sphere, or of the yaw, with respect to the distribution that the yaw of uniform rotations has. The uniform
distribution has density 1 here too.

The distributions depend on a rotation through tr(A^T R), which on the set is

    c(s) + a(s) cos t + b(s) sin t = c + rho cos(t - t0),    rho = |(a, b)|,

with a, b and c linear in (1, cos s, sin s). The average over t of the matrix Fisher density exp(tr(A^T R)) / C is
therefore exp(c) I0(rho) / C. That of Rotation Laplace, exp(-sqrt p) / sqrt p / F with p = tr S - c - rho + rho (1 -
cos(t - t0)), is a sum, and so is the average over s. Both sums are Gauss-Legendre rules in u, with s = s0 + w sinh u
about the maximum s0 and with the width w of the peak: the range of u grows like the logarithm of the concentration, so
a fixed number of points serves for all.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import roma
import torch
from torch import Tensor

from semiuhpe.partial_labels import is_whole

HALF_TURN = math.pi / 2
FLOOR = 1e-8
"""Where p of Rotation Laplace is clamped, see :mod:`semiuhpe.distributions.rotation_laplace`."""
_GRID, _NEWTON_STEPS = 64, 6
_OUTER, _INNER = 40, 24
"""Points over the pitch and over the roll."""
_SLIGHT = 1e-30


class Traces(NamedTuple):
    """tr(A^T R(s, t)) = c + a cos t + b sin t on the rotations of labels, and s.

    Attributes:
        a, b, c: (..., 3) coefficients of 1, cos s and sin s.
    """

    a: Tensor
    b: Tensor
    c: Tensor

    def at(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """Return c and rho, (..., n), at angles s (..., n)."""
        a, b, c = (_value(coefficients, s) for coefficients in self)
        return c, torch.linalg.vector_norm(torch.stack([a, b]), dim=0)


def traces(parameter: Tensor, rotation: Tensor, free: Tensor) -> Traces:
    """Return the traces of parameters with labels.

    Args:
        parameter: (..., 3, 3) A.
        rotation: (..., 3, 3), a rotation of each label.
        free: (..., 2, 3) axes about which it may be turned.
    """
    camera, head = free[..., 0, :], free[..., 1, :]
    along = camera[..., :, None] * camera[..., None, :]
    across = torch.eye(3, dtype=along.dtype, device=along.device) - along
    parts = [rotation.mT @ part @ parameter for part in (along, across, -_cross(camera))]
    rows = []
    for m in parts:
        c = (head * (m @ head[..., None]).squeeze(-1)).sum(-1)
        a = m.diagonal(dim1=-2, dim2=-1).sum(-1) - c
        b = (m * _cross(head)).sum((-2, -1))
        rows.append((a, b, c))
    return Traces(*(torch.stack(column, dim=-1) for column in zip(*rows, strict=True)))


def log_average(
    found: Traces, free: Tensor, log_inner: Callable[[Tensor, Tensor], Tensor], top: Tensor | None = None
) -> Tensor:
    """Return the log (...) of the average over the set of each label.

    Args:
        found: the traces.
        free: (..., 2, 3) axes.
        log_inner: from c and rho, (..., n), to the log of the average over t.
        top: (...) the largest trace that there is, at which the density of Rotation Laplace is infinite; None for a
            density that is finite everywhere.
    """
    s, log_weight = _points_over_pitch(found, top)
    averaged = torch.logsumexp(log_inner(*found.at(s)) + log_weight, dim=-1)
    known = log_inner(*found.at(torch.zeros_like(s[..., :1]))).squeeze(-1)
    pitch_is_known = (free[..., 0, :] == 0).all(-1)
    return torch.where(pitch_is_known, known, averaged)


def fisher_inner(c: Tensor, rho: Tensor) -> Tensor:
    """Return the log of the average of exp(c + rho cos t) over t."""
    return c + rho + torch.log(torch.special.i0e(rho))


def laplace_inner(gap: Tensor, rho: Tensor) -> Tensor:
    """Return the log of the average of exp(-sqrt p) / sqrt p over t, p = gap + rho (1 - cos t), with ``gap`` clamped
    at :data:`FLOOR`."""
    gap = gap.clamp_min(FLOOR)
    with torch.no_grad():
        width = (_peak_scale(gap) / rho.clamp_min(_SLIGHT)).sqrt().clamp(max=math.pi)
        points, weights = _legendre(_INNER, gap.device)
        u = (points + 1) / 2 * torch.asinh(math.pi / width)[..., None]
        t = width[..., None] * torch.sinh(u)
        log_weight = torch.log(weights * torch.cosh(u)) + torch.log(width * torch.asinh(math.pi / width))[..., None]
    p = gap[..., None] + 2 * rho[..., None] * torch.sin(t / 2).square()
    return torch.logsumexp(log_weight - p.sqrt() - torch.log(p) / 2, dim=-1) - math.log(2 * math.pi)


@torch.no_grad()
def nearest(parameter: Tensor, rotation: Tensor, free: Tensor) -> Tensor:
    """Return the rotation (..., 3, 3) with the known angles of each label at which tr(A^T R) is largest.

    For a rotation A that is the nearest one by geodesic distance. It is the label itself if all angles are known.
    """
    parameter, rotation, free = (values.double() for values in (parameter, rotation, free))
    found = traces(parameter, rotation, free)
    s = torch.where((free[..., 0, :] == 0).all(-1), 0.0, _maximum(found)[0])
    a, b = (_value(coefficients, s[..., None]).squeeze(-1) for coefficients in (found.a, found.b))
    t = torch.atan2(b, a)
    turns = (roma.rotvec_to_rotmat(angle[..., None] * free[..., axis, :]) for axis, angle in enumerate((s, t)))
    turn_camera, turn_head = turns
    return torch.where(is_whole(free)[..., None, None], rotation, turn_camera @ rotation @ turn_head)


def _cross(axis: Tensor) -> Tensor:
    """Return the matrices (..., 3, 3) of cross products with axes (..., 3)."""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def _value(coefficients: Tensor, s: Tensor, derivative: int = 0) -> Tensor:
    """Return the values (..., n) of (..., 3) coefficients of 1, cos s and sin s, or a derivative with respect to s."""
    first, cosine, sine = coefficients[..., None].unbind(-2)
    value = cosine * torch.cos(s + derivative * HALF_TURN) + sine * torch.sin(s + derivative * HALF_TURN)
    return value if derivative else value + first


def _slopes(found: Traces, s: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the second derivative of c + rho with respect to s, (..., n)."""
    a, b = ([_value(coefficients, s, order) for order in range(3)] for coefficients in (found.a, found.b))
    rho = (a[0].square() + b[0].square()).sqrt().clamp_min(_SLIGHT)
    first = (a[0] * a[1] + b[0] * b[1]) / rho
    second = (a[1].square() + b[1].square() + a[0] * a[2] + b[0] * b[2] - first.square()) / rho
    return _value(found.c, s, 1) + first, _value(found.c, s, 2) + second


@torch.no_grad()
def _maximum(found: Traces) -> tuple[Tensor, Tensor, Tensor]:
    """Return where c + rho is largest in [-90, 90] degrees, (...), and its first and second derivatives there.

    The largest of a grid is refined by Newton's method between its neighbors.
    """
    grid = torch.linspace(-HALF_TURN, HALF_TURN, _GRID + 1, dtype=found.c.dtype, device=found.c.device)
    c, rho = found.at(grid.expand(*found.c.shape[:-1], -1))
    s = grid[(c + rho).argmax(-1, keepdim=True)]
    step = 2 * HALF_TURN / _GRID
    low, high = (s - step).clamp(min=-HALF_TURN), (s + step).clamp(max=HALF_TURN)
    for _ in range(_NEWTON_STEPS):
        first, second = _slopes(found, s)
        s = (s + torch.where(second < 0, -first / second.clamp(max=-_SLIGHT), first.sign() * step)).clamp(low, high)
    first, second = _slopes(found, s)
    return s.squeeze(-1), first.squeeze(-1), second.squeeze(-1)


@torch.no_grad()
def _points_over_pitch(found: Traces, top: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return points s and log weights (..., n) of averages over [-90, 90] degrees, densest about the maximum."""
    center, first, second = _maximum(found)
    curvature = (-second).clamp_min(_SLIGHT)
    if top is None:
        scale = torch.ones_like(curvature)
    else:
        c, rho = found.at(center[..., None])
        scale = _peak_scale((top - (c + rho).squeeze(-1)).clamp_min(FLOOR))
    width = torch.minimum((scale / curvature).sqrt(), 1 / first.abs().clamp_min(_SLIGHT))
    width = width.clamp(max=HALF_TURN)[..., None]
    low, high = (torch.asinh((end - center[..., None]) / width) for end in (-HALF_TURN, HALF_TURN))
    points, weights = _legendre(_OUTER, center.device)
    u = low + (high - low) * (points + 1) / 2
    log_weight = torch.log(weights * torch.cosh(u)) + torch.log(width * (high - low) / (4 * HALF_TURN))
    return center[..., None] + width * torch.sinh(u), log_weight


def _peak_scale(gap: Tensor) -> Tensor:
    """Return x at which exp(-sqrt(gap + x / 2)) / sqrt(gap + x / 2) has fallen by a good part, of gaps (...)."""
    return 2 * torch.minimum(gap, gap.sqrt())


@cache
def _legendre(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return Gauss-Legendre points and weights on [-1, 1]; cached, because copying them makes the host wait."""
    points, weights = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy(points).to(device), torch.from_numpy(weights).to(device)
