"""The parametric head: one template mesh, its regions, and linear modes of identity.

The template is made once per process from :mod:`.surface`: the skin on a grid of directions that is fine over the
face, eyeballs with a ring of vertices at every border of the iris, ears, a hair shell over the whole scalp, and a neck
with shoulders. Identities are ``mean + modes @ coefficients``; every mode is a smooth deformation of space around the
head, so that eyes, ears, hair and whatever is worn follow the face. Axes and units are those of :mod:`.surface`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from . import surface

# Grid of the skin: samples, and the range (degrees, from, to) where they lie denser by the factor
SKIN_COLUMNS, SKIN_ROWS = 92, 70
SHELL_COLUMNS, SHELL_ROWS = 68, 34
EAR_RINGS, EAR_SPOKES = 8, 22
NECK_SPOKES = 22

# (height, centre z, half width, half depth) of the rings of neck and shoulders, top to bottom
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
class Mode:
    """A smooth deformation of space, weighted by a Gaussian around ``centre`` (mirrored) with ``widths``.

    A point p there moves by ``shift + stretch * (p - centre)``; a width of infinity means "everywhere along this axis".
    """

    name: str
    sigma: float
    centre: tuple[float, float, float]
    widths: tuple[float, float, float]
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    stretch: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def field(self, points: np.ndarray) -> np.ndarray:
        """Displacement (N, 3) at one unit of this mode."""
        side = np.where(points[:, :1] < 0, np.float32(-1), np.float32(1)) * np.array([1, 0, 0], np.float32)
        side += np.array([0, 1, 1], np.float32)
        offset = points * side - np.asarray(self.centre, np.float32)
        weight = np.exp(-((offset / np.asarray(self.widths, np.float32)) ** 2).sum(1, keepdims=True))
        moved = np.asarray(self.shift, np.float32) + np.asarray(self.stretch, np.float32) * offset
        if self.centre[0] == 0 and self.shift[0] == 0:  # a central stretch is already odd in x
            return weight * moved * side
        fade = np.clip(np.abs(points[:, :1]) / 0.1, 0, 1) if self.shift[0] else 1.0  # no tear at the mid-plane
        return weight * moved * (1 + (side - 1)) * np.where(np.array([1, 0, 0], bool), fade, 1.0)


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


@dataclass(frozen=True)
class Region:
    """A soft mask over the skin, kept sparse: ``weight`` in (0, 1] at the skin vertices ``index``."""

    index: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Template:
    """The mesh of the mean head and what is known of its vertices. ``part[name]`` is a slice of the vertices."""

    vertices: np.ndarray  # (N, 3)
    modes: np.ndarray  # (K, N * 3), scaled so that coefficients of a typical identity are standard normal
    triangles: dict[str, np.ndarray]  # per part, indices into the whole mesh
    part: dict[str, slice]
    region: dict[str, Region]
    occlusion: np.ndarray  # (N,) ambient light that arrives
    eye_angle: np.ndarray  # (vertices of one eye,) degrees from the gaze
    shell_direction: np.ndarray  # (vertices of the shell, 3) outwards
    outwards: np.ndarray  # (vertices of the skin, 3) unit direction from the origin
    lid: Region  # the skin over and around the eyes; the weight is 0 in the middle of the almond, 1 at the lids

    def shape(self, coefficients: np.ndarray) -> np.ndarray:
        """Vertices (N, 3) of the identity with the given ``coefficients`` (K,)."""
        return self.vertices + (coefficients.astype(np.float32) @ self.modes).reshape(-1, 3)


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high`` (or the reverse if low > high), with a smooth S between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _dense_samples(low: float, high: float, n: int, ranges: tuple) -> np.ndarray:
    """``n`` increasing samples of [low, high] whose density is raised by ``(from, to, factor)`` ranges."""
    x = np.linspace(low, high, 4001)
    density = np.ones_like(x)
    for start, end, factor in ranges:
        density += (factor - 1) * smoothstep(x, start - 8, start + 8) * smoothstep(x, end + 8, end - 8)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(np.linspace(0, cumulative[-1], n), cumulative, x)


def _directions(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Unit vectors (rows, columns, 3); longitude 0 is the face, positive towards the subject's left; degrees."""
    lon, lat = np.meshgrid(np.radians(longitude), np.radians(latitude))
    return np.stack([np.sin(lon) * np.cos(lat), np.sin(lat), np.cos(lon) * np.cos(lat)], -1).astype(np.float32)


