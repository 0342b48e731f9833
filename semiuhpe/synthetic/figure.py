"""People as painted meshes in head axes: the template with its shape and expression, eyes, hair, beard and garment."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from semiuhpe.synthetic import hair, regions, skin
from semiuhpe.synthetic.anatomy import HeadBasis
from semiuhpe.synthetic.head import EYES, GARMENT_RINGS, GARMENT_SPOKES, Template, template
from semiuhpe.synthetic.identity import Identity
from semiuhpe.synthetic.posture import NECK_PIVOT, bend_neck
from semiuhpe.synthetic.regions import smoothstep

# Highlights: above 0.5 they are sharp, see light.py
SKIN_GLOSS, LIP_GLOSS, EYE_GLOSS, HAIR_GLOSS, MOUTH_GLOSS, CLOTH_GLOSS = 0.07, 0.16, 0.9, 0.10, 0.12, 0.0
MOUTH_LIGHT = {"teeth": 0.45, "tongue": 0.30, "mouth": 0.16}  # ambient light that reaches an open mouth
SCLERA = np.array([0.64, 0.60, 0.58], np.float32)
BUST_END = -1.30  # height at which a neck without shoulders ends
BUST_RADIUS = 0.55
OPENNESS = 0.6  # power of the share of the sky that is seen, as hollows receive light from what is around them
OPENING = ("jawOpen", "mouthFunnel", "mouthUpperUpLeft", "mouthLowerDownLeft", "mouthStretchLeft", "mouthShrugUpper")
PARTED = 0.03  # amount of these actions from which on they show what is in the mouth
BEARD_LENGTH = {"moustache": 0.02, "goatee": 0.05, "full": 0.05, "long": 0.09}  # stubble has none


@dataclass(frozen=True, eq=False)
class TexturedPart:
    """A part of a mesh with a texture of its own.

    Attributes:
        vertex: (S,) vertex of the mesh of each textured vertex; one on a seam appears several times.
        uv: (S, 2) as :class:`sim3dr.Mesh` takes it.
        triangles: (M, 3) indices of textured vertices.
        texture: (H, W, 3) uint8.
    """

    vertex: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    texture: np.ndarray


@dataclass(frozen=True, eq=False)
class Figure:
    """A head with neck, shoulders and hair on the scalp, and perhaps a whole body.

    Attributes:
        vertices: (N, 3) of the template's mesh, in head axes, and after them those of a body.
        triangles: (M, 3), those of the skin first, those of a body last. They turn clockwise seen from outside, as
            sim3dr takes them for the outer side in a picture, whose y axis points down.
        texture: (H, W, 3) uint8, colors of the skin.
        albedo: (N, 3) linear colors of the other parts; of the skin, its tone.
        gloss: (N,) strength of the highlights.
        occlusion: (N,) ambient light that arrives.
        body: the body, if there is one.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    texture: np.ndarray
    albedo: np.ndarray
    gloss: np.ndarray
    occlusion: np.ndarray
    body: TexturedPart | None = None


def build(
    identity: Identity,
    shell_height: np.ndarray | None,
    bend_deg: np.ndarray | None = None,
    longer_neck: float = 0.0,
    seen_from_below: float = 0.0,
    ears_pressed: bool = False,
) -> Figure:
    """Return the figure of an identity.

    Args:
        identity: whom to build.
        shell_height: distance of the hair from the scalp, (vertices of the shell,), None for no hair; it is an argument
            so that hats can press the hair down.
        bend_deg, longer_neck: how the body stands to the head, see :mod:`semiuhpe.synthetic.posture`.
        seen_from_below: from 0 to 1, how much of the shoulders is removed, which would hide the head.
        ears_pressed: lay the ears against the head, below hair or a hat.
    """
    t = template()
    v = t.shape(identity.coefficients)
    v[t.part["body"]] += HeadBasis.load().express(identity.expression)[t.of_basis]
    _turn_eyes(v, t, identity.gaze)
    _grow_beard(v, t, identity.beard)
    if ears_pressed:
        hair.press_ears(v)
    if bend_deg is not None:
        bend_neck(v, bend_deg, longer_neck)
    if seen_from_below > 0:
        _cut_off_shoulders(v, np.float32(seen_from_below))
    if shell_height is not None:
        v[t.part["shell"]] += shell_height[:, None] * t.shell_direction
    albedo, gloss = _paint(t, identity)
    texture = skin.paint(identity)
    return Figure(v, _triangles(identity.expression, shell_height), texture, albedo, gloss, _light_inside(t))


def _triangles(expression: Mapping[str, float], shell_height: np.ndarray | None) -> np.ndarray:
    mouth_opens = any(expression.get(action, 0) > PARTED for action in OPENING)
    body = _without_shell(mouth_opens)
    return body if shell_height is None else np.concatenate([body, hair.shell_triangles(shell_height)[:, ::-1]])


@cache
def _without_shell(mouth_opens: bool) -> np.ndarray:
    left_out = {"shell"} if mouth_opens else {"shell", "mouth"}
    parts = [triangles for name, triangles in template().triangles.items() if name not in left_out]
    return np.ascontiguousarray(np.concatenate(parts)[:, ::-1])


@cache
def _light_inside(t: Template) -> np.ndarray:
    occlusion = t.occlusion**OPENNESS
    for name, light in MOUTH_LIGHT.items():
        occlusion[t.region(name)] = np.maximum(occlusion[t.region(name)], light)
    occlusion[t.part["shell"]] = 0.95
    for name in EYES:  # the upper lid shades the upper half of the eye
        height = t.vertices[t.part[name], 1] - t.eye_center[name][1]
        occlusion[t.part[name]] = 0.92 - 0.5 * smoothstep(height, 0.0, 0.09)
    return occlusion


