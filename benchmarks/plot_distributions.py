"""Draws the pictures of docs/distributions.md into docs/images.

python benchmarks/plot_distributions.py [--out docs/images]
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import roma
import torch
from distributions import Straightforward

from semiuhpe.distributions import MatrixFisher, RotationLaplace

COLORS = ("tab:red", "tab:green", "tab:blue")


def draw_samples(path: Path) -> None:
    """Where the axes of the rotated frame lie, on the front of the sphere, for distributions of different shape."""
    figure = plt.figure(figsize=(10, 2.8))
    for index, s in enumerate([(60, 60, 60), (40, 20, -15), (50, 1, 0), (3, 2, 1)]):
        samples = MatrixFisher(torch.diag(torch.tensor(s, dtype=torch.float64))).sample(
            (600,), torch.Generator().manual_seed(0)
        )
        axes = figure.add_subplot(1, 4, index + 1, projection="3d", computed_zorder=False)
        u, v = np.mgrid[0 : 2 * np.pi : 24j, 0 : np.pi : 12j]
        sphere = (np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v))
        axes.plot_wireframe(*sphere, color="0.85", linewidth=0.4, zorder=0)
        towards_viewer = torch.tensor([0.68, 0.57, 0.47], dtype=torch.float64)  # of the view set below
        for axis, color in enumerate(COLORS):
            points = samples[:, :, axis]
            points = points[points @ towards_viewer > 0]
            axes.scatter(*points.T.numpy(), s=1.5, color=color, depthshade=False, zorder=1)
        axes.set_title(f"s = {s}", fontsize=10, y=1.04)
        axes.set_box_aspect((1, 1, 1), zoom=1.4)
        axes.set_axis_off()
        axes.view_init(elev=28, azim=40)
    figure.tight_layout(pad=0.2)
    save(figure, path)


def draw_density(path: Path) -> None:
    """Density of the rotation angle from the mode, matrix Fisher against Rotation Laplace of the same median."""
    angle = torch.linspace(1e-3, np.pi, 4000, dtype=torch.float64)
    z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    rotations = roma.rotvec_to_rotmat(angle[:, None] * z)
    haar = (1 - torch.cos(angle)) / np.pi
    figure, (linear, logarithmic) = plt.subplots(1, 2, figsize=(8, 3.2))
    for median, color in zip((10, 25, 60), COLORS, strict=True):
        for distribution, style, name in ((MatrixFisher, "-", "matrix Fisher"), (RotationLaplace, "--", "Laplace")):
            low, high = 1e-3, 1e5  # the equal singular values that give the median, by bisection
            for _ in range(50):
                s = (low * high) ** 0.5
                density = haar * distribution(s * torch.eye(3, dtype=torch.float64)).log_prob(rotations).exp()
                mass = torch.cumulative_trapezoid(density, angle)
                wide = mass[torch.searchsorted(angle, np.radians(median)) - 1] < 0.5 * mass[-1]
                low, high = (s, high) if wide else (low, s)
            for axes in (linear, logarithmic):
                axes.plot(torch.rad2deg(angle), density * np.pi / 180, style, color=color, label=f"{name}, s = {s:.1f}")
    linear.set(xlim=(0, 90), xlabel="angle from the mode, degrees", ylabel="density per degree")
    logarithmic.set(yscale="log", ylim=(1e-7, 0.2), xlim=(0, 180), xlabel="angle from the mode, degrees")
    linear.legend(fontsize=7)
    figure.tight_layout()
    save(figure, path)


def draw_entropy_and_error(path: Path) -> None:
    """Entropy against the expected angle between a sample and the mode."""
    generator = torch.Generator().manual_seed(0)
    scale = 10 ** (4.5 * torch.rand(1500, 1, 1, dtype=torch.float64, generator=generator) - 1.5)
    network_like = MatrixFisher(scale * torch.randn(1500, 3, 3, dtype=torch.float64, generator=generator))
    isotropic = MatrixFisher(torch.logspace(-2, 5, 80, dtype=torch.float64)[:, None, None] * torch.eye(3).double())
    figure, axes = plt.subplots(figsize=(5, 3.4))
    for d, style, label in ((network_like, ".", "random A"), (isotropic, "-", "equal singular values")):
        samples = d.sample((1000,), generator)
        error = torch.rad2deg(roma.rotmat_geodesic_distance(samples, d.mode().expand_as(samples))).mean(0)
        axes.plot(d.entropy(), error, style, markersize=2, label=label)
    axes.set(yscale="log", xlabel="entropy", ylabel="expected angular error, degrees")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    save(figure, path)


def draw_trapezoid_error(path: Path) -> None:
    """How far 512 equidistant points are off, for singular values (s, s, s)."""
    s = torch.logspace(0, 5, 120, dtype=torch.float64)
    parameter = s[:, None, None] * torch.eye(3, dtype=torch.float64)
    exact, trapezoid = MatrixFisher(parameter), Straightforward(parameter)
    figure, axes = plt.subplots(figsize=(5, 3.4))
    axes.loglog(s, (trapezoid.log_normalizer() - exact.log_normalizer()).abs(), label="log normalizer")
    axes.loglog(s, (trapezoid.entropy() - exact.entropy()).abs(), label="entropy")
    axes.set(xlabel="singular values s = s1 = s2 = s3", ylabel="error of the 512-point rule")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    save(figure, path)


def save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=100)
    plt.close(figure)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "images")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    draw_samples(out / "matrix_fisher_samples.png")
    draw_density(out / "rotation_densities.png")
    draw_entropy_and_error(out / "entropy_and_error.png")
    draw_trapezoid_error(out / "trapezoid_error.png")


if __name__ == "__main__":
    main()
