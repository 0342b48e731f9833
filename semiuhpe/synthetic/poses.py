"""Random poses of bodies: how people stand, walk and sit, and what their arms do.

A pose is a turn (3, 3) of each bone relative to the one that it follows, in the axes of the body at rest: x to the
subject's left, y up, z forward. Arms are posed by where the wrists are; a shoulder turns an arm about its own axis as
little as the elbow allows, and half of that turn is left to the lower half of the upper arm.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from semiuhpe.synthetic.body import SIDES, BodyBasis

STANDING, WALKING, SITTING = "standing", "walking", "sitting"
POSTURES = {STANDING: 0.6, WALKING: 0.2, SITTING: 0.2}
"""How often people stand, walk and sit."""
ARMS = {
    "hanging": 0.40,
    "at the hips": 0.07,
    "crossed": 0.06,
    "held together": 0.09,
    "behind the back": 0.03,
    "holding a phone": 0.10,
    "at the ear": 0.05,
    "raised": 0.04,
    "pointing": 0.05,
    "waving": 0.04,
    "at the chin": 0.03,
    "on others": 0.04,
}
"""How often arms are so, of people who stand."""
_BOTH = ("crossed", "held together", "behind the back")
_REACH = 0.985  # of a stretched arm
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Pose:
    """A pose: what it is, and the turns (3, 3) of bones by their names."""

    posture: str
    turns: dict[str, np.ndarray]


def random_pose(vertices: np.ndarray, joints: np.ndarray, rng: np.random.Generator) -> Pose:
    """Return a random pose of a body.

    Args:
        vertices: (N, 3) at rest.
        joints: (B, 3) at rest.
        rng: the only source of randomness.
    """
    posture = str(rng.choice(list(POSTURES), p=list(POSTURES.values())))
    turns = _trunk(rng) | {STANDING: _standing, WALKING: _walking, SITTING: _sitting}[posture](rng)
    body = _Measures(vertices, joints)
    if posture == SITTING and rng.random() < 0.6:
        kinds = ["on the lap"] * 2
    elif posture == WALKING and rng.random() < 0.8:
        kinds = ["swinging"] * 2
    else:
        first, second = (str(rng.choice(list(ARMS), p=list(ARMS.values()))) for _ in range(2))
        if first in _BOTH or rng.random() < 0.3 or second in _BOTH:
            second = first
        kinds = [first, second]
    if rng.random() < 0.5:
        kinds.reverse()
    swing = float(rng.choice((-1, 1)) * rng.uniform(0.15, 0.5))
    for number, (side, kind) in enumerate(zip(SIDES, kinds, strict=True)):
        turns |= _arm(side, kind, body, swing * (1 - 2 * number), rng)
    return Pose(posture, turns)


def about(axis: int, degrees: float) -> np.ndarray:
    """Return a right-handed turn (3, 3) about x, y or z."""
    vector = np.zeros(3)
    vector[axis] = np.radians(degrees)
    return cv2.Rodrigues(vector)[0]


def _trunk(rng: np.random.Generator) -> dict[str, np.ndarray]:
    nod, turn, lean = rng.normal(0, (4.0, 7.0, 3.0))
    half = about(1, turn / 2) @ about(0, nod / 2) @ about(2, lean / 2)
    return {"waist": half, "pelvis": half}


def _leg(side: str, flexion: float, apart: float, knee: float, foot: float = 0.0, out: float = 0.0) -> dict:
    sign = 1 if side == "left " else -1
    return {
        f"{side}thigh": about(1, sign * out) @ about(2, sign * apart) @ about(0, -flexion),
        f"{side}shin": about(0, knee),
        f"{side}foot": about(0, foot),
    }


def _standing(rng: np.random.Generator) -> dict[str, np.ndarray]:
    width = rng.normal(-3, 3.5)
    bent = max(0.0, rng.normal(-2, 8))
    resting = rng.integers(2)
    legs: dict[str, np.ndarray] = {}
    for number, side in enumerate(SIDES):
        knee = bent if number == resting else 0.0
        legs |= _leg(side, rng.normal(1, 3) + 0.6 * knee, width + rng.normal(0, 1.5), knee + 2, -0.4 * knee)
    return legs


def _walking(rng: np.random.Generator) -> dict[str, np.ndarray]:
    step = rng.uniform(12, 28)
    forward = rng.integers(2)
    legs: dict[str, np.ndarray] = {}
    for number, side in enumerate(SIDES):
        if number == forward:
            legs |= _leg(side, step, -4, rng.uniform(3, 15), -5)
        else:
            legs |= _leg(side, -0.7 * step, -4, rng.uniform(10, 50), 15)
    return legs


def _sitting(rng: np.random.Generator) -> dict[str, np.ndarray]:
    apart, flexion, knee = rng.normal(2, 6), rng.normal(83, 6), rng.normal(85, 12)
    legs: dict[str, np.ndarray] = {}
    for side in SIDES:
        legs |= _leg(side, flexion + rng.normal(0, 3), 0.0, knee + rng.normal(0, 6), 0, apart + rng.normal(0, 3))
    return legs


class _Measures:
    """What poses need to know of a body."""

    def __init__(self, vertices: np.ndarray, joints: np.ndarray):
        basis = BodyBasis.load()
        self.names, self.joints = basis.names, joints.astype(float)
        trunk = basis.weights[:, [basis.names.index(name) for name in ("chest", "waist", "pelvis")]].sum(1) > 0.7
        chest = trunk & (vertices[:, 1] > self.at("waist")[1])
        self.pelvis = float(self.at("pelvis")[1])
        thigh = basis.weights[:, [basis.names.index(f"{side}thigh") for side in SIDES]].sum(1) > 0.5
        level = vertices[:, 1] > self.at("left thigh")[1] - 0.12 * np.ptp(joints[:, 1])
        self.hips = float(np.abs(vertices[trunk | (thigh & level), 0]).max())
        self.front, self.back = float(vertices[chest, 2].max()), float(vertices[chest, 2].min())
        self.belly = float(vertices[trunk & ~chest, 2].max())
        self.shoulder, elbow, hand = (self.at(f"left {name}") for name in ("upper arm", "forearm", "hand"))
        self.length = float(np.linalg.norm(elbow - self.shoulder) + np.linalg.norm(hand - elbow))
        self.unit = self.length / 4.6  # of the lengths of arms' places, which are those of adults

    def at(self, name: str) -> np.ndarray:
        """The joint (3,) of a bone at rest."""
        point: np.ndarray = self.joints[self.names.index(name)]
        return point

    def stretched(self, aside_deg: float, up_deg: float, share: float = 1.0) -> Point:
        """Where the wrist of an arm is that points away from straight ahead."""
        aside, up = np.radians((aside_deg, up_deg))
        to = np.array([np.sin(aside) * np.cos(up), np.sin(up), np.cos(aside) * np.cos(up)])
        return _point(self.shoulder + share * self.length * to)

    def away(self, x: float, y: float, z: float) -> Point:
        """A place relative to the shoulder, in units of an adult."""
        return _point(self.shoulder + self.unit * np.array([x, y, z]))


def _point(p: np.ndarray) -> Point:
    return float(p[0]), float(p[1]), float(p[2])


def _hanging(b: _Measures, forward: float) -> tuple[Point, Point]:
    beside = max(b.hips, float(b.shoulder[0])) + 0.45 * b.unit
    return (beside, b.shoulder[1] - 0.975 * b.length, b.shoulder[2] + forward * b.length), (0.4, 0.0, -1.0)


def _wrist(kind: str, b: _Measures, swing: float, rng: np.random.Generator) -> tuple[Point, Point]:
    """Return where a left wrist is, and the direction in which the elbow points."""
    u, (_, high, _) = b.unit, b.shoulder
    within = rng.uniform
    places: dict[str, tuple[Point, Point]] = {
        "hanging": _hanging(b, rng.normal(0.05, 0.08)),
        "swinging": _hanging(b, swing),
        "at the hips": ((b.hips + 0.15 * u, b.pelvis + 0.5 * u, 0.1 * u), (1.0, 0.0, -0.35)),
        "crossed": ((-0.75 * u, high - 1.75 * u, b.front + 0.4 * u), (1.0, -0.9, 0.35)),
        "held together": ((0.3 * u, b.pelvis + within(-0.3, 1.5) * u, b.belly + 0.5 * u), (1.0, 0.0, -0.5)),
        "behind the back": ((0.2 * u, b.pelvis + 0.2 * u, b.back - 0.3 * u), (1.0, 0.0, -0.4)),
        "holding a phone": (
            (within(-0.1, 0.9) * u, high - within(0.3, 2.0) * u, b.front + 1.6 * u), (0.9, -1.0, -0.2),
        ),
        "at the ear": ((0.62 * b.shoulder[0], 0.35 * high - 0.1, 0.45 * u), (1.0, -0.8, 0.5)),
        "at the chin": ((0.25 * u, 0.85 * high, b.front + 0.35 * u), (0.6, -1.0, 0.5)),
        "raised": (b.stretched(within(0, 90), within(45, 85), within(0.75, 1.0)), (1.0, 0.0, 0.2)),
        "waving": (b.away(1.3, 1.6, 0.7), (1.0, -1.0, 0.0)),
        "pointing": (b.stretched(within(-15, 95), within(-15, 25)), (0.6, -1.0, -0.2)),
        "on others": (b.stretched(within(72, 95), within(-12, 8), 0.93), (0.2, -1.0, -0.4)),
        "on the lap": ((within(0.2, 1.2) * u, b.pelvis - 0.15 * u, b.belly + within(0.6, 1.8) * u), (1.0, -0.2, -0.8)),
    }  # fmt: skip
    return places[kind]


def _arm(side: str, kind: str, body: _Measures, swing: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the turns of an arm's bones."""
    wrist, pole = (np.array(point) for point in _wrist(kind, body, swing, rng))
    if kind == "crossed" and side == "left ":
        wrist += 0.22 * body.unit * np.array([0, 1, 1])
    wrist += rng.normal(0, 0.04 if kind == "crossed" else 0.1, 3) * body.unit
    raised = float(np.clip((wrist[1] - body.shoulder[1]) / body.length, 0, 1))
    clavicle = about(2, 24 * raised + rng.normal(0, 2))
    pronation, bend = rng.normal(-60 if kind == "holding a phone" else 0, 12), rng.normal(0, 10)
    turns = _reach(wrist, pole, clavicle, pronation, bend, body)
    flip = np.diag([1.0 if side == "left " else -1.0, 1, 1])
    return {side + name: flip @ turn @ flip for name, turn in turns.items()}


