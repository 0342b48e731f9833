"""Render a picture of a head with a known rotation: ``render_head``.

The head's center is on the optical axis of a perspective camera, so the visible rotation is exactly the given one,
however near the camera is. The image is a square around the head, as the head-box crop rule cuts it, with a margin that
leaves room for tighter crops.

There are two domains: ``clean`` is a studio (even light, soft backgrounds, no accessories), ``wild`` is the street.
"""

from dataclasses import dataclass

import cv2
import numpy as np

import sim3dr
from semiuhpe.synthetic import accessories, backgrounds, degrade, figure, hair, occluders
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.identity import Identity, random_identity
from semiuhpe.synthetic.light import Light, clean_light, expose, shade, sunlit, wild_light
from semiuhpe.synthetic.photographs import Photographs
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import Mesh

# How often wild heads have these, as far as others leave room
HAT, HEADPHONES, GLASSES, FACE_MASK, HAND, OBJECT = 0.22, 0.08, 0.30, 0.15, 0.14, 0.22
PHOTOGRAPH_ENDS = 0.06  # how often a wild head is so near the edge of its photograph that the crop reaches beyond it


@dataclass(frozen=True)
class SyntheticHead:
    """A picture of a head and the head's box.

    ``image`` is RGB uint8 (size, size, 3); ``box`` is float32 (4,): x, y, width, height in pixels of the image, around
    skull, jaw, ears and hair on the head, without neck, hanging hair and hats. In the wild domain it is like a
    detector's: slightly off in place and scale.
    """

    image: np.ndarray
    box: np.ndarray


@dataclass(frozen=True)
class Domain:
    """Parameters of a domain besides light, backgrounds and degradation."""

    spread: float  # of proportions
    distance: tuple[float, float]  # range of the camera's distance, in units of 10 cm
    margin: tuple[float, float]
    place_jitter: float  # of the box, as part of its side (standard deviation)
    scale_jitter: float


_DOMAINS = {
    "clean": Domain(1.0, (7.0, 20.0), (0.22, 0.33), 0.0, 0.0),
    "wild": Domain(1.35, (5.0, 25.0), (0.20, 0.35), 0.03, 0.05),
}
DOMAINS = tuple(_DOMAINS)


def render_head(
    rotation: np.ndarray, rng: np.random.Generator, domain: str = "clean", size: int = 112,
    photographs: Photographs | None = None,
) -> SyntheticHead:  # fmt: skip
    """Render a random head with the given rotation; a pure function of its arguments.

    Args:
        rotation: (3, 3), head to camera, as in :mod:`semiuhpe.rotation`.
        rng: the only source of randomness: identity, hair, light, background and so on.
        domain: ``"clean"`` or ``"wild"``.
        size: side of the image in pixels.
        photographs: backgrounds of wild heads; drawn ones if None.

    Raises:
        ValueError: the domain is unknown.
        DataError: a photograph can't be read.
    """
    if domain not in _DOMAINS:
        raise ValueError(f"unknown domain {domain!r} of synthetic heads; it must be one of {', '.join(DOMAINS)}")
    settings = _DOMAINS[domain]
    wild = domain == "wild"
    rotation = np.asarray(rotation, np.float32)
    identity = random_identity(rng, settings.spread)
    light = wild_light(rng) if wild else clean_light(rng)
    distance = float(np.exp(rng.uniform(*np.log(settings.distance))))
    scene = _assemble(identity, rotation, light, distance, rng, wild)
    box, crop = _frame(scene.silhouette, settings, rng)
    image = _draw(scene, crop, size, rng, wild, light, photographs)
    box = np.array([*(box[:2] - crop[:2]), *box[2:]], np.float32) * np.float32(size / crop[2])
    if wild and rng.random() < OBJECT:
        occluders.draw_object(image, box, rng)
    image = degrade.wild(image, rng) if wild else degrade.clean(image, rng)
    if wild and rng.random() < PHOTOGRAPH_ENDS:
        degrade.end_photograph(image, rng)
    return SyntheticHead(image, box)


@dataclass(frozen=True)
class _Scene:
    vertices: np.ndarray  # (N, 3): x and y on the image plane at unit focal length, z larger nearer
    triangles: np.ndarray
    colors: np.ndarray
    silhouette: np.ndarray  # (2, n) on the image plane: the vertices that the head box encloses


def _assemble(
    identity: Identity, rotation: np.ndarray, light: Light, distance: float, rng: np.random.Generator, wild: bool
) -> _Scene:
    """Return the head and everything around it, projected and lit."""
    head, gloss, extras, enclosed = dress(identity, seen_from_below(rotation), rng, wild)
    if wild and rng.random() < HAND:
        hand = occluders.random_hand(rng, identity.skin, distance)
        hand.vertices[:, 2] -= np.float32(distance)
        extras.append(Mesh(hand.vertices @ rotation, hand.triangles, hand.albedo, hand.gloss))  # into head axes
    vertices, triangles, colors = lit_mesh(head, gloss, extras, rotation, light)
    camera = vertices @ rotation.T
    nearness = 1 / np.maximum(camera[:, 2:] + np.float32(distance), 0.3)  # unlike depth, linear on the image plane
    projected = np.concatenate([camera[:, :2] * nearness, nearness], 1)
    return _Scene(projected, triangles, colors, np.ascontiguousarray(projected[enclosed, :2].T))


