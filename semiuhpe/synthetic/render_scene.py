"""Render pictures of many heads with exact labels: ``render_scene``.

All heads have one size and share one space in front of a perspective camera; nearer ones hide others, on a cluttered
background. The label of a head is the rotation that is visible: relative to a camera that is turned to look at it. So
the label is what a crop of the head shows, anywhere in the picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np

import sim3dr
from semiuhpe.data.stores.scenes import SceneHeads
from semiuhpe.data.turning import turn_picture
from semiuhpe.synthetic import backgrounds, degrade, occluders
from semiuhpe.synthetic.compose import Canvas, LitHead, light_up
from semiuhpe.synthetic.identity import random_identity
from semiuhpe.synthetic.light import Light, clean_light, wild_light
from semiuhpe.synthetic.mask_shapes import five_landmarks
from semiuhpe.synthetic.photographs import Photographs
from semiuhpe.synthetic.render_head import DOMAINS, dress

HEAD_UNITS = 2.3  # height of a head; 1 unit is about 10 cm
FIELD_DEG = (35.0, 65.0)  # of view
SMALLEST_PX, LARGEST_SHARE = 20.0, 0.7  # heights of heads: in pixels, and of the picture
NO_HEADS, OBJECT = 0.06, 0.12  # how often a scene is empty, and a wild head has something flat over it
MOST_COVERED = 0.7  # of a head's box, by the box of a nearer head, when places are drawn
_PLACE_TRIES = 20


@dataclass(frozen=True)
class Scene:
    """A picture, RGB uint8 (size, size, 3), and its heads, the farthest first."""

    image: np.ndarray
    heads: SceneHeads


@dataclass(frozen=True)
class _Placed:
    """A head ready to draw: vertices in pixels of the picture, the third coordinate larger nearer."""

    head: LitHead
    placed: np.ndarray
    own: np.ndarray  # triangles of the head itself, without shoulders and hanging hair
    box: np.ndarray
    landmarks: np.ndarray


def render_scene(
    rotations: np.ndarray, rng: np.random.Generator, domain: str = "wild", size: int = 320, turn_deg: float = 0.0,
    photographs: Photographs | None = None,
) -> Scene:  # fmt: skip
    """Render a random scene; a pure function of its arguments.

    Args:
        rotations: (n, 3, 3) rotations, head to camera, of the at most n heads.
        rng: the only source of randomness.
        domain: ``"clean"`` or ``"wild"``.
        size: side of the picture in pixels.
        turn_deg: angle by which the picture is turned clockwise, by turning the camera about its axis; all else stays.
        photographs: backgrounds of wild scenes; drawn ones if None.

    Raises:
        ValueError: the domain is unknown.
        DataError: a photograph can't be read.
    """
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain {domain!r} of synthetic scenes; it must be one of {', '.join(DOMAINS)}")
    wild = domain == "wild"
    focal = size / 2 / np.tan(np.radians(rng.uniform(*FIELD_DEG)) / 2)
    light = wild_light(rng) if wild else clean_light(rng)
    count = 0 if rng.random() < NO_HEADS else int(rng.integers(1, len(rotations) + 1))
    centers = _places(count, focal, size, rng)
    turn = _about_z(turn_deg)
    placed = [_place(rotations[i], center, turn, focal, size, light, rng, domain) for i, center in enumerate(centers)]
    fine = size * 2 if size <= 256 else int(size * 1.5)
    if wild:
        background = backgrounds.wild_background(fine, rng, light, photographs, deep=True)
    else:
        background = backgrounds.clean_background(fine, rng)
    if turn_deg != 0.0:
        background = turn_picture(background, turn_deg, cv2.BORDER_REFLECT_101)
    image, shown, whole = _draw(placed, background, fine / size, light)
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    covered = np.zeros((size, size), bool)
    for head in placed:
        if wild and rng.random() < OBJECT:
            covered |= occluders.draw_object(image, head.box, rng)
    in_view = cv2.resize(covered.astype(np.uint8), (fine, fine), interpolation=cv2.INTER_NEAREST) == 0
    visible = [float((mine & in_view).sum()) / max(pixels, 1) for mine, pixels in zip(shown, whole, strict=True)]
    image = degrade.wild(image, rng, unit=1.0, smallest=0.6) if wild else degrade.clean(image, rng)
    if not placed:
        return Scene(image, SceneHeads.none())
    seen = turn @ rotations[:count]
    return Scene(
        image,
        SceneHeads(
            box=np.stack([head.box for head in placed]).astype(np.float32),
            landmarks=np.stack([head.landmarks for head in placed]).astype(np.float32),
            rotation=seen.astype(np.float32),
            visible=np.array(visible, np.float32),
            masked=np.zeros(count, bool),
        ),
    )


def _places(count: int, focal: float, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return centers of heads (count, 3) in camera axes, the farthest first; heads are rarely hidden completely."""
    heights = np.sort(np.exp(rng.uniform(np.log(SMALLEST_PX), np.log(LARGEST_SHARE * size), count)))
    middles = np.zeros((count, 2))
    for i in reversed(range(count)):  # the nearest first, because it hides others
        for _ in range(_PLACE_TRIES):
            middles[i] = rng.uniform(0.05 * size, 0.95 * size, 2)
            gap = np.abs(middles[i + 1 :] - middles[i])
            reach = (heights[i + 1 :, None] + heights[i]) / 2
            overlap = np.clip(reach - gap, 0, heights[i]).prod(1) / heights[i] ** 2
            if (overlap <= MOST_COVERED).all():
                break
    depth = focal * HEAD_UNITS / heights
    return np.concatenate([(middles - size / 2) * (depth / focal)[:, None], depth[:, None]], 1).reshape(-1, 3)


