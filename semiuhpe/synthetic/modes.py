"""Modes of identity: smooth deformations of the space around the mean head, in its axes and units."""

from dataclasses import dataclass

import numpy as np

MEETING_WIDTH = 0.1  # distance from the mid-plane over which sideways motion fades to zero


@dataclass(frozen=True)
class Mode:
    """A smooth deformation of space, weighted by a Gaussian around ``center`` (mirrored) with ``widths``.

    A point p moves by ``shift + stretch * (p - center)``; a width of infinity means "everywhere along this axis".
    """

    name: str
    sigma: float
    center: tuple[float, float, float]
    widths: tuple[float, float, float]
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    stretch: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def field(self, points: np.ndarray) -> np.ndarray:
        """Return the displacement (N, 3) for one unit of this mode."""
        mirrored = np.concatenate([np.abs(points[:, :1]), points[:, 1:]], 1)
        offset = mirrored - np.asarray(self.center, np.float32)
        weight = np.exp(-((offset / np.asarray(self.widths, np.float32)) ** 2).sum(1, keepdims=True))
        moved = weight * (np.asarray(self.shift, np.float32) + np.asarray(self.stretch, np.float32) * offset)
        # back to both sides; nothing moves sideways at the mid-plane, so it does not tear
        moved[:, 0] *= np.clip(points[:, 0] / MEETING_WIDTH, -1, 1) if self.center[0] else np.sign(points[:, 0])
        return moved


_ALL = float("inf")
MODES = (
    Mode("head width", 0.045, (0, 0, 0), (_ALL, _ALL, _ALL), stretch=(1, 0, 0)),
    Mode("head height", 0.04, (0, 0, 0), (_ALL, _ALL, _ALL), stretch=(0, 1, 0)),
    Mode("head depth", 0.045, (0, 0, 0), (_ALL, _ALL, _ALL), stretch=(0, 0, 1)),
    Mode("crown height", 0.035, (0, 1.0, -0.2), (1.2, 0.6, 1.2), shift=(0, 1, 0)),
    Mode("back of the head", 0.05, (0, 0.2, -1.0), (1.2, 0.8, 0.6), shift=(0, 0, -1)),
    Mode("forehead slope", 0.035, (0, 0.6, 0.8), (0.9, 0.4, 0.5), shift=(0, 0, 1)),
    Mode("brow ridge", 0.022, (0.25, 0.2, 0.85), (0.35, 0.13, 0.3), shift=(0, 0, 1)),
    Mode("cheekbone width", 0.024, (0.55, -0.2, 0.45), (0.35, 0.3, 0.5), shift=(1, 0, 0)),
    Mode("jaw width", 0.055, (0.45, -0.8, 0.2), (0.4, 0.35, 0.7), shift=(1, 0, 0)),
    Mode("cheek fullness", 0.038, (0.48, -0.55, 0.55), (0.3, 0.28, 0.4), shift=(0.8, 0, 0.5)),
    Mode("chin length", 0.06, (0, -1.1, 0.7), (0.7, 0.35, 0.7), shift=(0, -1, 0)),
    Mode("chin forward", 0.045, (0, -1.05, 0.85), (0.35, 0.22, 0.35), shift=(0, 0, 1)),
    Mode("chin width", 0.16, (0, -1.08, 0.8), (0.4, 0.2, 0.4), stretch=(1, 0, 0)),
    Mode("nose length", 0.035, (0, -0.42, 1.1), (0.22, 0.2, 0.3), shift=(0, -1, 0)),
    Mode("nose projection", 0.045, (0, -0.35, 1.12), (0.2, 0.24, 0.3), shift=(0, 0, 1)),
    Mode("nose width", 0.16, (0, -0.43, 1.05), (0.25, 0.14, 0.3), stretch=(1, 0, 0)),
    Mode("nose hump", 0.022, (0, -0.12, 1.0), (0.13, 0.13, 0.25), shift=(0, 0, 1)),
    Mode("bridge width", 0.15, (0, -0.05, 0.95), (0.2, 0.2, 0.2), stretch=(1, 0, 0)),
    Mode("mouth width", 0.10, (0, -0.71, 0.95), (0.35, 0.14, 0.3), stretch=(1, 0, 0)),
    Mode("mouth height", 0.022, (0, -0.71, 0.95), (0.35, 0.16, 0.3), shift=(0, 1, 0)),
    Mode("lip fullness", 0.16, (0, -0.715, 0.97), (0.3, 0.10, 0.2), stretch=(0, 1, 0.8)),
    Mode("mouth corners", 0.022, (0.24, -0.71, 0.85), (0.12, 0.10, 0.25), shift=(0, 1, 0)),
    Mode("eye distance", 0.016, (0.32, -0.03, 0.8), (0.22, 0.18, 0.3), shift=(1, 0, 0)),
    Mode("eye height", 0.016, (0.32, -0.03, 0.8), (0.30, 0.16, 0.3), shift=(0, 1, 0)),
    Mode("eye depth", 0.018, (0.32, -0.03, 0.8), (0.28, 0.20, 0.3), shift=(0, 0, -1)),
    Mode("eye size", 0.07, (0.315, -0.03, 0.735), (0.24, 0.20, 0.3), stretch=(1, 1, 1)),
    Mode("ear size", 0.09, (0.78, -0.1, -0.1), (0.10, 0.6, 0.6), stretch=(0.6, 1, 1)),
    Mode("neck width", 0.11, (0, -1.2, -0.2), (_ALL, 0.35, _ALL), stretch=(1, 0, 1)),
)
