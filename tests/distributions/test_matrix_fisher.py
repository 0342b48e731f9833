"""The matrix Fisher distribution against 30 digit numbers, finite differences and its own samples."""

import json
import math

import mpmath
import pytest
import torch
from support.paths import GOLDEN
from support.rotations import random_rotations, with_singular_values
from torch.autograd import gradcheck, gradgradcheck

from semiuhpe.distributions import MatrixFisher, NonFiniteParameterError, RotationLaplace
from semiuhpe.distributions.proper_svd import proper_svd

DATA = GOLDEN
CASES = json.loads((DATA / "matrix_fisher.json").read_text())["cases"]
PAIRS = json.loads((DATA / "matrix_fisher_pairs.json").read_text())["cases"]

SPECIAL_SINGULAR_VALUES = [
    (0, 0, 0),
    (1e-3, 2e-4, 0),
    (0.05, 0.05, 0.05),
    (2, 2, 2),
    (5, 5, -5),
    (3, 3, -1),
    (4, 1, -1),
    (50, 0, 0),
    (30, 20, -19.5),
    (200, 200, 200),
]


def relative_error(value: torch.Tensor, expected) -> float:
    """Largest error relative to the largest entry; absolute where all are zero."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    size = float(expected.abs().max())
    return float((value.detach().double() - expected).abs().max()) / (size if size > 1e-30 else 1)


def mpmath_reference(s) -> tuple[float, list[float]]:
    """log C and dlogC / ds from the integral of Bessel functions, over the mass t of the quaternion components j, k."""
    with mpmath.workdps(20):
        s1, s2, s3 = (mpmath.mpf(x) for x in s)
        g = [2 * (s2 + s3), 2 * (s1 + s3), 2 * (s1 + s2)]

        def scaled_bessel(x):
            return mpmath.besseli(0, x) * mpmath.exp(-x)

        derivatives = []
        for i in range(3):
            low, high = (g[j] for j in range(3) if j != i)

            def density(t, g_i=g[i], low=low, high=high):
                return scaled_bessel(g_i * (1 - t) / 2) * scaled_bessel((high - low) * t / 2) * mpmath.exp(-low * t)

            ends = [mpmath.mpf(10) ** -k for k in range(7, 0, -1)]
            pieces = [0, *ends, 0.5, *(1 - x for x in reversed(ends)), 1]
            c = mpmath.quad(density, pieces, method="gauss-legendre", maxdegree=4)
            mean_t = mpmath.quad(lambda t, f=density: t * f(t), pieces, method="gauss-legendre", maxdegree=4) / c
            derivatives.append(float(1 - 2 * mean_t))
        return float(s1 + s2 + s3 + mpmath.log(c)), derivatives


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-6)])
def test_reference_singular_values(dtype, tolerance):
    for case in CASES:
        d = MatrixFisher(torch.diag(torch.tensor(case["singular_values"], dtype=dtype)))
        assert d.mean().dtype == dtype
        assert relative_error(d.log_normalizer(), case["log_normalizer"]) < tolerance
        assert relative_error(d.entropy(), case["entropy"]) < tolerance
        mean = torch.diag(torch.tensor(case["mean_singular_values"], dtype=torch.float64))
        assert relative_error(d.mean(), mean) < tolerance


def test_reference_pairs():
    for case in PAIRS:
        a, b, r = (torch.tensor(case[name], dtype=torch.float64) for name in "ABR")
        b.requires_grad_()
        p, q = MatrixFisher(a), MatrixFisher(b)
        cross_entropy = p.cross_entropy(q)
        (gradient,) = torch.autograd.grad(cross_entropy, b, retain_graph=True)
        for value, name in [
            (p.mode(), "mode_A"),
            (p.mean(), "mean_A"),
            (p.entropy(), "entropy_A"),
            (cross_entropy, "cross_entropy_A_B"),
            (-q.log_prob(r), "neg_log_prob_B_at_R"),
            (gradient, "grad_cross_entropy_wrt_B"),
        ]:
            assert relative_error(value, case[name]) < 1e-9, name


def test_mpmath_at_random_points():
    generator = torch.Generator().manual_seed(3)
    points = [(1e5, 1e5, 1e5), (1e5, 1, -1), (1e5, 9e4, -9e4), (0.07, 0.02, -0.01), (0.02, 0.02, 0.02)]
    for scale in (0.1, 3, 30, 1e3, 1e5):
        s = (scale * torch.rand(3, dtype=torch.float64, generator=generator)).sort(descending=True).values
        points.append((*s[:2].tolist(), -float(s[2]) if scale == 30 else float(s[2])))
    for s in points:
        log_normalizer, derivatives = mpmath_reference(s)
        d = MatrixFisher(torch.diag(torch.tensor(s, dtype=torch.float64)))
        assert relative_error(d.log_normalizer(), log_normalizer) < 1e-11, s
        assert relative_error(d.mean().diagonal(), derivatives) < 1e-11, s
        d = MatrixFisher(torch.diag(torch.tensor(s, dtype=torch.float64)).float())
        assert relative_error(d.log_normalizer(), log_normalizer) < 2e-6, s


@pytest.mark.parametrize("s", SPECIAL_SINGULAR_VALUES)
def test_gradients(s):
    a = with_singular_values(s).requires_grad_()
    b = with_singular_values((6, 4, -1), seed=1).requires_grad_()
    r = random_rotations(seed=2).requires_grad_()
    assert gradcheck(lambda a: MatrixFisher(a).log_normalizer(), a)
    assert gradgradcheck(lambda a: MatrixFisher(a).log_normalizer(), a)
    assert gradcheck(lambda a: MatrixFisher(a).mean(), a)
    assert gradcheck(lambda a: MatrixFisher(a).entropy(), a)
    assert gradcheck(lambda a, r: MatrixFisher(a).log_prob(r), (a, r))
    assert gradcheck(lambda a, b: MatrixFisher(a).cross_entropy(MatrixFisher(b)), (a, b))
    assert gradcheck(lambda a, b: MatrixFisher(a).kl_divergence(MatrixFisher(b)), (a, b))


@pytest.mark.parametrize("s", SPECIAL_SINGULAR_VALUES)
def test_identities(s):
    p, q = MatrixFisher(with_singular_values(s)), MatrixFisher(with_singular_values((6, 4, -1), seed=1))
    torch.testing.assert_close(p.cross_entropy(p), p.entropy(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(p.kl_divergence(q), p.cross_entropy(q) - p.entropy(), rtol=1e-12, atol=1e-12)
    assert abs(p.kl_divergence(p)) < 1e-15
    assert p.kl_divergence(q) > 0
    assert p.entropy() <= 0
    mode = p.mode()
    torch.testing.assert_close(mode @ mode.T, torch.eye(3, dtype=torch.float64))
    assert torch.linalg.det(mode) > 0
    others = random_rotations(200, seed=4)
    assert (p.log_prob(mode) >= p.log_prob(others) - 1e-12).all()


def test_concentration_of_a_narrow_distribution():
    """For large s the log of the rotation from the mode is Gaussian with variances 1 / (s_i + s_j)."""
    s = torch.tensor([3e4, 2e4, 1e4], dtype=torch.float64)
    variances = 1 / (s.sum() - s)
    gaussian = 1.5 * math.log(2 * math.pi * math.e) + 0.5 * variances.log().sum() - math.log(8 * math.pi**2)
    assert abs(MatrixFisher(torch.diag(s)).entropy() - gaussian) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mean_lies_in_the_convex_hull_of_rotations(dtype):
    generator = torch.Generator().manual_seed(0)
    scale = 10 ** (8 * torch.rand(2000, 1, 1, generator=generator, dtype=torch.float64) - 3)
    mean = MatrixFisher((scale * torch.randn(2000, 3, 3, generator=generator, dtype=torch.float64)).to(dtype)).mean()
    _, (d1, d2, d3), _ = (x.movedim(-1, 0) if x.ndim == 2 else x for x in proper_svd(mean.double()))
    barycentric = torch.stack((1 + d1 + d2 + d3, 1 + d1 - d2 - d3, 1 - d1 + d2 - d3, 1 - d1 - d2 + d3)) / 4
    assert (barycentric > -torch.finfo(dtype).eps).all()


def test_batch_shapes():
    a = torch.randn(4, 5, 3, 3)
    p, q = MatrixFisher(a), MatrixFisher(a[0])
    assert p.batch_shape == (4, 5)
    for value in (p.entropy(), p.log_normalizer(), p.log_prob(torch.eye(3)), p.cross_entropy(q), q.kl_divergence(p)):
        assert value.shape == (4, 5)
    assert p.mode().shape == p.mean().shape == (4, 5, 3, 3)
    assert p.sample((2, 3)).shape == (2, 3, 4, 5, 3, 3)
    assert p.sample().shape == (4, 5, 3, 3)
    torch.testing.assert_close(p.entropy()[1, 2], MatrixFisher(a[1, 2]).entropy())
    assert MatrixFisher(a[:0]).entropy().shape == (0, 5)


def test_half_precision_and_autocast():
    a, b = torch.randn(2, 16, 3, 3, generator=torch.Generator().manual_seed(0)) * 8
    expected = MatrixFisher(a).cross_entropy(MatrixFisher(b))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(MatrixFisher(a).cross_entropy(MatrixFisher(b)), expected)
        head = torch.nn.Linear(4, 9)
        out = head(torch.randn(16, 4))
        assert out.dtype == torch.bfloat16
        loss = MatrixFisher(a).cross_entropy(MatrixFisher(out.unflatten(-1, (3, 3))))
    assert loss.dtype == torch.float32
    loss.mean().backward()
    assert torch.isfinite(head.weight.grad).all()
    half = MatrixFisher(a.bfloat16())
    assert half.entropy().dtype == torch.float32
    assert torch.equal(half.entropy(), MatrixFisher(a.bfloat16().float()).entropy())


def test_one_distribution_serves_several_backward_passes():
    a = torch.randn(3, 3).requires_grad_()
    d = MatrixFisher(a)
    with torch.no_grad():
        d.entropy()
    for value in (d.entropy(), d.log_prob(torch.eye(3)), d.log_normalizer()):
        value.backward()
    assert torch.isfinite(a.grad).all() and (a.grad != 0).any()


def test_parameters_that_are_not_finite_are_named():
    a = torch.zeros(4, 5, 3, 3)
    a[1, 2, 0, 0] = math.nan
    a[3, 0, 2, 1] = math.inf
    with pytest.raises(NonFiniteParameterError, match=r"2 of 20 .* \(1, 2\), \(3, 0\)"):
        MatrixFisher(a)
    MatrixFisher(a, validate_args=False)
    with pytest.raises(ValueError, match="3, 3"):
        MatrixFisher(torch.zeros(4, 9))


@pytest.mark.parametrize("s", [(0, 0, 0), (2, 1, -0.5), (5, 5, -5), (60, 40, -39), (300, 200, 100)])
def test_samples_have_the_mean_and_entropy(s):
    d = MatrixFisher(with_singular_values(s))
    count = 40_000
    r = d.sample((count,), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(r @ r.mT, torch.eye(3, dtype=torch.float64).expand_as(r))
    tolerance = 5 * r.std(0) / count**0.5
    assert ((r.mean(0) - d.mean()).abs() < tolerance + 1e-12).all()
    log_prob = d.log_prob(r)
    assert (log_prob.mean() + d.entropy()).abs() < 5 * log_prob.std() / count**0.5 + 1e-12


def test_samples_are_reproducible():
    d = MatrixFisher(torch.randn(6, 3, 3))
    first, second, third = (d.sample((10,), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_proper_svd_is_backward_stable():
    shapes = [(1, 1, 1), (1, 1, -1), (1, 0, 0), (1, 1e-9, 0), (1, 1 - 1e-9, 0.5), (1, 0.5, 0.5 - 1e-12), (1e120, 1, 0)]
    u, v = random_rotations(300, seed=5), random_rotations(300, seed=6)
    batches = [u @ torch.diag(torch.tensor(s, dtype=torch.float64)) @ v.mT for s in shapes]
    generator = torch.Generator().manual_seed(7)
    batches += [torch.randn(300, 3, 3, dtype=torch.float64, generator=generator), torch.zeros(1, 3, 3).double()]
    batches += [torch.randint(-1, 2, (3000, 3, 3), generator=generator).double()]
    for matrix in batches:
        u, s, v = proper_svd(matrix)
        size = matrix.abs().amax((-2, -1)).clamp_min(1e-300)
        assert ((u * s[:, None]) @ v.mT / size[:, None, None] - matrix / size[:, None, None]).abs().max() < 3e-15
        for rotation in (u, v):
            torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).double().expand_as(u), rtol=0, atol=2e-15)
            assert (torch.linalg.det(rotation) > 0).all()
        assert (s[:, 0] >= s[:, 1] - 2e-15 * size).all() and (s[:, 1] >= s[:, 2].abs()).all()


def loss_of_a_training_step(distribution, device):
    generator = torch.Generator().manual_seed(0)
    teacher, student, target = (5 * torch.randn(3, 16, 3, 3, generator=generator)).to(device)
    target = MatrixFisher(target).mode()
    student.requires_grad_()

    def loss():
        p, q = distribution(teacher), distribution(student)
        confident = p.entropy() < -1
        loss = (confident * p.cross_entropy(q) - q.log_prob(target)).mean()
        return loss.detach(), torch.autograd.grad(loss, student)[0]

    return loss


@pytest.mark.parametrize("distribution", [MatrixFisher, RotationLaplace])
def test_loss_does_not_depend_on_values_on_the_host(distribution):
    """Tensors on the meta device have no values, so that any look at them fails, as ``bool(tensor)`` would."""
    value, gradient = loss_of_a_training_step(distribution, "meta")()
    assert value.shape == () and gradient.shape == (16, 3, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("distribution", [MatrixFisher, RotationLaplace])
def test_loss_does_not_make_the_host_wait(distribution):
    loss = loss_of_a_training_step(distribution, "cuda")
    loss()  # copies the quadrature to the device
    torch.cuda.set_sync_debug_mode("error")
    try:
        results = loss()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for on_gpu, on_cpu in zip(results, loss_of_a_training_step(distribution, "cpu")(), strict=True):
        torch.testing.assert_close(on_gpu.cpu(), on_cpu)
