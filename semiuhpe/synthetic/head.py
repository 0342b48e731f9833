"""The mesh that heads are drawn with: people's heads of :mod:`semiuhpe.synthetic.anatomy`, and what they lack.

To the head's skin, mouth, neck and shoulders come eyeballs with a ring of vertices at every border of the iris, a
garment, and a shell over the scalp for hair. Every vertex moves with identity: those of the added parts like the nearby
vertices of the head. Axes and units are those of the anatomy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

import sim3dr
from semiuhpe.synthetic import surface
from semiuhpe.synthetic.anatomy import HeadBasis
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import bound_to_head, grid_triangles

SHELL_COLUMNS, SHELL_ROWS = 68, 34
JAW = -0.95  # height plus 0.35 depth that separates head and neck
SHELL_END = -0.85  # height, on the nape
# The garment: rings as seen from a point in the chest, and below them the trunk, which hangs straight down
CHEST = (0.0, -2.3, -0.28)
GARMENT_POLAR = (36, 44, 52, 60, 68, 76, 84, 92)  # degrees from straight up
TRUNK_DROPS, TRUNK_WIDTHS = (0.6, 1.8, 3.4), (0.97, 0.86, 0.84)  # below the last ring, and relative to it
GARMENT_RINGS = len(GARMENT_POLAR) + len(TRUNK_DROPS)
GARMENT_ON_BODY = 4  # rings that lie on the body; the others are smooth over the ends of the arms
GARMENT_SPOKES = 30
GARMENT_THICKNESS = 0.035
COVERED_POLAR = 48.0  # the body is not drawn where it lies this deep below the garment

# Rings of an eyeball as angle from the gaze (degrees): pupil, iris, the dark border of the iris, white
EYE_RINGS = (0, 8, 11, 12.5, 20, 26, 28, 31, 42, 55, 70, 85, 100)
EYE_SPOKES = 14
EYES = ("left eye", "right eye")
SKIN_CHARTS = 2  # of texture coordinates, the largest ones: the head, and throat with shoulders

_OCCLUSION_VIEWS, _OCCLUSION_PX = 96, 160
_OCCLUSION_BIAS = 0.03


@dataclass(frozen=True, eq=False)
class Template:
    """The mesh of the mean head and data of its vertices. ``part[name]`` is a slice of the vertices."""

    vertices: np.ndarray  # (N, 3)
    modes: np.ndarray  # (K, N * 3), of the coefficients of identity
    triangles: Mapping[str, np.ndarray]  # per part, indices into the whole mesh; the body's as "skin" and "mouth"
    part: Mapping[str, slice]
    of_basis: np.ndarray  # (vertices of the body,) their numbers in the basis
    number: np.ndarray  # (vertices of the basis,) their numbers here, -1 for those that are not used
    texture: "SkinTriangles"
    occlusion: np.ndarray  # (N,) ambient light that arrives
    eye_angle: np.ndarray  # (vertices of one eye,) degrees from the gaze
    eye_center: Mapping[str, np.ndarray]  # (3,) of the mean head, by the name of the part
    shell_direction: np.ndarray  # (vertices of the shell, 3) outward
    landmarks: np.ndarray  # (68,) vertices

    def shape(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the vertices (N, 3) of the identity with the given ``coefficients`` (K,)."""
        return self.vertices + (coefficients.astype(np.float32) @ self.modes).reshape(-1, 3)

    def region(self, *names: str) -> np.ndarray:
        """Return the vertices of regions of the basis."""
        found = np.concatenate([self.number[HeadBasis.load().regions[name]] for name in names])
        return found[found >= 0]


@dataclass(frozen=True, eq=False)
class SkinTriangles:
    """The triangles of the skin with texture coordinates. A vertex on a seam appears several times.

    Attributes:
        vertex: (S,) vertex of the template of each textured vertex.
        uv: (S, 2) its place in MakeHuman's texture, from 0 to 1, origin at the lower left.
        chart: (S,) which chart the vertex belongs to; 0 is the head.
        triangles: (M, 3) indices of textured vertices, in the order of the template's triangles of the skin; unlike
            those they turn clockwise seen from outside, as :class:`semiuhpe.synthetic.figure.Figure`'s do.
    """

    vertex: np.ndarray
    uv: np.ndarray
    chart: np.ndarray
    triangles: np.ndarray


