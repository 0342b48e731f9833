"""Makes the head that comes with sim3dr, sim3dr/head.npz, of the mean synthetic head.

.venv/bin/python docs/make_head.py
"""

from pathlib import Path

import numpy as np

from semiuhpe.synthetic import figure
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.identity import HAIR_COLORS, IRIS_COLORS, LIP_TINT, SKIN_TONES, Identity
from semiuhpe.synthetic.modes import MODES

HEAD = Path(__file__).parents[1] / "sim3dr" / "head.npz"
LEAST_LIGHT = 0.45  # in the deepest hollows: ambient light is painted on, as the renderer knows no shadows
LEAST_GAIN = 0.05  # of its length, for an edge to be turned: where the grid is even it stays even
DECIMALS = 4  # of coordinates in units of 10 cm


def main() -> None:
    t = template()
    mesh, _ = figure.build(mean_identity(), None, seen_from_below=1.0)
    kept, triangles = np.unique(shorten_diagonals(mesh.vertices, mesh.triangles), return_inverse=True)
    hollows = LEAST_LIGHT + (1 - LEAST_LIGHT) * t.occlusion
    colors = np.sqrt(np.clip(mesh.albedo * hollows[:, None], 0, 1))
    counts = np.zeros(len(mesh.vertices), bool)
    for part in ("skin", "left ear", "right ear"):
        counts[t.part[part]] = True
    np.savez_compressed(
        HEAD,
        vertices=np.round(mesh.vertices[kept], DECIMALS),
        triangles=triangles.reshape(-1, 3).astype(np.uint16),
        colors=np.round(colors[kept] * 255).astype(np.uint8),
        enclosed=np.flatnonzero(counts[kept]).astype(np.uint16),
    )
    print(f"{HEAD.name}: {len(kept)} vertices, {len(mesh.triangles)} triangles, {HEAD.stat().st_size} bytes")


def shorten_diagonals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles (M, 3) in which edges between two triangles are the shorter diagonal of their quadrilateral.

    The template's grid is cut along one diagonal everywhere, which leaves steps in slopes that run along the other.
    """
    triangles = triangles.astype(np.int64).copy()
    for _ in range(20):
        edges = np.stack([triangles, np.roll(triangles, -1, 1)], -1).reshape(-1, 2)  # 3 t + k: from corner k of t
        keys = np.sort(edges, 1) @ [len(vertices), 1]
        order = np.argsort(keys, kind="stable")
        same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
        first, second = order[same], order[same + 1]
        a, b = edges[first].T
        c = triangles[first // 3, (first + 2) % 3]
        d = triangles[second // 3, (second + 2) % 3]
        p, q, r, s = vertices[a], vertices[b], vertices[c], vertices[d]
        gain = np.linalg.norm(q - p, axis=1) - np.linalg.norm(s - r, axis=1)
        new_1, new_2 = np.cross(s - p, r - p), np.cross(r - q, s - q)
        old = np.cross(q - p, r - p) + np.cross(p - q, s - q)
        stays_flat = (np.sum(new_1 * old, 1) > 0) & (np.sum(new_2 * old, 1) > 0)
        pairs = np.flatnonzero(
            (edges[second, 0] == b) & (gain > LEAST_GAIN * np.linalg.norm(q - p, axis=1)) & stays_flat
        )
        pairs = pairs[np.argsort(-gain[pairs], kind="stable")]
        taken = np.zeros(len(triangles), bool)
        flipped = 0
        for i in pairs:
            t, u = first[i] // 3, second[i] // 3
            if taken[t] or taken[u]:
                continue
            taken[[t, u]] = True
            triangles[t], triangles[u] = (a[i], d[i], c[i]), (b[i], c[i], d[i])
            flipped += 1
        if not flipped:
            break
    return triangles


def mean_identity() -> Identity:
    skin = SKIN_TONES[2]
    return Identity(
        coefficients=np.zeros(len(MODES), np.float32),
        skin=skin,
        lips=skin * LIP_TINT,
        blush=0.2,
        hair=HAIR_COLORS[2],
        brow=HAIR_COLORS[2] * 0.6,
        brow_strength=0.9,
        iris=IRIS_COLORS[0],
        style="bald",
        strand=0,
        volume=1.0,
        parted_left=True,
        beard="none",
        eye_opening=0.8,
        gaze=np.zeros(2),
        neck_bend=np.zeros(3),
        clothes=skin,
        blotches=np.zeros(4, np.float32),
    )


if __name__ == "__main__":
    main()
