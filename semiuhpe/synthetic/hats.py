"""Things worn on the head: caps, hats, helmets, cloths, headphones.

All are modeled on the mean head and are deformed with it to fit an identity.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from semiuhpe.synthetic import hair, surface
from semiuhpe.synthetic.head import directions, template
from semiuhpe.synthetic.mask_shapes import hull_radius
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import (
    Mesh,
    Wearable,
    ellipsoid,
    grid_triangles,
    join,
    mirrored,
    solid,
    tube,
    wearable,
)

COLUMNS, ROWS = 44, 11  # of a crown


@dataclass(frozen=True)
class Brim:
    """A brim at the lower edge of a hat.

    Attributes:
        reach: how far it goes out.
        droop: how far its rim lies below the edge.
        half: half of the angle that it spans, in degrees; 180 is all around.
        middle: angle of its middle, in degrees; 0 is the face, 180 the back.
        curl: how far its sides bend down, if it is not all around.
    """

    reach: float
    droop: float
    half: float = 180.0
    middle: float = 0.0
    curl: float = 0.0


@dataclass(frozen=True)
class Crown:
    """A hat above a line around the head.

    Attributes:
        line: heights of its lower edge at hair.LINE_ANGLES.
        side, top: how far it stands off the head at its edge and on top.
        brim: its brim, if any.
        flare: additional distance below the top, as peaked caps have it.
        squash: largest thickness of the hair below it.
        stripes: how often it has bands, as a share.
        folds: depth of folds, as of a turban.
        vents: how dark its slots are, as of a bicycle helmet.
        straps: whether it has a strap below the chin.
        over_ears: whether it covers the ears.
        gloss: strength of the highlight.
    """

    line: tuple[float, ...]
    side: float
    top: float
    brim: Brim | None = None
    flare: float = 0.0
    squash: float = 0.3
    stripes: float = 0.0
    folds: float = 0.0
    vents: float = 0.0
    straps: bool = False
    over_ears: bool = False
    gloss: float = 0.04


@dataclass(frozen=True)
class Cloth:
    """Cloth or a shell around head and neck, with an opening before the face.

    Attributes:
        opening: angles from the direction of the face to the opening's edge, in degrees: at its top, at half height to
            the side, at its bottom.
        points: what it is stretched over, besides the head.
        away: how far it stands off.
        gloss: strength of the highlight.
    """

    opening: tuple[float, float, float]
    points: tuple[tuple[float, float, float], ...]
    away: float
    gloss: float = 0.0


_LEVEL = (0.44, 0.43, 0.42, 0.40, 0.36, 0.31, 0.26, 0.21, 0.17, 0.11, 0.08, 0.04, -0.02, -0.08)
_LOW = (0.35, 0.35, 0.33, 0.29, 0.24, 0.18, 0.13, 0.10, 0.08, 0.05, 0.00, -0.10, -0.20, -0.26)
_HIGH = (0.52, 0.51, 0.49, 0.45, 0.40, 0.34, 0.28, 0.24, 0.20, 0.17, 0.15, 0.12, 0.08, 0.04)
_EARS = (0.40, 0.40, 0.36, 0.28, 0.16, -0.06, -0.36, -0.48, -0.52, -0.54, -0.55, -0.56, -0.58, -0.60)
_TURBAN = (0.48, 0.46, 0.41, 0.35, 0.29, 0.23, 0.17, 0.12, 0.09, 0.04, -0.04, -0.16, -0.28, -0.34)
_PEAK = Brim(0.50, 0.13, half=62, curl=0.10)
CROWNS = {
    "cap": Crown(_LEVEL, 0.05, 0.10, _PEAK),
    "backward cap": Crown(_LEVEL[:1] * 3 + _LEVEL[3:], 0.05, 0.10, Brim(0.46, 0.12, half=58, middle=180, curl=0.08)),
    "beanie": Crown(_LOW, 0.08, 0.17, stripes=0.6),
    "hat": Crown(_LEVEL, 0.06, 0.32, Brim(0.36, 0.03)),
    "sun hat": Crown(_LEVEL, 0.07, 0.20, Brim(0.72, 0.20), stripes=0.2),
    "peaked cap": Crown(_LEVEL, 0.06, 0.16, Brim(0.24, 0.14, half=56, curl=0.02), flare=0.16, gloss=0.08),
    "hard hat": Crown(_LEVEL, 0.12, 0.25, Brim(0.20, 0.06, half=75), gloss=0.2, squash=0.15),
    "bicycle helmet": Crown(_HIGH, 0.15, 0.23, vents=0.92, straps=True, gloss=0.25, squash=0.12),
    "helmet": Crown(_EARS, 0.15, 0.22, squash=0.1, over_ears=True, gloss=0.3),
    "turban": Crown(_TURBAN, 0.20, 0.24, folds=0.035, squash=0.1),
}
_SHOULDERS = (
    *((0.0, -1.75, 0.62), (0.45, -1.72, 0.52), (-0.45, -1.72, 0.52), (0.85, -1.80, 0.05), (-0.85, -1.80, 0.05)),
    *((0.45, -1.8, -0.85), (-0.45, -1.8, -0.85), (0.0, -1.8, -0.95)),
)
_COLLAR = (
    *((0.0, -1.45, 0.55), (0.40, -1.50, 0.40), (-0.40, -1.50, 0.40), (0.62, -1.55, -0.05), (-0.62, -1.55, -0.05)),
    *((0.0, -1.6, -0.95), (0.40, -1.6, -0.85), (-0.40, -1.6, -0.85)),
)
_BALL = tuple(
    (float(0.92 * x), float(-0.12 + 1.32 * y), float(0.12 + 1.16 * z))
    for x, y, z in directions(np.arange(0, 360, 30), np.arange(-60, 91, 20)[:, None]).reshape(-1, 3)
)
CLOTHS = {
    "hijab": Cloth((29, 42, 53), _SHOULDERS, 0.05),
    "headscarf": Cloth((34, 50, 62), _COLLAR, 0.05),
    "hood": Cloth((36, 58, 68), (*_COLLAR, (0.0, 1.15, 0.75), (0.0, 0.75, -1.15), (0.0, 1.2, -0.5)), 0.12),
    "full helmet": Cloth((29, 45, 31), _BALL, 0.04, gloss=0.35),
}
FREQUENCY = {
    "cap": 0.22,
    "backward cap": 0.05,
    "beanie": 0.16,
    "hat": 0.09,
    "sun hat": 0.06,
    "peaked cap": 0.05,
    "hard hat": 0.05,
    "bicycle helmet": 0.06,
    "helmet": 0.05,
    "turban": 0.03,
    "hijab": 0.06,
    "headscarf": 0.04,
    "hood": 0.06,
    "full helmet": 0.02,
}
TIED_LOWER = {"bun": (0.0, -0.74, 0.25), "ponytail": (0.0, -0.56, 0.16), "pigtails": (0.0, -0.55, 0.0)}  # below a hat

BAND_ROOM = 0.07  # between the scalp and the band of headphones


def _latitude(longitude: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return the latitudes (n,) where the mean head has these heights at these longitudes, all in degrees."""
    grid = np.linspace(-50, 90, 281)
    direction = directions(longitude, grid[:, None])
    y = direction[..., 1] * surface.cast_rays(direction)
    return np.array([np.interp(h, np.maximum.accumulate(column), grid) for h, column in zip(height, y.T, strict=True)])


