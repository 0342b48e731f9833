"""Soft masks over the skin of the mean head: lips, brows, beard and so on, and the opening of the eyes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Region:
    """A sparse soft mask over the skin: ``weight`` in (0, 1] at the skin vertices ``index``."""

    index: np.ndarray
    weight: np.ndarray


def smoothstep(x: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Return 0 below ``low``, 1 above ``high`` (or the reverse if low > high), with a smooth S between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _bump(v: np.ndarray, center: tuple, widths: tuple) -> np.ndarray:
    """Return a mirrored Gaussian bump (N,) around ``center``."""
    q = np.abs(v) * np.array([1, 0, 0], np.float32) + v * np.array([0, 1, 1], np.float32)
    return np.exp(-(((q - np.asarray(center, np.float32)) / np.asarray(widths, np.float32)) ** 2).sum(1))


def face_regions(v: np.ndarray) -> dict[str, Region]:
    """Return regions by name, over the skin vertices ``v`` of the mean head."""
    x, y, z = np.abs(v[:, 0]), v[:, 1], v[:, 2]
    front = smoothstep(z, 0.2, 0.5)
    upper = -0.700 + 0.075 * smoothstep(x, 0.30, 0.05) - 0.018 * smoothstep(x, 0.06, 0.0)
    lower = -0.725 - 0.105 * np.sqrt(np.clip(1 - (x / 0.255) ** 2, 0, 1))
    lips = smoothstep(y, lower - 0.012, lower + 0.012) * smoothstep(y, upper + 0.012, upper - 0.012)
    lips = lips * smoothstep(x, 0.27, 0.24) * smoothstep(z, 0.6, 0.7)
    mouth_line = np.exp(-(((y + 0.713) / 0.020) ** 2)) * smoothstep(x, 0.27, 0.22) * smoothstep(z, 0.6, 0.7)
    arch = 0.185 + 0.055 * smoothstep(x, 0.10, 0.34) - 0.10 * smoothstep(x, 0.36, 0.56)
    half = 0.042 - 0.022 * smoothstep(x, 0.25, 0.55)
    brow = smoothstep(np.abs(y - arch) / half, 1.5, 0.45) * smoothstep(x, 0.07, 0.12) * smoothstep(x, 0.56, 0.48)
    nostril = np.maximum(_bump(v, (0.068, -0.505, 1.055), (0.040, 0.030, 0.040)), 0) * smoothstep(y, -0.44, -0.48)
    beard_line = -0.36 - 0.30 * smoothstep(x, 0.62, 0.30)  # from the side burns to the corners of the mouth
    beard = smoothstep(y, beard_line + 0.07, beard_line - 0.07) * smoothstep(z, -0.12, 0.06)
    around_mouth = np.exp(-(((x / 0.30) ** 2 + ((y + 0.70) / 0.15) ** 2) ** 2))
    strip = -0.585 - 0.10 * smoothstep(x, 0.05, 0.30)
    moustache = np.exp(-(((y - strip) / 0.045) ** 2)) * smoothstep(x, 0.31, 0.24) * smoothstep(z, 0.6, 0.75)
    goatee = np.exp(-((x / 0.22) ** 4) - ((y + 1.02) / 0.15) ** 4) * front
    masks = {
        "lips": lips,
        "mouth line": mouth_line,
        "brow": brow * front,
        "nostril": nostril,
        "beard": np.clip(beard * (1 - lips) * (1 - around_mouth * (y > -0.83)), 0, 1),
        "moustache": moustache * (1 - lips),
        "goatee": goatee * (1 - lips),
        "blush": np.clip(
            _bump(v, (0.38, -0.36, 0.75), (0.20, 0.16, 0.3)) + 0.8 * _bump(v, (0, -0.42, 1.12), (0.13, 0.12, 0.2)), 0, 1
        ),
        "lid shade": np.clip(
            _bump(v, (0.315, 0.03, 0.85), (0.20, 0.10, 0.2)) + 0.6 * _bump(v, (0.31, -0.14, 0.82), (0.17, 0.05, 0.2)),
            0,
            1,
        ),
    }
    return {name: _sparse(mask) for name, mask in masks.items()}


def lids(v: np.ndarray) -> Region:
    """Return the position of skin over the eyes in their opening: 0 in the middle, 1 at the lids, more beyond."""
    x = np.abs(v[:, 0])
    along = (x - surface.EYE_CENTER[0]) / 0.150
    axis = surface.EYE_CENTER[1] - 0.008 + 0.016 * along  # the outer corner lies a little higher
    bow = np.sqrt(np.clip(1 - along**2, 1e-4, 1))
    height = np.where(v[:, 1] > axis, 0.072, 0.052) * bow
    inside = np.abs(v[:, 1] - axis) / np.maximum(height, 1e-3)
    index = np.flatnonzero((np.abs(along) < 1) & (v[:, 2] > 0.4) & (inside < 2.5))
    return Region(index, inside[index].astype(np.float32))


def _sparse(mask: np.ndarray) -> Region:
    index = np.flatnonzero(mask > 0.004)
    return Region(index, mask[index].astype(np.float32))
