r"""The matrix Fisher distribution on SO(3).

Conventions
-----------
The density of a rotation R with parameter A (3x3) is ``exp(tr(A^T R)) / C(A)`` with respect to the Haar *probability*
measure: the uniform distribution has density one and entropy zero, and every other one a negative entropy. With the
proper singular value decomposition ``A = U diag(s) V^T`` (U, V rotations, ``s1 >= s2 >= |s3|``) the mode is U V^T, and
s tells how concentrated the distribution is about it.

Equations
---------
Let q be the unit quaternion of U^T R V. Then (M. J. Prentice, "Orientation statistics without parametric assumptions",
J. R. Stat. Soc. B 1986)

    tr(A^T R) = s1 + s2 + s3 - (g1 q1^2 + g2 q2^2 + g3 q3^2),   g = 2 (s2 + s3, s1 + s3, s1 + s2),

a Bingham distribution of q, whose normaliser and moments :mod:`.contour` gives to nearly full accuracy. With its X_ij,

    log C(s)      = s1 + s2 + s3 + log c(g)
    dlogC / ds1   = (s1 + s3) X02 + (s1 - s3) X13,    dlogC / ds2 = (s2 + s3) X01 + (s2 - s3) X23,
    dlogC / ds3   = (s2 + s3) X01 - (s2 - s3) X23
    mean E[R]     = U diag(dlogC / ds) V^T                      (T. Lee, "Bayesian attitude estimation with the matrix
    entropy       = log c(g) + g1 m1 + g2 m2 + g3 m3             Fisher distribution on SO(3)", IEEE T. Autom. Control
    cross entropy = log C(B) - tr(B^T E_A[R])                    2018; D. Mohlin et al., NeurIPS 2020)

with m_i = E[q_i^2]. There is no difference of large numbers in them: the derivatives tend to one and the entropy of a
concentrated distribution stays near -15 while log C goes to 1e5. Only near the uniform distribution do log c and the
moments cancel in log C and in the entropy; there a power series of C takes over.

Gradients
---------
The gradient of log C is the mean and the derivative of the mean is the covariance of R, both in closed form. In the
frame of U and V the covariance couples the diagonal entries of a perturbation among themselves, through the covariance
of q^2, and every off-diagonal pair with its transpose, through 2 X_ij; these are the divided differences
(d_i -+ d_j) / (s_i -+ s_j) of the textbook formula without their 0/0, so equal singular values are nothing special.

Everything is computed in float64 and returned in the dtype of the parameters, float32 for half precision; autocast does
not touch float64. The work per matrix is small enough to be free on any GPU (see :mod:`.contour`).
"""

import math
from functools import cached_property
from typing import NamedTuple

import roma
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from semiuhpe.distributions.bingham_sampling import sample_bingham
from semiuhpe.distributions.contour import bingham_integrals
from semiuhpe.distributions.parameters import check_parameters, in_result_dtype, inner
from semiuhpe.distributions.proper_svd import proper_svd

NEARLY_UNIFORM = 5e-3  # |A|^2 below which the power series of C serves: there its error and that of c are near 1e-12


class _Summary(NamedTuple):
    """Numbers that describe a batch of distributions; none of them is part of an autograd graph."""

    u: Tensor  # (..., 3, 3)
    s: Tensor  # (..., 3)
    v: Tensor  # (..., 3, 3)
    log_normalizer: Tensor  # (...)
    mean_s: Tensor  # (..., 3), dlogC / ds
    entropy: Tensor  # (...)
    x: Tensor  # (..., 4, 4), see bingham_integrals


class MatrixFisher:
    """A batch of matrix Fisher distributions.

    Args:
        parameter: (..., 3, 3), any floating dtype, any device.
        validate_args: whether to refuse parameters that are not finite. The default does so on the CPU; on a GPU the
            check makes the host wait for the device, so there it is made only if asked for.

    Raises:
        NonFiniteParameterError: (a ValueError) naming the batch indices of parameters that are not finite.
    """

    def __init__(self, parameter: Tensor, validate_args: bool | None = None):
        self.parameter = check_parameters(parameter, type(self).__name__, validate_args)

    @property
    def batch_shape(self) -> torch.Size:
        return self.parameter.shape[:-2]

    def mode(self) -> Tensor:
        """The rotation of highest density, (..., 3, 3). Not differentiable."""
        return in_result_dtype(self._summary.u @ self._summary.v.mT, self.parameter)

    def mean(self) -> Tensor:
        """E[R], (..., 3, 3): inside the convex hull of SO(3), a rotation only in the limit. Differentiable."""
        return in_result_dtype(self._mean(), self.parameter)

    def log_normalizer(self) -> Tensor:
        """log C(A), (...). Differentiable, twice."""
        return in_result_dtype(self._log_normalizer(), self.parameter)

    def entropy(self) -> Tensor:
        """Differential entropy with respect to the Haar probability measure, (...): at most zero. Differentiable."""
        return in_result_dtype(_Entropy.apply(self._parameter64, self._summary), self.parameter)

    def log_prob(self, rotation: Tensor) -> Tensor:
        """Log density at rotation (..., 3, 3), broadcast with the batch. Differentiable in both."""
        log_prob = inner(self._parameter64, rotation.double()) - self._log_normalizer()
        return in_result_dtype(log_prob, self.parameter)

    def cross_entropy(self, other: "MatrixFisher") -> Tensor:
        """-E[log density of other] with the expectation under this distribution, (...). Differentiable in both."""
        cross_entropy = other._log_normalizer() - inner(other._parameter64, self._mean())
        return in_result_dtype(cross_entropy, self.parameter, other.parameter)

    def kl_divergence(self, other: "MatrixFisher") -> Tensor:
        """Kullback-Leibler divergence E[log p - log other], (...). Differentiable in both."""
        gain = inner(self._parameter64 - other._parameter64, self._mean())
        divergence = other._log_normalizer() - self._log_normalizer() + gain
        return in_result_dtype(divergence, self.parameter, other.parameter)

    def sample(self, sample_shape: tuple[int, ...] = (), generator: torch.Generator | None = None) -> Tensor:
        """Independent rotations, (*sample_shape, ..., 3, 3), exactly distributed.

        Args:
            sample_shape: how many for each distribution of the batch.
            generator: on the device of the parameters; the same state gives the same rotations.
        """
        summary = self._summary
        count = math.prod(sample_shape)
        q = sample_bingham(_gaps(summary.s).reshape(-1, 3), count, generator).reshape(count, *self.batch_shape, 4)
        rotations = summary.u @ roma.unitquat_to_rotmat(q.roll(-1, -1)) @ summary.v.mT  # roma has the scalar last
        return in_result_dtype(rotations.reshape(*sample_shape, *self.batch_shape, 3, 3), self.parameter)

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

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={tuple(self.batch_shape)}, dtype={self.parameter.dtype})"


