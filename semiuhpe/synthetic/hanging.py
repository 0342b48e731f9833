"""Hair that hangs from the head: sheets around neck and shoulders, tails, braids, locks, a bun."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import map_coordinates, uniform_filter1d

import sim3dr
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import Mesh, Wearable, ellipsoid, grid_triangles, join, mirrored, solid, tube, wearable

AXIS_Z = -0.12  # of the vertical axis that hair hangs around
_LOWEST, _HIGHEST = -2.4, 1.05
_GIRTH_PX = 300
GLOSS = 0.12
Piece = tuple[Wearable, np.ndarray]  # and the share of the hair's color at each vertex, (n, 1)


@dataclass(frozen=True)
class Curtain:
    """A sheet of hair around sides and back of the head.

    Attributes:
        front, side, back: heights where it ends before, on and behind the shoulders.
        waves: how far it waves.
        tuck: how far its ends turn inward.
        begin: angle from the face where it begins, in degrees.
        seed: of its strands.
    """

    front: float
    side: float
    back: float
    waves: float
    tuck: float
    begin: float
    seed: int


CURTAINS = {
    "bob": Curtain(-0.92, -0.92, -0.80, 0.012, 0.10, 60, 1),
    "wavy": Curtain(-1.42, -1.38, -1.50, 0.055, 0.04, 60, 2),
    "long": Curtain(-2.00, -1.46, -2.10, 0.020, 0.0, 60, 3),
}
_ROWS, _COLUMNS = 17, 44
_TOP = 0.92  # height where a sheet begins, inside of the shell


@cache
def _girths() -> np.ndarray:
    """Return the greatest distance of head, shoulders and garment, without ears, from the axis: (heights, degrees)."""
    t = template()
    ear = np.zeros(len(t.vertices), bool)
    ear[t.region("left ear", "right ear")] = True
    skin = t.triangles["skin"]
    triangles = np.concatenate([skin[~ear[skin].all(1)], t.triangles["garment"]])
    x, y, z = t.vertices.T
    angle = np.degrees(np.arctan2(x, z - AXIS_Z))
    corner = angle[triangles]
    corner = np.where((np.ptp(corner, axis=1, keepdims=True) > 180) & (corner < 0), corner + 360, corner)
    row = (y - _LOWEST) / (_HIGHEST - _LOWEST) * (_GIRTH_PX - 1)
    depth = np.full((_GIRTH_PX, 361), -np.inf, np.float32)
    for turn in (0, 360):
        placed = np.stack([corner + 180 - turn, row[triangles], np.hypot(x, z - AXIS_Z)[triangles]], -1)
        placed = placed.reshape(-1, 3).astype(np.float32)
        own = np.arange(len(placed), dtype=np.int32).reshape(-1, 3)
        blank = np.zeros((len(placed), 1), np.float32)
        sim3dr.rasterize(placed, own, blank, height=_GIRTH_PX, width=361, depth=depth)
    return np.where(np.isfinite(depth), depth, 0.0)


def girth(angle: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return the distance of the mean head and shoulders from the axis at angles (degrees, -180 to 180) and heights."""
    row = (height - _LOWEST) / (_HIGHEST - _LOWEST) * (_GIRTH_PX - 1)
    return map_coordinates(_girths(), np.stack(np.broadcast_arrays(row, angle + 180)), order=1, mode="nearest")