def _reach(
    wrist: np.ndarray, pole: np.ndarray, clavicle: np.ndarray, pronation: float, wrist_bend: float, body: _Measures
) -> dict[str, np.ndarray]:
    """Return turns that bring the left wrist to a point, with the elbow toward ``pole``."""
    shoulder, elbow, hand = (body.at(f"left {name}") for name in ("upper arm", "forearm", "hand"))
    root = body.at("left clavicle")
    upper, lower = elbow - shoulder, hand - elbow
    a, b = np.linalg.norm(upper), np.linalg.norm(lower)
    moved = clavicle @ (shoulder - root) + root
    to = wrist - moved
    distance = float(np.clip(np.linalg.norm(to), 1.15 * abs(a - b) + 0.3 * min(a, b), _REACH * (a + b)))
    to = to / max(float(np.linalg.norm(to)), 1e-6)
    inner = np.arccos(np.clip((a * a + distance**2 - b * b) / (2 * a * distance), -1, 1))
    bend = pole - (pole @ to) * to
    bend = bend / max(float(np.linalg.norm(bend)), 1e-6)
    first = np.cos(inner) * to + np.sin(inner) * bend
    second = to * distance - first * a
    hinge = np.cross(upper, lower)
    frame = _frame(upper, hinge)
    whole = _frame(first, np.cross(first, second)) @ frame.T
    swing = _smallest(clavicle @ upper, first) @ clavicle
    twist = cv2.Rodrigues(whole @ swing.T)[0][:, 0]
    part = cv2.Rodrigues(0.5 * twist)[0] @ swing
    more = _angle(first, second) - _angle(upper, lower)
    fold = cv2.Rodrigues(more * hinge / np.linalg.norm(hinge))[0]
    axis = lower / b
    roll = cv2.Rodrigues(np.radians(pronation / 2) * axis)[0]
    return {
        "clavicle": clavicle,
        "upper arm": clavicle.T @ part,
        "lower upper arm": part.T @ whole,
        "forearm": fold,
        "lower forearm": roll,
        "hand": roll @ cv2.Rodrigues(np.radians(wrist_bend) * hinge / np.linalg.norm(hinge))[0],
        "fingers": cv2.Rodrigues(np.radians(abs(wrist_bend) * 2) * hinge / np.linalg.norm(hinge))[0],
    }


def _frame(along: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) whose columns are along a bone, along a normal to it, and across both."""
    x = along / np.linalg.norm(along)
    y = normal - (normal @ x) * x
    y = y / max(float(np.linalg.norm(y)), 1e-9)
    return np.stack([x, y, np.cross(x, y)], 1)


def _smallest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the smallest rotation that takes the direction of ``a`` to that of ``b``."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:
        return np.eye(3)
    return cv2.Rodrigues(axis / sine * np.arctan2(sine, a @ b))[0]


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))
