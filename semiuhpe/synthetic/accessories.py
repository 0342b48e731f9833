"""Accessories of heads in 3D: glasses and sunglasses, face masks, caps, hats, helmets, hoods, headphones.

All are modeled on the mean head and are deformed with it to fit an identity.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from semiuhpe.synthetic import hair
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.mask_shapes import PLEAT_DEPTH, SHAPES, THICKNESS, cloth_radius, edge_height, pleats, straps
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import (
    Mesh,
    Wearable,
    ellipsoid,
    fan,
    grid_triangles,
    join,
    mirrored,
    solid,
    tube,
    wearable,
)

# ---- glasses ----

LENSES = {  # half width, half height, how square (2 is an ellipse)
    "round": (0.205, 0.195, 2.0),
    "square": (0.250, 0.170, 4.0),
    "aviator": (0.245, 0.205, 2.6),
    "narrow": (0.235, 0.110, 3.0),
    "large": (0.285, 0.235, 3.0),
}


@cache
def glasses(shape: str, thick: bool) -> tuple[Wearable, Wearable]:
    """Return the frame and the lenses of glasses."""
    width, height, power = LENSES[shape]
    angle = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    x = np.sign(cos) * np.abs(cos) ** (2 / power) * width
    y = np.sign(sin) * np.abs(sin) ** (2 / power) * height
    if shape == "aviator":
        y = np.where(y < 0, y * 1.2, y * 0.85)
        x = x * (1 + 0.12 * np.sign(y) * (np.abs(y) / height))
    center_x = max(0.325, width + 0.075)
    rim = np.stack([x + center_x, y - 0.05, 1.005 - 0.10 * ((x + center_x) / 0.6) ** 2 + 0.06 * y], 1)
    radius = 0.026 if thick else 0.014
    frame = tube(rim, radius, 5, closed=True)
    hinge = rim[np.argmax(rim[:, 0])] + (0, 0.05, 0)
    temple = tube([hinge, (0.74, 0.06, 0.45), (0.80, 0.04, 0.0), (0.81, -0.06, -0.16)], radius, 5)
    inner = rim[np.argmin(rim[:, 0])] + (0, 0.05, 0)
    bridge = tube([inner, (0, inner[1] + 0.03, inner[2] + 0.03), inner * (-1, 1, 1)], radius, 5)
    lens = fan(rim)
    return (
        wearable(join([frame, mirrored(frame), temple, mirrored(temple), bridge])),
        wearable(join([lens, mirrored(lens)])),
    )


def random_glasses(rng: np.random.Generator, coefficients: np.ndarray) -> list[Mesh]:
    """Return random glasses, or sunglasses with dark lenses."""
    frame, lenses = glasses(list(LENSES)[rng.integers(len(LENSES))], bool(rng.random() < 0.5))
    color = rng.uniform(0, 0.25, 3) ** 1.5 if rng.random() < 0.75 else rng.uniform(0.05, 0.7, 3)
    parts = [frame.on(coefficients, color.astype(np.float32))]
    if rng.random() < 0.5:
        tint = np.float32(rng.uniform(0.004, 0.05)) * (1 + rng.uniform(0, 1, 3).astype(np.float32))
        dark = lenses.on(coefficients, tint)
        parts.append(Mesh(dark.vertices, dark.triangles, dark.albedo, 0.15))
    return parts


# ---- face masks: the skin itself is moved out and painted ----


@cache
def _mask_cover() -> tuple[np.ndarray, np.ndarray]:
    """Where a mask covers the skin (vertices of the skin,), with soft edges, and how far it lifts it."""
    shape, t = SHAPES["surgical"], template()
    v = t.vertices[t.part["skin"]]
    x, y, z = np.abs(v[:, 0]), v[:, 1], v[:, 2]
    upper = edge_height(shape.upper, x, 0.12, 0.62)
    lower = edge_height(shape.lower, x, 0.15, 0.68)
    inside = smoothstep(y, upper + 0.02, upper - 0.02) * smoothstep(y, lower - 0.03, lower + 0.03)
    inside = inside * smoothstep(z, shape.reach - 0.04, shape.reach + 0.04)
    lift = cloth_radius(shape, v, t.outwards) - np.linalg.norm(v, axis=1) + THICKNESS
    return inside.astype(np.float32), lift.astype(np.float32)


@cache
def _mask_straps() -> Wearable:
    return wearable(straps(away=0.0, end=0.10, radius=0.014))


def put_on_mask(head: Mesh, rng: np.random.Generator, coefficients: np.ndarray) -> Mesh:
    """Put a face mask over nose, mouth and chin: change the head in place, and return the straps."""
    skin = template().part["skin"]
    inside, lift = _mask_cover()
    v = head.vertices[skin]
    pleated = PLEAT_DEPTH * pleats(template().vertices[skin, 1]) if rng.random() < 0.5 else 0.0
    outwards = v / np.linalg.norm(v, axis=1, keepdims=True)
    v += outwards * (inside * (lift + pleated))[:, None]
    palette = ((0.45, 0.68, 0.85), (0.92, 0.93, 0.94), (0.06, 0.06, 0.07), (0.5, 0.75, 0.7))
    color = palette[rng.integers(len(palette))] if rng.random() < 0.8 else rng.uniform(0.1, 0.9, 3)
    linear = np.asarray(color, np.float32) ** 2
    head.albedo[skin] += inside[:, None] * (linear - head.albedo[skin])
    return _mask_straps().on(coefficients, np.maximum(linear, 0.02))


# ---- things on the head ----


@dataclass(frozen=True)
class HatShape:
    """A shell over the hair: the heights of its lower edge at hair.LINE_ANGLES, its thickness, and a brim."""

    line: tuple[float, ...]
    side: float
    top: float
    brim: str = "none"
    squash: float = 0.3  # largest thickness of the hair under it
    stripes: float = 0.0
    over_ears: bool = False
    gloss: float = 0.05


_LEVEL = (0.42, 0.41, 0.38, 0.34, 0.30, 0.26, 0.22, 0.18, 0.13, 0.08, 0.02, -0.05)
_LOW = (0.34, 0.33, 0.29, 0.24, 0.18, 0.11, 0.05, 0.00, -0.05, -0.10, -0.16, -0.22)
_EARS = (0.36, 0.34, 0.28, 0.18, 0.02, -0.30, -0.42, -0.46, -0.48, -0.50, -0.52, -0.54)
_ROUND = (0.50, 0.48, 0.38, 0.20, -0.05, -0.40, -0.60, -0.68, -0.74, -0.76, -0.80, -0.80)
HATS = {
    "cap": HatShape(_LEVEL, 0.07, 0.13, "peak"),
    "beanie": HatShape(_LOW, 0.10, 0.18, stripes=1.0),
    "hat": HatShape(_LEVEL, 0.07, 0.34, "round"),
    "helmet": HatShape(_EARS, 0.17, 0.24, squash=0.1, over_ears=True, gloss=0.3),
    "hard hat": HatShape(_LEVEL, 0.14, 0.26, "peak", squash=0.2, gloss=0.2),
    "hood": HatShape(_ROUND, 0.15, 0.17, squash=0.5, over_ears=True),
    "headscarf": HatShape(_ROUND, 0.045, 0.07, squash=0.04, stripes=0.5, over_ears=True),
}


@cache
def _hat(name: str) -> tuple[Wearable, np.ndarray]:
    """Return the hat as a mesh, and the height of its edge below each vertex of the hair shell, (vertices,)."""
    shape = HATS[name]
    t = template()
    part = t.part["shell"]
    v = t.vertices[part]
    above = hair.above_line(v, shape.line)
    top = smoothstep(v[:, 1], 0.3, 0.95)
    height = shape.side + (shape.top - shape.side) * top
    edge = smoothstep(above, -0.02, 0.07)
    lifted = v + t.shell_direction * (hair.BELOW_SKIN * (1 - edge) + height * edge)[:, None]
    triangles = t.triangles["shell"] - part.start
    triangles = triangles[(above[triangles] > -0.15).any(1)]
    used, triangles = np.unique(triangles, return_inverse=True)
    mesh = solid(lifted[used], triangles.reshape(-1, 3), gloss=shape.gloss)
    parts = [mesh]
    if shape.brim != "none":
        parts.append(_brim(shape))
    if name in ("hood", "headscarf"):
        parts.append(_drape())
    return wearable(join(parts)), above


def _brim(shape: HatShape) -> Mesh:
    peak = shape.brim == "peak"
    angle = np.radians(np.linspace(-70, 70, 21) if peak else np.linspace(0, 360, 40, endpoint=False))[None]
    s = np.linspace(0, 1, 4)[:, None]
    line = np.interp(np.degrees(np.abs(np.angle(np.exp(1j * angle)))), hair.LINE_ANGLES, shape.line)
    reach = 0.56 * np.cos(angle * 90 / 72) ** 0.7 if peak else 0.48 + 0 * angle
    droop = 0.10 * s + 0.16 * s * np.sin(angle) ** 2 if peak else 0.05 * s**2
    x = (0.68 + shape.side + s * reach * (0.5 if peak else 1)) * np.sin(angle)
    z = -0.05 + (0.88 + shape.side + s * reach) * np.cos(angle)
    y = line + 0.05 - droop + 0 * angle
    return solid(np.stack([x, y, z], -1).reshape(-1, 3), grid_triangles(4, angle.size, closed=not peak))


def _drape() -> Mesh:
    """Return cloth from the jaw line down to the shoulders, around the neck."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)[None]
    s = np.linspace(0, 1, 5)[:, None]
    front = np.clip(np.cos(angle), 0, 1)
    x = (0.72 - 0.10 * np.sin(np.pi * s) + 0.35 * s**2) * np.sin(angle)
    z = -0.10 + (0.72 + 0.16 * s + 0.05 * front) * np.cos(angle)
    y = -0.55 - 1.15 * s - 0.55 * front * (1 - s)
    return solid(np.stack([x, y + 0 * angle, z], -1).reshape(-1, 3), grid_triangles(5, 28)[:, ::-1])