def _edge(longitude: np.ndarray, line: tuple[float, ...]) -> np.ndarray:
    """Return the latitude (n,) of a line given at hair.LINE_ANGLES, at longitudes (n,) in degrees."""
    return _latitude(longitude, np.interp(np.abs((longitude + 180) % 360 - 180), hair.LINE_ANGLES, line))


@cache
def crown(name: str) -> tuple[Wearable, np.ndarray]:
    """Return a hat and the shade (n, 1) of its color at each vertex."""
    shape = CROWNS[name]
    longitude = np.linspace(0, 360, COLUMNS, endpoint=False)
    low = _edge(longitude, shape.line)
    share = np.concatenate([[0, 0], np.linspace(0.0, 1, ROWS - 2) ** 0.85])[:, None]
    latitude = low + share * (89.5 - low)
    lon, direction = np.radians(longitude), directions(longitude, latitude)
    rise = smoothstep(share, 0.15, 1.0)
    height = shape.side + (shape.top - shape.side) * rise + 0 * latitude
    height = height + shape.flare * smoothstep(share, 0.15, 0.40) * smoothstep(share, 0.85, 0.45)
    shade = 1 + 0.06 * np.sin(7 * lon + 3 * share)
    if shape.folds:
        fold = np.sin(30 * (share + 0.35 * np.abs(np.sin(lon / 2))))
        height, shade = height + shape.folds * fold, shade * (1 + 0.2 * fold)
    if shape.vents:
        slot = smoothstep(np.abs(np.sin(4.7 * np.arctan2(direction[..., 0], direction[..., 1]))), 0.8, 0.1)
        slot = slot * smoothstep(share, 0.1, 0.2) * smoothstep(np.abs(direction[..., 2]), 0.9, 0.75)
        height, shade = height - 0.06 * slot, shade * (1 - shape.vents * slot)
    height[0], height[1] = -0.03, 0.6 * shape.side  # the inner edge, below the skin
    shade[0] *= 0.5
    vertices = direction * (surface.cast_rays(direction) + height)[..., None]
    anchors = [(direction * surface.cast_rays(direction)[..., None]).reshape(-1, 3)]
    parts, shades = [solid(vertices.reshape(-1, 3), grid_triangles(ROWS, COLUMNS), gloss=shape.gloss)], [shade.ravel()]
    if shape.brim is not None:
        brim, base = _brim(shape, shape.brim)
        parts.append(brim)
        anchors.append(base)
        shades.append(np.full(len(base), 0.9))
    if shape.straps:
        for strap in (_chin_strap(), mirrored(_chin_strap())):
            parts.append(strap)
            anchors.append(strap.vertices)
            shades.append(np.full(len(strap.vertices), 0.15))
    return wearable(join(parts), np.concatenate(anchors)), np.concatenate(shades)[:, None].astype(np.float32)


