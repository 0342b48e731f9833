"""Face masks drawn onto pictures: fitted to a head's landmarks (or its box) and rotation, in perspective.

The mask is modeled on the mean head, painted and lit. The mean head is placed so that its landmarks match those of the
picture. It also hides the part of the mask that is behind the face, so heads seen from behind get no mask.
"""

from functools import cache, partial

import cv2
import numpy as np

import sim3dr
from semiuhpe.synthetic.head import head_vertices, template
from semiuhpe.synthetic.mask_kinds import mask_of_kind
from semiuhpe.synthetic.mask_shapes import COLORS, PLEATED, SHAPES, STRAPS, cover, five_landmarks, straps
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.solids import Mesh, join

DISTANCE = 12.0  # of the camera, in units of 10 cm; landmarks give the size in the picture, not the distance
LEAST_SHARE = 0.01  # share of the head's box that a mask has to cover for the head to count as masked
_FINE = 3  # masks are drawn larger by this factor, and averaged
_SMALLEST_PX = 10.0  # smaller heads get no mask

TEXTURES = ("plain", "stripes", "dots", "checks", "patches")


def draw_mask(
    image: np.ndarray, rotation: np.ndarray, landmarks: np.ndarray, box: np.ndarray, rng: np.random.Generator,
    kind: str | None = None,
) -> bool:  # fmt: skip
    """Draw a random mask onto a head, in place.

    Args:
        image: (H, W, 3) uint8 RGB.
        rotation: (3, 3) head to camera, as seen in the picture.
        landmarks: (5, 2) pixels, see :mod:`semiuhpe.models.onestage`; if one is NaN the box is used instead.
        box: (4,) x, y, w, h of the head.
        rng: the only source of randomness.
        kind: one of :data:`semiuhpe.synthetic.mask_kinds.KINDS`; None for any shape with any texture.

    Returns:
        Whether the mask is visible: it is not on heads that are too small or seen from behind.
    """
    mesh = _random_mask(rng) if kind is None else _mask_of_kind(kind, rng)
    light = rng.normal(0, 1, 3) * (0.7, 0.7, 0.2) + (0, -0.4, -1)
    if max(box[2:]) < _SMALLEST_PX:
        return False
    scale, shift = fit_head(rotation, landmarks, box)
    vertices = _on_picture(mesh.vertices, rotation, scale, shift)
    normals = sim3dr.vertex_normals(mesh.vertices, mesh.triangles) @ rotation.T
    facing = np.abs(normals @ (light / np.linalg.norm(light))).astype(np.float32)
    level = _brightness(image, box)
    colors = np.clip(mesh.albedo * (0.45 + 0.6 * facing)[:, None] * level, 0, 1)
    low = np.maximum(np.floor(vertices[:, :2].min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(vertices[:, :2].max(0)).astype(int) + 2, image.shape[1::-1])
    if (high <= low).any():
        return False
    covered = _paint(image[low[1] : high[1], low[0] : high[0]], vertices, mesh.triangles, colors, low, rotation, scale,
                     shift)  # fmt: skip
    return bool(covered > LEAST_SHARE * box[2] * box[3])


def fit_head(rotation: np.ndarray, landmarks: np.ndarray, box: np.ndarray) -> tuple[float, np.ndarray]:
    """Return scale and shift (2,), in pixels, that fit the mean head, projected from :data:`DISTANCE`, to a head.

    The fit is by least squares over the landmarks if all are known, else the head's outline fills the box.
    """
    if np.isfinite(landmarks).all():
        points = _projected(_mean_landmarks(), rotation)[:, :2]
        target = np.asarray(landmarks, np.float64)
        centerd, wanted = points - points.mean(0), target - target.mean(0)
        scale = max((centerd * wanted).sum() / (centerd**2).sum(), 0.0)
        return float(scale), target.mean(0) - scale * points.mean(0)
    points = _projected(template().vertices[head_vertices()], rotation)[:, :2]
    low, high = points.min(0), points.max(0)
    scale = float(np.sqrt(box[2] * box[3] / (high - low).prod()))
    return scale, np.asarray(box[:2]) + np.asarray(box[2:]) / 2 - scale * (low + high) / 2


def _paint(
    image: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, colors: np.ndarray, corner: np.ndarray,
    rotation: np.ndarray, scale: float, shift: np.ndarray,
) -> float:  # fmt: skip
    """Draw a mask onto the part of the picture that begins at a corner, in place; return how many pixels it covers."""
    height, width = (side * _FINE for side in image.shape[:2])
    t = template()
    face = _on_picture(0.985 * t.vertices, rotation, scale, shift)
    depth = np.full((height, width), -np.inf, np.float32)
    ones = np.ones((len(face), 1), np.float32)
    sim3dr.rasterize(_enlarged(face, corner), t.triangles["skin"], ones, height=height, width=width, depth=depth)
    layered = np.concatenate([colors, np.ones((len(colors), 1))], 1).astype(np.float32)
    drawn = sim3dr.rasterize(_enlarged(vertices, corner), triangles, layered, height=height, width=width, depth=depth)
    small = cv2.resize(drawn, image.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = small[..., 3:] / 255
    image[:] = np.clip(image * (1 - alpha) + small[..., :3] + 0.5, 0, 255).astype(np.uint8)
    return float(alpha.sum())


def _enlarged(vertices: np.ndarray, corner: np.ndarray) -> np.ndarray:
    moved = vertices.copy()
    moved[:, :2] = (vertices[:, :2] - corner) * _FINE - 0.5
    return moved


def _on_picture(points: np.ndarray, rotation: np.ndarray, scale: float, shift: np.ndarray) -> np.ndarray:
    projected = _projected(points, rotation)
    projected[:, :2] = projected[:, :2] * scale + shift
    return projected.astype(np.float32)


def _projected(points: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return (N, 3): x and y projected on the plane through the head's origin, and nearness."""
    camera = points @ np.asarray(rotation, np.float64).T
    nearness = DISTANCE / (DISTANCE + camera[:, 2:])
    return np.concatenate([camera[:, :2] * nearness, nearness], 1)


@cache
def _mean_landmarks() -> np.ndarray:
    return five_landmarks(template().vertices)


def _brightness(image: np.ndarray, box: np.ndarray) -> float:
    """Return the brightness of a mask that is lit like the head."""
    x, y, w, h = box
    left, top = max(int(x), 0), max(int(y), 0)
    part = image[top : max(int(y + h), top + 1), left : max(int(x + w), left + 1)]
    return float(np.clip(part.mean() / 110, 0.35, 1.15)) if part.size else 1.0


def _mask_of_kind(kind: str, rng: np.random.Generator) -> Mesh:
    def pattern(vertices: np.ndarray) -> np.ndarray:
        return _pattern(TEXTURES[rng.integers(len(TEXTURES))], vertices, rng)

    return mask_of_kind(kind, rng, partial(_color, rng), pattern)


def _random_mask(rng: np.random.Generator) -> Mesh:
    """Return a colored mask of a random shape, in head axes."""
    name = list(SHAPES)[rng.integers(len(SHAPES))]
    bare = cover(name, pleated=name in PLEATED and rng.random() < PLEATED[name])
    color, second = (_color(rng) for _ in range(2))
    pattern = _pattern(TEXTURES[rng.integers(len(TEXTURES))], bare.vertices, rng)[:, None]
    albedo = bare.albedo * (color + pattern * (second - color))
    mesh = Mesh(bare.vertices, bare.triangles, np.clip(albedo, 0, 1).astype(np.float32), 0.0)
    if name not in STRAPS or rng.random() < 0.3:
        return mesh
    bands = straps(name, 0.016)
    white = np.full((len(bands.vertices), 3), rng.uniform(0.5, 0.95), np.float32)
    return join([mesh, Mesh(bands.vertices, bands.triangles, white, 0.0)])


def _color(rng: np.random.Generator) -> np.ndarray:
    return np.array(COLORS[rng.integers(len(COLORS))]) if rng.random() < 0.6 else rng.uniform(0.05, 0.95, 3)


def _pattern(texture: str, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the share (N,) of the second color, in [0, 1]."""
    around, height = np.arctan2(v[:, 0], v[:, 2]), v[:, 1]
    angle, frequency = rng.uniform(0, np.pi), rng.uniform(8, 22)
    first = np.sin(frequency * (np.cos(angle) * around + np.sin(angle) * height) + rng.uniform(0, 6))
    second = np.sin(frequency * (np.cos(angle) * height - np.sin(angle) * around) + rng.uniform(0, 6))
    if texture == "stripes":
        return (first > 0).astype(np.float64)
    if texture == "dots":
        return ((first > 0.5) & (second > 0.5)).astype(np.float64)
    if texture == "checks":
        return ((first > 0).astype(np.float64) + (second > 0)) / 2
    if texture == "patches":
        return smoothstep(np.sin(0.3 * frequency * around + 5 * first) + np.sin(0.4 * frequency * height), -0.4, 0.4)
    return np.zeros(len(v))