@cache
def template() -> Template:
    """Return the template head, made on first use in about a second."""
    basis = HeadBasis.load()
    of_basis = np.setdiff1d(np.arange(len(basis.mean)), np.concatenate([basis.regions[name] for name in EYES]))
    number = np.full(len(basis.mean), -1, np.int32)
    number[of_basis] = np.arange(len(of_basis))
    skin, mouth, texture = _split_body(basis, number)
    ball, eye_triangles, eye_angle = _eye()
    shell, shell_triangles, shell_direction = _shell()
    garment, garment_triangles = _garment()
    parts = {
        "body": (basis.mean[of_basis], np.zeros((0, 3), np.int32)),
        **{name: (ball * _eye_radius(basis, name) + _eye_center(basis, name), eye_triangles) for name in EYES},
        "garment": (garment, garment_triangles),
        "shell": (shell, shell_triangles),
    }
    slices, triangles, start = {}, {"skin": skin, "mouth": mouth}, 0
    for name, (v, t) in parts.items():
        slices[name] = slice(start, start + len(v))
        triangles[name] = np.ascontiguousarray(t + np.int32(start))
        start += len(v)
    del triangles["body"]
    vertices = np.concatenate([v for v, _ in parts.values()]).astype(np.float32)
    visible = np.concatenate([t for name, t in triangles.items() if name != "shell"])
    return Template(
        vertices=vertices,
        modes=_modes(basis, of_basis, vertices, slices),
        triangles=triangles,
        part=slices,
        of_basis=of_basis,
        number=number,
        texture=texture,
        occlusion=_occlusion(vertices, visible),
        eye_angle=eye_angle,
        eye_center={name: _eye_center(basis, name) for name in EYES},
        shell_direction=shell_direction,
        landmarks=number[basis.landmarks],
    )


@cache
def head_vertices() -> np.ndarray:
    """Return the vertices of skull, face and ears, without the neck."""
    t = template()
    body = t.vertices[t.part["body"]]
    return np.flatnonzero(body[:, 1] + 0.35 * body[:, 2] > JAW)


def _split_body(basis: HeadBasis, number: np.ndarray) -> tuple[np.ndarray, np.ndarray, SkinTriangles]:
    """Return the triangles of the skin and of the mouth's inside, and those of the skin with a texture."""
    chart = _charts(basis)
    socket = np.zeros(len(basis.mean), bool)
    socket[basis.regions["sockets"]] = True  # behind the eyeballs
    hidden = (number[basis.triangles].min(1) < 0) | _below_garment(basis) | socket[basis.triangles].all(1)
    is_skin = (chart[basis.uv_triangles[:, 0]] < SKIN_CHARTS) & ~hidden
    used, textured = np.unique(basis.uv_triangles[is_skin], return_inverse=True)
    texture = SkinTriangles(
        vertex=number[basis.uv_vertices[used]],
        uv=basis.uv[used],
        chart=chart[used],
        triangles=np.ascontiguousarray(textured.reshape(-1, 3)[:, ::-1], np.int32),
    )
    return number[basis.triangles[is_skin]], number[basis.triangles[~is_skin & ~hidden]], texture


def _below_garment(basis: HeadBasis) -> np.ndarray:
    """Return which triangles (M,) of shoulders and chest the garment covers, ragged ends of the arms included."""
    offset = basis.mean - np.array(CHEST, np.float32)
    polar = np.degrees(np.arctan2(np.hypot(offset[:, 0], offset[:, 2]), offset[:, 1]))
    covered = np.zeros(len(basis.mean), bool)
    covered[basis.regions["shoulders"]] = True
    deep: np.ndarray = covered & (polar > COVERED_POLAR)
    return np.asarray(deep[basis.triangles].all(1))


