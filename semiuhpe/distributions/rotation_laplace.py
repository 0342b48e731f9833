r"""The Rotation Laplace distribution on SO(3).

Y. Yin, Y. Wang, H. Wang and B. Chen, "A Laplace-inspired distribution on SO(3) for probabilistic rotation estimation",
ICLR 2023. With the proper singular value decomposition ``A = U diag(s) V^T`` the density of a rotation R is

    exp(-sqrt p) / sqrt p / F(s),    p = tr(S) - tr(A^T R) = tr(A^T (M - R)) >= 0,    M = U V^T,

with respect to the Haar probability measure. The mode is M, where the density is infinite (but integrable). Its tails
are heavier than the matrix Fisher distribution's, so a fit is less sensitive to outliers.

With q the unit quaternion of U^T R V, p = g1 q1^2 + g2 q2^2 + g3 q3^2, g = 2 (s2 + s3, s1 + s3, s1 + s2). The
normalizer F, in the paper a sum over a grid of 36,864 rotations, is then one integral in the complex plane, see
:mod:`semiuhpe.distributions.contour_integrals`; so is the entropy. Gradients are in closed form, ``U diag(dF/ds) V^T``.

As in the paper, p is clamped from below at 1e-8, which keeps value and gradient finite at the mode. The gaps are
clamped likewise, since F is infinite for A = 0, where the gradient is therefore zero. Everything is computed in float64
and returned in the dtype of the parameters, float32 for half precision.
"""

import itertools
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import roma
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributions import register_kl

from semiuhpe.distributions.base import RotationDistribution
from semiuhpe.distributions.contour_integrals import gaps_of, laplace_integrals
from semiuhpe.distributions.credible_mass import check_angle, laplace_ball
from semiuhpe.distributions.marginals import FLOOR, laplace_inner, log_average, traces
from semiuhpe.distributions.parameters import in_result_dtype, inner
from semiuhpe.distributions.proper_svd import proper_svd


class _Summary(NamedTuple):
    """Numbers that describe a batch of distributions; none of them is part of an autograd graph."""

    u: Tensor  # (..., 3, 3)
    v: Tensor  # (..., 3, 3)
    gaps: Tensor  # (..., 3), clamped
    log_normalizer: Tensor  # (...)
    entropy: Tensor  # (...)
    log_normalizer_slope: Tensor  # (..., 3), derivative with respect to s
    entropy_slope: Tensor  # (..., 3)


class RotationLaplace(RotationDistribution):
    """A batch of Rotation Laplace distributions; see :class:`RotationDistribution` for its arguments."""

    has_marginals = True

    def mode(self) -> Tensor:  # type: ignore[override]
        """Return the rotation of highest density, (..., 3, 3). Not differentiable."""
        return in_result_dtype(self._mode, self.parameter)

    def log_normalizer(self) -> Tensor:
        """Return log F(A), (...). Differentiable."""
        return in_result_dtype(self._log_normalizer(), self.parameter)

    def entropy(self) -> Tensor:
        """Return the differential entropy (...) with respect to the Haar probability measure. Differentiable."""
        summary = self._summary
        entropy = _Spectral.apply(self._parameter64, summary.u, summary.v, summary.entropy, summary.entropy_slope)
        return in_result_dtype(entropy, self.parameter)

    def log_prob(self, rotation: Tensor) -> Tensor:
        """Return the log density (...) at rotations (..., 3, 3), broadcast with the batch. Differentiable in both."""
        energy = _energy(self._parameter64, self._mode, rotation.double())
        return in_result_dtype(-energy - self._log_normalizer(), self.parameter)

    def marginal_log_prob(self, rotation: Tensor, free: Tensor) -> Tensor:
        """Return the log density (...) of what is known: a sum that is within 2e-4 of the integral. Differentiable in
        A and the rotation."""
        top = inner(self._parameter64, self._mode)
        found = traces(self._parameter64, rotation.double(), free.double())
        unnormalized = log_average(found, free, lambda c, rho: laplace_inner(top[..., None] - c - rho, rho), top)
        return in_result_dtype(unnormalized - self._log_normalizer(), self.parameter)

    def cross_entropy(self, other: "RotationLaplace") -> Tensor:
        """Return the cross entropy (...): -E[log density of other] under this distribution.

        There is no closed form. The expectation is a sum over 624 rotations about the mode (:func:`_quadrature`), with
        the known entropy as control variate, so it is exact where other equals this distribution. Differentiable in
        other only: in training, this distribution is the teacher's.
        """
        rotation, weight = _quadrature(self._summary)
        own, others = (
            _energy(parameter[..., None, :, :], mode[..., None, :, :], rotation)
            for parameter, mode in ((self._parameter64.detach(), self._mode), (other._parameter64, other._mode))
        )
        excess = (weight * (others - own)).sum(-1)
        expected = self._summary.entropy - self._summary.log_normalizer + excess
        return in_result_dtype(expected + other._log_normalizer(), self.parameter, other.parameter)

    def kl_divergence(self, other: "RotationLaplace") -> Tensor:
        """Return the Kullback-Leibler divergence (...): E[log p - log other]. Differentiable in other only."""
        return self.cross_entropy(other) - self.entropy().detach()

    @torch.no_grad()
    def mass_within(self, angle_deg: float) -> Tensor:
        """Return the probability (...) that a rotation lies within an angle of the mode. Not differentiable.

        Args:
            angle_deg: in (0, 120], see :mod:`semiuhpe.distributions.credible_mass`.
        """
        radius = check_angle(angle_deg)
        mass = laplace_ball(self._summary.gaps.sort().values, radius) * torch.exp(-self._summary.log_normalizer)
        return in_result_dtype(mass.clamp(0.0, 1.0), self.parameter)

    @property  # not cached: a copy made under no_grad would cut the graph
    def _parameter64(self) -> Tensor:
        return self.parameter.double()

    @cached_property
    def _summary(self) -> _Summary:
        return _summarize(self._parameter64.detach())

    @property
    def _mode(self) -> Tensor:
        return self._summary.u @ self._summary.v.mT

    def _log_normalizer(self) -> Tensor:
        summary = self._summary
        return _Spectral.apply(
            self._parameter64, summary.u, summary.v, summary.log_normalizer, summary.log_normalizer_slope
        )


