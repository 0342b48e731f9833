"""Identities as painted meshes in head axes: the template with its deformation, eyes, hair and beard."""

from functools import cache

import numpy as np

from semiuhpe.synthetic import hair
from semiuhpe.synthetic.head import NECK_PIVOT, NECK_RINGS, Template, template
from semiuhpe.synthetic.identity import Identity
from semiuhpe.synthetic.regions import Region, smoothstep
from semiuhpe.synthetic.solids import Mesh

# Highlights: above 0.5 they are sharp, see light.shade
SKIN_GLOSS, LIP_GLOSS, EYE_GLOSS, HAIR_GLOSS, CLOTH_GLOSS = 0.07, 0.16, 0.9, 0.10, 0.0
COLLAR = -1.405  # below this height the neck is covered by clothes
BUST_END = -1.20  # where the neck ends if it has no shoulders
LID_DEPTH = 0.075  # how far the skin in the eye's opening sinks behind the eyeball
# region, density and length of each kind of beard
BEARD_SHAPE = {
    "stubble": ("beard", 0.55, 0.0),
    "moustache": ("moustache", 0.95, 0.025),
    "goatee": ("goatee", 0.95, 0.05),
    "full": ("beard", 0.95, 0.055),
    "long": ("beard", 0.97, 0.10),
}


@cache
def _mottle() -> np.ndarray:
    """Return noise patterns (4, N) over the whole mesh: three smooth ones, coarse to fine, and one per vertex."""
    rng = np.random.default_rng(7300)
    v = template().vertices
    fields = []
    for frequency in (2.5, 5.0, 9.0):
        directions = rng.standard_normal((5, 3))
        fields.append(np.sin(frequency * v @ directions.T + rng.uniform(0, 6, 5)).sum(1) / 2)
    fields.append(rng.standard_normal(len(v)))
    return (np.stack(fields) * np.array([[0.035], [0.03], [0.025], [0.03]])).astype(np.float32)


@cache
def _triangles(has_hair: bool) -> np.ndarray:
    t = template()
    return np.concatenate([tri for name, tri in t.triangles.items() if has_hair or name != "shell"])


def build(
    identity: Identity, shell_height: np.ndarray | None, seen_from_below: float = 0.0, ears_pressed: bool = False
) -> tuple[Mesh, np.ndarray]:
    """Return the head of an identity, and the highlight (N,) of each vertex.

    ``shell_height`` is the distance of the hair from the scalp (None: no hair shell); it is an argument so that hats
    can press the hair down. ``seen_from_below``, from 0 to 1, removes the shoulders, which would hide the head.
    ``ears_pressed`` lays the ears against the head, below hair or a hat.
    """
    t = template()
    v = t.shape(identity.coefficients)
    _open_eyes(v, t, identity)
    _grow_beard(v, t, identity)
    if ears_pressed:
        for name, side in (("left ear", 1), ("right ear", -1)):
            ear = v[t.part[name]]
            ear[:, 0] += side * 0.85 * (0.70 - side * ear[:, 0])
    _tuck_shoulders(v, t, seen_from_below)
    _bend_neck(v, t, identity)
    if shell_height is not None:
        v[t.part["shell"]] += shell_height[:, None] * t.shell_direction
    albedo, gloss = _paint(t, identity, seen_from_below)
    return Mesh(v, _triangles(shell_height is not None), albedo), gloss


def _open_eyes(v: np.ndarray, t: Template, identity: Identity) -> None:
    skin = v[t.part["skin"]]
    if identity.eye_opening > 0:
        edge = _lid_edge(identity)
        sink = LID_DEPTH * smoothstep(t.lid.weight, edge + 0.16, edge - 0.10)
        skin[t.lid.index] -= t.outwards[t.lid.index] * sink[:, None]
    left, up = np.radians(identity.gaze)
    turn_y = np.array([[np.cos(left), 0, np.sin(left)], [0, 1, 0], [-np.sin(left), 0, np.cos(left)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(up), np.sin(up)], [0, -np.sin(up), np.cos(up)]])
    turn = (turn_x @ turn_y).astype(np.float32)
    for name in ("left eye", "right eye"):
        ball = v[t.part[name]]
        center = ball.mean(0)
        center[2] -= 0.02  # the rings are denser in front, the mean lies before the center
        ball[:] = (ball - center) @ turn.T + center


def _lid_edge(identity: Identity) -> float:
    """Return how much of the almond-shaped opening of the eye is open."""
    return 0.35 + 0.65 * identity.eye_opening if identity.eye_opening > 0 else 0.0


def _grow_beard(v: np.ndarray, t: Template, identity: Identity) -> None:
    if identity.beard in ("none", "stubble"):
        return
    name, _, length = BEARD_SHAPE[identity.beard]
    index, weight = t.region[name].index, t.region[name].weight
    skin = v[t.part["skin"]]
    height = weight * (length * (1 + 4.0 * _mottle()[3, index]))
    grown = skin[index] + height[:, None] * t.outwards[index]
    if identity.beard == "long":
        grown[:, 1] -= 2.6 * height * smoothstep(grown[:, 1], -0.7, -1.1)
    skin[index] = grown


def _tuck_shoulders(v: np.ndarray, t: Template, amount: float) -> None:
    """Blend the shoulders by ``amount`` into the end of a bust."""
    if amount > 0:
        neck = v[t.part["neck"]]
        neck += np.float32(amount) * (_bust() - t.vertices[t.part["neck"]])


