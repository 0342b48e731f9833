"""Times the matrix Fisher losses against a straightforward implementation.

    python benchmarks/distributions.py [--device cuda] [--threads 1] [--skip-network]

Prints three Markdown tables: the losses at several batch sizes, the 3x3 decompositions that were compared, and the
share of the losses in one training step of a ResNet-18. Times are medians; on a shared machine trust only their ratios.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import roma
import torch
from torch import Tensor

from semiuhpe.distributions import MatrixFisher
from semiuhpe.distributions.proper_svd import proper_svd

BATCHES = (32, 128, 512, 4096)
TRAPEZOID_POINTS = 512


class TrapezoidLogNormalizer(torch.autograd.Function):
    """log C of singular values (n, 3), value and each derivative by a trapezoidal rule over the Bessel functions."""

    @staticmethod
    def integrate(s: Tensor, k: int, moment: int) -> Tensor:
        """E[u^moment exp(tr(S R) - tr S)] / 2 in the form of the integral that has s_k in the exponent."""
        i, j = (index for index in range(3) if index != k)
        s_i, s_j, s_k = (s[:, index, None] for index in (i, j, k))
        u = torch.linspace(-1, 1, TRAPEZOID_POINTS, dtype=s.dtype, device=s.device)
        f = torch.special.i0e((s_i - s_j) * (1 - u) / 2) * torch.special.i0e((s_i + s_j) * (1 + u) / 2)
        f = f * torch.exp((s_j + s_k) * (u - 1)) * u**moment
        return torch.trapezoid(f, u) / 2

    @staticmethod
    def forward(ctx, s: Tensor) -> Tensor:
        scaled = TrapezoidLogNormalizer.integrate(s, 2, 0)
        ctx.save_for_backward(s, scaled)
        return s.sum(-1) + scaled.log()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        s, scaled = ctx.saved_tensors
        derivatives = [TrapezoidLogNormalizer.integrate(s, k, 1) / scaled for k in range(3)]
        return grad[:, None] * torch.stack(derivatives, -1)


class Straightforward:
    """Matrix Fisher distributions with LAPACK's SVD, autograd through it, and the cross entropy in the Bingham form."""

    def __init__(self, parameter: Tensor):
        self.parameter = parameter
        u, s, vt = torch.linalg.svd(parameter)
        sign_u, sign_v = torch.linalg.det(u).sign(), torch.linalg.det(vt).sign()
        last = torch.tensor([0.0, 0.0, 1.0], dtype=s.dtype, device=s.device)
        self.u = u * (1 + last * (sign_u - 1)[:, None])[:, None, :]
        self.v = (vt * (1 + last * (sign_v - 1)[:, None])[:, :, None]).mT
        self.s = s * (1 + last * (sign_u * sign_v - 1)[:, None])

    def log_normalizer(self) -> Tensor:
        return TrapezoidLogNormalizer.apply(self.s)

    def log_prob(self, rotation: Tensor) -> Tensor:
        return (self.parameter * rotation).sum((-2, -1)) - self.log_normalizer()

    def bingham(self) -> tuple[Tensor, Tensor, Tensor]:
        """Axes (n, 4, 4) as rows, exponents (n, 4) and second moments (n, 4) of the quaternion's distribution."""
        s = self.s.detach().requires_grad_()
        with torch.enable_grad():
            (d,) = torch.autograd.grad(TrapezoidLogNormalizer.apply(s).sum(), s)
        s1, s2, s3 = self.s.unbind(-1)
        d1, d2, d3 = d.unbind(-1)
        exponents = torch.stack((s1 + s2 + s3, s1 - s2 - s3, s2 - s1 - s3, s3 - s1 - s2), -1)
        moments = torch.stack((1 + d1 + d2 + d3, 1 + d1 - d2 - d3, 1 - d1 + d2 - d3, 1 - d1 - d2 + d3), -1) / 4
        signs = torch.tensor(
            [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=self.s.dtype, device=self.s.device
        )
        rotations = (self.u[:, None] * signs[:, None, :]) @ self.v.mT[:, None]
        return roma.rotmat_to_unitquat(rotations), exponents, moments

    def entropy(self) -> Tensor:
        _, exponents, moments = self.bingham()
        return self.log_normalizer() - (exponents * moments).sum(-1)

    def cross_entropy(self, other: "Straightforward") -> Tensor:
        axes, _, moments = self.bingham()
        other_axes, exponents, _ = other.bingham()
        overlap = (other_axes @ axes.mT).square()
        return other.log_normalizer() - (exponents * (overlap @ moments[..., None]).squeeze(-1)).sum(-1)


def median_ms(function: Callable[[], object], device: torch.device, repeats: int) -> float:
    times = []
    for attempt in range(repeats + 2):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if attempt >= 2:
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def random_parameters(count: int, device: torch.device, seed: int) -> Tensor:
    """Like the outputs of a trained network: singular values of some tens."""
    return (12 * torch.randn(count, 3, 3, generator=torch.Generator().manual_seed(seed))).to(device)


def loss_functions(distribution, count: int, device: torch.device) -> dict[str, Callable[[], object]]:
    teacher = random_parameters(count, device, seed=0)
    student = (teacher + random_parameters(count, device, seed=1) / 4).requires_grad_()
    target = MatrixFisher(teacher).mode()

    def entropy():
        with torch.no_grad():
            return distribution(teacher).entropy()

    def nll():
        return torch.autograd.grad(-distribution(student).log_prob(target).mean(), student)

    def cross_entropy():
        with torch.no_grad():
            given = distribution(teacher)
        return torch.autograd.grad(given.cross_entropy(distribution(student)).mean(), student)

    return {
        "entropy": entropy,
        "NLL, forward and backward": nll,
        "cross entropy, forward and backward": cross_entropy,
    }


def time_losses(device: torch.device, repeats: int) -> None:
    print("| loss | batch | straightforward, ms | SemiUHPE, ms | ratio |\n| --- | ---: | ---: | ---: | ---: |")
    for count in BATCHES:
        ours = loss_functions(MatrixFisher, count, device)
        baseline = loss_functions(Straightforward, count, device)
        for name in ours:
            slow = median_ms(baseline[name], device, max(3, repeats // (1 + count // 512)))
            fast = median_ms(ours[name], device, repeats)
            print(f"| {name} | {count} | {slow:.2f} | {fast:.2f} | {slow / fast:.0f} |", flush=True)


def time_decompositions(device: torch.device, repeats: int) -> None:
    def lapack_svd(matrix: Tensor) -> tuple[Tensor, ...]:
        u, s, vt = torch.linalg.svd(matrix)
        return u, s, vt, torch.linalg.det(u), torch.linalg.det(vt)

    def quaternion_eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c, d, e, f, g, h, i = matrix.flatten(-2).unbind(-1)
        rows = (a + e + i, h - f, c - g, d - b, h - f, a - e - i, b + d, c + g)
        rows += (c - g, b + d, e - a - i, f + h, d - b, c + g, f + h, i - a - e)
        return torch.linalg.eigh(torch.stack(rows, -1).unflatten(-1, (4, 4)))

    print("\n| 3x3 decomposition, float64 | 32 | 128 | 4096 | 100000 |\n| --- | ---: | ---: | ---: | ---: |")
    for name, function in [
        ("LAPACK SVD and signs, ms", lapack_svd),
        ("LAPACK eigenvectors of the 4x4 quaternion matrix, ms", quaternion_eigh),
        ("closed form (kept), ms", proper_svd),
    ]:
        times = []
        for count in (32, 128, 4096, 100_000):
            matrix = random_parameters(count, device, seed=2).double()
            runs = repeats if count < 5000 else 3
            times.append(median_ms(lambda f=function, m=matrix: f(m), device, runs))
        print(f"| {name} | " + " | ".join(f"{t:.2f}" for t in times) + " |", flush=True)


def time_training_step(device: torch.device) -> None:
    """One step of a student on 32 labeled and 128 unlabeled heads, with a teacher's pseudo labels."""
    import torchvision

    labeled, unlabeled = 32, 128
    student, teacher = (torchvision.models.resnet18(num_classes=9).to(device) for _ in range(2))
    images = torch.randn(labeled + unlabeled, 3, 224, 224, device=device)
    optimizer = torch.optim.Adam(student.parameters())
    target = MatrixFisher(random_parameters(labeled, device, seed=0)).mode()

    def losses(out: Tensor, pseudo: Tensor) -> Tensor:
        given = MatrixFisher(pseudo)
        confident = given.entropy() < 0
        unsupervised = (confident * given.cross_entropy(MatrixFisher(out[labeled:]))).mean()
        return unsupervised - MatrixFisher(out[:labeled]).log_prob(target).mean()

    def step():
        with torch.no_grad():
            pseudo = teacher(images[labeled:]).unflatten(-1, (3, 3))
        loss = losses(student(images).unflatten(-1, (3, 3)), pseudo)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    out = random_parameters(labeled + unlabeled, device, seed=1).requires_grad_()
    pseudo = random_parameters(unlabeled, device, seed=2)
    share = median_ms(lambda: torch.autograd.grad(losses(out, pseudo), out), device, 50)
    whole = median_ms(step, device, 3)
    print("\n| ResNet-18 step, 32 + 128 heads, ms | of it losses, ms | share |\n| ---: | ---: | ---: |")
    print(f"| {whole:.0f} | {share:.1f} | {share / whole:.2%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--threads", type=int, help="threads for PyTorch on the CPU")
    parser.add_argument("--repeats", type=int, default=30, help="runs of which the median is taken")
    parser.add_argument("--skip-network", action="store_true", help="leave out the ResNet-18 step")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    time_losses(options.device, options.repeats)
    time_decompositions(options.device, options.repeats)
    if not options.skip_network:
        time_training_step(options.device)


if __name__ == "__main__":
    main()
