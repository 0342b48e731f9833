"""Triangle meshes with fewer vertices: edges are collapsed onto one of their ends, the same on both sides of a body.

The error of a collapse is that of Garland and Heckbert ("Surface simplification using quadric error metrics", SIGGRAPH
1997): the squared distances to the planes of all triangles that were merged. As vertices stay where they are, whatever
is known of the remaining ones (shapes of people, weights of bones) needs no change.
"""

import heapq

import numpy as np

BEND = 0.02  # cost of an edge per unit of length between vertices that follow different bones
THIN = 0.12  # least ratio of height and longest side that a collapse may leave a triangle with
FLIPPED = 0.2  # least cosine between a triangle's normals before and after


def decimate(
    vertices: np.ndarray, triangles: np.ndarray, mirror: np.ndarray, weights: np.ndarray, care: np.ndarray,
    locked: np.ndarray, count: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return the vertices that are left, sorted, and the triangles between them, as indices of the given vertices.

    Args:
        vertices: (N, 3).
        triangles: (M, 3).
        mirror: (N,) the vertex on the other side, itself for those of the midline.
        weights: (N, B) of the bones; edges along which they differ are kept longer, so that joints can bend.
        care: (N,) factor of the error where a vertex goes.
        locked: (L,) vertices that must stay; those of open borders do anyway.
        count: about how many vertices to leave.
    """
    mesh = _Mesh(vertices, triangles, locked)
    side = vertices[:, 0] - vertices[mirror, 0]  # of the midline it is 0
    heap: list[tuple[float, int, int]] = []

    def offer(a: int) -> None:
        """Put the collapses of a vertex of the left side, or of the midline, into the heap."""
        for i in (a, *mesh.neighbors(a)):
            for j in mesh.neighbors(i):
                on_line = mirror[i] == i
                if side[i] < 0 or mesh.locked[i] or (on_line and mirror[j] != j) or side[j] < 0:
                    continue
                length = float(np.linalg.norm(vertices[i] - vertices[j]))
                bend = float(np.abs(weights[i] - weights[j]).sum())
                heapq.heappush(heap, (care[i] * mesh.error(i, j) + BEND * length * bend + 1e-4 * length**2, i, j))

    for vertex in np.unique(triangles):
        offer(int(vertex))
    left = len(np.unique(triangles))
    while heap and left > count:
        _, i, j = heapq.heappop(heap)
        pairs = [(i, j)] if mirror[i] == i else [(i, j), (int(mirror[i]), int(mirror[j]))]
        if not all(mesh.may_collapse(*pair) for pair in pairs):
            continue
        for pair in pairs:
            mesh.collapse(*pair)
            left -= 1
        offer(j)
    rest = np.array(sorted(mesh.triangles.values()))
    return np.unique(rest), rest


class _Mesh:
    """A mesh that edges are collapsed in."""

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray, locked: np.ndarray):
        self.vertices = vertices
        self.triangles = {number: tuple(corners) for number, corners in enumerate(triangles.tolist())}
        self.around: dict[int, set[int]] = {}
        edges: dict[tuple[int, int], int] = {}
        planes = np.zeros((len(vertices), 4, 4))
        for number, corners in self.triangles.items():
            p, q, r = vertices[list(corners)]
            normal = np.cross(q - p, r - p)
            area = np.linalg.norm(normal)
            plane = np.append(normal, -normal @ p) / max(area, 1e-12)
            for k in range(3):
                self.around.setdefault(corners[k], set()).add(number)
                planes[corners[k]] += area * np.outer(plane, plane)
                edge = tuple(sorted((corners[k], corners[k - 1])))
                edges[edge] = edges.get(edge, 0) + 1
        self._planes = planes
        self.locked = np.zeros(len(vertices), bool)
        self.locked[locked] = True
        self.locked[[vertex for edge, faces in edges.items() if faces == 1 for vertex in edge]] = True

    def neighbors(self, i: int) -> set[int]:
        return {corner for number in self.around.get(i, ()) for corner in self.triangles[number]} - {i}

    def error(self, i: int, j: int) -> float:
        point = np.append(self.vertices[j], 1)
        return float(point @ (self._planes[i] + self._planes[j]) @ point)

    def may_collapse(self, i: int, j: int) -> bool:
        """Whether ``i`` can be moved to ``j`` without a fold, a flipped triangle, or a very thin one."""
        if j not in self.neighbors(i) or len(self.neighbors(i) & self.neighbors(j)) != 2:
            return False
        for number in self.around[i]:
            corners = self.triangles[number]
            if j in corners:
                continue
            old = self.vertices[list(corners)]
            new = self.vertices[[j if corner == i else corner for corner in corners]]
            before, after = (np.cross(p[1] - p[0], p[2] - p[0]) for p in (old, new))
            sides = np.linalg.norm(new - np.roll(new, 1, 0), axis=1)
            lengths = np.linalg.norm(before), np.linalg.norm(after)
            if before @ after < FLIPPED * lengths[0] * lengths[1] or lengths[1] < THIN * sides.max() ** 2:
                return False
        return True

    def collapse(self, i: int, j: int) -> None:
        for number in list(self.around.pop(i)):
            corners = self.triangles[number]
            if j in corners:
                del self.triangles[number]
                for corner in set(corners) - {i}:
                    self.around[corner].discard(number)
            else:
                self.triangles[number] = tuple(j if corner == i else corner for corner in corners)
                self.around[j].add(number)
        self._planes[j] += self._planes[i]
