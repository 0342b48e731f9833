"""What sitting people sit on: a stool, a bench, or a chair with a back."""

import numpy as np

from semiuhpe.synthetic.solids import Mesh, join, solid

_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
_SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
WIDTHS = ((0.6, 1.9), (0.4, 6.0))  # how often, and half of the width
BACK = 0.5  # how often there is one


def random_seat(top: float, floor: float, back: float, rng: np.random.Generator) -> Mesh:
    """Return a seat.

    Args:
        top, floor: heights of its surface and of the ground.
        back: where it ends behind, along z.
        rng: the only source of randomness.
    """
    half = WIDTHS[rng.choice(len(WIDTHS), p=[share for share, _ in WIDTHS])][1] * rng.uniform(0.85, 1.2)
    thin = rng.random() < 0.4
    height, depth = 0.5 if thin else top - floor, back + 1.9
    parts = [_box((0, top - height / 2, depth), (half, height / 2, 1.9))]
    if thin:
        parts += [
            _box((x * half * 0.85, (top + floor) / 2, depth + 1.5 * z), (0.15, (top - floor) / 2, 0.15))
            for x in (-1, 1)
            for z in (-1, 1)
        ]
    if rng.random() < BACK:
        parts.append(_box((0, top + 2.2, back - 0.2), (half, 2.2, 0.2)))
    mesh = join(parts)
    color = np.clip(rng.uniform(0.05, 0.7) + rng.normal(0, 0.06, 3), 0.03, 0.9).astype(np.float32) ** 2
    return Mesh(mesh.vertices, mesh.triangles, np.broadcast_to(color, mesh.vertices.shape), 0.05)


def _box(center: tuple[float, float, float], half: tuple[float, float, float]) -> Mesh:
    """Return a box whose sides have corners of their own, so that its edges are sharp."""
    corners = _CORNERS * np.array(half, np.float32) + np.array(center, np.float32)
    vertices = corners[np.array(_SIDES).ravel()]
    first = np.arange(0, 24, 4)[:, None]
    return solid(vertices, np.concatenate([first + np.array(corner) for corner in ((0, 1, 2), (0, 2, 3))]))