def _charts(basis: HeadBasis) -> np.ndarray:
    """Return the number of the chart that each texture coordinate belongs to, the largest chart first."""
    label = np.arange(len(basis.uv))
    while True:  # each takes the smallest label among its neighbors, until all of a chart agree
        lowest = label.copy()
        for k in range(3):
            np.minimum.at(lowest, basis.uv_triangles[:, k], label[basis.uv_triangles].min(1))
        lowest = lowest[lowest]
        if (lowest == label).all():
            break
        label = lowest
    _, label, sizes = np.unique(label, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[label]


def _eye_center(basis: HeadBasis, name: str) -> np.ndarray:
    ball = basis.mean[basis.regions[name]]
    return ((ball.min(0) + ball.max(0)) / 2).astype(np.float32)


def _eye_radius(basis: HeadBasis, name: str) -> float:
    ball = basis.mean[basis.regions[name]]
    return float(np.median(np.linalg.norm(ball - _eye_center(basis, name), axis=1)))


def _modes(basis: HeadBasis, of_basis: np.ndarray, vertices: np.ndarray, part: Mapping[str, slice]) -> np.ndarray:
    modes = np.empty((len(basis.components), *vertices.shape), np.float32)
    modes[:, part["body"]] = basis.components[:, of_basis]
    for name in EYES:  # they keep their shape: moved and scaled as a whole
        ball, moves = basis.mean[basis.regions[name]], basis.components[:, basis.regions[name]]
        center = _eye_center(basis, name)
        spokes, shift = ball - ball.mean(0), moves.mean(1, keepdims=True)
        growth = ((moves - shift) * spokes).sum((1, 2)) / (spokes**2).sum()
        modes[:, part[name]] = shift + growth[:, None, None] * (vertices[part[name]] - center)
    for name in ("garment", "shell"):
        modes[:, part[name]] = bound_to_head(vertices[part[name]]).reshape(len(modes), -1, 3)
    return modes.reshape(len(modes), -1)


def dense_samples(low: float, high: float, n: int, ranges: tuple) -> np.ndarray:
    """Return ``n`` increasing samples of [low, high], denser by a factor in ``(from, to, factor)`` ranges."""
    x = np.linspace(low, high, 4001)
    density = np.ones_like(x)
    for start, end, factor in ranges:
        density += (factor - 1) * smoothstep(x, start - 8, start + 8) * smoothstep(x, end + 8, end - 8)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(np.linspace(0, cumulative[-1], n), cumulative, x)


def directions(longitude: np.ndarray, latitude: np.ndarray | float) -> np.ndarray:
    """Return unit vectors (..., 3) of degrees, which are broadcast; longitude 0 is the face, positive the left side."""
    lon, lat = np.broadcast_arrays(np.radians(longitude), np.radians(latitude))
    return np.stack([np.sin(lon) * np.cos(lat), np.sin(lat), np.cos(lon) * np.cos(lat)], -1).astype(np.float32)


def _eye() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an eyeball of radius 1 that looks along +z: vertices, triangles, angles from the gaze."""
    angle = np.repeat(np.array(EYE_RINGS, np.float32), EYE_SPOKES)
    spoke = np.tile(np.linspace(0, 2 * np.pi, EYE_SPOKES, endpoint=False), len(EYE_RINGS))
    bulge = 1 + 0.05 * smoothstep(angle, 32, 16)  # the cornea
    a = np.radians(angle)
    ball = np.stack([np.sin(a) * np.cos(spoke), np.sin(a) * np.sin(spoke), np.cos(a)], 1) * bulge[:, None]
    triangles = grid_triangles(len(EYE_RINGS), EYE_SPOKES)[:, ::-1]
    return ball.astype(np.float32), np.ascontiguousarray(triangles), angle


def _shell() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points of the scalp and of the rest of the head without the face, triangles, and outward directions."""
    half = dense_samples(0, 180, SHELL_COLUMNS // 2 + 1, ((0, 100, 1.5),))
    longitude = np.concatenate([-half[:0:-1], half[:-1]])
    latitude = dense_samples(-72, 90, SHELL_ROWS, ((15, 60, 1.4),))
    direction = directions(longitude, latitude[:, None])
    vertices = (direction * surface.cast_rays(direction)[..., None]).reshape(-1, 3)
    triangles = grid_triangles(SHELL_ROWS, SHELL_COLUMNS)
    center = vertices[triangles].mean(1)
    face = (np.abs(center[:, 0]) < 0.52) & (center[:, 1] < 0.12) & (center[:, 2] > 0.35)
    triangles = triangles[~face & (center[:, 1] > SHELL_END)]
    used, triangles = np.unique(triangles, return_inverse=True)
    return vertices[used], triangles.reshape(-1, 3).astype(np.int32), direction.reshape(-1, 3)[used]


def _garment() -> tuple[np.ndarray, np.ndarray]:
    """Return the surface over shoulders, chest and back, closed where the body ends at the arms; the collar is last."""
    around = np.linspace(0, 360, GARMENT_SPOKES, endpoint=False)
    outward = directions(around, 90 - np.array(GARMENT_POLAR[::-1], np.float32)[:, None])
    radius = surface.cast_rays(outward, CHEST, ("neck", "shoulders"))
    smooth = radius
    for _ in range(3):
        smooth = (np.roll(smooth, 1, 1) + 2 * smooth + np.roll(smooth, -1, 1)) / 4
        smooth[1:-1] = (smooth[:-2] + 2 * smooth[1:-1] + smooth[2:]) / 4
    on_body = np.arange(len(GARMENT_POLAR))[:, None] > len(GARMENT_POLAR) - GARMENT_ON_BODY
    radius = np.where(on_body, np.maximum(radius, smooth), smooth) + np.float32(GARMENT_THICKNESS)
    rings = radius[..., None] * outward + np.array(CHEST, np.float32)
    middle = np.array([CHEST[0], 0, CHEST[2]], np.float32)
    trunk = [
        (rings[:1] - middle) * np.array([width, 1, width], np.float32) + middle - np.array([0, drop, 0], np.float32)
        for drop, width in zip(TRUNK_DROPS[::-1], TRUNK_WIDTHS[::-1], strict=True)
    ]
    return np.concatenate([*trunk, rings]).reshape(-1, 3), grid_triangles(GARMENT_RINGS, GARMENT_SPOKES)


def _occlusion(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return the share (N,) of the sky over each vertex that is not hidden, weighted by the cosine to its normal.

    The sky is seen from many directions, spread evenly as a Fibonacci lattice is; from each, the mesh is drawn into a
    depth buffer, and a vertex is hidden that lies behind it.
    """
    normals = sim3dr.vertex_normals(vertices, triangles)
    seen, all_of_it = np.zeros(len(vertices)), np.full(len(vertices), 1e-6)
    half = _OCCLUSION_PX / 2
    low, high = np.array([-1.3, -1.9, -1.3]), np.array([1.3, 1.3, 1.4])  # what lies outside hides nothing of a head
    scale = half / (np.linalg.norm(high - low) / 2)
    for k in range(_OCCLUSION_VIEWS):
        height = 1 - (2 * k + 1) / _OCCLUSION_VIEWS
        around = k * np.pi * (3 - np.sqrt(5))
        flat = np.sqrt(1 - height**2)
        toward = np.array([flat * np.sin(around), height, flat * np.cos(around)])
        side = np.cross([0.0, 1.0, 0.0], toward) / flat
        axes = np.stack([side, np.cross(toward, side), toward])
        x, y, depth = axes @ (vertices - (low + high) / 2).T
        placed = np.stack([half + scale * x, half - scale * y, depth], 1).astype(np.float32)
        buffer = np.full((_OCCLUSION_PX, _OCCLUSION_PX), -np.inf, np.float32)
        blank = np.zeros((len(placed), 1), np.float32)
        sim3dr.rasterize(placed, triangles, blank, height=_OCCLUSION_PX, width=_OCCLUSION_PX, depth=buffer)
        column, row = (np.clip(np.round(placed[:, i]).astype(int), 0, _OCCLUSION_PX - 1) for i in (0, 1))
        cosine = np.maximum(normals @ toward, 0)
        seen += cosine * (depth + _OCCLUSION_BIAS >= buffer[row, column])
        all_of_it += cosine
    return np.clip(seen / all_of_it, 0, 1).astype(np.float32)
