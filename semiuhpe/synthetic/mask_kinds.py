"""Kinds of face masks that are drawn onto pictures by name: KN95, N95, surgical, cloth and gas masks.

They are the kinds that MaskTheFace (Anwar and Raychowdhury, 2020) draws. Each has its shape, colors and straps; only
the color, and the pattern of cloth, is random.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from semiuhpe.synthetic.mask_shapes import cover, straps
from semiuhpe.synthetic.solids import Mesh, fan, join, mirrored, tube

Color = tuple[float, float, float]
WHITE, BLACK, BLUE, GREEN = (0.93, 0.93, 0.92), (0.06, 0.06, 0.07), (0.45, 0.68, 0.85), (0.5, 0.75, 0.7)
GRAY, RUBBER = (0.62, 0.64, 0.66), (0.16, 0.17, 0.19)
FILTERS = ((0.85, 0.35, 0.55), (0.90, 0.88, 0.82), (0.55, 0.56, 0.58))
_STRAP = 0.016
_FILTER_RADIUS, _SPOKES = 0.25, 14
_FILTER_AXIS = np.array([(0.40, -0.86, 0.92), (0.66, -0.92, 1.16)])
"""From the mask to the outer end of the filter on the subject's left."""


@dataclass(frozen=True)
class MaskKind:
    """A kind of mask.

    Attributes:
        shape: of :func:`semiuhpe.synthetic.mask_shapes.shape_of`.
        colors: that it has; empty if it may have any.
        pleated: whether it has folds across.
        patterned: whether it may have stripes, dots and the like.
        ears: whether it hangs at the ears by straps; the bands of others, around the head, are not drawn.
        parts: what is on it.
    """

    shape: str
    colors: tuple[Color, ...] = ()
    pleated: bool = False
    patterned: bool = False
    ears: bool = True
    parts: Callable[[np.random.Generator], list[Mesh]] | None = None


def _filters(rng: np.random.Generator) -> list[Mesh]:
    """Return a filter on each side, and a valve in the middle."""
    side = _canister(_FILTER_AXIS, _FILTER_RADIUS, FILTERS[rng.integers(len(FILTERS))])
    valve = _canister(np.array([(0, -0.80, 1.24), (0, -0.84, 1.42)]), 0.17, RUBBER)
    return [side, mirrored(side), valve]


def _canister(axis: np.ndarray, radius: float, color: Color) -> Mesh:
    body = tube(axis, radius, _SPOKES, color=color, gloss=0.1)
    rim = body.vertices.reshape(-1, _SPOKES, 3)[1]
    return join([body, fan(rim, color=tuple(0.7 * np.array(color)), gloss=0.1)])


KINDS = {
    "KN95": MaskKind("fold", (WHITE, WHITE, BLACK, GRAY)),
    "N95": MaskKind("cup", (WHITE, WHITE, BLUE, GREEN), ears=False),
    "surgical": MaskKind("surgical", (BLUE, BLUE, GREEN, WHITE, BLACK), pleated=True),
    "cloth": MaskKind("cloth", patterned=True),
    "gas": MaskKind("half face", (RUBBER, BLACK, GRAY), ears=False, parts=_filters),
}


@cache
def _bare(kind: str) -> Mesh:
    return cover(KINDS[kind].shape, KINDS[kind].pleated)


def mask_of_kind(
    kind: str, rng: np.random.Generator, color: Callable[[], np.ndarray], pattern: Callable[[np.ndarray], np.ndarray]
) -> Mesh:
    """Return a colored mask of a kind, in head axes.

    Args:
        kind: one of :data:`KINDS`.
        rng: of its color and its parts.
        color: draws any color.
        pattern: draws the share (N,) of a second color at points (N, 3).
    """
    chosen, bare = KINDS[kind], _bare(kind)
    first = np.array(chosen.colors[rng.integers(len(chosen.colors))]) if chosen.colors else color()
    albedo = bare.albedo * first
    if chosen.patterned:
        albedo = bare.albedo * (first + pattern(bare.vertices)[:, None] * (color() - first))
    meshes = [Mesh(bare.vertices, bare.triangles, np.clip(albedo, 0, 1).astype(np.float32), 0.0)]
    if chosen.ears:
        bands = straps(chosen.shape, _STRAP)
        meshes.append(Mesh(bands.vertices, bands.triangles, np.full_like(bands.vertices, rng.uniform(0.6, 0.95)), 0.0))
    return join([*meshes, *(chosen.parts(rng) if chosen.parts else [])])