def grid_triangles(rows: int, columns: int, closed: bool = True) -> np.ndarray:
    """Triangles (M, 3) of a grid whose vertices are numbered row by row; ``closed`` joins the last column to the first.

    Seen from outside (columns to the right, rows upwards) the triangles turn counter-clockwise.
    """
    c = np.arange(columns if closed else columns - 1)
    a = (np.arange(rows - 1)[:, None] * columns + c).ravel()
    b = (np.arange(rows - 1)[:, None] * columns + (c + 1) % columns).ravel()
    return np.concatenate([np.stack([a, b, b + columns], 1), np.stack([a, b + columns, a + columns], 1)]).astype(
        np.int32
    )


def mesh_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals (N, 3); slow, for the template only (pictures use sim3dr)."""
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
    """An eyeball that looks along +z, centred at the origin: vertices, triangles, angle from the gaze."""
    angle = np.repeat(np.array(EYE_RINGS, np.float32), EYE_SPOKES)
    spoke = np.tile(np.linspace(0, 2 * np.pi, EYE_SPOKES, endpoint=False), len(EYE_RINGS))
    bulge = surface.EYE_RADIUS * (1 + 0.05 * smoothstep(angle, 32, 16))  # the cornea
    a = np.radians(angle)
    ball = np.stack([np.sin(a) * np.cos(spoke), np.sin(a) * np.sin(spoke), np.cos(a)], 1) * bulge[:, None]
    triangles = grid_triangles(len(EYE_RINGS), EYE_SPOKES)[:, ::-1]
    return ball.astype(np.float32), np.ascontiguousarray(triangles), angle


def _ear() -> tuple[np.ndarray, np.ndarray]:
    """The left ear: a front sheet with helix, antihelix and concha, and a smooth back, joined at the rim."""
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
    front = 0.012 + 0.075 * helix + 0.04 * fold - 0.085 * concha + 0.02 * lobe + 0 * a
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
    return vertices, triangles


def _shell() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of the scalp (and of the rest of the head but the face), triangles, outward directions."""
    half = _dense_samples(0, 180, SHELL_COLUMNS // 2 + 1, ((0, 100, 1.5),))
    longitude = np.concatenate([-half[:0:-1], half[:-1]])
    latitude = _dense_samples(-72, 90, SHELL_ROWS, ((15, 60, 1.4),))
    direction = _directions(longitude, latitude)
    vertices = (direction * surface.cast_rays(direction)[..., None]).reshape(-1, 3)
    triangles = grid_triangles(SHELL_ROWS, SHELL_COLUMNS)
    centre = vertices[triangles].mean(1)
    face = (np.abs(centre[:, 0]) < 0.52) & (centre[:, 1] < 0.12) & (centre[:, 2] > 0.35)
    triangles = triangles[~face]
    used, triangles = np.unique(triangles, return_inverse=True)
    return vertices[used], triangles.reshape(-1, 3).astype(np.int32), direction.reshape(-1, 3)[used]


def _neck() -> tuple[np.ndarray, np.ndarray]:
    y, z, width, depth = np.array(NECK_RINGS[::-1], np.float32).T[..., None]
    theta = np.linspace(0, 2 * np.pi, NECK_SPOKES, endpoint=False, dtype=np.float32)[None]
    sin, cos = np.sin(theta), np.cos(theta)
    chest = np.where(cos > 0, 0.10, 0.0) * (y < -1.6)
    slope = np.where(width > 0.6, -0.16 * np.abs(sin) ** 2 * (width - 0.6), 0)  # the shoulders fall outwards
    ring = np.stack([width * sin + 0 * y, y + slope + 0 * sin, z + depth * cos + chest], -1)
    return ring.reshape(-1, 3).astype(np.float32), grid_triangles(len(NECK_RINGS), NECK_SPOKES)


def _bump(v: np.ndarray, centre: tuple, widths: tuple) -> np.ndarray:
    """A mirrored Gaussian bump (N,) around ``centre``."""
    q = np.abs(v) * np.array([1, 0, 0], np.float32) + v * np.array([0, 1, 1], np.float32)
    return np.exp(-(((q - np.asarray(centre, np.float32)) / np.asarray(widths, np.float32)) ** 2).sum(1))


def _regions(v: np.ndarray) -> dict[str, np.ndarray]:
    """Masks over the skin vertices ``v`` of the mean head."""
    x, y, z = np.abs(v[:, 0]), v[:, 1], v[:, 2]
    front = smoothstep(z, 0.2, 0.5)
    upper = -0.700 + 0.075 * smoothstep(x, 0.30, 0.05) - 0.018 * smoothstep(x, 0.06, 0.0)
    lower = -0.725 - 0.105 * np.sqrt(np.clip(1 - (x / 0.255) ** 2, 0, 1))
    lips = smoothstep(y, lower - 0.012, lower + 0.012) * smoothstep(y, upper + 0.012, upper - 0.012)
    lips = lips * smoothstep(x, 0.27, 0.24) * smoothstep(z, 0.6, 0.7)
    mouth_line = np.exp(-(((y + 0.713) / 0.020) ** 2)) * smoothstep(x, 0.27, 0.22) * smoothstep(z, 0.6, 0.7)
    arch = 0.185 + 0.055 * smoothstep(x, 0.10, 0.34) - 0.10 * smoothstep(x, 0.36, 0.56)
    half = 0.042 - 0.022 * smoothstep(x, 0.25, 0.55)
    brow = smoothstep(np.abs(y - arch) / half, 1.25, 0.6) * smoothstep(x, 0.07, 0.12) * smoothstep(x, 0.56, 0.48)
    nostril = np.maximum(_bump(v, (0.068, -0.505, 1.055), (0.040, 0.030, 0.040)), 0) * smoothstep(y, -0.44, -0.48)
    beard_line = -0.36 - 0.30 * smoothstep(x, 0.62, 0.30)  # from the side burns to the corners of the mouth
    beard = smoothstep(y, beard_line + 0.07, beard_line - 0.07) * smoothstep(z, -0.12, 0.06)
    around_mouth = np.exp(-(((x / 0.30) ** 2 + ((y + 0.70) / 0.15) ** 2) ** 2))
    strip = -0.585 - 0.10 * smoothstep(x, 0.05, 0.30)
    moustache = np.exp(-(((y - strip) / 0.045) ** 2)) * smoothstep(x, 0.31, 0.24) * smoothstep(z, 0.6, 0.75)
    goatee = np.exp(-((x / 0.22) ** 4) - ((y + 1.02) / 0.15) ** 4) * front
    return {
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


def _lids(v: np.ndarray) -> Region:
    """Height of the skin over the eyes in the almond of the opening: 0 in the middle, 1 at the lids, more beyond."""
    x = np.abs(v[:, 0])
    along = (x - surface.EYE_CENTRE[0]) / 0.150
    axis = surface.EYE_CENTRE[1] - 0.008 + 0.016 * along  # the outer corner lies a little higher
    bow = np.sqrt(np.clip(1 - along**2, 1e-4, 1))
    height = np.where(v[:, 1] > axis, 0.072, 0.052) * bow
    inside = np.abs(v[:, 1] - axis) / np.maximum(height, 1e-3)
    index = np.flatnonzero((np.abs(along) < 1) & (v[:, 2] > 0.4) & (inside < 2.5))
    return Region(index, inside[index].astype(np.float32))


def _sparse(mask: np.ndarray) -> Region:
    index = np.flatnonzero(mask > 0.004)
    return Region(index, mask[index].astype(np.float32))


@cache
def template() -> Template:
    """The template head; made on first use, in about half a second."""
    skin, skin_triangles = _skin()
    ball, eye_triangles, eye_angle = _eye()
    ear, ear_triangles = _ear()
    shell, shell_triangles, shell_direction = _shell()
    neck, neck_triangles = _neck()
    mirror = np.array([-1, 1, 1], np.float32)
    parts = {
        "skin": (skin, skin_triangles),
        "left eye": (ball + surface.EYE_CENTRE, eye_triangles),
        "right eye": (ball + surface.EYE_CENTRE * mirror, eye_triangles),
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
    for name in ("left eye", "right eye"):  # the upper lid keeps light from the upper half of the eye
        height = (parts[name][0][:, 1] - surface.EYE_CENTRE[1]) / surface.EYE_RADIUS
        occlusion[slices[name]] = 0.92 - 0.55 * smoothstep(height, 0.0, 0.65)
    outwards = skin / np.linalg.norm(skin, axis=1, keepdims=True)
    modes = np.stack([(m.sigma * m.field(vertices)).ravel() for m in MODES]).astype(np.float32)
    regions = {name: _sparse(mask) for name, mask in _regions(skin).items()}
    return Template(
        vertices, modes, triangles, slices, regions, occlusion, eye_angle, shell_direction, outwards, _lids(skin)
    )
