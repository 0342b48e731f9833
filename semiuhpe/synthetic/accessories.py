"""Things worn on the face in 3D: glasses and sunglasses, face masks.

They are modeled on the mean head and are fitted to a person.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from semiuhpe.synthetic import mask_shapes
from semiuhpe.synthetic.anatomy import HeadBasis
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
EAR = (0.745, 0.035, 0.02)  # where a temple rests on the ear
CLEAR_OF_FACE = 0.02
BRIDGE = 27  # iBUG's number, from 0
NEAR_RIMS = (0.08, 0.62, -0.30, 0.30)  # x and y of the part of the face that a frame must not cut


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
    path = [hinge, bend, bend + 0.5 * (ear - bend), ear, ear + (-0.005, -0.12, -0.12)]
    temple = tube(path, radius, 5)
    inner = rim[np.argmin(rim[:, 0])] + (0, 0.05, 0)
    bridge = tube([inner, (0, inner[1] + 0.02, inner[2] + 0.02), inner * (-1, 1, 1)], radius, 5)
    pad = ellipsoid(inner + (-0.005, -0.10, -0.05), (0.012, 0.03, 0.025), 5, 6)
    parts = [tube(rim, radius, 5, closed=True), pad, temple]
    share = [np.zeros(len(m.vertices)) for m in parts[:2]] + [np.repeat((0, 0.1, 0.55, 1, 1), 5)]
    frame = join([m for part in parts for m in (part, mirrored(part))] + [bridge])
    shares = np.concatenate([s for s in share for _ in range(2)] + [np.zeros(len(bridge.vertices))])
    lens = fan(rim)
    return Glasses(
        frame, join([lens, mirrored(lens)]), shares.astype(np.float32), np.sign(frame.vertices[:, 0])
    )


def _rest() -> np.ndarray:
    """Return where the origin of glasses lies on the mean head."""
    return np.array([0, MIDDLE_Y, template().vertices[template().landmarks[BRIDGE], 2] + BEFORE_BRIDGE])


@cache
def _measured() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vertices that glasses are fitted to, (n,), with their mean places (n, 3) and modes (K, n * 3).

    They are the bridge of the nose, the eyeballs, the tops of the ears, and the face around the rims.
    """
    t, basis = template(), HeadBasis.load()
    v = t.vertices
    x, y = np.abs(v[:, 0]), v[:, 1]
    left, right, low, high = NEAR_RIMS
    around = (x > left) & (x < right) & (y > low) & (y < high) & (v[:, 2] > 0.45)
    skin = np.setdiff1d(np.flatnonzero(around[: t.part["body"].stop]), t.region("lids"))
    ears = [ear[np.argsort(np.linalg.norm(np.abs(v[ear]) - EAR, axis=1))[:4]] for ear in _ears()]
    index = np.concatenate([[t.landmarks[BRIDGE]], _eyeball_centers(), *ears, skin[::3]]).astype(np.int64)
    modes = t.modes.reshape(len(basis.components), -1, 3)[:, index]
    return index, v[index], np.ascontiguousarray(modes.reshape(len(modes), -1))


def _ears() -> tuple[np.ndarray, np.ndarray]:
    return template().region("left ear"), template().region("right ear")
