"""Render pictures of many heads with exact labels: ``render_scene``.

All heads have one size and share one space in front of a perspective camera; nearer ones hide others, on a cluttered
background. They are busts, turned in any way, or people with whole bodies on one ground
(:mod:`semiuhpe.synthetic.layouts`). The label of a head is the rotation that is visible: relative to a camera that is
turned to look at it. So the label is what a crop of the head shows, anywhere in the picture.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

import sim3dr
from semiuhpe.data.stores.scenes import SceneHeads
from semiuhpe.data.turning import turn_picture
from semiuhpe.synthetic import backgrounds, clutter, degrade, occluders
from semiuhpe.synthetic.compose import Canvas, LitHead, light_up
from semiuhpe.synthetic.figure import TexturedPart
from semiuhpe.synthetic.identity import random_identity
from semiuhpe.synthetic.layouts import (
    CROWD,
    FEW,
    HEAD_UNITS,
    MOST_COVERED,
    STATURE,
    Standing,
    is_frontal,
    random_people,
)
from semiuhpe.synthetic.light import Light, clean_light, wild_light
from semiuhpe.synthetic.mask_shapes import five_landmarks
from semiuhpe.synthetic.photographs import Photographs
from semiuhpe.synthetic.posture import rotation_of
from semiuhpe.synthetic.render_head import DOMAINS, Dressed, dress

FIELD_DEG = (35.0, 65.0)  # of view
SMALLEST_PX, LARGEST_SHARE = 20.0, 0.7  # heights of heads: in pixels, and of the picture
NO_HEADS, OBJECT = 0.06, 0.12  # how often a scene is empty, and a wild head has something flat over it
FIGURES = 14  # with bodies on one scene; more people are these again, turned in other ways
NEAREST = 0.6  # distance from the camera's plane of the nearest parts of bodies that are drawn
_PLACE_TRIES = 20


@dataclass(frozen=True)
class Scene:
    """A picture, RGB uint8 (size, size, 3), and its heads, the farthest first."""

    image: np.ndarray
    heads: SceneHeads


@dataclass(frozen=True)
class _Posed:
    """A dressed person, and where: the head's rotation (3, 3) and center (3,) in camera axes before it is turned."""

    dressed: Dressed
    rotation: np.ndarray
    center: np.ndarray


@dataclass(frozen=True)
class _Placed:
    """A head ready to draw: vertices in pixels of the picture, the third coordinate larger nearer."""

    head: LitHead
    placed: np.ndarray
    own: np.ndarray  # triangles of the head itself, without shoulders and hanging hair
    box: np.ndarray
    landmarks: np.ndarray
    rotation: np.ndarray  # the visible one


@dataclass(frozen=True)
class _Shown:
    """Where a head is on the drawn picture: a part of it, and its pixels there."""

    part: tuple[slice, slice]
    mask: np.ndarray
    number: int


