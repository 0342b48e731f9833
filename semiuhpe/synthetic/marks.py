"""The landmarks that annotators mark on a photograph, by which datasets crop heads.

300W-LP has all 68 of iBUG, also those that can't be seen. AFLW2000-3D's are the 21 of AFLW (Koestinger et al., ICCVW
2011), and those that are hidden are missing, often also ears under hair: then the box lacks the side of the head.
"""

from functools import cache

import numpy as np

import sim3dr
from semiuhpe.synthetic.head import template

FROM_BEHIND = 0.1  # a mark is hidden where its skin faces the camera by less than this (cosine)
EAR_FROM_BEHIND = -0.25  # ears stand out
EAR_FRONT = 0.75  # the mark of an ear is in the middle of its vertices from this quantile of depth on
UNMARKED_EAR = (0.08, 0.6)  # share of ears that lack a mark: free ones, and those that hair or a hat covers
_CHIN = 8
_AFLW = (17, 19, 21, 22, 24, 26, 36, 39, 42, 45, 31, 30, 35, 48, 57, 54, _CHIN)
"""Brows, eyes, nose, mouth and chin, of the 68; the middles of eyes and mouth lie between others. Its ears are not."""


@cache
def _marks() -> tuple[np.ndarray, np.ndarray]:
    """Return AFLW's marks as vertices (17,), and which way their skin faces on the mean head (17, 3)."""
    t = template()
    vertices = t.landmarks[list(_AFLW)]
    normals = sim3dr.vertex_normals(t.vertices, t.triangles["skin"])[vertices]
    normals[_AFLW.index(_CHIN)] = (0, 0, 1)  # its skin faces the ground, but it is marked wherever the face is seen
    return vertices, normals


@cache
def _ear(side: str) -> np.ndarray:
    """Return the vertices of the front of an ear."""
    t = template()
    ear = t.region(f"{side} ear")
    depth = t.vertices[ear, 2]
    return ear[depth > np.quantile(depth, EAR_FRONT)]


def all_marks(placed: np.ndarray) -> np.ndarray:
    """Return the 68 landmarks (2, 68) of placed vertices (N, 3), on the image plane."""
    return placed[template().landmarks, :2].T


def visible_marks(placed: np.ndarray, rotation: np.ndarray, covered_ears: bool, rng: np.random.Generator) -> np.ndarray:
    """Return AFLW's landmarks (2, n) that can be seen; all 68 if none can.

    Args:
        placed: (N, 3) vertices on the image plane.
        rotation: (3, 3), head to camera.
        covered_ears: whether hair or a hat covers the ears.
        rng: the only source of randomness: which ears are marked.
    """
    vertices, normals = _marks()
    to_camera = -rotation[2]  # in head axes
    points = [placed[vertices[normals @ to_camera > FROM_BEHIND], :2]]
    marked = rng.random(2) >= UNMARKED_EAR[covered_ears]
    for side, sign, shown in zip(("left", "right"), (1, -1), marked, strict=True):
        if shown and sign * to_camera[0] > EAR_FROM_BEHIND:
            points.append(placed[_ear(side), :2].mean(0, keepdims=True))
    seen = np.concatenate(points)
    return seen.T if len(seen) > 1 else all_marks(placed)
