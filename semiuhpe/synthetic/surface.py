"""The mean head seen from a point inside: how far its outermost surface lies in each direction.

Head axes and units are those of :mod:`semiuhpe.synthetic.anatomy`. Hair, hats and masks are modeled with it.
"""

from functools import cache

import cv2
import numpy as np

import sim3dr
from semiuhpe.synthetic.anatomy import HeadBasis

_FACE_PX = 200  # of each face of the cube that the surface is projected onto
_NEAREST = 0.05  # vertices nearer to the origin's plane than this belong to another face of the cube
_UNKNOWN = 1.0  # radius where there is no surface
Point = tuple[float, float, float]
ORIGIN: Point = (0.0, 0.0, 0.0)
HEAD = ("skin", "lips", "brows", "lids", "left eye", "right eye", "scalp", "beard", "neck", "shoulders", "nostrils")
# Forward, right and up of the six faces
_CUBE = np.array(
    [
        ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
        ((0, 0, -1), (-1, 0, 0), (0, 1, 0)),
        ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
        ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
        ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
        ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    ],
    np.float32,
)


def cast_rays(directions: np.ndarray, center: Point = ORIGIN, regions: tuple[str, ...] = HEAD) -> np.ndarray:
    """Return the distance (...) from a point to regions of the mean head along unit ``directions`` (..., 3).

    Ears are left out. Where the regions are missing, the distance is that of the surroundings.
    """
    maps = _radius_maps(center, regions)
    flat = np.asarray(directions, np.float32).reshape(-1, 3)
    along = np.einsum("fij,nj->nfi", _CUBE, flat)  # forward, right and up on each face
    face = along[:, :, 0].argmax(1)
    forward, right, up = along[np.arange(len(flat)), face].T
    column = (right / forward + 1) / 2 * _FACE_PX - 0.5
    row = (up / forward + 1) / 2 * _FACE_PX - 0.5
    radius = np.empty(len(flat), np.float32)
    for number, radii in enumerate(maps):
        mine = np.flatnonzero(face == number)
        if len(mine):
            looked_up = cv2.remap(
                radii, column[mine, None], row[mine, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            radius[mine] = looked_up[:, 0]
    return radius.reshape(np.shape(directions)[:-1])


@cache
def _radius_maps(center: Point, regions: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    basis = HeadBasis.load()
    measured = np.zeros(len(basis.mean), bool)
    measured[np.concatenate([basis.regions[name] for name in regions])] = True
    measured[np.concatenate([basis.regions["left ear"], basis.regions["right ear"]])] = False
    triangles = basis.triangles[measured[basis.triangles].all(1)]
    vertices = basis.mean - np.array(center, np.float32)
    return tuple(_radii(vertices @ axes.T, triangles) for axes in _CUBE)


def _radii(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return radii (pixels, pixels) on the cube's face before ``vertices`` given as forward, right and up."""
    forward = vertices[:, :1]
    triangles = triangles[(forward[triangles, 0] > _NEAREST).all(1)]
    on_face = (vertices[:, 1:] / np.maximum(forward, _NEAREST) + 1) / 2 * _FACE_PX - 0.5
    nearness = 1 / np.maximum(forward, _NEAREST)  # linear on the face, as depth is not
    placed = np.concatenate([on_face, -nearness], 1).astype(np.float32)  # so the farthest surface stays
    depth = np.full((_FACE_PX, _FACE_PX), -np.inf, np.float32)
    blank = np.zeros((len(vertices), 1), np.float32)
    sim3dr.rasterize(placed, triangles, blank, height=_FACE_PX, width=_FACE_PX, depth=depth)
    grid = (np.arange(_FACE_PX, dtype=np.float32) + 0.5) / _FACE_PX * 2 - 1
    length = np.sqrt(1 + grid[None] ** 2 + grid[:, None] ** 2)
    known = np.isfinite(depth)
    radii = np.where(known, length / np.where(known, -depth, 1), 0).astype(np.float32)
    return _filled(radii, known)


def _filled(radii: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return radii with those of the surroundings where there is no surface, as where the ears were."""
    weight = known.astype(np.float32)
    total, weights = (cv2.GaussianBlur(array, (0, 0), _FACE_PX / 12) for array in (radii * weight, weight))
    surroundings = np.where(weights > 1e-4, total / np.maximum(weights, 1e-4), _UNKNOWN)
    return np.where(known, radii, surroundings).astype(np.float32)
