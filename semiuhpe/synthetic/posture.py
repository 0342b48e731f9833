"""How bodies and eyes are turned relative to the head, as people pose for photographs.

Most bodies are more upright in the picture than the head is, and most eyes look into the camera.
"""

import cv2
import numpy as np

from semiuhpe.synthetic.regions import smoothstep

NECK_PIVOT = np.array([0.0, -0.80, -0.25], np.float32)
UPRIGHT = 0.75  # share of bodies that stand in the picture more upright than the head is, as far as necks allow it
FOLLOWS = ((0.1, 0.0, 0.0), (1.0, 0.1, 0.1))  # least and most share of the head's yaw, pitch and roll that they have
LEAN_DEG = (9.0, 7.0)  # standard deviations of their lean forward and to a side
STRAIGHT_DEG = (11.0, 14.0, 8.0)  # of the others' bend about x, y, z of the head
MOST_DEG = 55.0  # of bend
IMPOSSIBLE_DEG = 65.0  # a body that would be bent by more is not upright
LENGTHENED = (0.13, 0.08)  # mean and deviation of :func:`random_neck`
INTO_CAMERA = 0.65  # share of eyes that look there, as far as they can turn
OFF_CAMERA_DEG = 3.0  # standard deviation of how far they miss it
MOST_GAZE_DEG = (32.0, 24.0)  # to a side, and up or down
FACING = np.diag([1.0, -1.0, -1.0])  # rotation of a body that faces the camera
_AXES = np.array([(0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)])


def random_bend(rotation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the rotation vector (3,) in degrees, in head axes, that turns a body on from where the head looks.

    Args:
        rotation: (3, 3), head to camera.
        rng: the only source of randomness.
    """
    straight = rng.normal(0, STRAIGHT_DEG)
    follows, lean, upright = rng.uniform(*FOLLOWS), np.radians(rng.normal(0, LEAN_DEG)), rng.random() < UPRIGHT
    bend = straight
    if upright:
        facing = FACING @ rotation
        yaw, nod = np.arctan2(facing[0, 2], facing[2, 2]), np.arcsin(np.clip(-facing[1, 2], -1, 1))
        roll = np.arctan2(facing[1, 0], facing[1, 1])
        angles = follows * (yaw, nod, roll) + np.array([0, *lean])
        turn, forward, aside = (cv2.Rodrigues(axis * angle)[0] for axis, angle in zip(_AXES, angles, strict=True))
        wanted = rotation_vector_deg(rotation.T @ FACING @ turn @ forward @ aside)
        if np.linalg.norm(wanted) < IMPOSSIBLE_DEG:
            bend = wanted
    return bend * min(1.0, MOST_DEG / max(float(np.linalg.norm(bend)), 1e-6))


def toward_camera(rotation: np.ndarray, rng: np.random.Generator) -> tuple[float, float] | None:
    """Return the gaze of eyes that look into the camera, or None for eyes that don't or can't.

    Args:
        rotation: (3, 3), head to camera.
        rng: the only source of randomness.

    Returns:
        Degrees to the subject's left, and up.
    """
    looks, off = rng.random() < INTO_CAMERA, rng.normal(0, OFF_CAMERA_DEG, 2)
    x, y, z = -rotation[2]  # the direction to the camera, in head axes
    left, up = np.degrees([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))]) + off
    reachable = abs(left) < MOST_GAZE_DEG[0] and abs(up) < MOST_GAZE_DEG[1]
    return (float(left), float(up)) if looks and reachable else None


def rotation_vector_deg(rotation: np.ndarray) -> np.ndarray:
    """Return the rotation vector (3,) of a rotation (3, 3)."""
    return np.degrees(cv2.Rodrigues(np.asarray(rotation, np.float64))[0][:, 0])


def rotation_of(vector_deg: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) of a rotation vector (3,)."""
    return cv2.Rodrigues(np.radians(vector_deg))[0]


def random_neck(rng: np.random.Generator) -> float:
    """Return by how much a neck is longer than those of the anatomy, in units of 10 cm."""
    return float(np.clip(rng.normal(*LENGTHENED), -0.05, 0.4))


def bend_neck(v: np.ndarray, bend_deg: np.ndarray, longer: float = 0.0, at_rest: np.ndarray | None = None) -> None:
    """Turn the shoulders, and what lies on them, relative to the head, in place; the head stays.

    Args:
        v: (N, 3) vertices in head axes.
        bend_deg: (3,) rotation vector; the neck turns by more of it the nearer it is to the shoulders.
        longer: by how much the shoulders are lowered first.
        at_rest: (N, 3) where the vertices were before a pose, if they have one.
    """
    whole = np.radians(float(np.linalg.norm(bend_deg)))
    amount = _along_neck(v if at_rest is None else at_rest)
    moved = np.flatnonzero(amount > 0)
    v[moved, 1] -= np.float32(longer) * amount[moved]
    if not whole or not len(moved):
        return
    axis = (np.asarray(bend_deg) / np.degrees(whole)).astype(np.float32)
    angle = np.float32(whole) * amount[moved]
    offset = v[moved] - NECK_PIVOT
    sine, rest = np.sin(angle)[:, None], (1 - np.cos(angle))[:, None]
    along = (offset @ axis)[:, None] * axis
    v[moved] += sine * np.cross(axis, offset) + rest * (along - offset)


def _along_neck(v: np.ndarray) -> np.ndarray:
    """Return 0 at the head, 1 at the shoulders (N,); chin and throat belong to the head."""
    return smoothstep(v[:, 1] + 0.5 * v[:, 2], -0.95, -1.75).astype(np.float32)
