"""Haircuts: the height of a shell over the scalp, and hair that hangs from it.

Where there is no hair the shell lies below the skin, so the hairline is where the two surfaces intersect. Strands are
patterns in color and height along lines from the crown downward.
"""

from functools import cache

import numpy as np

from semiuhpe.synthetic import surface
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import Mesh, Wearable, ellipsoid, grid_triangles, solid, tube, wearable

STRAND_PATTERNS = 8
STYLES = {  # name: frequency
    "bald": 0.07,
    "buzz": 0.09,
    "short": 0.17,
    "side part": 0.13,
    "curly": 0.08,
    "afro": 0.06,
    "receding": 0.08,
    "bob": 0.10,
    "long": 0.12,
    "bun": 0.05,
    "ponytail": 0.05,
}
MOSTLY_WITHOUT_BEARD = ("bob", "long", "bun", "ponytail")
CURLED = ("curly", "afro")
COVERS_EARS = ("bob", "long")
HANGING_COUNTS = ("bun",)  # for the head's box
BELOW_SKIN = -0.06

# Height y of the hairline against the angle from the face (degrees): forehead, temple, side burn, ear, nape
LINE_ANGLES = (0, 20, 33, 42, 52, 64, 74, 84, 98, 115, 135, 180)
USUAL_LINE = (0.72, 0.74, 0.68, 0.52, 0.36, 0.08, -0.16, -0.10, 0.02, -0.32, -0.50, -0.56)
LOW_LINE = (0.36, 0.34, 0.26, 0.10, -0.25, -0.55, -0.66, -0.70, -0.72, -0.74, -0.78, -0.80)
OPEN_LINE = (0.74, 0.72, 0.60, 0.40, 0.05, -0.45, -0.66, -0.72, -0.74, -0.76, -0.80, -0.80)


def random_style(rng: np.random.Generator, age=30.0, female=0.5) -> str:
    """Return the name of a random haircut, by frequency."""
    return list(STYLES)[rng.choice(len(STYLES), p=np.array(list(STYLES.values())))]


def angle_from_face(v: np.ndarray) -> np.ndarray:
    """Return the angles (N,) around the vertical axis in degrees, 0 at the face, 180 at the back, unsigned."""
    return np.degrees(np.arctan2(np.abs(v[:, 0]), v[:, 2]))


def above_line(v: np.ndarray, line: tuple) -> np.ndarray:
    """Return the height (N,) of points of the scalp above a line given at :data:`LINE_ANGLES`."""
    return v[:, 1] - np.interp(angle_from_face(v), LINE_ANGLES, line)


def texture(style: str, pattern: int) -> np.ndarray:
    """Return the texture of hair, (vertices of the shell,) about in [-1, 1], for height and for color."""
    return curls(pattern) if style in CURLED else strands(pattern)


@cache
def strands(pattern: int) -> np.ndarray:
    """Return a strand pattern (vertices of the shell,) about in [-1, 1]; it is always the same."""
    rng = np.random.default_rng(7000 + pattern)
    t = template()
    v = t.vertices[t.part["shell"]]
    around = np.arctan2(v[:, 0], v[:, 2])
    wave = 0.25 * np.sin(3 * v[:, 1] + rng.uniform(0, 6))  # strands are not quite meridians
    value = np.zeros(len(v))
    for frequency, height in ((5, 0.35), (11, 0.5), (23, 0.6), (37, 0.5)):
        value += height * np.sin(frequency * (around + wave / np.sqrt(frequency)) + rng.uniform(0, 6))
    value += 0.35 * rng.standard_normal(len(v))
    calm = 1 - 0.75 * smoothstep(np.hypot(v[:, 0], v[:, 2] + 0.1), 0.45, 0.1)  # or the crown would look like a pumpkin
    return (calm * value / 1.6).astype(np.float32)


@cache
def curls(pattern: int) -> np.ndarray:
    """Return lumps (vertices of the shell,) about in [-1, 1] for curly hair."""
    rng = np.random.default_rng(7100 + pattern)
    t = template()
    v = t.vertices[t.part["shell"]]
    value = np.zeros(len(v))
    for frequency in (7.0, 12.0, 20.0):
        direction = rng.standard_normal((3, 3))
        value += np.prod(np.sin(frequency * v @ direction / 1.7 + rng.uniform(0, 6, 3)), axis=1) * 1.2
    return (value + 0.35 * rng.standard_normal(len(v))).astype(np.float32)


def _horseshoe(v: np.ndarray) -> np.ndarray:
    """Return the depth (N,) of points of the scalp below the upper edge of receding hair, which leaves the top bare."""
    return 0.42 + 0.18 * smoothstep(v[:, 2], 0, -0.8) - v[:, 1]