@cache
def _bust() -> np.ndarray:
    """Return the mean neck (vertices of the neck, 3), cut off below the jaw by a slightly domed disc."""
    t = template()
    v = t.vertices[t.part["neck"]].copy()
    rings = v.reshape(len(NECK_RINGS), -1, 3)[::-1]  # a view, top to bottom
    heights = np.array([ring[0] for ring in NECK_RINGS])
    last = int((heights > BUST_END).sum()) - 1
    cap = np.linspace(0, 1, len(rings) - last - 1)
    for k, s in enumerate(cap, last + 1):
        rings[k] = rings[last] + s * (rings[last].mean(0) - rings[last])
        rings[k, :, 1] = BUST_END - 0.07 * np.sqrt(s)
    return v


def _bend_neck(v: np.ndarray, t: Template, identity: Identity) -> None:
    """Turn the shoulders relative to the head, more the lower they are; the head stays."""
    neck = v[t.part["neck"]]
    x, y, z = np.radians(identity.neck_bend)
    offset = neck - NECK_PIVOT
    amount = smoothstep(neck[:, 1], -0.6, -1.7)[:, None]
    generator = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float32)
    turn = np.eye(3, dtype=np.float32) + generator + generator @ generator / 2
    neck += amount * (offset @ (turn - np.eye(3, dtype=np.float32)).T)


def _blend(base: np.ndarray, region: Region, strength: float | np.ndarray, color: np.ndarray) -> None:
    """Blend ``base`` (N, 3) toward ``color`` (3,) in a region, in place."""
    before = base[region.index]
    base[region.index] = before + (strength * region.weight)[:, None] * (color - before)


def _paint(t: Template, identity: Identity, from_below: float) -> tuple[np.ndarray, np.ndarray]:
    """Return linear albedo (N, 3) and highlight (N,) of every vertex; a bust is clothed to its end."""
    albedo = np.empty_like(t.vertices)
    albedo[:] = identity.skin
    gloss = np.full(len(albedo), SKIN_GLOSS, np.float32)
    _paint_skin(albedo[t.part["skin"]], t.region, identity)
    _blend(albedo[t.part["skin"]], t.lid, _lashes(t.lid, identity), identity.skin * 0.12)
    lips = t.region["lips"]
    gloss[t.part["skin"]][lips.index] += (LIP_GLOSS - SKIN_GLOSS) * lips.weight
    _paint_eyes(albedo, gloss, t, identity)
    albedo *= (1 + _mottle().T @ identity.blotches)[:, None]
    shell = t.part["shell"]
    pattern = hair.texture(identity.style, identity.strand)
    albedo[shell] = identity.hair * np.clip(1 + 0.42 * pattern, 0.25, 2.2)[:, None]
    gloss[shell] = HAIR_GLOSS
    neck = t.part["neck"]
    collar = COLLAR + from_below * (BUST_END - COLLAR)
    albedo[neck][t.vertices[neck, 1] < collar] = identity.clothes * np.float32(1 - 0.5 * from_below)
    gloss[neck] = CLOTH_GLOSS
    return albedo, gloss


def _paint_skin(skin: np.ndarray, region: dict[str, Region], identity: Identity) -> None:
    _blend(skin, region["blush"], identity.blush, identity.skin * np.array([1.05, 0.72, 0.70], np.float32))
    _blend(skin, region["lid shade"], 0.30, identity.skin * np.array([0.62, 0.50, 0.50], np.float32))
    if identity.style != "bald":
        _blend(skin, hair.scalp_shade(identity.style), 1.0, identity.hair * 0.8 + identity.skin * 0.1)
    if identity.beard != "none":
        name, strength, _ = BEARD_SHAPE[identity.beard]
        rough = np.clip(1 + 3.0 * _mottle()[3, region[name].index], 0, 1 / strength)
        _blend(skin, region[name], strength * rough, identity.hair * 0.85)
        if identity.beard in ("goatee", "full", "long"):
            _blend(skin, region["moustache"], strength, identity.hair * 0.85)
    _blend(skin, region["lips"], 0.9, identity.lips)
    _blend(skin, region["mouth line"], 0.75, identity.lips * 0.15)
    _blend(skin, region["brow"], identity.brow_strength, identity.brow)
    _blend(skin, region["nostril"], 0.8, identity.skin * 0.06)


def _lashes(lid: Region, identity: Identity) -> np.ndarray:
    """Return factors for the weights of the lids' region that make a dark line along the edge of the opening."""
    line = 0.55 * np.exp(-(((lid.weight - _lid_edge(identity) - 0.1) / 0.22) ** 2))
    return line / np.maximum(lid.weight, 1e-3)


def _paint_eyes(albedo: np.ndarray, gloss: np.ndarray, t: Template, identity: Identity) -> None:
    a = t.eye_angle
    white = np.array([0.64, 0.61, 0.59], np.float32)
    color = np.where((a < 13)[:, None], np.float32(0.008), identity.iris * (0.8 + 0.5 * smoothstep(a, 25, 13))[:, None])
    color = np.where((a > 26)[:, None], identity.iris * 0.25, color)  # the dark border
    color = np.where((a > 28)[:, None], white, color)
    for name in ("left eye", "right eye"):
        albedo[t.part[name]] = color
        gloss[t.part[name]] = EYE_GLOSS
