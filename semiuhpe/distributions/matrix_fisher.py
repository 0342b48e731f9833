r"""The matrix Fisher distribution on SO(3).

Conventions
-----------
The density of a rotation R with parameter A (3x3) is ``exp(tr(A^T R)) / C(A)`` with respect to the Haar *probability*
measure: the uniform distribution has density one and entropy zero, and every other one a negative entropy. With the
proper singular value decomposition ``A = U diag(s) V^T`` (U, V rotations, ``s1 >= s2 >= |s3|``) the mode is U V^T, and
s says how concentrated the distribution is about it.

Equations
---------
Let q be the unit quaternion of U^T R V. Then (M. J. Prentice, "Orientation statistics without parametric assumptions",
J. R. Stat. Soc. B 1986)

    tr(A^T R) = s1 + s2 + s3 - (g1 q1^2 + g2 q2^2 + g3 q3^2),   g = 2 (s2 + s3, s1 + s3, s1 + s2),

a Bingham distribution of q. :mod:`semiuhpe.distributions.contour_integrals` computes its normalizer and moments to
nearly full accuracy. With its X_ij,

    log C(s)      = s1 + s2 + s3 + log c(g)
    dlogC / ds1   = (s1 + s2) X03 + (s1 - s2) X12, and cyclically
    mean E[R]     = U diag(dlogC / ds) V^T                      (T. Lee, "Bayesian attitude estimation with the matrix
    entropy       = log c(g) + g1 m1 + g2 m2 + g3 m3             Fisher distribution on SO(3)", IEEE T. Autom. Control
    cross entropy = log C(B) - tr(B^T E_A[R])                    2018; D. Mohlin et al., NeurIPS 2020)

with m_i = E[q_i^2]. No large numbers are subtracted: the derivatives tend to one and the entropy of a
concentrated distribution stays near -15 while log C goes to 1e5. Only near the uniform distribution do log c and the
moments cancel in log C and in the entropy; there a power series of C is used.

Gradients
---------
The gradient of log C is the mean and the derivative of the mean is the covariance of R, both in closed form. In the
frame of U and V the covariance couples the diagonal entries of a perturbation among themselves, through the covariance
of q^2, and every off-diagonal pair with its transpose, through 2 X_ij; these are the divided differences
(d_i -+ d_j) / (s_i -+ s_j) of the textbook formula without their 0/0, so equal singular values need no special case.

Everything is computed in float64 and returned in the dtype of the parameters, float32 for half precision; autocast does
not touch float64. The work per matrix is small enough to be free on any GPU (see
:mod:`semiuhpe.distributions.contour_integrals`).
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import roma
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributions import register_kl

from semiuhpe.distributions.base import RotationDistribution
from semiuhpe.distributions.bingham_sampling import sample_bingham
from semiuhpe.distributions.contour_integrals import bingham_integrals, gaps_of
from semiuhpe.distributions.credible_mass import check_angle, exponential_ball
from semiuhpe.distributions.marginals import fisher_inner, log_average, traces
from semiuhpe.distributions.parameters import in_result_dtype, inner
from semiuhpe.distributions.proper_svd import proper_svd

OVERREGULARIZATION = 1.025
"""Weight of log C in the loss. Above 1 it keeps the concentration from growing without limit on the training heads
(Mohlin et al., NeurIPS 2020; 1.025 in the paper's code)."""
NEARLY_UNIFORM = 2e-3  # |A|^2 below which the power series of C is used; there its error and that of c are 1e-12


class _Summary(NamedTuple):
    """Numbers that describe a batch of distributions; none of them is part of an autograd graph."""

    u: Tensor  # (..., 3, 3)
    s: Tensor  # (..., 3)
    v: Tensor  # (..., 3, 3)
    gaps: Tensor  # (..., 3)
    log_normalizer: Tensor  # (...)
    mean_s: Tensor  # (..., 3), dlogC / ds
    entropy: Tensor  # (...)
    x: Tensor  # (..., 4, 4), see bingham_integrals


class MatrixFisher(RotationDistribution):
    """A batch of matrix Fisher distributions; see :class:`RotationDistribution` for its arguments."""

    has_sampler = True
    has_marginals = True

    def mode(self) -> Tensor:  # type: ignore[override]
        """Return the rotation of highest density, (..., 3, 3). Not differentiable."""
        return in_result_dtype(self._summary.u @ self._summary.v.mT, self.parameter)

    def mean(self) -> Tensor:  # type: ignore[override]
        """Return E[R], (..., 3, 3): inside the convex hull of SO(3), a rotation only in the limit. Differentiable."""
        return in_result_dtype(self._mean(), self.parameter)

    def log_normalizer(self) -> Tensor:
        """Return log C(A), (...). Differentiable, twice."""
        return in_result_dtype(self._log_normalizer(), self.parameter)

    def entropy(self) -> Tensor:
        """Return the differential entropy (...) with respect to the Haar measure: at most zero. Differentiable."""
        return in_result_dtype(_Entropy.apply(self._parameter64, self._summary), self.parameter)

    def log_prob(self, rotation: Tensor) -> Tensor:
        """Return the log density (...) at rotations (..., 3, 3), broadcast with the batch. Differentiable in both."""
        log_prob = inner(self._parameter64, rotation.double()) - self._log_normalizer()
        return in_result_dtype(log_prob, self.parameter)

    def marginal_log_prob(self, rotation: Tensor, free: Tensor) -> Tensor:
        """Return the log density (...) of what is known: exact where only the roll is unknown, else a sum that is
        within 2e-4 of the integral, and of 1e-8 up to singular values of 30. Differentiable in A and the rotation."""
        found = traces(self._parameter64, rotation.double(), free.double())
        return in_result_dtype(log_average(found, free, fisher_inner) - self._log_normalizer(), self.parameter)

    def negative_log_likelihood(self, rotation: Tensor, free: Tensor | None = None) -> Tensor:
        """Return the training loss (...) of labels (..., 3, 3): log C is weighted by :data:`OVERREGULARIZATION`."""
        return (OVERREGULARIZATION - 1.0) * self.log_normalizer() - self.label_log_prob(rotation, free)

    def cross_entropy(self, other: "MatrixFisher") -> Tensor:
        """Return the cross entropy (...): -E[log density of other] under this distribution. Differentiable in both."""
        _summarize_both(self, other)
        cross_entropy = other._log_normalizer() - inner(other._parameter64, self._mean())
        return in_result_dtype(cross_entropy, self.parameter, other.parameter)

    def kl_divergence(self, other: "MatrixFisher") -> Tensor:
        """Return the Kullback-Leibler divergence (...): E[log p - log other]. Differentiable in both."""
        _summarize_both(self, other)
        gain = inner(self._parameter64 - other._parameter64, self._mean())
        divergence = other._log_normalizer() - self._log_normalizer() + gain
        return in_result_dtype(divergence, self.parameter, other.parameter)

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Return independent rotations (*sample_shape, ..., 3, 3), exactly distributed.

        Args:
            sample_shape: shape of the samples of each distribution in the batch.
            generator: on the device of the parameters; the same state gives the same rotations.
        """
        summary = self._summary
        count = math.prod(sample_shape)
        q = sample_bingham(summary.gaps.reshape(-1, 3), count, generator).reshape(count, *self.batch_shape, 4)
        rotations = summary.u @ roma.unitquat_to_rotmat(q.roll(-1, -1)) @ summary.v.mT  # roma has the scalar last
        return in_result_dtype(rotations.reshape(*sample_shape, *self.batch_shape, 3, 3), self.parameter)

    @torch.no_grad()
    def mass_within(self, angle_deg: float) -> Tensor:
        """Return the probability (...) that a rotation lies within an angle of the mode. Not differentiable.

        Args:
            angle_deg: in (0, 120], see :mod:`semiuhpe.distributions.credible_mass`.
        """
        summary, radius = self._summary, check_angle(angle_deg)
        mass = exponential_ball(summary.gaps.sort().values, radius)
        mass = mass * torch.exp(summary.s.sum(-1) - summary.log_normalizer)
        return in_result_dtype(mass.clamp(0.0, 1.0), self.parameter)

    @property  # not cached: a copy made under no_grad would cut the graph
    def _parameter64(self) -> Tensor:
        return self.parameter.double()

    @cached_property
    def _summary(self) -> _Summary:
        return _summarize(self._parameter64.detach())

    def _log_normalizer(self) -> Tensor:
        return _LogNormalizer.apply(self._parameter64, self._summary)

    def _mean(self) -> Tensor:
        return _Mean.apply(self._parameter64, self._summary)


@register_kl(MatrixFisher, MatrixFisher)
def _kl_divergence(first: MatrixFisher, second: MatrixFisher) -> Tensor:
    return first.kl_divergence(second)


def _summarize_both(first: MatrixFisher, second: MatrixFisher) -> None:
    """Summarize two distributions in one batch: for small batches the number of operations counts, not their size."""
    known = "_summary" in first.__dict__ or "_summary" in second.__dict__
    same_kind = first.batch_shape == second.batch_shape and first.parameter.device == second.parameter.device
    if known or not same_kind or first is second:
        return
    both = _summarize(torch.stack((first._parameter64.detach(), second._parameter64.detach())))
    first._summary, second._summary = (_Summary(*parts) for parts in zip(*both, strict=True))


@torch.no_grad()
def _summarize(parameter: Tensor) -> _Summary:
    u, s, v = proper_svd(parameter)
    gaps = gaps_of(s)
    c, x = bingham_integrals(gaps)
    opposite = torch.stack((x[..., 2, 3], x[..., 3, 1], x[..., 1, 2]), -1)
    mean_s = (gaps / 2 * x[..., 0, 1:] + (s.roll(-1, -1) - s.roll(-2, -1)) * opposite).roll(1, -1)

    log_c = torch.log(c)
    series = _log_normalizer_series(s)
    nearly_uniform = s.square().sum(-1) < NEARLY_UNIFORM
    log_normalizer = torch.where(nearly_uniform, series, s.sum(-1) + log_c)
    entropy = torch.where(nearly_uniform, series - (s * mean_s).sum(-1), log_c + (gaps * _square_moments(x)).sum(-1))
    return _Summary(u, s, v, gaps, log_normalizer, mean_s, entropy, x)


def _square_moments(x: Tensor) -> Tensor:
    """Return m_i = E[q_i^2], i = 1, 2, 3, (..., 3): the sum over j of E[q_i^2 q_j^2], all terms positive."""
    return (x.sum(-1) + 2 * x.diagonal(dim1=-2, dim2=-1))[..., 1:] / 4


def _log_normalizer_series(s: Tensor) -> Tensor:
    """Return log C for small s, to seventh order, by the power series in the invariants |A|^2, det A and |adj A|^2."""
    squares = s.square()
    p, det, k = squares.sum(-1), s.prod(-1), (squares * squares.roll(1, -1)).sum(-1)
    even = p / 6 + (p * p + 2 * k) / 120 + (p**3 + 6 * p * k + 24 * det * det) / 5040
    odd = det * (1 / 6 + p / 60 + (p * p + k) / 1680)
    return torch.log1p(even + odd)


def _covariance_times(summary: _Summary, direction: Tensor) -> Tensor:
    """Return Cov(R, tr(direction^T R)), the derivative of the mean along direction (..., 3, 3), for diagonal A.

    R_ii is one minus twice the sum of the two q_j^2 with j != i, and R_ij +- R_ji are 4 q_i q_j and 4 q_0 q_k.
    """
    x = summary.x
    moments = _square_moments(x)
    fourth = (x + 2 * torch.diag_embed(x.diagonal(dim1=-2, dim2=-1)))[..., 1:, 1:] / 4
    covariance = fourth - moments[..., None] * moments[..., None, :]
    diagonal = direction.diagonal(dim1=-2, dim2=-1)
    response = 4 * (covariance * _sum_of_others(diagonal)[..., None, :]).sum(-1)

    k1, k2, k3 = x[..., 0, 1:].unbind(-1)
    zero = torch.zeros_like(k1)
    opposite = torch.stack((zero, k3, k2, k3, zero, k1, k2, k1, zero), -1).unflatten(-1, (3, 3))
    symmetric = x[..., 1:, 1:] * (direction + direction.mT)
    off_diagonal = symmetric - torch.diag_embed(symmetric.diagonal(dim1=-2, dim2=-1))
    off_diagonal = off_diagonal + opposite * (direction - direction.mT)
    return off_diagonal + torch.diag_embed(_sum_of_others(response))


def _sum_of_others(values: Tensor) -> Tensor:
    """Return (v2 + v3, v1 + v3, v1 + v2)."""
    return values.roll(-1, -1) + values.roll(-2, -1)


class _LogNormalizer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, parameter: Tensor, summary: _Summary) -> Tensor:
        ctx.save_for_backward(parameter)
        ctx.summary = summary
        return summary.log_normalizer.clone()

    @staticmethod
    def backward(ctx, grad: Tensor):
        (parameter,) = ctx.saved_tensors
        return grad[..., None, None] * _Mean.apply(parameter, ctx.summary), None


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, parameter: Tensor, summary: _Summary) -> Tensor:
        ctx.summary = summary
        return (summary.u * summary.mean_s[..., None, :]) @ summary.v.mT

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        u, v = ctx.summary.u, ctx.summary.v
        return u @ _covariance_times(ctx.summary, u.mT @ grad @ v) @ v.mT, None


class _Entropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, parameter: Tensor, summary: _Summary) -> Tensor:
        ctx.summary = summary
        return summary.entropy.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        u, v = ctx.summary.u, ctx.summary.v
        along_parameter = _covariance_times(ctx.summary, torch.diag_embed(ctx.summary.s))
        return -grad[..., None, None] * (u @ along_parameter @ v.mT), None
