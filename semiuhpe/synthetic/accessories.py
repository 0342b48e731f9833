"""Things worn on the face in 3D: glasses and sunglasses, face masks.

They are modeled on the mean head and are fitted to a person.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from semiuhpe.synthetic import mask_shapes
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.solids import Mesh, ellipsoid, fan, join, mirrored, tube

LENSES = {  # half width, half height, how square (2 is an ellipse)
    "round": (0.200, 0.190, 2.0),
    "square": (0.245, 0.165, 4.0),
    "aviator": (0.240, 0.200, 2.6),
    "narrow": (0.230, 0.105, 3.0),
    "large": (0.275, 0.225, 3.0),
}
MIDDLE_Y = -0.055  # height of the lenses' middles; they hang a little below the eyes
BEFORE_BRIDGE = 0.055  # how far the frame's middle lies before the bridge of the nose
BOW = 0.30  # the frame is bent around the face: z falls by this times x squared
EAR = (0.755, 0.075, 0.02)  # where a temple rests on the ear
BEHIND_EAR = np.array([-0.005, -0.12, -0.12])  # from there to its end
PAD = np.array([-0.005, -0.10, -0.05])  # from the bridge's end to the middle of a nose pad
AROUND_RIM = 0.015  # how far outside of the rims the face must not be cut
CLEAR_OF_FACE, FARTHEST = 0.02, 0.14  # of a frame from brows and cheeks, and how far it is moved for that
TUCKED = 0.88  # how far out temples below hair or cloth are, as a share
BRIDGE = 27  # iBUG's number, from 0


@dataclass(frozen=True)
class Glasses:
    """Glasses as a part that keeps its shape, and temples that reach from it to the ears."""

    frame: Mesh
    lenses: Mesh
    temple_share: np.ndarray  # (vertices of the frame,) 0 on the front, 1 at the ear
    side: np.ndarray  # (vertices of the frame,) sign of x


@cache
def glasses(shape: str, thick: bool) -> Glasses:
    """Return glasses with their origin between the eyes, in front of the bridge of the nose."""
    width, height, power = LENSES[shape]
    angle = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    x = np.sign(cos) * np.abs(cos) ** (2 / power) * width
    y = np.sign(sin) * np.abs(sin) ** (2 / power) * height
    if shape == "aviator":
        y = np.where(y < 0, y * 1.2, y * 0.85)
        x = x * (1 + 0.12 * np.sign(y) * (np.abs(y) / height))
    x = x + max(0.310, width + 0.065)
    rim = np.stack([x, y, 0.04 * y - BOW * x**2], 1)
    radius = 0.026 if thick else 0.014
    hinge = rim[np.argmax(rim[:, 0])] + (0, 0.05, 0)
    middle = _rest()
    ear = np.array(EAR) - (0, *middle[1:])
    bend = np.array([max(hinge[0] + 0.03, 0.66), hinge[1], hinge[2] - 0.06])
    path = [hinge, bend, bend + 0.5 * (ear - bend), ear, ear + BEHIND_EAR]
    temple = tube(path, radius, 5)
    inner = rim[np.argmin(rim[:, 0])] + (0, 0.05, 0)
    bridge = tube([inner, (0, inner[1] + 0.02, inner[2] + 0.02), inner * (-1, 1, 1)], radius, 5)
    pad = ellipsoid(inner + PAD, (0.012, 0.03, 0.025), 5, 6)
    parts = [tube(rim, radius, 5, closed=True), pad, temple]
    share = [np.zeros(len(m.vertices)) for m in parts[:2]] + [np.repeat((0, 0.1, 0.55, 1, 1), 5)]
    frame = join([m for part in parts for m in (part, mirrored(part))] + [bridge])
    shares = np.concatenate([s for s in share for _ in range(2)] + [np.zeros(len(bridge.vertices))])
    lens = fan(rim)
    return Glasses(frame, join([lens, mirrored(lens)]), shares.astype(np.float32), np.sign(frame.vertices[:, 0]))


def _rest() -> np.ndarray:
    """Return where the origin of glasses lies on the mean head."""
    return np.array([0, MIDDLE_Y, template().vertices[template().landmarks[BRIDGE], 2] + BEFORE_BRIDGE])


@cache
def _near_rims(shape: str) -> np.ndarray:
    """Return the vertices of the skin around the eyes that a frame must not cut."""
    t = template()
    skin = np.setdiff1d(np.unique(t.triangles["skin"]), t.region("lids"))
    x, y, z = (t.vertices[skin] - _rest()).T
    lenses = glasses(shape, False).lenses.vertices
    rim = np.ascontiguousarray(lenses[: len(lenses) // 2 - 1, :2], np.float32)  # of one lens, without its middle
    inside = [
        cv2.pointPolygonTest(rim, (float(abs(a)), float(b)), True) > -AROUND_RIM for a, b in zip(x, y, strict=True)
    ]
    return skin[np.array(inside) & (z > -0.5)]


@cache
def _ears() -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices on which the right and the left temple rest."""
    v = template().vertices
    found = []
    for name, sign in (("right ear", -1), ("left ear", 1)):
        ear = template().region(name)
        distance = np.linalg.norm(v[ear] - np.array(EAR) * (sign, 1, 1), axis=1)
        found.append(ear[np.argsort(distance)[:4]])
    return found[0], found[1]


