"""Makes the head that comes with sim3dr, sim3dr/head.npz, of the mean of people's heads.

.venv/bin/python docs/make_head.py
"""

from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import KDTree

import sim3dr
from semiuhpe.synthetic import figure
from semiuhpe.synthetic.anatomy import HeadBasis, Person
from semiuhpe.synthetic.head import EYES, head_vertices, template
from semiuhpe.synthetic.identity import DARK_HAIR, DARK_IRIS, LIP_TINT, SKIN_TONES, Identity
from semiuhpe.synthetic.skin import atlas

HEAD = Path(__file__).parents[1] / "sim3dr" / "head.npz"
LEAST_LIGHT = 0.45  # in the deepest hollows: ambient light is painted on, as the renderer knows no shadows
LONGEST_EDGE = 0.045  # of the face: longer ones are divided, so that colors of vertices show brows and lips
FACE = 0.35  # depth z from which on skin belongs to the face
BLUR = 0.9  # texels: colors of vertices are those of their surroundings
ROUNDNESS = 0.75  # how far new vertices leave the flat triangles (Boubekeur and Alexa, "Phong Tessellation", 2008)
DECIMALS = 4  # of coordinates in units of 10 cm


def main() -> None:
    t = template()
    person = figure.build(mean_identity(), None, seen_from_below=1.0)
    texture = t.texture
    vertices, normals = person.vertices, sim3dr.vertex_normals(person.vertices, person.triangles[:, ::-1])
    hollows = LEAST_LIGHT + (1 - LEAST_LIGHT) * person.occlusion
    # The skin with its vertices as the texture has them, so that divided edges can look colors up
    of = texture.vertex
    places, uv, shade, triangles = divided(
        vertices[of], atlas().uv, normals[of], hollows[of, None], texture.triangles[:, ::-1]
    )
    colors = looked_up(cv2.GaussianBlur(person.texture, (0, 0), BLUR), uv) * np.sqrt(shade)
    parts = [(places, triangles, colors)]
    for name in EYES:
        part = t.part[name]
        own = np.sqrt(person.albedo[part]) * np.sqrt(hollows[part, None])
        parts.append((vertices[part], t.triangles[name] - part.start, own))
    joined, all_triangles, all_colors = merged(parts)
    counts = np.isin(nearest(joined, vertices), head_vertices())
    np.savez_compressed(
        HEAD,
        vertices=np.round(joined, DECIMALS),
        triangles=all_triangles.astype(np.uint16),
        colors=np.round(np.clip(all_colors, 0, 1) * 255).astype(np.uint8),
        enclosed=np.flatnonzero(counts).astype(np.uint16),
    )
    print(f"{HEAD.name}: {len(joined)} vertices, {len(all_triangles)} triangles, {HEAD.stat().st_size} bytes")


def divided(places, uv, normals, shade, triangles):
    """The skin with every long edge of the face divided in two, until none is left; vertices on seams stay double.

    An edge on a seam is divided on both sides, as whether it is long depends on its places alone.
    """
    while True:
        edges = np.stack([triangles, np.roll(triangles, -1, 1)], -1)  # (M, 3, 2)
        length = np.linalg.norm(places[edges[..., 0]] - places[edges[..., 1]], axis=-1)
        long = (length > LONGEST_EDGE) & (places[edges][..., 2].min(-1) > FACE)
        if not long.any():
            return places, uv, shade, triangles
        pairs, index = np.unique(np.sort(edges[long], 1), axis=0, return_inverse=True)
        middle = np.full(long.shape, -1)
        middle[long] = len(places) + index.ravel()
        a, b = pairs.T
        flat = (places[a] + places[b]) / 2
        raised = [flat - ((flat - places[k]) * normals[k]).sum(1, keepdims=True) * normals[k] for k in (a, b)]
        places = np.concatenate([places, flat + ROUNDNESS * (sum(raised) / 2 - flat)])
        between = normals[a] + normals[b]
        normals = np.concatenate([normals, between / np.linalg.norm(between, axis=1, keepdims=True)])
        uv, shade = (np.concatenate([array, (array[a] + array[b]) / 2]) for array in (uv, shade))
        triangles = np.concatenate([split(corners, halves) for corners, halves in zip(triangles, middle, strict=True)])


def split(corners: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """The parts of a triangle whose edges have these middles, -1 for an edge that stays whole."""
    known = middle >= 0
    if known.all():
        (a, b, c), (ab, bc, ca) = corners, middle
        return np.array([(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)])
    if not known.any():
        return corners[None]
    turn = int(np.argmax(known)) if known.sum() == 1 else int(np.argmin(known)) + 1
    (a, b, c), (ab, bc, _) = np.roll(corners, -turn), np.roll(middle, -turn)
    if known.sum() == 1:
        return np.array([(a, ab, c), (ab, b, c)])
    return np.array([(ab, b, bc), (a, ab, bc), (a, bc, c)])


def looked_up(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Colors (n, 3) of a texture, from 0 to 1."""
    height, width = texture.shape[:2]
    column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    return texture[row, column] / 255


def merged(parts: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One mesh of several, without vertices that no triangle has and without double ones, whose colors are averaged."""
    starts = np.cumsum([0] + [len(places) for places, _, _ in parts[:-1]])
    places = np.concatenate([part[0] for part in parts])
    triangles = np.concatenate([part[1] + start for part, start in zip(parts, starts, strict=True)])
    colors = np.concatenate([part[2] for part in parts])
    used = np.unique(triangles)
    unique, of = np.unique(np.round(places[used], DECIMALS), axis=0, return_inverse=True)
    number = np.full(len(places), -1)
    number[used] = of.ravel()
    total = np.zeros((len(unique), 4))
    np.add.at(total, of.ravel(), np.concatenate([colors[used], np.ones((len(used), 1))], 1))
    triangles = number[triangles]
    whole = (triangles != np.roll(triangles, 1, 1)).all(1)
    return unique, triangles[whole], total[:, :3] / total[:, 3:]


def nearest(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Indices of the nearest vertices."""
    return KDTree(vertices).query(points)[1]


def mean_identity() -> Identity:
    skin = SKIN_TONES[1]
    return Identity(
        person=Person(np.zeros(len(HeadBasis.load().components), np.float32), 30.0, 0.5, np.full(3, 1 / 3, np.float32)),
        expression={},
        skin=skin,
        oily=1.0,
        lips=skin * LIP_TINT,
        blush=0.25,
        freckles=0.0,
        wrinkles=0.0,
        eye_bags=0.2,
        eye_shadow=skin * 0.6,
        lash_color=skin * 0.12,
        eye_shadow_strength=0.3,
        lashes=0.7,
        hair=DARK_HAIR[2],
        brow=DARK_HAIR[2] * 0.7,
        brow_strength=0.8,
        brow_thickness=1.15,
        iris=DARK_IRIS[0],
        style="bald",
        strand=0,
        volume=1.0,
        parted_left=True,
        beard="none",
        beard_color=DARK_HAIR[2],
        clothes=skin,
        collar=(-1.46, 0.06),
        bare_shoulders=True,
        pattern=None,
    )


if __name__ == "__main__":
    main()