def _place(
    rotation: np.ndarray, center: np.ndarray, turn: np.ndarray, focal: float, size: int, light: Light,
    rng: np.random.Generator, domain: str,
) -> _Placed:  # fmt: skip
    """Return a random head with a visible rotation, at a place in camera axes before the camera is turned."""
    rotation = (look_at(center) @ rotation).astype(np.float32)
    identity = random_identity(rng)
    dressed = dress(identity, rotation, rng, domain == "wild", face_mask=0.0)
    head = light_up(dressed.figure, dressed.worn, rotation, light)

    def project(points: np.ndarray) -> np.ndarray:
        x, y, z = ((points @ rotation.T + center) @ turn.T).T
        z = np.maximum(z, 0.3)
        return np.stack([focal * x / z + size / 2, focal * y / z + size / 2, 1 / z], 1).astype(np.float32)

    placed = project(head.vertices)
    low, high = placed[dressed.enclosed, :2].min(0), placed[dressed.enclosed, :2].max(0)
    belongs = np.zeros(len(placed), bool)
    belongs[dressed.enclosed] = True
    landmarks = project(five_landmarks(dressed.figure.vertices))[:, :2]
    box = np.concatenate([low, high - low])
    triangles = np.concatenate([head.closed, head.open])
    return _Placed(head, placed, triangles[belongs[triangles].all(1)], box, landmarks)


def _draw(
    heads: list[_Placed], background: np.ndarray, scale: float, light: Light
) -> tuple[np.ndarray, list[np.ndarray], list[int]]:
    """Draw the picture; return it, where each head is uncovered, (S, S) bool, and how many pixels it has in all."""
    side = len(background)
    canvas = Canvas(background)
    owner = np.full((side, side), -1)
    masks = []
    for number, head in enumerate(heads):
        placed = head.placed * np.array([scale, scale, 1], np.float32) - np.array([0.5, 0.5, 0], np.float32)
        before = canvas.depth.copy()
        canvas.draw(head.head, placed)
        owner[canvas.depth > before] = number
        ones = np.ones((len(placed), 1), np.float32)
        masks.append(sim3dr.rasterize(placed, head.own, ones, height=side, width=side)[..., 0] > 0)
    shown = [mask & (owner == number) for number, mask in enumerate(masks)]
    return canvas.picture(light.highlights), shown, [int(mask.sum()) for mask in masks]


def look_at(direction: np.ndarray) -> np.ndarray:
    """Return the smallest rotation (3, 3) that takes the camera's axis, z, to a direction (3,) with positive z."""
    x, y, z = direction / np.linalg.norm(direction)
    k = 1 / (1 + z)
    return np.array([[1 - k * x * x, -k * x * y, x], [-k * x * y, 1 - k * y * y, y], [-x, -y, z]])


def _about_z(angle_deg: float) -> np.ndarray:
    """Return a clockwise turn, as :func:`semiuhpe.rotation.in_plane_rotation`, but without torch in forked workers."""
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
