"""Random people for tests of what heads wear, and what hides them."""

import numpy as np

from semiuhpe.synthetic.anatomy import HeadBasis
from semiuhpe.synthetic.expressions import random_expression
from semiuhpe.synthetic.head import template


def person(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of a random person, and the drawn vertices with a random expression."""
    basis, t, rng = HeadBasis.load(), template(), np.random.default_rng(seed)
    coefficients = basis.random_person(rng).coefficients
    vertices = t.shape(coefficients)
    vertices[t.part["body"]] += basis.express(random_expression(rng, gaze=0))[t.of_basis]
    return coefficients, vertices


def covered(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return whether a triangle lies straight before each point, seen along z."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    nearest = np.stack([a, b, c])[..., 2].max(0)
    found = []
    for x, y, z in points:
        u, v, w = (
            (q[:, 0] - p[:, 0]) * (y - p[:, 1]) - (q[:, 1] - p[:, 1]) * (x - p[:, 0])
            for p, q in ((a, b), (b, c), (c, a))
        )
        around = ((u >= 0) & (v >= 0) & (w >= 0)) | ((u <= 0) & (v <= 0) & (w <= 0))
        found.append(bool((around & (nearest > z)).any()))
    return np.array(found)
