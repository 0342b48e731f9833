"""Shapes of face masks on the mean head: for masks that rendered heads wear, and for masks drawn onto pictures.

Axes and units are those of :mod:`semiuhpe.synthetic.anatomy`. A mask is a grid of points in directions from the head's
origin: its edges are latitudes, and it reaches to a longitude on both sides.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import ConvexHull, KDTree

from semiuhpe.synthetic import surface
from semiuhpe.synthetic.head import directions, template
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import Mesh, grid_triangles, join, mirrored, solid, tube

THICKNESS = 0.03
PLEAT_DEPTH = 0.022
PLEATS = 3
PLEATED = {"surgical": 0.8, "low": 0.8}  # share that have pleats
COLORS = ((0.45, 0.68, 0.85), (0.92, 0.93, 0.94), (0.07, 0.07, 0.08), (0.5, 0.75, 0.7), (0.85, 0.70, 0.75))
ROWS, COLUMNS = 17, 27
STRAPS = ("surgical", "cup", "cloth", "low")  # masks that hang at the ears
NOSE_TIP, MOUTH_CORNERS = 30, (48, 54)  # iBUG's numbers, from 0
_NEIGHBORS = 12  # vertices of the head that a point of a mask moves with
_UPPER_TURN, _LOWER_TURN = (4.0, 42.0), (14.0, 66.0)  # longitudes where an edge goes from its middle to its side


@dataclass(frozen=True)
class MaskShape:
    """Where a mask lies on the mean head, and how it stands off it.

    Attributes:
        upper, lower: latitude of its edges in the middle and at the sides, in degrees.
        reach: longitude of its sides, in degrees.
        stretch: 1 where the cloth is stretched over nose, lips and chin, 0 where it follows the skin.
        props: points that it is stretched over besides.
    """

    upper: tuple[float, float]
    lower: tuple[float, float]
    reach: float
    stretch: float = 1.0
    props: tuple[tuple[float, float, float], ...] = ()


SHAPES = {
    "surgical": MaskShape((-10, -25), (-58, -41), 60),
    "cup": MaskShape((-9, -29), (-57, -42), 57, props=((0, -0.46, 1.32), (0, -0.78, 1.27), (0, -1.0, 1.08))),
    "cloth": MaskShape((-12, -23), (-58, -42), 66, stretch=0.6),
    "bandana": MaskShape(
        (-9, -20), (-65, -36), 72, props=((0, -1.42, 0.70), (0.18, -1.28, 0.66), (-0.18, -1.28, 0.66))
    ),
    "low": MaskShape((-26, -33), (-59, -46), 60),  # worn below the nose
}


OTHER_SHAPES = {
    # folded upright: a ridge from the nose to the chin
    "fold": MaskShape((-8, -29), (-59, -43), 60, props=((0, -0.38, 1.38), (0, -0.72, 1.46), (0, -1.04, 1.22))),
    # of rubber, on nose, cheeks and chin
    "half face": MaskShape((-5, -24), (-62, -44), 56, props=((0, -0.42, 1.34), (0, -0.80, 1.32), (0, -1.06, 1.10))),
}
"""Shapes that only masks of a named kind have (:mod:`semiuhpe.synthetic.mask_kinds`)."""


def shape_of(name: str) -> MaskShape:
    """Return one of :data:`SHAPES` or :data:`OTHER_SHAPES`."""
    return SHAPES[name] if name in SHAPES else OTHER_SHAPES[name]


def five_landmarks(vertices: np.ndarray) -> np.ndarray:
    """Return the subject's right eye, left eye, tip of the nose, right and left corner of the mouth, (5, 3).

    Args:
        vertices: (N, 3) of the template's mesh, as drawn. Eyes are the middles of the eyeballs.
    """
    t = template()
    eyes = [vertices[t.part[name]].mean(0) for name in ("right eye", "left eye")]
    return np.stack([*eyes, *vertices[t.landmarks[[NOSE_TIP, *MOUTH_CORNERS]]]])


def edge_latitudes(shape: MaskShape, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the latitudes (N,) of the lower and the upper edge at longitudes (N,), all in degrees."""
    away = np.abs(longitude)
    (low_middle, low_side), (high_middle, high_side) = shape.lower, shape.upper
    low = low_middle + (low_side - low_middle) * smoothstep(away, *_LOWER_TURN)
    return low, high_middle + (high_side - high_middle) * smoothstep(away, *_UPPER_TURN)


