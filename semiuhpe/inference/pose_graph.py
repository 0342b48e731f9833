"""A network and the decoding of its nine outputs as one module that uses only ONNX operations.

ONNX has no decompositions and no complex numbers, and onnxruntime no arc tangent in float64. The decomposition
(:mod:`semiuhpe.distributions.proper_svd`) consists of real operations anyway. Entropies are sums along a contour in
the complex plane (:mod:`semiuhpe.distributions.contour_integrals`); here these sums are written with real and
imaginary parts. What ``MatrixFisher`` and ``RotationLaplace`` do for gradients and for relative accuracy near the
uniform distribution is left out: entropies differ from theirs by less than 1e-9. Everything except the network and the
Euler angles is computed in float64.
"""

import torch
from torch import Tensor, nn

from semiuhpe.distributions.contour_integrals import exponential_rule, gaps_of, laplace_rule
from semiuhpe.distributions.proper_svd import proper_svd
from semiuhpe.distributions.registry import output_parameter
from semiuhpe.distributions.rotation_laplace import FLOOR
from semiuhpe.models.checkpoint import Description
from semiuhpe.rotation import to_300wlp, wrap_deg

GIMBAL_LOCK = 1e-7  # cosine of the yaw, as in roma


class PoseGraph(nn.Module):
    """A pose network with its decoding: from pictures to poses.

    Args:
        network: the network (B, 3, S, S) -> (B, 9), in eval mode.
        description: says how to decode its nine outputs.
    """

    points: Tensor
    weights: Tensor

    def __init__(self, network: nn.Module, description: Description):
        super().__init__()
        self.network = network
        self.convention = description.convention
        self.full_range = description.full_range
        self.is_laplace = description.distribution == "RotationLaplace"
        rule = laplace_rule if self.is_laplace else exponential_rule
        for name, values in zip(("points", "weights"), rule(torch.device("cpu")), strict=True):
            self.register_buffer(name, torch.view_as_real(values), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the poses of heads.

        Args:
            image: (B, 3, S, S) float32, RGB in [0, 1], normalized with ImageNet's mean and standard deviation.

        Returns:
            float32: rotation (B, 3, 3), head to camera; pitch, yaw, roll (B, 3) in degrees; entropy (B,).
        """
        u, s, v = proper_svd(output_parameter(self.network(image), self.convention).double())
        rotation = u @ v.mT
        if self.is_laplace:
            entropy = laplace_entropy(s, self.points, self.weights)
        else:
            entropy = fisher_entropy(s, self.points, self.weights)
        return rotation.float(), euler_deg(rotation, self.full_range), entropy.float()


def fisher_entropy(s: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    """Return entropies (B,) of matrix Fisher distributions, log c + sum g_i E[q_i^2].

    Args:
        s: (B, 3) proper singular values.
        points: (n, 2) real and imaginary parts of the points z of the contour.
        weights: (n, 2) real and imaginary parts of its weights.
    """
    gaps = gaps_of(s)
    real, imaginary = _inverse_roots(gaps, points)
    real, imaginary = _product(real, imaginary, *weights.unbind(-1))
    c = real.sum(-1)
    # -dc/dg_i = E[q_i^2] c has the additional factor 1 / 2(z + g_i) in the sum.
    a = points[:, 0] + gaps[..., None]
    b = points[:, 1]
    share = gaps[..., None] / (2 * (a * a + b * b))
    weighted = real * (share * a).sum(-2) + imaginary * (share * b).sum(-2)
    return torch.log(c) + weighted.sum(-1) / c


def laplace_entropy(s: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    """Return entropies (B,) of Rotation Laplace distributions: the log normalizer plus the expected energy.

    Args:
        s: (B, 3) proper singular values.
        points: (n, 2), as for :func:`fisher_entropy`.
        weights: (n, 2, 2) weights of the normalizer and of the expected energy, real and imaginary parts last.
    """
    real, imaginary = _inverse_roots(gaps_of(s).clamp_min(FLOOR), points)
    sums = (real[..., None] * weights[..., 0] - imaginary[..., None] * weights[..., 1]).sum(-2)
    normalizer, energy = sums[..., 0], sums[..., 1]
    return torch.log(normalizer) + energy / normalizer


def euler_deg(rotation: Tensor, full_range: bool) -> Tensor:
    """Return pitch, yaw, roll (B, 3) in degrees, float32, of rotations head to camera (B, 3, 3).

    The same as :func:`semiuhpe.rotation.matrix_to_euler`, which has data-dependent branches and can't be exported.
    """
    r = to_300wlp(rotation)
    cos_yaw = torch.sqrt(r[..., 0, 0] * r[..., 0, 0] + r[..., 1, 0] * r[..., 1, 0])
    locked = cos_yaw < GIMBAL_LOCK
    pitch = torch.where(locked, _atan2_deg(-r[..., 1, 2], r[..., 1, 1]), _atan2_deg(r[..., 2, 1], r[..., 2, 2]))
    yaw = _atan2_deg(-r[..., 2, 0], cos_yaw)
    roll = torch.where(locked, 0.0, _atan2_deg(r[..., 1, 0], r[..., 0, 0]))
    front = torch.stack((pitch, yaw, roll), -1)
    if not full_range:
        return front
    other = -wrap_deg(-torch.stack((pitch + 180.0, 180.0 - yaw, roll + 180.0), -1))
    return torch.where(pitch.abs()[..., None] > 90.0, other, front)


def _atan2_deg(y: Tensor, x: Tensor) -> Tensor:
    return torch.rad2deg(torch.atan2(y.float(), x.float()))


def _inverse_roots(gaps: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the real and imaginary parts of prod (z + g_i)^(-1/2), each (B, n); z has a positive imaginary part."""
    a = points[:, 0] + gaps[..., None]  # (B, 3, n)
    b = points[:, 1].expand_as(a)
    longer = torch.sqrt((torch.sqrt(a * a + b * b) + a.abs()) / 2)
    shorter = b / (2 * longer)
    root_real, root_imaginary = torch.where(a >= 0, longer, shorter), torch.where(a >= 0, shorter, longer)
    first, second, third = zip(root_real.unbind(-2), root_imaginary.unbind(-2), strict=True)
    real, imaginary = _product(*_product(*first, *second), *third)
    square = real * real + imaginary * imaginary
    return real / square, -imaginary / square


def _product(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Return the real and imaginary parts of (a + ib)(c + id)."""
    return a * c - b * d, a * d + b * c
