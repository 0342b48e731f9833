"""Milliseconds to light and draw a head of 105,694 triangles, against Sim3DR's: medians.

OMP_NUM_THREADS=1 python benchmarks/render.py [--threads 1 2]
"""

import argparse
import heapq
import statistics
import time

import numpy as np

import sim3dr

TRIANGLES = 105_694
RUNS = 60
# Width of the head, size of the image, and the milliseconds of Sim3DR (Cython, 2020) for normals, lighting and
# rasterizing a mesh of 53,149 vertices and 105,694 triangles, on one core of a 2-core machine
SIZES = ((180, (224, 224), 24.6), (400, (720, 1280), 31.0), (800, (1080, 1920), 48.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    threads = parser.parse_args().threads
    vertices, triangles = fine_head()
    print(f"{len(vertices):,} vertices, {len(triangles):,} triangles\n")
    print("| head | image | Sim3DR |" + "".join(f" {n} thread{'s' * (n > 1)} | ratio |" for n in threads))
    print("| --- | --- | ---: |" + " ---: | ---: |" * len(threads))
    for width, (rows, columns), before in SIZES:
        placed = on_screen(vertices, width, rows, columns)
        image = np.zeros((rows, columns, 3), np.uint8)
        row = f"| {width} px | {columns}x{rows} | {before:.1f} |"
        for n in threads:
            now = milliseconds(placed, triangles, image, n)
            row += f" {now:.2f} | {before / now:.1f} |"
        print(row)


def fine_head() -> tuple[np.ndarray, np.ndarray]:
    """The built-in head, its longest edges halved until there are as many triangles; clockwise on screen.

    That makes triangles of about one size and shape, as scanned heads have them. Neighbors stay neighbors in memory.
    """
    head = sim3dr.default_head()
    vertices, triangles = list(np.asarray(head.vertices, np.float64)), np.asarray(head.triangles).tolist()
    parents = list(range(len(triangles)))
    around: dict[tuple[int, int], list[int]] = {}
    queue: list[tuple[float, tuple[int, int]]] = []

    def add(t: int) -> None:
        for k in range(3):
            edge = tuple(sorted((triangles[t][k], triangles[t][k - 1])))
            if edge not in around:
                around[edge] = []
                heapq.heappush(queue, (-float(np.sum((vertices[edge[0]] - vertices[edge[1]]) ** 2)), edge))
            around[edge].append(t)

    for t in range(len(triangles)):
        add(t)
    while len(triangles) < TRIANGLES:
        edge = heapq.heappop(queue)[1]
        vertices.append((vertices[edge[0]] + vertices[edge[1]]) / 2)
        for t in around.pop(edge):
            corners = triangles[t]
            for k in range(3):
                other = tuple(sorted((corners[k], corners[k - 1])))
                if other != edge:
                    around[other].remove(t)
            halves = [[len(vertices) - 1 if c == end else c for c in corners] for end in edge]
            triangles[t] = halves[0]
            triangles.append(halves[1])
            parents.append(parents[t])
            add(t)
            add(len(triangles) - 1)
    order = np.argsort(parents, kind="stable")
    triangles = np.array(triangles)[order]
    used, first, inverse = np.unique(triangles, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    triangles = rank[inverse].reshape(-1, 3)
    vertices = np.array(vertices)[used[np.argsort(first)]]
    return vertices, np.ascontiguousarray(triangles[:, ::-1], np.int32)


def on_screen(vertices: np.ndarray, width: int, rows: int, columns: int) -> np.ndarray:
    """The head upright in the middle of the image, `width` pixels wide."""
    flipped = vertices * [1, -1, 1]
    centerd = flipped - (flipped.min(0) + flipped.max(0)) / 2
    return (centerd * (width / np.ptp(centerd[:, 0])) + [columns / 2, rows / 2, 0]).astype(np.float32)


def milliseconds(vertices: np.ndarray, triangles: np.ndarray, image: np.ndarray, threads: int) -> float:
    """Median of a call that computes normals and light and draws, the copy of the background included."""
    light = sim3dr.RenderPipeline()
    mesh = sim3dr.Mesh(vertices, triangles)
    times = []
    for _ in range(RUNS + 5):
        start = time.perf_counter()
        sim3dr.draw(image, [mesh], light, threads=threads)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[5:])


if __name__ == "__main__":
    main()