def mask_directions(shape: MaskShape, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """Return directions (rows, columns, 3) of a mask's points, the lowest row first."""
    longitude = np.linspace(-shape.reach, shape.reach, columns)
    lower, upper = edge_latitudes(shape, longitude)
    share = np.linspace(0, 1, rows)[:, None]
    latitude = lower + share * (upper - lower)
    return directions(longitude, latitude)


def cloth_radius(shape: MaskShape, direction: np.ndarray) -> np.ndarray:
    """Return distances (...) from the origin to cloth that is stretched over the face, along directions (..., 3)."""
    skin = surface.cast_rays(direction)
    over = mask_directions(shape)
    points = (over * surface.cast_rays(over)[..., None]).reshape(-1, 3)
    points = np.concatenate([points, np.zeros((1, 3)), np.array(shape.props).reshape(-1, 3)])
    return skin + shape.stretch * np.maximum(hull_radius(points, direction) - skin, 0)


def hull_radius(points: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return distances (...) from the origin to the convex hull of ``points`` (n, 3), along directions (..., 3)."""
    planes = np.unique(ConvexHull(points).equations.round(9), axis=0)
    toward = direction @ planes[:, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(toward > 1e-6, -planes[:, 3] / toward, np.inf)
    return distance.min(-1)


def pleats(rows: int = ROWS) -> np.ndarray:
    """Return (rows,) values from 0 to 1: how far a pleated mask stands out, the lowest row first."""
    place = np.linspace(0, 1, rows)
    inside = smoothstep(place, 0.12, 0.22) * smoothstep(place, 0.88, 0.78)
    return inside * (1 - (place * (PLEATS + 1)) % 1)


@cache
def cover(name: str, pleated: bool = False) -> Mesh:
    """Return a mask on the mean head, without straps; pleated ones are darker in the folds."""
    shape = shape_of(name)
    direction = mask_directions(shape)
    skin = surface.cast_rays(direction)
    row, column = np.linspace(0, 1, ROWS)[:, None], np.linspace(0, 1, COLUMNS)[None]
    inside = smoothstep(np.minimum(row, 1 - row), 0.0, 0.12) * smoothstep(np.minimum(column, 1 - column), 0.0, 0.10)
    if name == "bandana":  # its lower corner hangs free
        inside = np.maximum(inside, smoothstep(row, 0.5, 0.2))
    radius = skin + inside * (cloth_radius(shape, direction) - skin) + THICKNESS * (0.4 + 0.6 * inside)
    shade = np.ones_like(radius)
    if pleated:
        fold = pleats()[:, None] * smoothstep(np.minimum(column, 1 - column), 0.02, 0.12)
        radius = radius + PLEAT_DEPTH * fold
        shade = 0.86 + 0.14 * fold + 0.14 * (1 - smoothstep(np.abs(row - 0.5), 0.42, 0.36))
    vertices = (direction * radius[..., None]).reshape(-1, 3)
    mesh = solid(vertices, grid_triangles(ROWS, COLUMNS, closed=False), gloss=0.02)
    albedo = np.repeat(np.clip(shade, 0, 1).reshape(-1, 1), 3, 1).astype(np.float32)
    return Mesh(mesh.vertices, mesh.triangles, albedo, mesh.gloss)


@cache
def straps(name: str, radius: float = 0.013) -> Mesh:
    """Return the straps of a mask on the mean head, from its corners to behind the ears."""
    shape = shape_of(name)
    corners = []
    for latitude in edge_latitudes(shape, np.array([shape.reach - 1.5])):
        toward = directions(np.array([shape.reach - 1.5]), latitude)
        corners.append(toward[0] * (surface.cast_rays(toward)[0] + 0.02))
    upper = _along_skin(corners[1], (0.735, 0.045, 0.10), 6)
    lower = _along_skin(corners[0], (0.700, -0.43, 0.02), 5)
    parts = [
        tube([*upper, (0.76, 0.02, -0.02), (0.735, -0.10, -0.12)], radius, 4),
        tube([*lower, (0.70, -0.36, -0.06), (0.715, -0.22, -0.11)], radius, 4),
    ]
    side = join(parts)
    return join([side, mirrored(side)])


def _along_skin(begin: np.ndarray, end: tuple[float, float, float], count: int) -> list[np.ndarray]:
    """Return points from one to the other, straight in direction, just outside of the head."""
    share = np.linspace(0, 1, count)[:, None]
    points = begin + share * (np.asarray(end) - begin)
    length = np.linalg.norm(points, axis=1, keepdims=True)
    toward = (points / length).astype(np.float32)
    return list(toward * np.maximum(length, surface.cast_rays(toward)[:, None] + 0.02))


@cache
def moves_with(name: str, part: str) -> csr_matrix:
    """Return weights (n, N) of the template's vertices, that the points of a mask's "cover" or "straps" move with."""
    t = template()
    points = (cover(name) if part == "cover" else straps(name)).vertices
    outside = np.unique(t.triangles["skin"])
    distance, near = KDTree(t.vertices[outside]).query(points, k=_NEIGHBORS)
    weight = np.exp(-(distance - distance[:, :1]) / 0.10)
    weight /= weight.sum(1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), _NEIGHBORS)
    shape = (len(points), len(t.vertices))
    return csr_matrix((weight.ravel().astype(np.float32), (rows, outside[near].ravel())), shape)


def worn(name: str, part: str, mesh: Mesh, vertices: np.ndarray) -> np.ndarray:
    """Return the vertices (n, 3) of a mask's part on a head with ``vertices`` (N, 3) of the template's mesh."""
    return mesh.vertices + moves_with(name, part) @ (vertices - template().vertices)