def _brim(shape: Crown, brim: Brim) -> tuple[Mesh, np.ndarray]:
    """Return a brim, and the points of the hat's edge (n, 3) that its vertices move with."""
    closed = brim.half == 180
    turn = np.linspace(-180, 180, 40, endpoint=False) if closed else np.linspace(-brim.half, brim.half, 21)
    longitude = brim.middle + turn
    direction = directions(longitude, 0.0)
    toward = directions(longitude, _edge(longitude, shape.line) + 2)
    base = toward * (surface.cast_rays(toward) + 0.4 * shape.side)[:, None]
    s = np.linspace(0, 1, 4)[:, None]
    reach = brim.reach if closed else brim.reach * np.cos(np.radians(turn * 88 / brim.half)) ** 0.6
    outward = direction if closed else np.array([0, 0, np.cos(np.radians(brim.middle))]) + 0.25 * direction
    drop = brim.droop * s**1.5 + brim.curl * (turn / brim.half) ** 2 * s
    vertices = base + (s * reach)[..., None] * outward - drop[..., None] * np.array([0, 1, 0])
    mesh = solid(vertices.reshape(-1, 3), grid_triangles(4, len(turn), closed=closed))
    return mesh, np.broadcast_to(base, (4, *base.shape)).reshape(-1, 3)


def _chin_strap() -> Mesh:
    path = [(0.68, 0.36, 0.18), (0.705, 0.0, 0.20), (0.68, -0.45, 0.24), (0.50, -0.88, 0.34), (0.22, -1.13, 0.52)]
    return tube([*path, (0.0, -1.17, 0.58)], 0.022, 4)


@cache
def cloth(name: str) -> tuple[Wearable, np.ndarray]:
    """Return cloth around the head, and the shade (n, 1) of its color at each vertex."""
    shape = CLOTHS[name]
    around = np.radians(np.linspace(0, 360, COLUMNS, endpoint=False))  # about the face, 0 at its top
    top, side, bottom = shape.opening
    begin = np.where(np.cos(around) > 0, side + (top - side) * np.cos(around) ** 2, side)
    begin = np.where(np.cos(around) > 0, begin, side + (bottom - side) * np.cos(around) ** 2)
    share = np.concatenate([[0, 0], np.linspace(0.02, 1, 15)])[:, None]
    away = np.radians(begin + share * (179.5 - begin))
    direction = np.stack([np.sin(away) * np.sin(around), np.sin(away) * np.cos(around), np.cos(away)], -1)
    direction = direction.astype(np.float32)
    skin = directions(np.arange(0, 360, 12), np.arange(-30, 91, 10)[:, None]).reshape(-1, 3)
    jaw = direction[0]
    wrapped = np.concatenate([skin[(skin[:, 2] < 0.75) | (skin[:, 1] > 0.5)], jaw])
    points = np.concatenate([wrapped * surface.cast_rays(wrapped)[:, None], np.array(shape.points)])
    head = surface.cast_rays(direction)
    radius = hull_radius(points, direction) + shape.away
    above = direction[..., 1] > -0.45
    radius = np.where(above, np.maximum(radius, head + shape.away), radius)
    radius[0] = np.minimum(head[0] - 0.02, radius[0]) if shape.gloss == 0 else radius[0] - 0.12
    radius[1] = np.maximum(radius[1] - 0.4 * shape.away, head[1] + 0.01)
    fold = np.sin(9 * away + 2.5 * np.sin(around)) * smoothstep(share, 0.1, 0.4)
    if shape.gloss == 0:
        radius = radius + 0.012 * fold
    vertices = (direction * radius[..., None]).reshape(-1, 3)
    shade = np.ones_like(radius) if shape.gloss else 1 + 0.07 * fold
    shade[0] *= 0.5
    mesh = solid(vertices, grid_triangles(len(share), COLUMNS), gloss=shape.gloss)
    return wearable(mesh), shade.reshape(-1, 1).astype(np.float32)