def render_scene(
    rotations: np.ndarray, rng: np.random.Generator, domain: str = "wild", size: int = 320, turn_deg: float = 0.0,
    photographs: Photographs | None = None, bodies: float = 0.0, full_range: bool = True,
) -> Scene:  # fmt: skip
    """Render a random scene; a pure function of its arguments.

    Args:
        rotations: (n, 3, 3) rotations, head to camera, of the at most n heads of a scene of busts. People with bodies
            are upright, and their heads turned as necks allow.
        rng: the only source of randomness.
        domain: ``"clean"`` or ``"wild"``.
        size: side of the picture in pixels.
        turn_deg: angle by which the picture is turned clockwise, by turning the camera about its axis; all else stays.
        photographs: backgrounds of wild scenes; drawn ones if None.
        bodies: share of scenes that show people with bodies; with them, scenes of busts have few heads.
        full_range: whether heads of people with bodies may face away from the camera.

    Raises:
        ValueError: the domain is unknown.
        DataError: a photograph can't be read.
    """
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain {domain!r} of synthetic scenes; it must be one of {', '.join(DOMAINS)}")
    wild = domain == "wild"
    focal = size / 2 / np.tan(np.radians(rng.uniform(*FIELD_DEG)) / 2)
    light = wild_light(rng) if wild else clean_light(rng)
    if rng.random() < NO_HEADS:
        posed = []
    elif bodies and rng.random() < bodies:
        posed = _people(len(rotations), focal, size, rng, wild, full_range)
    else:
        posed = _busts(rotations[:FEW] if bodies else rotations, focal, size, rng, wild)
    turn = _about_z(turn_deg)
    placed = [_place(one, turn, focal, size, light) for one in posed]
    fine = size * 2 if size <= 256 else int(size * 1.5)
    if wild:
        background = backgrounds.wild_background(fine, rng, light, photographs, deep=True)
        if photographs is None:
            clutter.draw_things(background, rng)
    else:
        background = backgrounds.clean_background(fine, rng)
    if turn_deg != 0.0:
        background = turn_picture(background, turn_deg, cv2.BORDER_REFLECT_101)
    image, owner, shown = _draw(placed, background, fine / size, light)
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    covered = np.zeros((size, size), bool)
    for head in placed:
        if wild and rng.random() < OBJECT * min(1.0, FEW / len(placed)):
            covered |= occluders.draw_object(image, head.box, rng)
    owner[cv2.resize(covered.astype(np.uint8), (fine, fine), interpolation=cv2.INTER_NEAREST) > 0] = _NOBODY
    image = degrade.wild(image, rng, unit=1.0, smallest=0.6) if wild else degrade.clean(image, rng)
    if not placed:
        return Scene(image, SceneHeads.none())
    return Scene(
        image,
        SceneHeads(
            box=np.stack([head.box for head in placed]).astype(np.float32),
            landmarks=np.stack([head.landmarks for head in placed]).astype(np.float32),
            rotation=np.stack([head.rotation for head in placed]).astype(np.float32),
            visible=np.array([_visible(one, owner) for one in shown], np.float32),
            masked=np.zeros(len(placed), bool),
        ),
    )


def _visible(shown: _Shown, owner: np.ndarray) -> float:
    return float((shown.mask & (owner[shown.part] == shown.number)).sum()) / max(int(shown.mask.sum()), 1)


def _busts(rotations: np.ndarray, focal: float, size: int, rng: np.random.Generator, wild: bool) -> list[_Posed]:
    """Return heads with these visible rotations (n, 3, 3), or the first of them, anywhere; the farthest first."""
    count = int(rng.integers(1, len(rotations) + 1))
    posed = []
    for seen, center in zip(rotations, _places(count, focal, size, rng), strict=False):
        rotation = (look_at(center) @ seen).astype(np.float32)
        posed.append(_Posed(dress(random_identity(rng), rotation, rng, wild, face_mask=0.0), rotation, center))
    return posed


def _people(most: int, focal: float, size: int, rng: np.random.Generator, wild: bool, full_range: bool) -> list[_Posed]:
    """Return people with bodies, the farthest first."""
    there = random_people(most, focal, size, rng, full_range)
    posed: list[_Posed] = []
    built: list[tuple[Dressed, Standing]] = []
    for number, one in enumerate(there.people):
        if number < FIGURES:
            rotation = one.head.astype(np.float32)
            dressed = dress(random_identity(rng), rotation, rng, wild, face_mask=0.0, body_bend=one.bend)
            built.append((dressed, one))
        else:
            for k in rng.permutation(len(built)):
                dressed, first = built[k]
                rotation = (one.body @ rotation_of(first.bend).T).astype(np.float32)
                if full_range or is_frontal(rotation, one.spot, there.up):
                    break
        height = -(dressed.figure.vertices @ (rotation.T @ there.up)).min()  # of the head above the soles
        posed.append(_Posed(dressed, rotation, one.spot + height * there.up))
    if there.kind == CROWD or not posed:
        return posed
    nearest, planned = posed[-1], there.people[-1].spot + STATURE * there.up
    moved = planned - nearest.center  # the camera is as high as suits the nearest
    return [replace(one, center=one.center + moved) for one in posed]


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


