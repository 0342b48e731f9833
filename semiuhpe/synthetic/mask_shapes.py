"""Shapes of face masks on the mean head: for masks that rendered heads wear, and for masks drawn onto pictures.

Axes and units are those of :mod:`semiuhpe.synthetic.surface`.
"""

from dataclasses import dataclass

import numpy as np

from semiuhpe.synthetic import surface
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import Mesh, join, mirrored, tube

THICKNESS = 0.03
PLEAT_DEPTH = 0.008
_TENT_CENTER = np.array([0, -0.62, 0.60], np.float32)


@dataclass(frozen=True)
class MaskShape:
    """Where a mask lies on the mean head, and how it stands off it.

    Attributes:
        upper, lower: height of its edges in the middle and at the sides.
        reach: how far to the back its sides go, as z.
        tent: radii of the ellipsoid about the mouth that the cloth is stretched over; None where it follows the skin.
    """

    upper: tuple[float, float]
    lower: tuple[float, float]
    reach: float
    tent: tuple[float, float, float] | None = None


SHAPES = {
    "surgical": MaskShape((-0.20, -0.32), (-1.16, -0.61), 0.16, (0.50, 0.50, 0.575)),
    "cup": MaskShape((-0.16, -0.40), (-1.12, -0.80), 0.30, (0.46, 0.48, 0.66)),
    "cloth": MaskShape((-0.26, -0.30), (-1.18, -0.62), 0.10),
    "bandana": MaskShape((-0.14, -0.16), (-1.30, -1.00), -0.15, (0.52, 0.55, 0.56)),
    "low": MaskShape((-0.56, -0.50), (-1.20, -0.68), 0.20),  # worn below the nose
}


def edge_height(heights: tuple[float, float], x: np.ndarray, begin: float = 0.12, end: float = 0.66) -> np.ndarray:
    """Return (N,) heights of an edge at distances ``x`` (N,) from the middle: it rises or falls from begin to end."""
    middle, side = heights
    return middle + (side - middle) * smoothstep(x, begin, end)


def cloth_radius(shape: MaskShape, skin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return (N,) distances of the cloth from the head's origin along directions (N, 3): on the skin or on the tent.

    Args:
        shape: of the mask.
        skin: (N, 3) the skin in these directions.
        direction: (N, 3) of length 1.
    """
    if shape.tent is None:
        return np.linalg.norm(skin, axis=1)
    radius = np.full(len(skin), 1.7, np.float32)
    radii = np.array(shape.tent, np.float32)
    for _ in range(40):  # sphere tracing, from outside
        points = direction * radius[:, None]
        tent = (np.linalg.norm((points - _TENT_CENTER) / radii, axis=1) - 1) * radii.min()
        radius -= 0.7 * np.minimum(surface.head_distance(points), tent)
    return radius


def pleats(height: np.ndarray) -> np.ndarray:
    """Return (N,) values in [-1, 1]: how far a pleated mask stands out at these heights."""
    return np.sin(55 * height)


def straps(away: float, end: float, radius: float) -> Mesh:
    """Return the straps of a mask, from its corners to behind the ears.

    Args:
        away: how much farther they are from the middle than the ears.
        end: height of the upper ends.
        radius: of a strap.
    """
    upper = tube([(0.58, -0.34, 0.58), (0.72 + away, -0.10, 0.20), (0.80 + away, end, -0.10)], radius, 4)
    lower = tube([(0.56, -0.68, 0.45), (0.72 + away, -0.50, 0.10), (0.78 + away, -0.36, -0.08)], radius, 4)
    return join([upper, mirrored(upper), lower, mirrored(lower)])


def five_landmarks(vertices):
    from semiuhpe.synthetic.head import template

    t = template()
    lm = vertices[t.landmarks]
    return np.stack(
        [vertices[t.part["right eye"]].mean(0), vertices[t.part["left eye"]].mean(0), lm[30], lm[48], lm[54]]
    )
