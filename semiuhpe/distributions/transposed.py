r"""The matrix Fisher cross entropy as the paper's code computes it: with an index transposed.

As a Bingham distribution of unit quaternions (:mod:`semiuhpe.distributions.matrix_fisher`), a distribution A has an
orthonormal frame v0, v1, v2, v3, gaps g1, g2, g3, and the moments m_i = E[(v_i . q)^2]. The cross entropy from A to B
is

    H(A, B) = log c(g^B) + sum_i g^B_i (b_i^2 + sum_j ((v^A_j . v^B_i)^2 - b_i^2) m^A_j),    b_i = v^A_0 . v^B_i.

The paper's code (like FisherMatch, CVPR 2022, where it comes from) has (v^A_i . v^B_j)^2 instead. The two agree where A
and B have the same frame. The result is not the mean of a log density, and its gradient is infinite where two singular
values of B are equal: use it only to reproduce the paper's code.

The squared overlaps need no quaternions: for the rotations M_i = U E_i V^T, E_0 = I and E_i the half turn about axis i,

    (v^A_i . v^B_j)^2 = (1 + tr(M^A_i^T M^B_j)) / 4.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from semiuhpe.distributions.contour_integrals import gaps_of
from semiuhpe.distributions.matrix_fisher import MatrixFisher, _square_moments
from semiuhpe.distributions.parameters import in_result_dtype
from semiuhpe.distributions.proper_svd import proper_svd


def transposed_cross_entropy(target: MatrixFisher, predicted: MatrixFisher) -> Tensor:
    """Return the cross entropy (...) from targets to predictions with the index transposed.

    Differentiable in the prediction only, through its singular value decomposition. Nothing waits for the device.
    """
    summary = target._summary
    moments = _square_moments(summary.x)
    parameter = predicted.parameter.double()
    u, s, v = _ProperSvd.apply(parameter)
    product = (summary.u.mT @ u) * (summary.v.mT @ v)
    identity = torch.eye(3, dtype=product.dtype, device=product.device)
    signs = torch.cat((torch.ones_like(identity[:1]), 2 * identity - 1))  # the diagonals of E_0 to E_3
    overlaps = (1.0 + signs @ product @ signs.mT) / 4.0  # (..., 4, 4): row of the target, column of the prediction
    b = overlaps[..., 0, 1:]
    expected = b + ((overlaps[..., 1:, 1:] - b[..., :, None]) * moments[..., None, :]).sum(-1)
    log_c = predicted._log_normalizer() - s.sum(-1)
    return in_result_dtype(log_c + (gaps_of(s) * expected).sum(-1), target.parameter, predicted.parameter)


class _ProperSvd(torch.autograd.Function):
    """:func:`proper_svd` with its gradient, which is infinite where two singular values have the same square."""

    @staticmethod
    def forward(ctx, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        u, s, v = proper_svd(parameter)
        ctx.save_for_backward(u, s, v)
        return u, s, v

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_u: Tensor, grad_s: Tensor, grad_v: Tensor):
        u, s, v = ctx.saved_tensors
        squares = s.square()
        spread = squares[..., None, :] - squares[..., :, None]
        inverse = torch.where(torch.eye(3, dtype=torch.bool, device=s.device), 0.0, 1.0 / spread)
        turn_u, turn_v = (inverse * (k - k.mT) for k in (u.mT @ grad_u, v.mT @ grad_v))
        inner_gradient = torch.diag_embed(grad_s) + turn_u * s[..., None, :] + s[..., :, None] * turn_v
        return u @ inner_gradient @ v.mT