def random_hat(
    rng: np.random.Generator, coefficients: np.ndarray, shell_height: np.ndarray | None
) -> tuple[Mesh, np.ndarray | None, bool]:
    """Return a random hat, the hair pressed down below it, and whether it covers the ears."""
    name = list(HATS)[rng.choice(len(HATS), p=(0.28, 0.20, 0.12, 0.13, 0.07, 0.10, 0.10))]
    hat, above = _hat(name)
    shape = HATS[name]
    if shell_height is not None:
        limit = 0.25 * shape.side + shape.squash * smoothstep(above, -0.08, -0.45)
        shell_height = np.minimum(shell_height, limit)
    color = (rng.uniform(0.03, 0.95, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.05, 0.9))) ** 2
    v = hat.mesh.vertices
    albedo = np.broadcast_to(color.astype(np.float32), v.shape).copy()
    if shape.stripes and rng.random() < 0.6:
        band = (np.sin(v[:, 1] * rng.uniform(8, 30) + rng.uniform(0, 6)) > rng.uniform(-0.4, 0.6))[:, None]
        albedo = np.where(band, (rng.uniform(0.03, 0.95, 3) ** 2).astype(np.float32), albedo)
    albedo *= 1 + 0.08 * np.sin(9 * v[:, :1] + 7 * v[:, 2:]).astype(np.float32)
    return hat.on(coefficients, albedo), shell_height, shape.over_ears


def press_down(hanging: Mesh) -> Mesh:
    """Return long hair, drawn in below the edge of a hat."""
    v = hanging.vertices.copy()
    v[:, ::2] *= 1 - 0.16 * smoothstep(v[:, 1:2], -0.25, 0.15)
    return Mesh(v, hanging.triangles, hanging.albedo, hanging.gloss)


@cache
def _headphones() -> Wearable:
    angle = np.linspace(-np.pi / 2 - 0.12, np.pi / 2 + 0.12, 19)
    path = np.stack([0.92 * np.sin(angle), -0.08 + 1.30 * np.cos(angle), np.full(19, -0.08)], 1)
    cup = ellipsoid((0.88, -0.12, -0.08), (0.14, 0.28, 0.25), 9, 14)
    return wearable(join([tube(path, 0.055, 6), cup, mirrored(cup)]))


def random_headphones(rng: np.random.Generator, coefficients: np.ndarray) -> Mesh:
    """Return random headphones with a band over the crown."""
    color = (rng.uniform(0.02, 0.9, 3) if rng.random() < 0.4 else np.full(3, rng.uniform(0.03, 0.9))) ** 2
    return _headphones().on(coefficients, color.astype(np.float32))
