"""The cross entropy with the transposed index, beside a plain re-statement by quaternions."""

import pytest
import roma
import torch

from semiuhpe.distributions import MatrixFisher
from semiuhpe.distributions.transposed import transposed_cross_entropy

HALF_TURNS = [torch.diag(torch.tensor(signs)).double() for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]


def parameters(count: int, seed: int = 0, scale: float = 4.0) -> torch.Tensor:
    return scale * torch.randn(count, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frame(parameter: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Quaternions (n, 4, 4), the last dimension their number, and gaps (n, 3), by torch's decomposition."""
    u, s, vt = torch.linalg.svd(parameter)
    last = torch.tensor([1.0, 1.0, 0.0]).double()
    sign_u, sign_v = torch.linalg.det(u).detach(), torch.linalg.det(vt).detach()
    u = u * (last + (1 - last) * sign_u[:, None])[:, None, :]
    v = vt.mT * (last + (1 - last) * sign_v[:, None])[:, None, :]
    s = s * (last + (1 - last) * (sign_u * sign_v)[:, None])
    quaternions = [roma.rotmat_to_unitquat(u @ half_turn @ v.mT) for half_turn in HALF_TURNS]
    gaps = 2 * torch.stack((s[:, 1] + s[:, 2], s[:, 0] + s[:, 2], s[:, 0] + s[:, 1]), -1)
    return torch.stack(quaternions, -1), gaps


def square_moments(parameter: torch.Tensor) -> torch.Tensor:
    """E[(v_i . q)^2], (n, 3): in the frame of the distribution R_ii is 1 - 2 (q_j^2 + q_k^2)."""
    u, _, vt = torch.linalg.svd(parameter)
    signs = torch.stack([torch.ones(len(u)), torch.ones(len(u)), torch.linalg.det(u @ vt)], -1)
    mean = (u * signs[:, None, :]).mT @ MatrixFisher(parameter).mean() @ vt.mT
    others = (1 - mean.diagonal(dim1=-2, dim2=-1)) / 2
    return others.sum(-1, keepdim=True) / 2 - others


def restated(target: torch.Tensor, predicted: torch.Tensor, transposed: bool = True) -> torch.Tensor:
    """Sum over i and j, one after the other."""
    v1, _ = frame(target)
    v2, gaps2 = frame(predicted)
    moments = square_moments(target)
    fisher = MatrixFisher(predicted)
    total = fisher.log_normalizer() - gaps2.sum(-1) / 4
    for i in range(3):
        b = (v1[..., 0] * v2[..., i + 1]).sum(-1) ** 2
        value = b
        for j in range(3):
            one, other = (i, j) if transposed else (j, i)
            overlap = (v1[..., one + 1] * v2[..., other + 1]).sum(-1) ** 2
            value = value + (overlap - b) * moments[:, j]
        total = total + gaps2[:, i] * value
    return total


def test_with_the_right_index_the_restatement_is_the_exact_cross_entropy():
    target, predicted = parameters(40), parameters(40, 1)
    exact = MatrixFisher(target).cross_entropy(MatrixFisher(predicted))
    torch.testing.assert_close(restated(target, predicted, transposed=False), exact, rtol=1e-9, atol=1e-9)


def test_value_and_gradient_agree_with_the_restatement():
    target, predicted = parameters(40), parameters(40, 1).requires_grad_()
    assert (torch.linalg.det(predicted) < 0).any() and (torch.linalg.det(target) < 0).any()
    value = transposed_cross_entropy(MatrixFisher(target), MatrixFisher(predicted))
    expected = restated(target, predicted)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    assert (value - MatrixFisher(target).cross_entropy(MatrixFisher(predicted))).abs().max() > 0.1
    (gradient,) = torch.autograd.grad(value.sum(), predicted)
    (by_torch,) = torch.autograd.grad(expected.sum(), predicted)
    torch.testing.assert_close(gradient, by_torch, rtol=1e-6, atol=1e-6)


def test_where_the_frames_agree_it_is_exact():
    parameter = parameters(20)
    fisher, twice = MatrixFisher(parameter), MatrixFisher(2 * parameter)
    torch.testing.assert_close(transposed_cross_entropy(fisher, fisher), fisher.entropy(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(transposed_cross_entropy(fisher, twice), fisher.cross_entropy(twice))


@pytest.mark.parametrize("turned", ["left", "right"])
def test_it_does_not_depend_on_the_axes(turned):
    """So it is the same whether a network predicts R of head to camera or as in 300W-LP."""
    target, predicted = parameters(10), parameters(10, 1)
    rotation = MatrixFisher(parameters(1, 2)).mode()
    value = transposed_cross_entropy(MatrixFisher(target), MatrixFisher(predicted))
    moved = [rotation @ p if turned == "left" else (p @ rotation).mT for p in (target, predicted)]
    torch.testing.assert_close(transposed_cross_entropy(*map(MatrixFisher, moved)), value)


def test_float32_stays_float32():
    value = transposed_cross_entropy(*(MatrixFisher(parameters(3, seed).float()) for seed in (0, 1)))
    assert value.dtype == torch.float32