def put_on_glasses(
    shape: str, thick: bool, vertices: np.ndarray, tucked: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices of frame and lenses on a head with ``vertices`` (N, 3) of the template's mesh.

    They rest on the bridge of the nose, or farther out where brows or cheeks are in the way. ``tucked`` temples run
    below hair or cloth that covers the ears.
    """
    t, worn = template(), glasses(shape, thick)
    right, left = (vertices[t.part[name]].mean(0) for name in ("right eye", "left eye"))
    bridge = vertices[t.landmarks[BRIDGE]]
    scale = (left - right)[0] / (t.eye_center["left eye"] - t.eye_center["right eye"])[0]
    rest = np.array([bridge[0], (left + right)[1] / 2 + scale * MIDDLE_Y, bridge[2] + scale * BEFORE_BRIDGE])
    x, y, z = (vertices[_near_rims(shape)] - rest).T / scale
    behind = (0.04 * y - BOW * x**2 - z).min()
    rest[2] += scale * np.clip(CLEAR_OF_FACE + (0.02 if thick else 0) - behind, 0, FARTHEST)
    front = (rest + scale * worn.frame.vertices).astype(np.float32)
    shift = np.stack([(vertices[ear] - t.vertices[ear]).mean(0) for ear in _ears()])
    rear = _rest() + worn.frame.vertices + shift[(worn.side > 0).astype(int)]
    if tucked:
        rear[:, 0] *= TUCKED
    front += worn.temple_share[:, None] * (rear - front)
    return front, (rest + scale * worn.lenses.vertices).astype(np.float32)


def random_glasses(rng: np.random.Generator, vertices: np.ndarray, tucked: bool = False) -> list[Mesh]:
    """Return random glasses, or sunglasses with dark lenses.

    Args:
        rng: the only source of randomness.
        vertices: (N, 3) of the template's mesh, as drawn.
        tucked: whether the temples run below hair or cloth that covers the ears.
    """
    shape, thick = list(LENSES)[rng.integers(len(LENSES))], bool(rng.random() < 0.5)
    worn = glasses(shape, thick)
    frame, lenses = put_on_glasses(shape, thick, vertices, tucked)
    color = rng.uniform(0, 0.25, 3) ** 1.5 if rng.random() < 0.75 else rng.uniform(0.05, 0.7, 3)
    parts = [_painted(worn.frame, frame, color, 0.2)]
    if rng.random() < 0.35:
        tint = rng.uniform(0.004, 0.05) * (1 + rng.uniform(0, 1, 3))
        parts.append(_painted(worn.lenses, lenses, tint, 0.15))
    return parts


def _painted(mesh: Mesh, vertices: np.ndarray, color: np.ndarray, gloss: float) -> Mesh:
    albedo = np.broadcast_to(np.asarray(color, np.float32), vertices.shape)
    return Mesh(vertices, mesh.triangles, albedo, gloss)


MASKS = {"surgical": 0.50, "cup": 0.18, "cloth": 0.18, "bandana": 0.04, "low": 0.10}  # how often each is worn


def put_on_mask(vertices: np.ndarray, rng: np.random.Generator) -> list[Mesh]:
    """Return a random face mask: its cloth, and straps if it has any.

    Args:
        vertices: (N, 3) of the template's mesh, as drawn: the mask follows identity and expression.
        rng: the only source of randomness.
    """
    name = list(MASKS)[rng.choice(len(MASKS), p=list(MASKS.values()))]
    pleated = name in mask_shapes.PLEATED and rng.random() < mask_shapes.PLEATED[name]
    usual = mask_shapes.COLORS[rng.integers(len(mask_shapes.COLORS))]
    color = np.asarray(usual if rng.random() < 0.75 else rng.uniform(0.1, 0.9, 3), np.float32) ** 2
    cloth = mask_shapes.cover(name, pleated)
    meshes = [
        Mesh(mask_shapes.worn(name, "cover", cloth, vertices), cloth.triangles, cloth.albedo * color, cloth.gloss)
    ]
    if name in mask_shapes.STRAPS:
        straps = mask_shapes.straps(name)
        white = np.full(3, 0.75, np.float32) if color.mean() > 0.1 else np.maximum(color, 0.02)
        meshes.append(_painted(straps, mask_shapes.worn(name, "straps", straps, vertices), white, straps.gloss))
    return meshes
