"""Where people stand before a camera: on one ground, at mixed distances, in a group, in a crowd, or one close by.

Camera axes: x right, y down, z into the scene. The camera is level but for a pitch and a slight roll. People are
upright; their bodies face any way, and heads are turned from there as far as necks allow.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from semiuhpe.synthetic.posture import rotation_of, rotation_vector_deg

HEAD_UNITS = 2.3  # height of a head; 1 unit is about 10 cm
STATURE = 15.5  # height of the middle of most heads above the ground
MIXED, GROUP, CROWD, PORTRAIT = "mixed", "group", "crowd", "portrait"
LAYOUTS = {MIXED: 0.35, GROUP: 0.27, CROWD: 0.18, PORTRAIT: 0.20}
"""How often people stand so."""
FEW, MANY = 8, 12  # most people but in a crowd, and least in one
EYE_LEVEL = ((0.7, (11.0, 18.0)), (0.2, (18.0, 40.0)), (0.1, (4.0, 11.0)))  # of the camera: how often, which heights
NECK_DEG = (24.0, 12.0, 6.0)  # standard deviation of heads' yaw, pitch and roll relative to the body
MOST_NECK_DEG = 52.0
LOOKS_BACK = 0.4  # how often a head is turned toward the camera as far as it can be
LEAN_DEG = 4.0
LEAST_FRONTAL = -0.05  # cosine between the direction to a head and the one in which it looks, within the front range
_TRIES = 30
APART = 4.0  # least distance between people
MOST_COVERED = 0.7  # of a head's box by that of a nearer one, when places are drawn


@dataclass(frozen=True)
class Standing:
    """A place on the ground, and how the one who stands there is turned.

    Attributes:
        spot: (3,) in camera axes, on the ground.
        body, head: (3, 3) rotations to camera axes.
        bend: (3,) how the body is turned relative to the head, as a rotation vector in degrees.
    """

    spot: np.ndarray
    body: np.ndarray
    head: np.ndarray
    bend: np.ndarray


@dataclass(frozen=True)
class People:
    """All who stand before a camera, the farthest first, and the direction (3,) upward."""

    kind: str
    people: list[Standing]
    up: np.ndarray


def random_people(
    most: int, focal: float, size: int, rng: np.random.Generator, full_range: bool = True, kind: str | None = None
) -> People:
    """Return random people.

    Args:
        most: largest number of them.
        focal: focal length in pixels.
        size: side of the picture in pixels.
        rng: the only source of randomness.
        full_range: whether heads may face away from the camera.
        kind: one of :data:`LAYOUTS`; random if None.
    """
    kind = kind or str(rng.choice(list(LAYOUTS), p=list(LAYOUTS.values())))
    count, heights = _heights(kind, most, size, rng)
    level = _eye_level(kind, rng)
    depth = focal * HEAD_UNITS / heights
    row = size * (rng.uniform(0.15, 0.6) if kind != CROWD else rng.uniform(0.3, 0.6))
    row = min(max(row, rng.uniform(0.3, 1.2) * heights[-1]), 0.7 * size)  # large heads are not often cut off above
    middle = float(depth[-1] if kind == PORTRAIT else np.median(depth))
    elevation = np.arctan2(STATURE - level, middle)
    pitch = elevation - np.arctan((size / 2 - row) / focal)  # upward
    pitch, roll = float(np.clip(pitch, -0.9, 0.6)), np.radians(rng.normal(0, 1.5))
    axes = _about(2, roll) @ _about(0, -pitch)  # of a level camera, to those of this one
    right, down, ahead = axes.T
    places = _spread(kind, heights, depth, focal, size, rng)
    facing = _facing(kind, count, rng)
    people = []
    for column, away, yaw in zip(places, depth, facing, strict=True):
        aside = (column - size / 2) / focal * away
        flat = np.hypot(aside, away)
        spot = aside * right + away * ahead + level * down
        toward = -(aside * right + away * ahead) / flat
        people.append(_turned(spot, toward, -down, np.radians(yaw), rng, full_range))
    return People(kind, people, -down)


def _heights(kind: str, most: int, size: int, rng: np.random.Generator) -> tuple[int, np.ndarray]:
    """Return the number of people, and the heights of their heads in pixels, the smallest first."""

    def between(low: float, high: float, n: int) -> np.ndarray:
        low = min(low, high)
        return np.exp(rng.uniform(np.log(low), np.log(high), n))

    if kind == CROWD:
        count = int(rng.integers(min(MANY, most), most + 1))
        far = float(between(5.0, 14.0, 1)[0])
        near = far * rng.uniform(1.5, 3.5)
        # as many per square meter anywhere: the farther, the more
        depth = np.sqrt(rng.uniform((1 / near) ** 2, (1 / far) ** 2, count))
        return count, np.sort(1 / depth)
    few = min(most, FEW)
    if kind == GROUP:
        count = int(rng.integers(min(2, few), few + 1))
        typical = float(between(14.0, 0.8 * size / (count + 1), 1)[0])
        return count, np.sort(typical * np.exp(rng.normal(0, 0.08, count)))
    if kind == PORTRAIT:
        count = int(rng.integers(1, min(few, 3) + 1)) if rng.random() < 0.4 else 1
        others = between(12.0, 0.15 * size, count - 1)
        return count, np.sort(np.append(others, between(0.3 * size, 0.9 * size, 1)))
    count = int(rng.integers(1, few + 1))
    return count, np.sort(between(9.0, 0.35 * size, count))


def _eye_level(kind: str, rng: np.random.Generator) -> float:
    if kind == CROWD:
        return float(rng.uniform(16.0, 45.0))
    if kind == PORTRAIT:
        return float(rng.normal(STATURE, 1.5))
    chance = rng.random()
    for share, levels in EYE_LEVEL:
        if chance < share:
            return float(rng.uniform(*levels))
        chance -= share
    return STATURE


def _spread(
    kind: str, heights: np.ndarray, depth: np.ndarray, focal: float, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the column of each head in pixels."""
    count = len(heights)
    if kind == GROUP:
        step = heights.mean() * rng.uniform(1.5, 3.2)
        columns = (rng.permutation(count) - (count - 1) / 2) * step + size * rng.uniform(0.35, 0.65)
        return np.asarray(columns + rng.normal(0, 0.15, count) * step)
    edge = 0.0 if kind == PORTRAIT else 0.04
    columns = np.zeros(count)
    for i in reversed(range(count)):  # the nearest first, because it hides others
        for _ in range(_TRIES):
            columns[i] = rng.uniform(-edge, 1 + edge) * size
            if kind == PORTRAIT and i == count - 1:
                columns[i] = size * np.clip(rng.normal(0.5, 0.22), 0, 1)
            beside = np.abs(columns[i + 1 :] - columns[i])
            overlap = np.clip((heights[i + 1 :] + heights[i]) / 2 - beside, 0, heights[i]) / heights[i]
            level = np.abs(1 / heights[i + 1 :] - 1 / heights[i]) * heights[i] < 0.1
            aside = (columns[i:] - size / 2) / focal * depth[i:]
            apart = np.hypot(aside[1:] - aside[0], depth[i + 1 :] - depth[i])
            if (overlap[level | (kind != CROWD)] <= MOST_COVERED).all() and (apart > APART).all():
                break
    return columns