@cache
def _cut(style: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a style's height above the hairline (vertices of the shell,) and its full thickness there."""
    t = template()
    v = t.vertices[t.part["shell"]]
    _, y, z = v.T
    top = smoothstep(y, 0.35, 0.95)
    back = smoothstep(z, 0.1, -0.7)
    front = smoothstep(z, 0.3, 0.8)
    line = {"bob": LOW_LINE, "long": OPEN_LINE}.get(style, USUAL_LINE)
    above = above_line(v, line)
    thickness = {
        "buzz": 0.025 + 0 * y,
        "short": 0.05 + 0.09 * top + 0.03 * front * top,
        "side part": 0.06 + 0.14 * top + 0.06 * front * top,
        "curly": 0.13 + 0.12 * top + 0.03 * back,
        "afro": 0.42 + 0.10 * top + 0.06 * back,
        "receding": 0.05 + 0.03 * back,
        "bob": 0.15 + 0.04 * back + 0.02 * top,
        "long": 0.03 + 0.12 * smoothstep(y, 0.2, 0.6),  # the sheet below takes over
        "bun": 0.045 + 0 * y,
        "ponytail": 0.05 + 0 * y,
    }[style]
    if style == "receding":
        above = np.minimum(above, _horseshoe(v))
    return above.astype(np.float32), thickness.astype(np.float32)


def shell_height(style: str, volume: float, pattern: int, parted_left: bool) -> np.ndarray:
    """Return the height of the hair above the scalp, (vertices of the shell,); negative where there is none."""
    above, thickness = _cut(style)
    thickness = thickness * np.float32(1 if style == "long" else volume)
    thickness = thickness * (1 + (0.22 if style in CURLED else 0.16) * texture(style, pattern))
    if style == "side part":
        t = template()
        x = t.vertices[t.part["shell"], 0] * (1 if parted_left else -1)
        thickness = thickness * (1 - 0.75 * np.exp(-(((x - 0.28) / 0.07) ** 2)) + 0.25 * smoothstep(x, 0.2, -0.4))
    edge = smoothstep(above, -0.05, 0.10)
    return BELOW_SKIN * (1 - edge) + (thickness + 0.012) * edge


def scalp_shade(points: np.ndarray, style: str) -> np.ndarray:
    """x."""
    if style == "bald":
        return np.zeros(len(points))
    above = above_line(points, USUAL_LINE)
    if style == "receding":
        above = np.minimum(above, _horseshoe(points))
    return 0.85 * smoothstep(above, -0.06, 0.06)


def _radius_at_height(angle: np.ndarray, y: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return the distance from the vertical axis to ``offset`` outside the head, at angles (radians) and heights."""
    radius = np.full(np.shape(y), 1.6)
    for _ in range(40):
        points = np.stack([radius * np.sin(angle), y, radius * np.cos(angle)], -1)
        radius -= 0.7 * (surface.head_distance(points) - offset)
    return radius


@cache
def _curtain() -> tuple[Wearable, np.ndarray]:
    """Return long hair below the shell, a sheet around sides and back of the neck, and its strand pattern (n, 1)."""
    rng = np.random.default_rng(7200)
    rows, columns = 14, 46
    angle = np.radians(np.linspace(62, 298, columns))[None]
    s = np.linspace(0, 1, rows)[:, None]
    y = 0.70 - 2.45 * s + 0 * angle
    # the top lies inside the shell; the sheet emerges from it, falls straight down and in toward the neck
    offset = 0.10 + 0.05 * smoothstep(y, 0.6, 0.3)
    radius = _radius_at_height(angle + 0 * s, np.maximum(y, 0.02), offset)
    hang = smoothstep(s, 0.3, 0.8)
    wave = 0.035 * np.sin(9 * angle + 5 * s) + 0.02 * np.sin(23 * angle) + 0.012 * rng.standard_normal((1, columns))
    radius = radius - 0.12 * hang + (0.25 + 0.75 * hang) * wave
    y[-1] += 0.10 * rng.uniform(-1, 1, columns)  # ends of different lengths
    vertices = np.stack([radius * np.sin(angle), y, radius * np.cos(angle)], -1).reshape(-1, 3)
    strand = np.sin(17 * angle + 2 * s) * 0.4 + 0.5 * rng.standard_normal((1, columns)) + 0 * s
    mesh = solid(vertices, grid_triangles(rows, columns, False), gloss=0.12)
    return wearable(mesh), strand.reshape(-1, 1).astype(np.float32)


@cache
def _bun() -> Wearable:
    return wearable(ellipsoid((0, 0.62, -0.92), (0.27, 0.25, 0.25), 9, 14, gloss=0.15))


@cache
def _ponytail() -> Wearable:
    path = [(0, 0.42, -0.95), (0, 0.45, -1.12), (0, 0.30, -1.32), (0, -0.1, -1.42), (0, -0.6, -1.36), (0, -1.15, -1.25)]
    return wearable(tube(path, (0.07, 0.09, 0.14, 0.16, 0.13, 0.03), 10, gloss=0.15))


def hanging_hair(style: str, color: np.ndarray, coefficients: np.ndarray) -> Mesh | None:
    """Return what the haircut adds to the shell: long hair, a bun, a ponytail."""
    if style == "long":
        sheet, strand = _curtain()
        return sheet.on(coefficients, color * np.clip(1 + 0.45 * strand, 0.3, 2))
    if style == "bun":
        return _bun().on(coefficients, color)
    if style == "ponytail":
        return _ponytail().on(coefficients, color)
    return None