def _turn_eyes(v: np.ndarray, t: Template, gaze: tuple[float, float]) -> None:
    left, up = np.radians(gaze)
    turn_y = np.array([[np.cos(left), 0, np.sin(left)], [0, 1, 0], [-np.sin(left), 0, np.cos(left)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(up), np.sin(up)], [0, -np.sin(up), np.cos(up)]])
    turn = (turn_y @ turn_x).astype(np.float32)
    for name in EYES:
        ball = v[t.part[name]]
        rest = t.vertices[t.part[name]]
        center = ball.mean(0) + (t.eye_center[name] - rest.mean(0))  # the rings are denser in front
        ball[:] = (ball - center) @ turn.T + center


@cache
def _beard_lift(beard: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices that a beard moves, and by how much (n, 3)."""
    t = template()
    body = t.vertices[t.part["body"]]
    weight = np.max([mask(body) for mask, _ in skin.BEARDS[beard]], axis=0)
    index = np.flatnonzero(weight > 0.05)
    grown = weight[index] * BEARD_LENGTH[beard] * (1 + 0.25 * np.random.default_rng(7400).standard_normal(len(index)))
    outward = body[index] - np.array([0, -0.6, 0.25], np.float32)
    lift = grown[:, None] * outward / np.linalg.norm(outward, axis=1, keepdims=True)
    if beard == "long":
        lift[:, 1] -= 2.6 * grown * smoothstep(body[index, 1], -0.75, -1.1)
    return index, lift.astype(np.float32)


def _grow_beard(v: np.ndarray, t: Template, beard: str) -> None:
    if beard in BEARD_LENGTH:
        index, lift = _beard_lift(beard)
        v[index] += lift


def _cut_off_shoulders(v: np.ndarray, amount: np.float32) -> None:
    """Blend what lies below the neck by ``amount`` into its end: a slightly domed disc, which the garment covers."""
    body, garment = (v[template().part[name]] for name in ("body", "garment"))
    height = body[:, 1] + 0.25 * body[:, 2]
    below = np.flatnonzero((height < BUST_END) & (body[:, 1] + 0.5 * body[:, 2] < -1.0))
    depth = BUST_END - height[below]
    offset = body[below][:, ::2] - NECK_PIVOT[::2]
    radius = np.maximum(np.linalg.norm(offset, axis=1), 1e-3)
    inward = 1 - smoothstep(depth, 0.0, 0.35)
    end = _on_end(offset / radius[:, None], np.minimum(radius, BUST_RADIUS) * inward)
    body[below] += amount * (end - body[below])
    rim = np.linalg.norm(end[:, ::2] - NECK_PIVOT[::2], axis=1).max() if len(end) else BUST_RADIUS
    garment += amount * (_garment_on_end(float(rim)) - garment)


def _on_end(outward: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return points (n, 3) of the disc that ends a neck, from directions (n, 2) in x and z and distances (n,)."""
    end = np.empty((len(outward), 3), np.float32)
    end[:, ::2] = NECK_PIVOT[::2] + outward * radius[:, None]
    end[:, 1] = BUST_END - 0.25 * end[:, 2] - 0.10 * np.sqrt(np.maximum(1 - (radius / BUST_RADIUS) ** 2, 0))
    return end


def _garment_on_end(rim: float) -> np.ndarray:
    around = np.radians(np.linspace(0, 360, GARMENT_SPOKES, endpoint=False))
    outward = np.tile(np.stack([np.sin(around), np.cos(around)], 1), (GARMENT_RINGS, 1))
    end = _on_end(outward, np.repeat(np.linspace(0, rim + 0.01, GARMENT_RINGS), GARMENT_SPOKES))
    end[:-GARMENT_SPOKES, 1] -= 0.02
    return end


def _paint(t: Template, identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    albedo = np.empty((len(t.vertices), 3), np.float32)
    albedo[t.part["body"]] = identity.skin
    gloss = np.full(len(albedo), SKIN_GLOSS * identity.oily, np.float32)
    gloss += (LIP_GLOSS - SKIN_GLOSS) * _lips()
    for name, color in (("mouth", skin.GUMS), ("teeth", skin.TEETH), ("tongue", skin.TONGUE)):
        albedo[t.region(name)] = color**2
        gloss[t.region(name)] = MOUTH_GLOSS
    a = t.eye_angle
    iris = identity.iris * (0.75 + 0.6 * smoothstep(a, 25, 13))[:, None]
    color = np.where((a < 11.5)[:, None], np.float32(0.006), iris)
    color = np.where((a > 25.5)[:, None], identity.iris * 0.25, color)  # the dark border
    color = np.where((a > 27.5)[:, None], SCLERA, color)
    for name in EYES:
        albedo[t.part[name]] = color
        gloss[t.part[name]] = EYE_GLOSS
    shell = t.part["shell"]
    albedo[shell] = hair.shell_albedo(identity.style, identity.hair, identity.strand)
    gloss[shell] = HAIR_GLOSS
    albedo[t.part["garment"]] = identity.skin if identity.bare_shoulders else identity.clothes
    gloss[t.part["garment"]] = CLOTH_GLOSS
    if not identity.bare_shoulders:
        gloss[t.part["body"]] *= 1 - _clothed(*identity.collar)
    return albedo, gloss


@cache
def _lips() -> np.ndarray:
    t = template()
    weight = np.zeros(len(t.vertices), np.float32)
    weight[t.part["body"]] = regions.lips(t.vertices[t.part["body"]])
    return weight


@cache
def _clothed(height: float, opening: float) -> np.ndarray:
    t = template()
    return regions.below_collar(t.vertices[t.part["body"]], height, opening).astype(np.float32)