def _place(one: _Posed, turn: np.ndarray, focal: float, size: int, light: Light) -> _Placed:
    """Light a person and project it into the picture of a camera that is turned about its axis."""
    dressed, rotation, center = one.dressed, one.rotation, one.center
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
    seen = turn @ look_at(center).T @ rotation
    if head.body is not None:
        head = _before_camera(head, head.body, placed)
    return _Placed(head, placed, triangles[belongs[triangles].all(1)], box, landmarks, seen)


def _before_camera(head: LitHead, body: TexturedPart, placed: np.ndarray) -> LitHead:
    """Return the head without those triangles of its body, and of a seat, that reach to the camera's plane."""
    far = placed[:, 2] < 1 / NEAREST
    if far.all():
        return head
    own = len(head.closed) - len(body.triangles)
    kept = far[head.closed[own:]].all(1)
    return replace(
        head,
        closed=np.concatenate([head.closed[:own], head.closed[own:][kept]]),
        open=head.open[far[head.open].all(1)],
        body=replace(body, triangles=body.triangles[kept]),
    )


_NOBODY = -1


def _draw(
    heads: list[_Placed], background: np.ndarray, scale: float, light: Light
) -> tuple[np.ndarray, np.ndarray, list[_Shown]]:
    """Draw the picture; return it, whose head each pixel belongs to (S, S), and where each head would be alone.

    Bodies, arms before a face among them, are nobody's, but what lies on a head belongs to it.
    """
    side = len(background)
    canvas = Canvas(background)
    owner = np.full((side, side), _NOBODY)
    shown = []
    for number, head in enumerate(heads):
        placed = head.placed * np.array([scale, scale, 1], np.float32) - np.array([0.5, 0.5, 0], np.float32)
        low = np.clip(np.floor(placed[:, :2].min(0)) - 1, 0, side).astype(int)
        high = np.clip(np.ceil(placed[:, :2].max(0)) + 2, low, side).astype(int)
        part = (slice(low[1], high[1]), slice(low[0], high[0]))
        if not (high > low).all():
            shown.append(_Shown(part, np.zeros((high - low)[::-1], bool), number))
            continue
        placed[:, :2] -= low.astype(np.float32)
        piece = canvas.part(part)
        before = piece.depth.copy()
        piece.draw(head.head, placed)
        canvas.put(part, piece)
        drawn = piece.depth > before
        own = owner[part]
        own[drawn] = number
        ones = np.ones((len(placed), 1), np.float32)
        height, width = drawn.shape
        if head.head.body is not None:
            depth = np.full(drawn.shape, -np.inf, np.float32)
            of_body = head.head.closed[len(head.head.closed) - len(head.head.body.triangles) :]
            sim3dr.rasterize(placed, of_body, ones, height=height, width=width, depth=depth, cull=True)
            own[drawn & (depth >= piece.depth)] = _NOBODY
        mask = sim3dr.rasterize(placed, head.own, ones, height=height, width=width)[..., 0] > 0
        shown.append(_Shown(part, mask, number))
    return canvas.picture(light.highlights), owner, shown


def look_at(direction: np.ndarray) -> np.ndarray:
    """Return the smallest rotation (3, 3) that takes the camera's axis, z, to a direction (3,) with positive z."""
    x, y, z = direction / np.linalg.norm(direction)
    k = 1 / (1 + z)
    return np.array([[1 - k * x * x, -k * x * y, x], [-k * x * y, 1 - k * y * y, y], [-x, -y, z]])


def _about_z(angle_deg: float) -> np.ndarray:
    """Return a clockwise turn, as :func:`semiuhpe.rotation.in_plane_rotation`, but without torch in forked workers."""
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