@register_kl(RotationLaplace, RotationLaplace)
def _kl_divergence(first: RotationLaplace, second: RotationLaplace) -> Tensor:
    return first.kl_divergence(second)


def _energy(parameter: Tensor, mode: Tensor, rotation: Tensor) -> Tensor:
    """Return sqrt p + log(p) / 2, the negative exponent of the unnormalized density.

    tr(S) = tr(A^T M) is maximal in M, so the gradient of p is exact with the mode M held fixed.
    """
    p = inner(parameter, mode - rotation).clamp_min(FLOOR)
    return p.sqrt() + p.log() / 2


@torch.no_grad()
def _summarize(parameter: Tensor) -> _Summary:
    u, s, v = proper_svd(parameter)
    gaps = gaps_of(s).clamp_min(FLOOR)
    integrals, slopes = laplace_integrals(gaps)
    slopes = torch.where((gaps > FLOOR)[..., None], slopes, 0.0)
    slopes = 2 * (slopes.roll(-1, -2) + slopes.roll(-2, -2))  # with respect to s, each of which occurs in two gaps
    normalizer, weighted_energy = integrals.unbind(-1)
    log_slope = slopes[..., 0] / normalizer[..., None]
    energy = weighted_energy / normalizer
    energy_slope = slopes[..., 1] / normalizer[..., None] - energy[..., None] * log_slope
    log_normalizer = torch.log(normalizer)
    return _Summary(u, v, gaps, log_normalizer, log_normalizer + energy, log_slope, log_slope + energy_slope)


@cache
def _rays(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return points (624, 3) and weights (624,): Lebedev's 26 directions of degree 7, 24 radii equidistant in log r."""
    directions = np.array([w for w in itertools.product((-1.0, 0.0, 1.0), repeat=3) if any(w)])
    nonzero = np.abs(directions).sum(-1).astype(int)
    directions /= np.sqrt(nonzero)[:, None]
    shares = np.array([1 / 21, 4 / 105, 9 / 280])[nonzero - 1]
    radii = np.exp(np.linspace(-4.5, 7, 24))
    points, weights = radii[:, None, None] * directions, radii[:, None] ** 3 * shares
    return torch.from_numpy(points.reshape(-1, 3)).to(device), torch.from_numpy(weights.reshape(-1)).to(device)


@torch.no_grad()
def _quadrature(summary: _Summary) -> tuple[Tensor, Tensor]:
    """Return rotations (..., 624, 3, 3) and weights (..., 624) that sum to one, to compute expectations.

    Quaternions (1, y) / sqrt(1 + |y|^2) have uniform density (1 + |y|^2)^-2 dy on the whole space. The points are y_i =
    x_i / sqrt(1 + g_i) with x on rays: their directions are symmetric, so that the mode is met without bias, and the
    logarithmic radii suit both the singularity at the mode and the tail. Cross entropies come out within about 0.01 as
    long as the gaps are within a factor of 30 of each other, and off by 0.2 at gaps (0.1, 50, 50).
    """
    points, weight = _rays(summary.gaps.device)
    y = points * torch.rsqrt(1 + summary.gaps)[..., None, :]
    norm = 1 + y.square().sum(-1)
    p = (summary.gaps[..., None, :] * y.square()).sum(-1) / norm
    weight = weight * torch.exp(-p.sqrt()) * torch.rsqrt(p) / norm.square()
    quaternion = torch.nn.functional.pad(y, (0, 1), value=1.0) * torch.rsqrt(norm)[..., None]  # scalar last, as in roma
    rotation = summary.u[..., None, :, :] @ roma.unitquat_to_rotmat(quaternion) @ summary.v.mT[..., None, :, :]
    return rotation, weight / weight.sum(-1, keepdim=True)


class _Spectral(torch.autograd.Function):
    """A function of the proper singular values of A with gradient U diag(slope) V^T."""

    @staticmethod
    def forward(ctx, parameter: Tensor, u: Tensor, v: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(u, v, slope)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        u, v, slope = ctx.saved_tensors
        return (u * (grad[..., None] * slope)[..., None, :]) @ v.mT, None, None, None, None
