"""Random head rotations: on all of SO(3), half of them upright, from front to profile as in 300W-LP, or as people hold
their heads in photographs.
"""

from typing import NamedTuple

import numpy as np
import roma
import torch

from semiuhpe.rotation import euler_to_matrix

RANGES = ("full", "mixed", "front", "aflw2000")
FRONT = (60.0, 90.0, 45.0)  # pitch, yaw, roll in degrees; angles are uniform within +- these
UPRIGHT = (40.0, 180.0, 30.0)


class Tilts(NamedTuple):
    """Pitch and roll of heads that are turned by up to ``most_yaw`` degrees to either side.

    ``pitch`` and ``roll`` are quantiles in degrees at :data:`LEVELS`; roll is positive for a head of positive yaw, and
    mirrored for the others. ``correlation`` is that of their normal scores: near the profile, where pitch and roll turn
    about almost the same axis, they are almost one angle.
    """

    most_yaw: float
    pitch: tuple[float, ...]
    roll: tuple[float, ...]
    correlation: float


# Measured on every second picture of AFLW2000-3D: its 976 heads with all angles within +-90 degrees. Left and right are
# taken together.
LEVELS = (0.0, 0.02, 0.05, 0.15, 0.30, 0.50, 0.70, 0.85, 0.95, 0.98, 1.0)
ABSOLUTE_YAW = (0.0, 0.3, 0.9, 3.3, 8.9, 18.9, 35.6, 59.0, 72.5, 78.5, 85.5)
TILTS = (
    Tilts(
        30.0,
        (-71.4, -27.3, -23.5, -16.7, -12.3, -7.2, -1.0, 5.8, 17.5, 24.0, 42.0),
        (-86.2, -33.1, -23.5, -13.8, -7.4, -1.8, 1.9, 7.6, 23.1, 30.8, 66.7),
        0.15,
    ),
    Tilts(
        60.0,
        (-78.7, -45.5, -30.9, -22.6, -14.7, -6.2, 1.6, 9.9, 31.9, 35.4, 61.9),
        (-83.7, -51.0, -35.9, -23.0, -15.2, -6.3, 2.1, 13.1, 24.7, 37.6, 85.6),
        0.77,
    ),
    Tilts(
        90.0,
        (-82.3, -68.2, -59.2, -35.0, -19.5, -4.6, 17.5, 29.9, 43.6, 56.0, 71.2),
        (-87.1, -79.4, -63.2, -40.2, -23.0, -8.1, 11.2, 25.0, 46.8, 57.5, 79.6),
        0.94,
    ),
)


def random_rotations(n: int, rng: np.random.Generator, range_: str = "full") -> np.ndarray:
    """Return random rotations (n, 3, 3) float32, head to camera.

    Args:
        n: number of rotations.
        rng: the only source of randomness.
        range_: ``"full"`` is uniform on SO(3) (Haar); ``"front"`` draws yaw, pitch and roll uniformly within
            +-90, +-60 and +-45 degrees; ``"mixed"`` draws every second one like ``"full"``, and the others upright: of
            any yaw, with pitch and roll within +-40 and +-30 degrees; ``"aflw2000"`` draws them as they are in
            AFLW2000-3D, yaw within +-90 degrees.

    Raises:
        ValueError: ``range_`` is none of these.
    """
    if range_ == "full":
        return _uniform(n, rng)
    if range_ == "mixed":
        rotations = _uniform(n, rng)
        rotations[1::2] = _within(UPRIGHT, n // 2, rng)
        return rotations
    if range_ == "front":
        return _within(FRONT, n, rng)
    if range_ == "aflw2000":
        return _of_euler(_as_in_photographs(n, rng))
    raise ValueError(f"unknown range of rotations {range_!r}; it must be one of {', '.join(RANGES)}")


def is_full_range(range_: str) -> bool:
    """Return whether rotations of a range go beyond front to profile."""
    return range_ in ("full", "mixed")


def _uniform(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return rotations (n, 3, 3) uniform on SO(3)."""
    quaternions = rng.standard_normal((n, 4))  # normalized, Gaussian vectors are uniform on the sphere
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    return roma.unitquat_to_rotmat(torch.from_numpy(quaternions)).numpy().astype(np.float32)


def _within(limits_deg: tuple[float, float, float], n: int, rng: np.random.Generator) -> np.ndarray:
    """Return rotations (n, 3, 3) whose angles are uniform within +- the limits."""
    limits = np.array(limits_deg)
    return _of_euler(rng.uniform(-limits, limits, (n, 3)))


def _of_euler(euler_deg: np.ndarray) -> np.ndarray:
    return euler_to_matrix(torch.from_numpy(euler_deg)).numpy().astype(np.float32)


def _as_in_photographs(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return Euler angles (n, 3), pitch, yaw and roll in degrees, with the quantiles of AFLW2000-3D."""
    yaw = np.interp(rng.random(n), LEVELS, ABSOLUTE_YAW)
    side = rng.choice((-1.0, 1.0), n)
    scores = rng.standard_normal((n, 2))
    kind = np.searchsorted([tilts.most_yaw for tilts in TILTS], yaw, side="right")
    euler_deg = np.stack([np.zeros(n), side * yaw, np.zeros(n)], 1)
    for number, tilts in enumerate(TILTS):
        here = kind == number
        first, other = scores[here].T
        second = tilts.correlation * first + np.sqrt(1 - tilts.correlation**2) * other
        euler_deg[here, 0] = np.interp(_level(first), LEVELS, tilts.pitch)
        euler_deg[here, 2] = np.interp(_level(second), LEVELS, tilts.roll) * side[here]
    return euler_deg


def _level(score: np.ndarray) -> np.ndarray:
    """Return the cumulative probability of normal scores."""
    return torch.special.ndtr(torch.from_numpy(score)).numpy()
