"""Exact sampling of the Bingham distribution on unit quaternions."""

import torch
from torch import Tensor


@torch.no_grad()
def sample_bingham(gaps: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Sample independent unit quaternions (q0, q1, q2, q3) with density proportional to exp(-sum g_i q_i^2).

    Rejection sampling from the angular central Gaussian distribution with matrix diag(1 + 2 g_i / b), as in J. T. Kent,
    A. M. Ganeiber and K. V. Mardia, "A new unified approach for the simulation of a wide class of directional
    distributions", J. Comput. Graph. Stat. 2018. Every b gives exact samples; the one that solves
    ``sum_i 1 / (b + 2 g_i) = 1`` accepts most, more than 44 percent in four dimensions.

    Args:
        gaps: (n, 3), float64, g1, g2, g3 >= 0; g0 is zero.
        count: samples for each row of gaps.
        generator: on the device of gaps; the same state gives the same samples.

    Returns:
        (count, n, 4), float64.
    """
    gaps = torch.nn.functional.pad(gaps, (1, 0))
    b = _best_envelope(gaps)
    rows = torch.arange(gaps.shape[0], device=gaps.device).repeat(count)
    samples = gaps.new_empty(rows.shape[0], 4)
    pending = torch.arange(rows.shape[0], device=gaps.device)
    while pending.numel():
        g, b_row = gaps[rows[pending]], b[rows[pending]]
        normal = torch.randn(g.shape, dtype=g.dtype, device=g.device, generator=generator)
        q = torch.nn.functional.normalize(normal * torch.rsqrt(1 + 2 * g / b_row), dim=-1)
        exponent = (g * q.square()).sum(-1, keepdim=True)
        log_acceptance = 2 * torch.log((b_row + 2 * exponent) / 4) + (4 - b_row) / 2 - exponent
        uniform = torch.rand(exponent.shape, dtype=g.dtype, device=g.device, generator=generator)
        accepted = (torch.log(uniform) < log_acceptance).squeeze(-1)
        samples[pending[accepted]] = q[accepted]
        pending = pending[~accepted]
    return samples.unflatten(0, (count, gaps.shape[0]))


def _best_envelope(gaps: Tensor) -> Tensor:
    """Solve sum_i 1 / (b + 2 g_i) = 1 for b (n, 1) in [1, 4], by Newton's method from the left of a convex function."""
    b = torch.ones_like(gaps[:, :1])
    for _ in range(10):
        inverse = 1 / (b + 2 * gaps)
        b = b + (inverse.sum(-1, keepdim=True) - 1) / inverse.square().sum(-1, keepdim=True)
    return b
