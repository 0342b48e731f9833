"""An independent rasterizer of triangles, slow and in float64, and meshes to draw with it."""

import numpy as np


def weights_at(corners, x, y):
    """Barycentric weights (3, ...) of the points (x, y) in a triangle (3, 2), in float64."""
    (ax, ay), (bx, by), (cx, cy) = corners.astype(np.float64)
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    if area == 0:
        return np.full((3, *np.shape(x)), -1.0)
    at_a = (cx - bx) * (y - by) - (cy - by) * (x - bx)
    at_b = (ax - cx) * (y - cy) - (ay - cy) * (x - cx)
    at_c = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    return np.stack([at_a, at_b, at_c]) / area


def slow_visible(vertices, triangles, height, width, samples=1, cull=False, depth=None):
    """What is seen in each of samples x samples points of each pixel: index (h, w), weights (3, h, w), depth (h, w).

    Vertices must lie on the 1/256 pixel grid with coordinates below 128. The top-left rule in its other form: a sample
    on an edge counts where the point just right of it, and by far less below it, lies inside. The nudges are so small
    that they decide nothing else, and so large that float64 holds them.
    """
    y, x = (np.mgrid[: height * samples, : width * samples] + 0.5) / samples - 0.5
    depth = np.full(x.shape, -np.inf) if depth is None else depth.astype(np.float64)
    index, weights = np.full(x.shape, -1), np.zeros((3, *x.shape))
    for number, triangle in enumerate(triangles):
        corners = vertices[triangle]
        (ax, ay), (bx, by), (cx, cy) = corners[:, :2].astype(np.float64)
        if cull and (bx - ax) * (cy - ay) - (cx - ax) * (by - ay) < 0:
            continue
        covered = (weights_at(corners[:, :2], x + 2.0**-22, y + 2.0**-46) > 0).all(0)
        here = weights_at(corners[:, :2], x, y)
        z = np.tensordot(corners[:, 2].astype(np.float64), here, 1)
        seen = covered & (z > depth)
        depth[seen], index[seen], weights[:, seen] = z[seen], number, here[:, seen]
    return index, weights, depth


def interpolate(values, triangles, index, weights):
    """Values (N, C) of vertices at what is seen: (h, w, C)."""
    return np.einsum("khw,hwkc->hwc", weights, np.asarray(values, np.float64)[triangles][index])


def slow_rasterize(vertices, triangles, colors, image, depth):
    """Image (h, w, C) of levels that are not rounded, and depth (h, w)."""
    index, weights, depth = slow_visible(vertices, triangles, *depth.shape, depth=depth)
    levels = 255 * np.clip(interpolate(colors, triangles, index, weights), 0, 1)
    return np.where(index[..., None] >= 0, levels, image), depth


def nothing(height, width):
    return np.full((height, width), -np.inf, np.float32)


def random_mesh(rng, count, width, height, grid):
    """Triangles from tiny to larger than the image, with vertices on a grid of 1/grid pixel."""
    centers = rng.uniform(-0.2, 1.2, (count, 1, 2)) * (width, height)
    offsets = rng.normal(size=(count, 3, 2)) * rng.choice([0.6, 4, 25], (count, 1, 1))
    xy = np.clip(np.round((centers + offsets) * grid) / grid, -100, 120)
    vertices = np.concatenate([xy, rng.uniform(-50, 50, (count, 3, 1))], -1).reshape(-1, 3).astype(np.float32)
    return vertices, np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


def tiled_rectangle(rng, columns, rows, width, height, grid=None):
    """A mesh that tiles the rectangle with corners (0, 0) and (width, height), its inner vertices jittered."""
    y, x = np.meshgrid(np.linspace(0, height, rows + 1), np.linspace(0, width, columns + 1), indexing="ij")
    jitter = rng.uniform(-0.2, 0.2, (2, rows + 1, columns + 1))
    x[:, 1:-1] += jitter[0, :, 1:-1] * width / columns
    y[1:-1] += jitter[1, 1:-1] * height / rows
    if grid:
        x, y = np.round(x * grid) / grid, np.round(y * grid) / grid
    vertices = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3).astype(np.float32)
    a = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).reshape(-1)
    b, c, d = a + 1, a + columns + 2, a + columns + 1
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    triangles[::2] = triangles[::2, ::-1]  # both senses of rotation
    return vertices, triangles.astype(np.int32)


def sphere(radius=40.0, center=(50.0, 50.0, 0.0), rings=40, sectors=60):
    """Normals point outward in the frame of the image."""
    polar = np.linspace(0, np.pi, rings + 1)[:, None]
    around = np.linspace(0, 2 * np.pi, sectors, endpoint=False)
    x, y, z = np.sin(polar) * np.cos(around), np.cos(polar) + 0 * around, np.sin(polar) * np.sin(around)
    directions = np.stack([x, y, z], -1).reshape(-1, 3)
    i, j = np.mgrid[:rings, :sectors].reshape(2, -1)
    a, b = i * sectors + j, i * sectors + (j + 1) % sectors
    triangles = np.concatenate([np.stack([a, b, b + sectors], 1), np.stack([a, b + sectors, a + sectors], 1)])
    return (radius * directions + center).astype(np.float32), triangles.astype(np.int32)


SQUARE = np.float32([[2, 2, 1], [8, 2, 1], [8, 8, 1], [2, 8, 1]])
SQUARE_TRIANGLES = np.int32([[0, 1, 2], [0, 2, 3]])
WHITE = np.ones((4, 3), np.float32)