def around(angle: np.ndarray, height: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return points (..., 3) around the axis; angles in degrees."""
    a = np.radians(angle)
    return np.stack(np.broadcast_arrays(radius * np.sin(a), height, AXIS_Z + radius * np.cos(a)), -1)


def fall(angle: np.ndarray, height: np.ndarray, away: float = 0.0) -> np.ndarray:
    """Return how far from the axis loose hair hangs, at angles (rows, n) and heights that fall from row to row."""
    widest = girth(angle, np.maximum(height, 0.0)) + 0.01 + 0.12 * smoothstep(height, 0.95, 0.15)
    hanging = widest - 0.10 * smoothstep(height, -0.25, -1.0) + away
    body = girth(angle, height) + 0.05 + away
    radius = np.clip(body, hanging, hanging + 0.45)
    return uniform_filter1d(uniform_filter1d(radius, 3, axis=0, mode="nearest"), 3, axis=1, mode="nearest")


@cache
def _curtain(name: str) -> Piece:
    curtain = CURTAINS[name]
    rng = np.random.default_rng(7200 + curtain.seed)
    begin = np.linspace(curtain.begin, 360 - curtain.begin, _COLUMNS)[None]
    begin = np.where(begin > 180, begin - 360, begin)
    s = np.linspace(0, 1, _ROWS)[:, None]
    away = np.abs(begin)
    end = curtain.side + (curtain.front - curtain.side) * smoothstep(away, 88, 74)
    end = end + (curtain.back - curtain.side) * smoothstep(away, 112, 135)
    end = end + 0.07 * rng.uniform(-1, 1, begin.shape)  # ends of different lengths
    height = _TOP + s * (end - _TOP)
    forward = 26 * smoothstep(away, 90, 74) * smoothstep(height, -0.85, -1.6)  # before the shoulder
    angle = begin - np.sign(begin) * forward
    radius = fall(angle, height)
    loose = smoothstep(s, 0.2, 0.6)
    phase = rng.uniform(0, 6, begin.shape)
    radius = radius + loose * curtain.waves * np.sin(9 * s + np.cumsum(0.35 * rng.standard_normal(begin.shape), 1))
    radius = radius + 0.018 * loose * np.sin(phase) - curtain.tuck * smoothstep(s, 0.7, 1.05)
    edge = np.minimum(np.arange(_COLUMNS), np.arange(_COLUMNS)[::-1])
    radius = radius - 0.07 * np.maximum(1 - edge / 2, 0) * smoothstep(height, 0.3, -0.1)  # the edge turns inward
    angle = angle + 60 * curtain.waves * loose * np.sin(9 * s + 1.5 + phase * 0.3)
    vertices = around(angle, height, radius).reshape(-1, 3)
    strand = 0.55 * rng.standard_normal(begin.shape) + 0.3 * np.sin(np.radians(17 * begin) + 2 * s)
    strand = strand + 2.5 * curtain.waves * np.sin(9 * s + phase * 0.3)
    tone = np.clip(1 + 0.42 * strand, 0.3, 2) * (0.8 + 0.35 * smoothstep(s, 0, 0.7))
    mesh = solid(vertices, grid_triangles(_ROWS, _COLUMNS, closed=False)[:, ::-1], gloss=GLOSS)
    return wearable(mesh), tone.reshape(-1, 1).astype(np.float32)


@cache
def _bun() -> Piece:
    bun = ellipsoid((0, 0.36, -1.06), (0.31, 0.29, 0.24), 11, 16, gloss=GLOSS)
    x, y, z = (bun.vertices - (0, 0.36, -1.06)).T
    spiral = np.sin(5 * np.arctan2(y, x) + 14 * np.hypot(x, y))
    bun.vertices[:] += 0.012 * spiral[:, None] * np.stack([x, y, z], 1) / 0.23
    return wearable(bun), (1 + 0.35 * spiral).reshape(-1, 1).astype(np.float32)


def _strand(path: list, radii: tuple, spokes: int, seed: int) -> tuple[Mesh, np.ndarray]:
    """Return a tube of hair along a path of a few points, and its tones (n,)."""
    rng = np.random.default_rng(7300 + seed)
    mesh = tube(path, radii, spokes, gloss=GLOSS)
    tone = 1 + 0.30 * rng.standard_normal((1, spokes)) + 0.12 * rng.standard_normal((len(path), spokes))
    return mesh, np.clip(tone, 0.4, 1.8).ravel()


def _pieces(parts: list[tuple[Mesh, np.ndarray]]) -> Piece:
    tone = np.concatenate([tone for _, tone in parts]).reshape(-1, 1).astype(np.float32)
    return wearable(join([mesh for mesh, _ in parts])), tone


def _both(parts: list[tuple[Mesh, np.ndarray]]) -> list[tuple[Mesh, np.ndarray]]:
    return parts + [(mirrored(mesh), tone) for mesh, tone in parts]


@cache
def _ponytail() -> Piece:
    path = [
        *((0, 0.36, -0.90), (0, 0.40, -1.05), (0, 0.36, -1.20), (0, 0.18, -1.32), (0, -0.15, -1.36)),
        *((0, -0.5, -1.33), (0, -0.85, -1.27), (0, -1.15, -1.22)),
    ]
    return _pieces([_strand(path, (0.09, 0.08, 0.12, 0.16, 0.17, 0.15, 0.10, 0.02), 12, 1)])


@cache
def _pigtails() -> Piece:
    path = [
        *((0.62, 0.30, -0.30), (0.76, 0.33, -0.33), (0.88, 0.27, -0.34), (0.96, 0.08, -0.32), (0.98, -0.2, -0.28)),
        *((0.96, -0.5, -0.22), (0.92, -0.82, -0.16)),
    ]
    return _pieces(_both([_strand(path, (0.07, 0.07, 0.11, 0.14, 0.14, 0.10, 0.02), 10, 2)]))


@cache
def _braids() -> Piece:
    s = np.linspace(0, 1, 22)
    height = -0.20 - 1.75 * s
    angle = 108 - 62 * smoothstep(s, 0.35, 0.85)
    radius = fall(angle[:, None], height[:, None])[:, 0] + 0.02 - 0.10 * smoothstep(s, 0.2, 0.0)
    radii = (0.10 + 0.025 * np.cos(np.pi * np.arange(22))) * smoothstep(s, 1.02, 0.92)
    mesh, tone = _strand(list(around(angle, height, radius)), tuple(radii), 8, 3)
    tone = tone * np.repeat(1 + 0.18 * np.cos(np.pi * np.arange(22)), 8)
    return _pieces(_both([(mesh, tone)]))


@cache
def _dreadlocks() -> Piece:
    rng = np.random.default_rng(7400)
    parts = []
    s = np.linspace(0, 1, 7)
    for number, begin in enumerate(np.linspace(64, 296, 30)):
        angle = (begin + rng.uniform(-3, 3) + 180) % 360 - 180
        height = rng.uniform(0.35, 0.75) - s * rng.uniform(1.4, 1.9)
        wander = angle + rng.uniform(-6, 6) * s
        radius = fall(wander[:, None], height[:, None], rng.uniform(0.0, 0.05))[:, 0] - 0.08 * smoothstep(s, 0.25, 0)
        radii = 0.065 * smoothstep(s, 1.05, 0.8) + 0.008
        parts.append(_strand(list(around(wander, height, radius)), tuple(radii), 4, 10 + number))
    return _pieces(parts)


PIECES: dict[str, Callable[[], Piece]] = {
    "bob": lambda: _curtain("bob"),
    "bob with fringe": lambda: _curtain("bob"),
    "wavy": lambda: _curtain("wavy"),
    "long": lambda: _curtain("long"),
    "long with fringe": lambda: _curtain("long"),
    "bun": _bun,
    "ponytail": _ponytail,
    "pigtails": _pigtails,
    "braids": _braids,
    "dreadlocks": _dreadlocks,
}
