"""Simple meshes: ellipsoids, tubes, discs. Triangles run counter-clockwise seen from outside."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial import KDTree

from semiuhpe.synthetic.anatomy import HeadBasis

NEIGHBORS = 24  # vertices of the head that a bound vertex moves with
BINDING_WIDTH = 0.12  # beyond the distance of the nearest of them, at which the weight of others has fallen to 1/e


def grid_triangles(rows: int, columns: int, closed: bool = True) -> np.ndarray:
    """Return triangles (M, 3) of a grid with vertices numbered row by row; ``closed`` joins last and first column.

    Seen from outside (columns to the right, rows upward) the triangles run counter-clockwise.
    """
    c = np.arange(columns if closed else columns - 1)
    a = (np.arange(rows - 1)[:, None] * columns + c).ravel()
    b = (np.arange(rows - 1)[:, None] * columns + (c + 1) % columns).ravel()
    return np.concatenate([np.stack([a, b, b + columns], 1), np.stack([a, b + columns, a + columns], 1)]).astype(
        np.int32
    )


@dataclass(frozen=True)
class Mesh:
    """Vertices (N, 3) float32, triangles (M, 3) int32, linear albedo (N, 3), and the strength of the highlight."""

    vertices: np.ndarray
    triangles: np.ndarray
    albedo: np.ndarray
    gloss: float = 0.1


@dataclass(frozen=True)
class Wearable:
    """A mesh on the mean head that moves with identity, so it fits every head."""

    mesh: Mesh
    modes: np.ndarray  # (K, N * 3)

    def on(self, coefficients: np.ndarray, albedo: np.ndarray) -> Mesh:
        """Return the mesh fitted to an identity and painted with ``albedo`` (3,) or (N, 3)."""
        v = self.mesh.vertices + (coefficients @ self.modes).reshape(-1, 3)
        return Mesh(v, self.mesh.triangles, np.broadcast_to(albedo, v.shape), self.mesh.gloss)


def wearable(mesh: Mesh, anchors: np.ndarray | None = None) -> Wearable:
    """Make a mesh that is modeled on the mean head fit all heads.

    Args:
        mesh: the mesh on the mean head.
        anchors: (N, 3) points that its vertices move with, where they stand far off the head; else the vertices.
    """
    return Wearable(mesh, bound_to_head(mesh.vertices if anchors is None else anchors))


def bound_to_head(vertices: np.ndarray) -> np.ndarray:
    """Return modes (K, N * 3) of ``vertices`` (N, 3) around the mean head: they move like the head nearby."""
    basis = HeadBasis.load()
    outside, tree = _outside()
    distance, near = tree.query(vertices, k=NEIGHBORS)
    weight = np.exp(-((distance - distance[:, :1]) / BINDING_WIDTH))
    weight = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    modes = np.zeros((len(basis.components), len(vertices), 3), np.float32)
    for k in range(NEIGHBORS):
        modes += weight[:, k, None] * basis.components[:, outside[near[:, k]]]
    return modes.reshape(len(modes), -1)


@cache
def _outside() -> tuple[np.ndarray, KDTree]:
    """Return the vertices of the head that can be seen from outside, and a tree of them."""
    basis = HeadBasis.load()
    names = ("skin", "lips", "lids", "scalp", "left ear", "right ear", "beard", "neck", "shoulders")
    outside = np.unique(np.concatenate([basis.regions[name] for name in names]))
    return outside, KDTree(basis.mean[outside])


def solid(vertices: np.ndarray, triangles: np.ndarray, color=(0.5, 0.5, 0.5), gloss: float = 0.1) -> Mesh:
    """Return a mesh of one color."""
    vertices = np.ascontiguousarray(vertices, np.float32)
    albedo = np.broadcast_to(np.asarray(color, np.float32), vertices.shape)
    return Mesh(vertices, np.ascontiguousarray(triangles, np.int32), albedo, gloss)


def join(meshes: list[Mesh]) -> Mesh:
    """Join meshes to one; the highlight is that of the first."""
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.triangles + np.int32(s) for m, s in zip(meshes, starts, strict=True)]),
        np.concatenate([m.albedo for m in meshes]),
        meshes[0].gloss,
    )


def mirrored(mesh: Mesh) -> Mesh:
    """Return the mesh on the other side of the head (x to -x)."""
    flipped = mesh.vertices * np.array([-1, 1, 1], np.float32)
    return Mesh(flipped, np.ascontiguousarray(mesh.triangles[:, ::-1]), mesh.albedo, mesh.gloss)


def ellipsoid(center, radii, rows: int = 8, columns: int = 12, color=(0.5, 0.5, 0.5), gloss: float = 0.1) -> Mesh:
    """Return an axis-aligned ellipsoid."""
    lat = np.linspace(-np.pi / 2, np.pi / 2, rows)[:, None]
    lon = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    unit = np.stack([np.cos(lat) * np.sin(lon), np.sin(lat) + 0 * lon, np.cos(lat) * np.cos(lon)], -1).reshape(-1, 3)
    vertices = unit * np.asarray(radii) + np.asarray(center)
    return solid(vertices, grid_triangles(rows, columns), color, gloss)


def tube(path, radii, spokes: int = 8, closed: bool = False, color=(0.5, 0.5, 0.5), gloss: float = 0.1) -> Mesh:
    """Return a tube around a polyline (n, 3) with a radius (n,) at each point; ``closed`` joins its two ends."""
    path = np.asarray(path, np.float64)
    radii = np.broadcast_to(np.asarray(radii, np.float64), len(path))
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    # the world axis that is least parallel to the path gives all rings the same "up"
    axis = np.eye(3)[np.argmin(np.abs(along).max(0))]
    side = np.cross(along, axis)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(along, side)
    angle = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    ring = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * up[:, None]
    vertices = (path[:, None] + radii[:, None, None] * ring).reshape(-1, 3)
    rows = len(path)
    if closed:
        wrapped = grid_triangles(rows + 1, spokes) % (rows * spokes)
        return solid(vertices, wrapped, color, gloss)
    return solid(vertices, grid_triangles(rows, spokes), color, gloss)


def fan(rim: np.ndarray, color=(0.5, 0.5, 0.5), gloss: float = 0.1) -> Mesh:
    """Return a flat plate inside a closed rim (n, 3)."""
    n = len(rim)
    i = np.arange(n)
    triangles = np.stack([np.full(n, n), i, (i + 1) % n], 1)
    return solid(np.concatenate([rim, rim.mean(0, keepdims=True)]), triangles, color, gloss)
