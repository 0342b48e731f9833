"""The parametric head: a template mesh, data of its vertices, and linear modes of identity.

The template is made once per process from :mod:`semiuhpe.synthetic.surface`: the skin on a grid of directions that is
fine over the face, eyeballs with a ring of vertices at every border of the iris, ears, a hair shell over the whole
scalp, and a neck with shoulders. Identities are ``mean + modes @ coefficients``; every mode is a smooth deformation of
space around the head, so eyes, ears, hair and accessories follow the face. Axes and units are those of
:mod:`semiuhpe.synthetic.surface`.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from semiuhpe.synthetic import regions, surface
from semiuhpe.synthetic.modes import MODES
from semiuhpe.synthetic.regions import Region, smoothstep
from semiuhpe.synthetic.solids import grid_triangles

# Grid of the skin: samples, and ranges (from, to, in degrees) in which they are denser by a factor
SKIN_COLUMNS, SKIN_ROWS = 92, 70
SHELL_COLUMNS, SHELL_ROWS = 68, 34
EAR_RINGS, EAR_SPOKES = 8, 22
NECK_SPOKES = 22

# (height, center z, half width, half depth) of the rings of neck and shoulders, top to bottom
NECK_RINGS = (
    (-0.35, -0.22, 0.42, 0.56),
    (-0.75, -0.20, 0.45, 0.54),
    (-1.05, -0.21, 0.47, 0.52),
    (-1.30, -0.24, 0.49, 0.50),
    (-1.40, -0.25, 0.51, 0.49),
    (-1.43, -0.26, 0.54, 0.51),
    (-1.50, -0.27, 0.56, 0.48),
    (-1.62, -0.29, 0.74, 0.50),
    (-1.74, -0.30, 1.10, 0.54),
    (-1.86, -0.31, 1.45, 0.58),
    (-2.05, -0.32, 1.72, 0.62),
    (-2.35, -0.33, 1.86, 0.66),
    (-2.80, -0.34, 1.92, 0.70),
    (-2.90, -0.34, 0.00, 0.00),
)
NECK_PIVOT = np.array([0.0, -0.75, -0.2], np.float32)

# Rings of an eyeball as angle from the gaze (degrees): pupil, iris, the dark border of the iris, white
EYE_RINGS = (0, 8, 12.5, 14, 21, 26.5, 28.5, 32, 42, 55, 70, 85, 100)
EYE_SPOKES = 14


@dataclass(frozen=True)
class Template:
    """The mesh of the mean head and data of its vertices. ``part[name]`` is a slice of the vertices."""

    vertices: np.ndarray  # (N, 3)
    modes: np.ndarray  # (K, N * 3), scaled so that coefficients of a typical identity are standard normal
    triangles: dict[str, np.ndarray]  # per part, indices into the whole mesh
    part: dict[str, slice]
    region: dict[str, Region]
    occlusion: np.ndarray  # (N,) ambient light that arrives
    eye_angle: np.ndarray  # (vertices of one eye,) degrees from the gaze
    shell_direction: np.ndarray  # (vertices of the shell, 3) outward
    outwards: np.ndarray  # (vertices of the skin, 3) unit direction from the origin
    lid: Region  # the skin over and around the eyes; its weight is 0 in the middle of the opening, 1 at the lids

    def shape(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the vertices (N, 3) of the identity with the given ``coefficients`` (K,)."""
        return self.vertices + (coefficients.astype(np.float32) @ self.modes).reshape(-1, 3)


def _dense_samples(low: float, high: float, n: int, ranges: tuple) -> np.ndarray:
    """Return ``n`` increasing samples of [low, high], denser by a factor in ``(from, to, factor)`` ranges."""
    x = np.linspace(low, high, 4001)
    density = np.ones_like(x)
    for start, end, factor in ranges:
        density += (factor - 1) * smoothstep(x, start - 8, start + 8) * smoothstep(x, end + 8, end - 8)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(np.linspace(0, cumulative[-1], n), cumulative, x)


