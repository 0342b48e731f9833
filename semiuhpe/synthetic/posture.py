"""How bodies are turned relative to the heads on them: most stand upright in the picture, whatever the head does."""

import numpy as np
from scipy.spatial.transform import Rotation

from semiuhpe.synthetic.regions import smoothstep

NECK_PIVOT = np.array([0.0, -0.80, -0.25], np.float32)
UPRIGHT = 0.75  # share of bodies that are upright, as far as necks allow it
LEAN_DEG = (9.0, 7.0)  # standard deviations of their lean forward and to a side
STRAIGHT_DEG = (11.0, 14.0, 8.0)  # of the others' bend about x, y, z of the head
MOST_DEG = 55.0  # of bend
IMPOSSIBLE_DEG = 80.0  # a body that would be bent by more is not upright
_FACING = Rotation.from_matrix(np.diag([1.0, -1.0, -1.0]))  # of a body that faces the camera


def random_bend(rotation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the rotation vector (3,) in degrees, in head axes, that turns a body on from where the head looks.

    Args:
        rotation: (3, 3), head to camera.
        rng: the only source of randomness.
    """
    straight = rng.normal(0, STRAIGHT_DEG)
    follows, lean, upright = rng.uniform(0.1, 1.0), rng.normal(0, LEAN_DEG), rng.random() < UPRIGHT
    bend = straight
    if upright:
        head = Rotation.from_matrix(rotation)
        face = _FACING.inv().apply(rotation[:, 2])
        yaw = follows * np.degrees(np.arctan2(face[0], face[2]))
        body = _FACING * Rotation.from_euler("YXZ", [yaw, *lean], degrees=True)
        wanted = np.degrees((head.inv() * body).as_rotvec())
        if np.linalg.norm(wanted) < IMPOSSIBLE_DEG:
            bend = wanted
    return bend * min(1.0, MOST_DEG / max(float(np.linalg.norm(bend)), 1e-6))


def bend_neck(v: np.ndarray, bend_deg: np.ndarray) -> None:
    """Turn the shoulders, and what lies on them, relative to the head, in place; the head stays.

    Args:
        v: (N, 3) vertices in head axes.
        bend_deg: (3,) rotation vector; the neck turns by more of it the nearer it is to the shoulders.
    """
    whole = np.radians(float(np.linalg.norm(bend_deg)))
    amount = _along_neck(v)
    moved = np.flatnonzero(amount > 0)
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