def press(name: str, shell_height: np.ndarray) -> np.ndarray:
    """Return the height of the hair's shell below a hat."""
    t = template()
    shell = t.vertices[t.part["shell"]]
    if name in CLOTHS:
        return np.minimum(shell_height, 0.3 * CLOTHS[name].away)
    shape = CROWNS[name]
    limit = 0.25 * shape.side + shape.squash * smoothstep(hair.above_line(shell, shape.line), -0.06, -0.45)
    return np.minimum(shell_height, limit)


def random_hat(
    rng: np.random.Generator, coefficients: np.ndarray, shell_height: np.ndarray | None, to_shoulders: bool = True
) -> tuple[Mesh, np.ndarray | None, bool]:
    """Return a random hat, the hair pressed down below it, and whether it covers ears and neck.

    Without ``to_shoulders`` it is none that reaches down to them.
    """
    names = [name for name in FREQUENCY if to_shoulders or name not in CLOTHS]
    p = np.array([FREQUENCY[name] for name in names])
    name = names[rng.choice(len(p), p=p / p.sum())]
    hat, shade = cloth(name) if name in CLOTHS else crown(name)
    if shell_height is not None:
        shell_height = press(name, shell_height)
    color = (rng.uniform(0.03, 0.95, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.05, 0.9))) ** 2
    albedo = shade * color.astype(np.float32)
    stripes = CROWNS[name].stripes if name in CROWNS else 0.1
    if rng.random() < stripes:
        ring = np.arange(len(shade))[:, None] // COLUMNS
        band = np.sin(ring * rng.uniform(0.6, 3.1) + rng.uniform(0, 6)) > rng.uniform(-0.4, 0.6)
        albedo = np.where(band, shade * (rng.uniform(0.03, 0.95, 3) ** 2).astype(np.float32), albedo)
    return hat.on(coefficients, np.clip(albedo, 0, 1)), shell_height, name in CLOTHS or CROWNS[name].over_ears


def press_down(style: str, hanging: Mesh) -> Mesh:
    """Return what hangs from a haircut as it is below a hat: drawn in below the hat's edge, or tied lower."""
    v = hanging.vertices.copy()
    if style in TIED_LOWER:
        v += np.array(TIED_LOWER[style], np.float32)
    else:
        v[:, ::2] *= 1 - 0.16 * smoothstep(v[:, 1:2], -0.25, 0.15)
    return Mesh(v, hanging.triangles, hanging.albedo, hanging.gloss)


def below_band(shell_height: np.ndarray) -> np.ndarray:
    """Return the height of the hair's shell, pressed down along the band of headphones."""
    t = template()
    shell = t.vertices[t.part["shell"]]
    beside = smoothstep(np.abs(shell[:, 2]), 0.05, 0.28) + smoothstep(shell[:, 1], 0.2, 0.0)
    return np.minimum(shell_height, BAND_ROOM + beside)


@cache
def _headphones() -> Wearable:
    angle = np.linspace(-np.pi / 2 - 0.12, np.pi / 2 + 0.12, 19)
    path = np.stack([0.90 * np.sin(angle), -0.16 + 1.36 * np.cos(angle), np.full(19, 0.0)], 1)
    cup = ellipsoid((0.85, -0.22, 0.0), (0.14, 0.31, 0.26), 9, 14)
    return wearable(join([tube(path, 0.055, 6), cup, mirrored(cup)]))


def random_headphones(rng: np.random.Generator, coefficients: np.ndarray) -> Mesh:
    """Return random headphones with a band over the crown."""
    color = (rng.uniform(0.02, 0.9, 3) if rng.random() < 0.4 else np.full(3, rng.uniform(0.03, 0.9))) ** 2
    return _headphones().on(coefficients, color.astype(np.float32))
