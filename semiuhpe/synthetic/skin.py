"""The skin of a head as a texture: tone, lips, brows, lashes, blush, freckles, wrinkles, make-up, beards, hair roots.

The texture holds MakeHuman's charts of head and throat, cut out and placed side by side. Layers are soft masks
(:mod:`semiuhpe.synthetic.regions`), computed once per process at the point of the mean head that each texel shows; to
paint a head is to blend them. Colors are display values, the square roots of linear albedo.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

import sim3dr
from semiuhpe.synthetic import hair, regions
from semiuhpe.synthetic.head import SKIN_CHARTS, template
from semiuhpe.synthetic.identity import Identity

TEXELS = (340, 200)  # per unit of MakeHuman's texture, by chart: about two per pixel of a head of 112 px
_MARGIN = 3  # texels around a chart
FAINT = 0.004  # weights below this are left out
TEETH = np.array([0.88, 0.86, 0.80], np.float32)
TONGUE = np.array([0.72, 0.42, 0.40], np.float32)
GUMS = np.array([0.55, 0.24, 0.22], np.float32)

# mask, density of each kind of beard
BEARDS = {
    "stubble": ((regions.beard, 0.45),),
    "moustache": ((regions.moustache, 0.92),),
    "goatee": ((regions.goatee, 0.92), (regions.moustache, 0.85)),
    "full": ((regions.beard, 0.93),),
    "long": ((regions.beard, 0.95),),
}


@dataclass(frozen=True)
class Layer:
    """A soft mask of the texture, cut to where it is not zero."""

    rows: slice
    columns: slice
    weight: np.ndarray  # (h, w, 1)

    def blend(self, texture: np.ndarray, color: np.ndarray, strength: float | np.ndarray = 1.0) -> None:
        """Blend a color (3,) over a texture, in place; ``strength`` may be an array (H, W, 1) of the whole texture."""
        part = texture[self.rows, self.columns]
        if isinstance(strength, np.ndarray):
            strength = strength[self.rows, self.columns]
        part += (self.weight * strength) * (np.asarray(color, np.float32) - part)


@dataclass(frozen=True)
class Atlas:
    """Where the charts lie in the texture.

    Attributes:
        uv: (S, 2) place of each textured vertex of the template, from 0 to 1, as :class:`sim3dr.Mesh` takes it.
        points: (H, W, 3) the point of the mean head that each texel shows, or the nearest texel on a chart.
    """

    uv: np.ndarray
    points: np.ndarray


@cache
def atlas() -> Atlas:
    """Return the layout of the texture."""
    t = template()
    texel = np.zeros((len(t.texture.vertex), 2), np.float32)
    left, height = 0, 0
    for chart in range(SKIN_CHARTS):
        mine = t.texture.chart == chart
        placed = t.texture.uv[mine] * TEXELS[chart]
        placed = placed - placed.min(0) + _MARGIN
        texel[mine] = placed + np.array([left, 0])
        width, tall = np.ceil(placed.max(0) + _MARGIN).astype(int)
        left, height = left + width, max(height, tall)
    on_picture = np.column_stack([texel - 0.5, np.zeros(len(texel), np.float32)])
    index = np.full((height, left), -1, np.int32)
    blank = np.zeros((len(texel), 1), np.float32)
    sim3dr.rasterize(on_picture, t.texture.triangles, blank, height=height, width=left, index=index)
    points = interpolated(index, on_picture[:, :2], t.vertices[t.texture.vertex], t.texture.triangles)
    # sim3dr counts v from the lowest row
    uv = texel / (left, height)
    uv[:, 1] = 1 - uv[:, 1]
    return Atlas(np.ascontiguousarray(uv, np.float32), points)


def interpolated(index: np.ndarray, corners: np.ndarray, values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return values of vertices, interpolated in each pixel of a picture of triangle numbers, beyond it the nearest."""
    row, column = np.nonzero(index >= 0)
    triangle = triangles[index[row, column]]
    a, b, c = (corners[triangle[:, k]] for k in range(3))
    p = np.stack([column, row], 1) - a
    u, v = b - a, c - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    of_b = (p[:, 0] * v[:, 1] - p[:, 1] * v[:, 0]) / area
    of_c = (u[:, 0] * p[:, 1] - u[:, 1] * p[:, 0]) / area
    weights = np.stack([1 - of_b - of_c, of_b, of_c], 1)
    result = np.zeros((*index.shape, values.shape[1]), np.float32)
    result[row, column] = (weights[..., None] * values[triangle]).sum(1)
    outside = (index < 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    of_label = np.zeros((nearest.max() + 1, values.shape[1]), np.float32)
    of_label[nearest[row, column]] = result[row, column]
    return of_label[nearest]


@cache
def layer(mask: Callable[..., np.ndarray], *arguments: float | str) -> Layer:
    """Return a mask of :mod:`semiuhpe.synthetic.regions`, called with points and ``arguments``, over the texture."""
    points = atlas().points
    weight = np.asarray(mask(points.reshape(-1, 3), *arguments), np.float32).reshape(points.shape[:2])
    rows, columns = np.nonzero(weight > FAINT)
    if not len(rows):
        return Layer(slice(0), slice(0), np.zeros((0, 0, 1), np.float32))
    part = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    return Layer(*part, np.ascontiguousarray(weight[part][..., None]))


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Return smooth noise (H, W, 1) of deviation 1, with about ``cells`` cells along the texture's height."""
    height, width = atlas().points.shape[:2]
    grid = rng.standard_normal((cells, max(2, round(cells * width / height))))
    noise = cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return noise[..., None] / noise.std()


@cache
def _blotches(pattern: int) -> np.ndarray:
    """Return a factor (H, W, 3) of the tone: uneven redness, coarse and fine, and pores."""
    rng = np.random.default_rng(7300 + pattern)
    light = 0.018 * _noise(rng, 14) + 0.010 * _noise(rng, 45) + 0.014 * _noise(rng, 170)
    red = 0.018 * _noise(rng, 10) + 0.008 * _noise(rng, 40)
    return np.clip(1 + light + red * np.array([0.6, -0.6, -0.5], np.float32), 0.6, 1.4).astype(np.float32)


@cache
def _freckles(pattern: int) -> Layer:
    rng = np.random.default_rng(7350 + pattern)
    points = atlas().points
    spots = regions.smoothstep(_noise(rng, 110)[..., 0], 1.3, 2.2)
    weight = (spots * regions.freckle_area(points.reshape(-1, 3)).reshape(points.shape[:2]))[..., None]
    return Layer(slice(None), slice(None), weight.astype(np.float32))


@cache
def hairs(pattern: int) -> np.ndarray:
    """Return how densely hair covers the skin (H, W, 1), around 1: the grain of stubble, beards and brows."""
    return np.clip(1 + 0.35 * _noise(np.random.default_rng(7380 + pattern), 200), 0.2, 1.6).astype(np.float32)


def paint(identity: Identity) -> np.ndarray:
    """Return the texture of an identity's skin, uint8 (H, W, 3)."""
    tone = np.sqrt(identity.skin)
    grain: float | np.ndarray
    if identity.pattern is None:
        texture, grain = np.full(atlas().points.shape, tone, np.float32), 1.0
    else:
        texture, grain = _blotches(identity.pattern) * tone, hairs(identity.pattern % 4)
        _paint_complexion(texture, tone, identity, identity.pattern)
    _paint_hair(texture, tone, grain, identity)
    layer(regions.lips).blend(texture, np.sqrt(identity.lips), 0.9)
    layer(regions.mouth_line).blend(texture, np.sqrt(identity.lips) * 0.35, 0.7)
    layer(regions.nostrils).blend(texture, tone * 0.25, 0.85)
    if not identity.bare_shoulders:
        layer(regions.below_collar, *identity.collar).blend(texture, np.sqrt(identity.clothes))
    return np.clip(texture * 255, 0, 255).astype(np.uint8)


def _paint_complexion(texture: np.ndarray, tone: np.ndarray, identity: Identity, pattern: int) -> None:
    redder = tone * np.array([1.02, 0.82, 0.80], np.float32)
    layer(regions.blush).blend(texture, redder, identity.blush)
    layer(regions.ears).blend(texture, redder, 0.45)
    layer(regions.eye_bags).blend(texture, tone * np.array([0.80, 0.72, 0.74], np.float32), identity.eye_bags)
    if identity.freckles:
        brown = tone * np.array([0.74, 0.60, 0.52], np.float32)
        _freckles(pattern % 4).blend(texture, brown, identity.freckles)
    if identity.wrinkles:
        layer(regions.wrinkles).blend(texture, tone * np.array([0.66, 0.56, 0.54], np.float32), identity.wrinkles)
    layer(regions.eye_shadow).blend(texture, np.sqrt(identity.eye_shadow), identity.eye_shadow_strength)
    lash_color = np.sqrt(identity.lash_color)
    layer(regions.upper_lashes).blend(texture, lash_color, identity.lashes)
    layer(regions.lower_lashes).blend(texture, lash_color, 0.5 * identity.lashes)


def _paint_hair(texture: np.ndarray, tone: np.ndarray, grain: float | np.ndarray, identity: Identity) -> None:
    roots = 0.85 * np.sqrt(identity.hair) + 0.15 * tone
    layer(hair.scalp_shade, identity.style).blend(texture, roots, np.minimum(grain, 1))
    if identity.beard != "none":
        for mask, density in BEARDS[identity.beard]:
            layer(mask).blend(texture, np.sqrt(identity.beard_color), np.minimum(density * grain, 1))
    brow = layer(regions.brow, identity.brow_thickness)
    brow.blend(texture, np.sqrt(identity.brow), np.minimum(identity.brow_strength * grain, 1))