def _facing(kind: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return by how many degrees each body is turned away from facing the camera."""
    if kind == GROUP:
        return (180.0 if rng.random() < 0.12 else 0.0) + rng.normal(0, 18, count)
    if kind == CROWD and rng.random() < 0.7:
        return rng.uniform(-180, 180) * (rng.random() < 0.7) + rng.normal(0, 25, count)
    toward = rng.random(count) < 0.55
    return np.where(toward, rng.normal(0, 35, count), rng.uniform(-180, 180, count))


def _turned(
    spot: np.ndarray, toward: np.ndarray, up: np.ndarray, yaw: float, rng: np.random.Generator, full_range: bool
) -> Standing:
    """Return someone whose body is turned by ``yaw`` from ``toward`` the camera."""
    across = np.cross(up, toward)
    for _ in range(_TRIES):
        front = np.cos(yaw) * toward + np.sin(yaw) * across
        lean = _about(0, np.radians(rng.normal(0, LEAN_DEG))) @ _about(2, np.radians(rng.normal(0, LEAN_DEG / 2)))
        body = np.stack([np.cross(up, front), up, front], 1) @ lean
        turn, nod, tilt = np.radians(rng.normal(0, NECK_DEG))
        if rng.random() < LOOKS_BACK:
            turn = -np.remainder(yaw + np.pi, 2 * np.pi) + np.pi + 0.3 * turn
        neck = _about(1, turn) @ _about(0, nod) @ _about(2, tilt)
        vector = rotation_vector_deg(neck)
        vector *= min(1.0, MOST_NECK_DEG / max(float(np.linalg.norm(vector)), 1e-6))
        neck = rotation_of(vector)
        head = body @ neck
        if full_range or is_frontal(head, spot, up):
            break
        yaw *= 0.7
    return Standing(spot, body, head, rotation_vector_deg(neck.T))


def is_frontal(head: np.ndarray, spot: np.ndarray, up: np.ndarray) -> bool:
    """Return whether a head (3, 3) above a ``spot`` (3,) on the ground is seen from the front, to its profiles."""
    middle = spot + STATURE * up
    return bool(head[:, 2] @ middle / np.linalg.norm(middle) < LEAST_FRONTAL)


def _about(axis: int, radians: float) -> np.ndarray:
    vector = np.zeros(3)
    vector[axis] = radians
    return cv2.Rodrigues(vector)[0]
