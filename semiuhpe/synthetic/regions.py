"""Soft masks of the face: lips, brows, beard and so on, as functions of points on the mean head.

All take points (n, 3) in head axes and return weights (n,) in [0, 1]. They are laid out by the 68 landmarks of the mean
head, so they hold at the vertices of the mesh as well as at the pixels of its texture.
"""

import numpy as np
from scipy.spatial import KDTree

from semiuhpe.synthetic.anatomy import HeadBasis, landmarks68

_CURVE_STEPS = 8  # points per segment of a curve through landmarks


def smoothstep(x: np.ndarray | np.floating | float, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Return 0 below ``low``, 1 above ``high`` (or the reverse if low > high), with a smooth S between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def curve(points: np.ndarray, closed: bool = False) -> np.ndarray:
    """Return points along a smooth curve (Catmull and Rom 1974) through the given ones (k, 3)."""
    before, after = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    control = np.concatenate([before, points, after])
    t = (np.arange(_CURVE_STEPS) / _CURVE_STEPS)[:, None]
    pieces = []
    for p0, p1, p2, p3 in zip(control, control[1:], control[2:], control[3:], strict=False):
        pieces.append(
            0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
        )
    if not closed:
        pieces.append(points[-1:])
    return np.concatenate(pieces)


def mirrored(points: np.ndarray) -> np.ndarray:
    """Return points with x made positive: both sides of the head as its left side."""
    return np.concatenate([np.abs(points[:, :1]), points[:, 1:]], 1)


def distance_to(points: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distances (n,) to the nearest of the points of a line (k, 3), and where it lies on it, from 0 to 1."""
    distance, nearest = KDTree(line).query(points)
    return distance, nearest / (len(line) - 1)


def bump(points: np.ndarray, center: tuple[float, ...], widths: tuple[float, ...]) -> np.ndarray:
    """Return a Gaussian around ``center``, on both sides of the head."""
    q = (mirrored(points) - np.asarray(center, np.float32)) / np.asarray(widths, np.float32)
    return np.exp(-(q**2).sum(1))


def _inside(points: np.ndarray, outline: np.ndarray, soft: float) -> np.ndarray:
    """Return how far points lie inside an outline (k, 3), seen from the front, with an edge of width ``soft``."""
    distance, _ = distance_to(points, outline)
    x, y = points[:, 0, None], points[:, 1, None]
    x0, y0 = outline[:, 0], outline[:, 1]
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    crosses = ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / np.where(y1 == y0, 1e-9, y1 - y0) + x0)
    inside = crosses.sum(1) % 2 == 1
    return smoothstep(np.where(inside, distance, -distance), -soft, soft) * smoothstep(points[:, 2], 0.5, 0.7)


def lips(points: np.ndarray) -> np.ndarray:
    """Red of the lips."""
    return _inside(points, curve(landmarks68()[48:60], closed=True), 0.014)


def mouth_line(points: np.ndarray) -> np.ndarray:
    """The dark line between the lips."""
    distance, _ = distance_to(points, curve(landmarks68()[[48, 60, 61, 62, 63, 64, 54]]))
    return np.exp(-((distance / 0.020) ** 2))


def brow(points: np.ndarray, thickness: float = 1.0) -> np.ndarray:
    """Brows, thinner toward the temples."""
    distance, along = distance_to(mirrored(points), curve(landmarks68()[22:27] + np.array([0, -0.012, 0])))
    half = thickness * (0.040 - 0.022 * along) * smoothstep(along, -0.25, 0.12)
    return smoothstep(distance / np.maximum(half, 1e-3), 1.45, 0.45)


def upper_lashes(points: np.ndarray) -> np.ndarray:
    """The line of the upper lashes."""
    distance, _ = distance_to(mirrored(points), curve(landmarks68()[[42, 43, 44, 45]]))
    return np.exp(-((distance / 0.034) ** 2))


def lower_lashes(points: np.ndarray) -> np.ndarray:
    """The line of the lower lashes."""
    distance, _ = distance_to(mirrored(points), curve(landmarks68()[[45, 46, 47, 42]]))
    return np.exp(-((distance / 0.018) ** 2))


def eye_shadow(points: np.ndarray) -> np.ndarray:
    """The upper lids."""
    return bump(points, (0.31, 0.065, 0.87), (0.16, 0.06, 0.2))


def eye_bags(points: np.ndarray) -> np.ndarray:
    """The skin below the eyes."""
    return bump(points, (0.30, -0.115, 0.84), (0.13, 0.04, 0.2))


def nostrils(points: np.ndarray) -> np.ndarray:
    """The openings of the nose."""
    basis = HeadBasis.load()
    distance, _ = distance_to(points, basis.mean[basis.regions["nostrils"]])
    return np.exp(-((distance / 0.012) ** 2))


def blush(points: np.ndarray) -> np.ndarray:
    """Cheeks and the tip of the nose."""
    cheeks = bump(points, (0.40, -0.32, 0.80), (0.20, 0.15, 0.3))
    return np.clip(cheeks + 0.7 * bump(points, (0, -0.37, 1.16), (0.12, 0.10, 0.15)), 0, 1)


def ears(points: np.ndarray) -> np.ndarray:
    """Ears, which are redder than the face."""
    return bump(points, (0.76, -0.2, 0.0), (0.12, 0.28, 0.2))


def _around_mouth(points: np.ndarray) -> np.ndarray:
    return np.clip(1 - _inside(points, curve(landmarks68()[48:60] * np.array([1.10, 1, 1]), closed=True), 0.025), 0, 1)


def beard(points: np.ndarray) -> np.ndarray:
    """A full beard: jaw, chin and throat, from the side burns on, with the moustache."""
    x, y, z = mirrored(points).T
    line = np.interp(z, (0.05, 0.25, 0.45, 0.65, 0.80, 1.0), (0.02, -0.16, -0.46, -0.60, -0.64, -0.62))
    cheeks = smoothstep(y, line + 0.05, line - 0.07) * smoothstep(z, -0.02, 0.10)
    throat = smoothstep(y + 0.35 * z, -1.22, -1.08)
    bare = np.exp(-(((x - 0.12) / 0.07) ** 2) - ((y + 0.85) / 0.035) ** 2) * (z > 0.7)  # beside the soul patch
    whole = np.maximum(cheeks * throat, moustache(points))
    return whole * _around_mouth(points) * (1 - 0.5 * bare)


def moustache(points: np.ndarray) -> np.ndarray:
    """Hair between nose and mouth, down to its corners."""
    lip = landmarks68()[[51, 52, 53, 54]] * np.array([1.08, 1, 1]) + np.array([0, 0.045, 0.0])
    distance, along = distance_to(mirrored(points), curve(lip))
    half = 0.052 - 0.015 * along
    return smoothstep(distance / half, 1.4, 0.5) * _around_mouth(points)


def goatee(points: np.ndarray) -> np.ndarray:
    """Hair on the chin."""
    x, y, z = points.T
    chin = np.exp(-((x / 0.21) ** 4) - ((y + 0.98) / 0.15) ** 4) * smoothstep(z, 0.45, 0.65)
    return chin * _around_mouth(points)


def wrinkles(points: np.ndarray) -> np.ndarray:
    """Lines that come with age: across the forehead, between the brows, beside the eyes, from nose to mouth."""
    x, y, _ = mirrored(points).T
    wave = np.sin(46 * y + 2.2 * np.cos(4 * x) + 1.2 * np.sin(9 * points[:, 0]))
    forehead = smoothstep(wave, 0.35, 0.95) * bump(points, (0.0, 0.46, 0.9), (0.42, 0.17, 0.4))
    frown = np.exp(-(((x - 0.05) / 0.014) ** 2)) * bump(points, (0.05, 0.17, 1.0), (0.06, 0.10, 0.2))
    ray = np.sin(26 * np.arctan2(y + 0.02, x - 0.38))
    beside_eyes = smoothstep(ray, 0.2, 0.9) * bump(points, (0.52, -0.02, 0.68), (0.07, 0.10, 0.14))
    fold = curve(np.array([(0.155, -0.39, 0.99), (0.235, -0.47, 0.97), (0.30, -0.58, 0.93), (0.335, -0.70, 0.86)]))
    distance, along = distance_to(mirrored(points), fold)
    folds = np.exp(-((distance / 0.022) ** 2)) * (1 - 0.5 * along)
    bag = curve(np.array([(0.17, -0.09, 0.86), (0.25, -0.14, 0.87), (0.36, -0.13, 0.84), (0.42, -0.08, 0.79)]))
    below_eyes = np.exp(-((distance_to(mirrored(points), bag)[0] / 0.016) ** 2))
    return np.clip(0.8 * forehead + 0.6 * frown + 0.5 * beside_eyes + folds + 0.7 * below_eyes, 0, 1)


def freckle_area(points: np.ndarray) -> np.ndarray:
    """Where freckles are: nose and cheeks."""
    return np.clip(bump(points, (0.28, -0.24, 0.9), (0.30, 0.20, 0.4)) + 0.3 * (points[:, 2] > 0.3), 0, 1)


def below_collar(points: np.ndarray, height: float, opening: float) -> np.ndarray:
    """What a garment covers: below the line around the neck, with an opening of the given depth in front."""
    x, y, z = mirrored(points).T
    in_front = smoothstep(z, -0.2, 0.25) * smoothstep(x, 0.55, 0.0)
    nape = 0.28 * smoothstep(z, 0.1, -0.6)
    return smoothstep(y, height + nape - opening * in_front + 0.015, height + nape - opening * in_front - 0.015)