@torch.no_grad()
def _summarize(parameter: Tensor) -> _Summary:
    u, s, v = proper_svd(parameter)
    s1, s2, s3 = s.unbind(-1)
    gaps = _gaps(s)
    c, x = bingham_integrals(gaps)

    towards = (s2 + s3) * x[..., 0, 1]
    against = (s2 - s3) * x[..., 2, 3]
    d1 = (s1 + s3) * x[..., 0, 2] + (s1 - s3) * x[..., 1, 3]
    mean_s = torch.stack((d1, towards + against, towards - against), -1)

    log_c = torch.log(c)
    series = _log_normalizer_series(s)
    nearly_uniform = s.square().sum(-1) < NEARLY_UNIFORM
    log_normalizer = torch.where(nearly_uniform, series, s.sum(-1) + log_c)
    entropy = torch.where(nearly_uniform, series - (s * mean_s).sum(-1), log_c + (gaps * _square_moments(x)).sum(-1))
    return _Summary(u, s, v, log_normalizer, mean_s, entropy, x)


def _gaps(s: Tensor) -> Tensor:
    s1, s2, s3 = s.unbind(-1)
    return 2 * torch.stack((s2 + s3, s1 + s3, s1 + s2), -1)


def _square_moments(x: Tensor) -> Tensor:
    """m_i = E[q_i^2], i = 1, 2, 3, (..., 3): the sum over j of E[q_i^2 q_j^2], all terms positive."""
    return (x.sum(-1) + 2 * x.diagonal(dim1=-2, dim2=-1))[..., 1:] / 4


def _log_normalizer_series(s: Tensor) -> Tensor:
    """log C for small s, to eighth order in s: the power series of C in the invariants |A|^2, det A, |adj A|^2."""
    t1, t2, t3 = s.square().unbind(-1)
    p, det, k = t1 + t2 + t3, s.prod(-1), t1 * t2 + t1 * t3 + t2 * t3
    second_to_fourth = p / 6 + det / 6 + (p * p + 2 * k) / 120
    fifth_and_sixth = p * det / 60 + det * det / 210 + (p**3 + 6 * p * k) / 5040
    seventh_and_eighth = (k + p * p) * det / 1680 + p * det * det / 3024 + (p**4 + 12 * p * p * k + 6 * k * k) / 362880
    return torch.log1p(second_to_fourth + fifth_and_sixth + seventh_and_eighth)


def _mean_of(summary: _Summary) -> Tensor:
    return (summary.u * summary.mean_s[..., None, :]) @ summary.v.mT


def _covariance_times(summary: _Summary, direction: Tensor) -> Tensor:
    """Cov(R, tr(direction^T R)), the derivative of the mean along direction (..., 3, 3), where A is diagonal.

    R_ii is one minus twice the sum of the two q_j^2 with j != i, and R_ij +- R_ji are 4 q_i q_j and 4 q_0 q_k.
    """
    x = summary.x
    moments = _square_moments(x)
    diagonal_x = torch.diag_embed(x.diagonal(dim1=-2, dim2=-1))
    covariance = (x + 2 * diagonal_x)[..., 1:, 1:] / 4 - moments[..., None] * moments[..., None, :]
    diagonal = direction.diagonal(dim1=-2, dim2=-1)
    others = diagonal.sum(-1, keepdim=True) - diagonal
    response = 4 * (covariance * others[..., None, :]).sum(-1)
    response = response.sum(-1, keepdim=True) - response

    symmetric = x[..., 1:, 1:] * (direction + direction.mT)
    k, zero = x[..., 0, 1:], torch.zeros_like(x[..., 0, 0])
    opposite = torch.stack((zero, k[..., 2], k[..., 1], k[..., 2], zero, k[..., 0], k[..., 1], k[..., 0], zero), -1)
    antisymmetric = opposite.unflatten(-1, (3, 3)) * (direction - direction.mT)
    off_diagonal = symmetric - torch.diag_embed(symmetric.diagonal(dim1=-2, dim2=-1)) + antisymmetric
    return off_diagonal + torch.diag_embed(response)


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
        return _mean_of(summary)

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