def lit_mesh(
    head: Mesh, gloss: np.ndarray, extras: list[Mesh], rotation: np.ndarray, light: Light
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mesh of a head with its accessories: vertices (N, 3) in head axes, triangles, lit colors (N, 3)."""
    vertices, triangles, albedo, gloss = _concatenate(head, gloss, extras)
    normals = sim3dr.vertex_normals(vertices, triangles) @ rotation.T
    _face_the_camera(normals, len(head.vertices))
    occlusion = np.ones(len(vertices), np.float32)
    occlusion[: len(head.vertices)] = template().occlusion
    sun_visible = sunlit(vertices @ rotation.T, triangles, light.key_direction)
    colors = expose(shade(albedo, normals, occlusion, gloss, light, sun_visible), normals)
    return vertices, triangles, colors


def seen_from_below(rotation: np.ndarray) -> float:
    """Return 1 where the camera looks up so steeply that shoulders would hide the head, 0 for other directions."""
    height_of_camera = -rotation[2, 1]  # of the direction to the camera, in head axes
    return float(smoothstep(height_of_camera, -0.32, -0.60))


def dress(
    identity: Identity, from_below: float, rng: np.random.Generator, wild: bool, face_mask: float = FACE_MASK
) -> tuple[Mesh, np.ndarray, list[Mesh], np.ndarray]:
    """Return the head with its highlights, its accessories, and the indices of the vertices that its box encloses.

    ``face_mask`` is the share of wild heads with a face mask.
    """
    height = None
    if identity.style != "bald":
        height = hair.shell_height(identity.style, identity.volume, identity.strand, identity.parted_left)
    hanging = hair.hanging_hair(identity.style, identity.hair, identity.coefficients)
    ears_pressed = identity.style in hair.COVERS_EARS
    worn_things: list[Mesh] = []
    if wild and rng.random() < HAT:
        hat, height, over_ears = accessories.random_hat(rng, identity.coefficients, height)
        worn_things.append(hat)
        ears_pressed |= over_ears
        hanging = None if over_ears or hanging is None else accessories.press_down(hanging)
    elif wild and rng.random() < HEADPHONES:
        worn_things.append(accessories.random_headphones(rng, identity.coefficients))
        ears_pressed = True
    if wild and rng.random() < GLASSES:
        worn_things += accessories.random_glasses(rng, identity.coefficients)
    head, gloss = figure.build(identity, height, from_below, ears_pressed)
    if wild and rng.random() < face_mask:
        worn_things.append(accessories.put_on_mask(head, rng, identity.coefficients))
    enclosed = _silhouette(height)
    if hanging is not None:
        worn_things.insert(0, hanging)
        if identity.style in hair.HANGING_COUNTS:
            enclosed = np.concatenate([enclosed, len(head.vertices) + np.arange(len(hanging.vertices))])
    return head, gloss, worn_things, enclosed


def _concatenate(head: Mesh, gloss: np.ndarray, extras: list[Mesh]) -> tuple[np.ndarray, ...]:
    """Return vertices, triangles, albedo and highlight of the head, followed by those of the extras."""
    vertices, triangles, albedo, glosses = [head.vertices], [head.triangles], [head.albedo], [gloss]
    start = len(head.vertices)
    for mesh in extras:
        vertices.append(mesh.vertices)
        triangles.append(mesh.triangles + np.int32(start))
        albedo.append(mesh.albedo)
        glosses.append(np.full(len(mesh.vertices), mesh.gloss, np.float32))
        start += len(mesh.vertices)
    return tuple(np.concatenate(parts) for parts in (vertices, triangles, albedo, glosses))


def _face_the_camera(normals: np.ndarray, first: int) -> None:
    """Turn the normals of sheets (long hair, brims, lenses), which are visible from both sides, to the camera."""
    sheet = normals[first:]
    sheet[sheet[:, 2] > 0] *= -1


def _silhouette(shell_height: np.ndarray | None) -> np.ndarray:
    """Return the indices of the head's vertices that its box has to enclose."""
    t = template()
    parts = [np.arange(t.part[name].start, t.part[name].stop) for name in ("skin", "left ear", "right ear")]
    if shell_height is not None:
        parts.append(t.part["shell"].start + np.flatnonzero(shell_height > 0))
    return np.concatenate(parts)


def _frame(silhouette: np.ndarray, settings: Domain, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the head box (x, y, w, h) and the square crop (x, y, side) around it, on the image plane."""
    low, high = silhouette.min(1), silhouette.max(1)
    extent = high - low
    side = extent.mean()
    center = (low + high) / 2 + np.clip(rng.normal(0, settings.place_jitter, 2), -0.08, 0.08) * side
    extent = extent * np.exp(np.clip(rng.normal(0, settings.scale_jitter), -0.12, 0.12))
    crop_side = extent.mean() * (1 + 2 * rng.uniform(*settings.margin))
    box = np.array([*(center - extent / 2), *extent], np.float32)
    return box, np.array([*(center - crop_side / 2), crop_side], np.float32)


def _draw(
    scene: _Scene, crop: np.ndarray, size: int, rng: np.random.Generator, wild: bool, light: Light,
    photographs: Photographs | None,
) -> np.ndarray:  # fmt: skip
    """Rasterize at a multiple of the size, over a background, and average down."""
    fine = size * 2 if size <= 128 else int(size * 1.5)
    if wild:
        background = backgrounds.wild_background(fine, rng, light, photographs)
    else:
        background = backgrounds.clean_background(fine, rng)
    scale = np.float32(fine / crop[2])
    vertices = scene.vertices.copy()
    vertices[:, :2] = (vertices[:, :2] - crop[:2]) * scale - np.float32(0.5)
    image = sim3dr.rasterize(vertices, scene.triangles, scene.colors, bg=background)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
