"""The Rotation Laplace distribution against mpmath, finite differences and averages over uniform rotations."""

import math

import mpmath
import pytest
import torch
from support.rotations import random_rotations, with_singular_values
from torch.autograd import gradcheck

from semiuhpe.distributions import MatrixFisher, NonFiniteParameterError, RotationLaplace
from semiuhpe.distributions.contour_integrals import bingham_integrals


@pytest.mark.parametrize("s", [1e-3, 0.1, 1.0, 20.0, 1e3, 1e5])
def test_isotropic_normalizer_and_entropy(s):
    """With equal singular values p = 4 s sin^2 t; t, half the angle, has density 4 / pi sin^2 t on [0, pi / 2]."""
    root = mpmath.sqrt(4 * s)
    pieces = [0, *(mpmath.mpf(10) ** k for k in range(-5, 0)), mpmath.pi / 2]

    def average(f):
        return mpmath.quad(lambda t: 4 / mpmath.pi * mpmath.sin(t) ** 2 * f(root * mpmath.sin(t)), pieces)

    normalizer = average(lambda y: mpmath.exp(-y) / y)
    energy = average(lambda y: mpmath.exp(-y) / y * (y + mpmath.log(y))) / normalizer
    log_normalizer = mpmath.log(normalizer)
    for dtype, tolerance in ((torch.float64, 1e-11), (torch.float32, 2e-6)):
        d = RotationLaplace(with_singular_values((s, s, s)).to(dtype))
        assert d.log_normalizer().dtype == dtype
        assert d.log_normalizer().item() == pytest.approx(float(log_normalizer), rel=tolerance)
        assert d.entropy().item() == pytest.approx(float(log_normalizer + energy), rel=tolerance)


@pytest.mark.parametrize("s", [(1.0, 0.5, -0.2), (30.0, 10.0, -9.0), (1e4, 20.0, 3.0), (5e4, 4e4, 3e4)])
def test_normalizer_by_mixing_matrix_fisher_distributions(s):
    """exp(-sqrt p) / sqrt p = int (pi t)^(-1/2) exp(-1 / (4 t) - t p) dt, the matrix Fisher density of t A inside."""
    s1, s2, s3 = s
    gaps = 2 * torch.tensor((s2 + s3, s1 + s3, s1 + s2), dtype=torch.float64)
    log_t = torch.linspace(-6, 24, 1500, dtype=torch.float64)
    t = log_t.exp()
    matrix_fisher, _ = bingham_integrals(t[:, None] * gaps)
    kernel = torch.exp(-1 / (4 * t) + log_t / 2) / math.pi**0.5
    mixture = torch.trapezoid(kernel * matrix_fisher, log_t).log()
    log_normalizer = RotationLaplace(torch.diag(torch.tensor(s, dtype=torch.float64))).log_normalizer()
    torch.testing.assert_close(log_normalizer, mixture, rtol=1e-9, atol=1e-9)


def test_density_integrates_to_one_and_gives_entropy_and_cross_entropy():
    r = random_rotations(400_000)
    p = RotationLaplace(with_singular_values((2.0, 1.5, -0.5)))
    q = RotationLaplace(with_singular_values((3.0, 1.0, 0.5), seed=1))
    log_p, log_q = p.log_prob(r), q.log_prob(r)
    density = log_p.exp()
    assert density.mean().item() == pytest.approx(1, abs=0.01)
    assert -(density * log_p).mean().item() == pytest.approx(p.entropy().item(), abs=0.03)
    assert -(density * log_q).mean().item() == pytest.approx(p.cross_entropy(q).item(), abs=0.03)


@pytest.mark.parametrize("s", [(2, 2, 2), (5, 4, -3), (3, 1, 0.5), (50, 0.1, 0), (200, 200, 200)])
def test_gradients(s):
    a = with_singular_values(s).requires_grad_()
    b = with_singular_values((6, 4, -1), seed=1).requires_grad_()
    r = random_rotations(seed=2).requires_grad_()
    assert gradcheck(lambda a: RotationLaplace(a).log_normalizer(), a)
    assert gradcheck(lambda a: RotationLaplace(a).entropy(), a)
    assert gradcheck(lambda a, r: RotationLaplace(a).log_prob(r), (a, r))
    given = RotationLaplace(a.detach())
    assert gradcheck(lambda b: given.cross_entropy(RotationLaplace(b)), b)
    assert gradcheck(lambda b: given.kl_divergence(RotationLaplace(b)), b)


def test_divergence_is_smallest_at_the_distribution_itself():
    a = with_singular_values((20.0, 12.0, 4.0))
    p = RotationLaplace(a)
    assert p.cross_entropy(p).item() == pytest.approx(p.entropy().item(), abs=1e-12)
    nearby = a + 0.3 * torch.randn(50, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (p.kl_divergence(RotationLaplace(nearby)) > -1e-3).all()
    far = RotationLaplace(random_rotations(50, seed=3) @ a)
    assert (p.kl_divergence(far) > 0).all()


def test_mode_has_the_highest_density_and_a_finite_gradient():
    a = with_singular_values((9.0, 7.0, -3.0)).float().requires_grad_()
    d = RotationLaplace(a)
    peak = d.log_prob(d.mode())
    assert (peak > d.log_prob(random_rotations(500))).all()
    peak.backward()
    assert torch.isfinite(peak) and torch.isfinite(a.grad).all()


def test_uniform_limit_is_finite():
    a = torch.zeros(2, 3, 3).requires_grad_()
    d = RotationLaplace(a)
    (d.log_prob(torch.eye(3)) + d.entropy() + d.cross_entropy(d)).sum().backward()
    assert torch.isfinite(a.grad).all()


def test_batch_shapes_and_autocast():
    a = torch.randn(4, 5, 3, 3)
    p, q = RotationLaplace(a), RotationLaplace(a[0])
    assert p.batch_shape == (4, 5)
    for value in (p.entropy(), p.log_normalizer(), p.log_prob(torch.eye(3)), p.cross_entropy(q), q.cross_entropy(p)):
        assert value.shape == (4, 5)
    expected = p.cross_entropy(q)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(RotationLaplace(a).cross_entropy(RotationLaplace(a[0])), expected)
    assert RotationLaplace(a.bfloat16()).entropy().dtype == torch.float32


def test_fit_to_noisy_rotations():
    target = random_rotations(seed=7)
    noise = MatrixFisher(50 * torch.eye(3, dtype=torch.float64)).sample((64,), torch.Generator().manual_seed(0))
    a = with_singular_values((1.0, 0.7, -0.3)).requires_grad_()
    optimizer = torch.optim.Adam([a], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -RotationLaplace(a).log_prob(target @ noise).mean()
        loss.backward()
        optimizer.step()
    trace = (RotationLaplace(a).mode() * target).sum().item()
    assert math.degrees(math.acos(min(1.0, (trace - 1) / 2))) < 5
    assert loss < -4.5


def test_parameters_that_are_not_finite_are_named():
    a = torch.zeros(6, 3, 3)
    a[4, 1, 1] = math.nan
    with pytest.raises(NonFiniteParameterError, match=r"RotationLaplace: 1 of 6 .* \(4,\)"):
        RotationLaplace(a)