def _directions(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return unit vectors (rows, columns, 3) of degrees; longitude 0 is the face, positive the subject's left."""
    lon, lat = np.meshgrid(np.radians(longitude), np.radians(latitude))
    return np.stack([np.sin(lon) * np.cos(lat), np.sin(lat), np.cos(lon) * np.cos(lat)], -1).astype(np.float32)


def mesh_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return unit normals (N, 3); slow, only for the template (pictures use sim3dr)."""
    corner = vertices[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, triangles[:, k], face)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


def _skin() -> tuple[np.ndarray, np.ndarray]:
    half = _dense_samples(0, 180, SKIN_COLUMNS // 2 + 1, ((-20, 34, 4.5), (34, 60, 1.8)))
    longitude = np.concatenate([-half[:0:-1], half[:-1]])
    latitude = _dense_samples(-90, 90, SKIN_ROWS, ((-50, 14, 4.0), (-9, 5, 2.0)))
    direction = _directions(longitude, latitude)
    vertices = direction * surface.cast_rays(direction)[..., None]
    return vertices.reshape(-1, 3), grid_triangles(SKIN_ROWS, SKIN_COLUMNS)


def _eye() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an eyeball that looks along +z, centered at the origin: vertices, triangles, angles from the gaze."""
    angle = np.repeat(np.array(EYE_RINGS, np.float32), EYE_SPOKES)
    spoke = np.tile(np.linspace(0, 2 * np.pi, EYE_SPOKES, endpoint=False), len(EYE_RINGS))
    bulge = surface.EYE_RADIUS * (1 + 0.05 * smoothstep(angle, 32, 16))  # the cornea
    a = np.radians(angle)
    ball = np.stack([np.sin(a) * np.cos(spoke), np.sin(a) * np.sin(spoke), np.cos(a)], 1) * bulge[:, None]
    triangles = grid_triangles(len(EYE_RINGS), EYE_SPOKES)[:, ::-1]
    return ball.astype(np.float32), np.ascontiguousarray(triangles), angle


def _ear() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the left ear: a front sheet with helix, antihelix and concha, and a smooth back, joined at the rim.

    The parts are vertices, triangles, and the ambient light that reaches the vertices.
    """
    s = np.linspace(0, 1, EAR_RINGS)[:, None]
    theta = np.linspace(0, 2 * np.pi, EAR_SPOKES, endpoint=False)[None]  # 0 is forwards, 90 degrees is up
    up, forward = np.sin(theta), np.cos(theta)
    outline_up = np.where(up > 0, 0.27, 0.30)
    outline_forward = np.where(forward > 0, 0.14, 0.19) * (1 - 0.30 * np.clip(-up, 0, 1) ** 2)
    a = s * forward * outline_forward
    b = s * up * outline_up
    rim = smoothstep(-forward + 0.55 * up, -0.5, 0.3)  # the helix runs over the top and down the back
    helix = rim * np.exp(-(((s - 0.9) / 0.13) ** 2))
    fold = smoothstep(-forward, -0.2, 0.6) * np.exp(-(((s - 0.55) / 0.14) ** 2))
    concha = np.exp(-(((a - 0.03) / 0.085) ** 2) - ((b + 0.03) / 0.12) ** 2)
    lobe = np.exp(-((a / 0.12) ** 2) - ((b + 0.26) / 0.10) ** 2)
    front = 0.012 + 0.075 * helix + 0.04 * fold - 0.055 * concha + 0.02 * lobe + 0 * a
    back = -0.055 * np.sqrt(np.clip(1.02 - s**2, 0, 1)) + 0.03 * helix + 0 * a
    sheets = [np.stack([h + 0 * a, b, a], -1).reshape(-1, 3) for h in (front, back)]
    local = np.concatenate(sheets).astype(np.float32)
    turn, lean = np.radians(24), np.radians(12)  # the back edge stands off the head; the top leans backwards
    stand = np.array([[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]], np.float32)
    tilt = np.array([[1, 0, 0], [0, np.cos(lean), np.sin(lean)], [0, -np.sin(lean), np.cos(lean)]], np.float32)
    vertices = local @ (tilt @ stand).T + np.array([0.755, -0.14, -0.10], np.float32)
    sheet = grid_triangles(EAR_RINGS, EAR_SPOKES)
    n = EAR_RINGS * EAR_SPOKES
    ring = n - EAR_SPOKES
    i = np.arange(EAR_SPOKES)
    j = (i + 1) % EAR_SPOKES
    seam = np.concatenate(
        [np.stack([ring + i, ring + n + j, ring + j], 1), np.stack([ring + i, ring + n + i, ring + n + j], 1)]
    )
    triangles = np.concatenate([sheet, sheet[:, ::-1] + n, seam]).astype(np.int32)
    light = np.clip(0.62 + 5.5 * (front - 0.012), 0.15, 1.0).ravel()  # less in the hollows
    return vertices, triangles, np.concatenate([light, np.full(n, 0.6)]).astype(np.float32)


def _shell() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points of the scalp and of the rest of the head without the face, triangles, and outward directions."""
    half = _dense_samples(0, 180, SHELL_COLUMNS // 2 + 1, ((0, 100, 1.5),))
    longitude = np.concatenate([-half[:0:-1], half[:-1]])
    latitude = _dense_samples(-72, 90, SHELL_ROWS, ((15, 60, 1.4),))
    direction = _directions(longitude, latitude)
    vertices = (direction * surface.cast_rays(direction)[..., None]).reshape(-1, 3)
    triangles = grid_triangles(SHELL_ROWS, SHELL_COLUMNS)
    center = vertices[triangles].mean(1)
    face = (np.abs(center[:, 0]) < 0.52) & (center[:, 1] < 0.12) & (center[:, 2] > 0.35)
    triangles = triangles[~face]
    used, triangles = np.unique(triangles, return_inverse=True)
    return vertices[used], triangles.reshape(-1, 3).astype(np.int32), direction.reshape(-1, 3)[used]


def _neck() -> tuple[np.ndarray, np.ndarray]:
    y, z, width, depth = np.array(NECK_RINGS[::-1], np.float32).T[..., None]
    theta = np.linspace(0, 2 * np.pi, NECK_SPOKES, endpoint=False, dtype=np.float32)[None]
    sin, cos = np.sin(theta), np.cos(theta)
    chest = np.where(cos > 0, 0.10, 0.0) * (y < -1.6)
    slope = np.where(width > 0.6, -0.16 * np.abs(sin) ** 2 * (width - 0.6), 0)  # the shoulders slope outward
    ring = np.stack([width * sin + 0 * y, y + slope + 0 * sin, z + depth * cos + chest], -1)
    return ring.reshape(-1, 3).astype(np.float32), grid_triangles(len(NECK_RINGS), NECK_SPOKES)


@cache
def template() -> Template:
    """Return the template head, made on first use in about half a second."""
    skin, skin_triangles = _skin()
    ball, eye_triangles, eye_angle = _eye()
    ear, ear_triangles, ear_light = _ear()
    shell, shell_triangles, shell_direction = _shell()
    neck, neck_triangles = _neck()
    mirror = np.array([-1, 1, 1], np.float32)
    parts = {
        "skin": (skin, skin_triangles),
        "left eye": (ball + surface.EYE_CENTER, eye_triangles),
        "right eye": (ball + surface.EYE_CENTER * mirror, eye_triangles),
        "left ear": (ear, ear_triangles),
        "right ear": (ear * mirror, ear_triangles[:, ::-1]),
        "neck": (neck, neck_triangles),
        "shell": (shell, shell_triangles),
    }
    slices, triangles, start = {}, {}, 0
    for name, (v, t) in parts.items():
        slices[name] = slice(start, start + len(v))
        triangles[name] = np.ascontiguousarray(t + np.int32(start))
        start += len(v)
    vertices = np.concatenate([v for v, _ in parts.values()]).astype(np.float32)
    occlusion = np.ones(len(vertices), np.float32)
    for name in ("skin", "neck"):
        occlusion[slices[name]] = surface.occlusion(parts[name][0], mesh_normals(*parts[name]))
    occlusion[slices["left ear"]] = occlusion[slices["right ear"]] = ear_light
    for name in ("left eye", "right eye"):  # the upper lid shades the upper half of the eye
        height = (parts[name][0][:, 1] - surface.EYE_CENTER[1]) / surface.EYE_RADIUS
        occlusion[slices[name]] = 0.92 - 0.55 * smoothstep(height, 0.0, 0.65)
    outwards = skin / np.linalg.norm(skin, axis=1, keepdims=True)
    modes = np.stack([(m.sigma * m.field(vertices)).ravel() for m in MODES]).astype(np.float32)
    return Template(
        vertices,
        modes,
        triangles,
        slices,
        regions.face_regions(skin),
        occlusion,
        eye_angle,
        shell_direction,
        outwards,
        regions.lids(skin),
    )
