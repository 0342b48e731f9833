"""Whole people: a figure's bust with a body in random clothes and a random pose, as one mesh."""

from dataclasses import replace
from functools import cache

import numpy as np

import sim3dr
from semiuhpe.synthetic.body import BodyBasis, border_vertices, followed, posed
from semiuhpe.synthetic.clothing import Outfit, paint_body, panels, random_outfit, shorten_skirt, thickness
from semiuhpe.synthetic.figure import CLOTH_GLOSS, Figure, TexturedPart
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.identity import Identity
from semiuhpe.synthetic.poses import SITTING, Pose, random_pose
from semiuhpe.synthetic.posture import bend_neck
from semiuhpe.synthetic.regions import smoothstep
from semiuhpe.synthetic.seats import random_seat
from semiuhpe.synthetic.solids import Mesh

AMBIENT = 0.88  # share of the environment that a body's surface sees


def with_body(
    figure: Figure, identity: Identity, bend_deg: np.ndarray, longer_neck: float, rng: np.random.Generator
) -> tuple[Figure, list[Mesh]]:
    """Return a figure with a body instead of the garment over its shoulders, and what it sits on.

    Args:
        figure: of :func:`semiuhpe.synthetic.figure.build`, with all of its shoulders.
        identity: whose figure it is.
        bend_deg, longer_neck: how its shoulders stand to the head.
        rng: the only source of randomness: build, pose and clothes.
    """
    basis = BodyBasis.load()
    vertices, joints = basis.shape(identity.coefficients, rng.standard_normal(basis.build_numbers))
    pose = random_pose(vertices, joints, rng)
    outfit = random_outfit(identity, rng, pose.posture == SITTING)
    body = bodily(vertices, joints, pose, outfit, identity, bend_deg, longer_neck)
    seats = []
    if pose.posture == SITTING:
        seats.append(seat(vertices, joints, pose, bend_deg, longer_neck, rng))
    return joined(figure, body, outfit, identity), seats


def seat(
    vertices: np.ndarray, joints: np.ndarray, pose: Pose, bend_deg: np.ndarray, longer_neck: float,
    rng: np.random.Generator,
) -> Mesh:  # fmt: skip
    """Return a seat below someone who sits."""
    names = BodyBasis.load().names
    thigh, shin, foot = (joints[names.index(f"left {name}")] for name in ("thigh", "shin", "foot"))
    shank = float(np.linalg.norm(foot - shin))
    size = shank / 4.1  # compared with an adult
    back = float(vertices[:, 2].min()) - 0.35
    mesh = random_seat(thigh[1] - 0.95 * size, thigh[1] - shank - 0.8 * size, back, rng)
    moves = np.tile(np.arange(len(names)) == names.index("pelvis"), (len(mesh.vertices), 1)).astype(np.float32)
    v = posed(mesh.vertices, moves, *followed(names, joints, pose.turns))
    bend_neck(v, bend_deg, longer_neck, at_rest=np.minimum(mesh.vertices, np.float32(-4)))
    return replace(mesh, vertices=v)


def bodily(
    vertices: np.ndarray, joints: np.ndarray, pose: Pose, outfit: Outfit, identity: Identity, bend_deg: np.ndarray,
    longer_neck: float,
) -> np.ndarray:  # fmt: skip
    """Return the vertices (N, 3) of a body in its clothes and its pose, in head axes."""
    basis = BodyBasis.load()
    vertices = vertices.copy()
    shorten_skirt(vertices, outfit)
    normals = sim3dr.vertex_normals(vertices, np.concatenate([basis.triangles, basis.skirt]))
    dressed = vertices + thickness(outfit, identity.collar)[:, None] * normals
    v = posed(dressed, basis.weights, *followed(basis.names, joints, pose.turns))
    bend_neck(v, bend_deg, longer_neck, at_rest=vertices)
    return v


def joined(figure: Figure, body: np.ndarray, outfit: Outfit, identity: Identity) -> Figure:
    """Return a figure with the vertices (N, 3) of a body after its own; those of the border are the bust's."""
    t, layout = template(), panels()
    edge, count = border_vertices(), len(figure.vertices)
    number = np.concatenate([edge, count + np.arange(len(body) - len(edge))]).astype(np.int32)
    garment = t.part["garment"]
    of_garment = (figure.triangles >= garment.start).all(1) & (figure.triangles < garment.stop).all(1)
    shown = layout.triangles if outfit.skirt is None else np.concatenate([layout.triangles, layout.skirt])
    part = TexturedPart(number[layout.vertex], layout.uv, shown, paint_body(identity, outfit))
    albedo = np.tile(outfit.top, (len(body) - len(edge), 1))
    occlusion = np.concatenate([figure.occlusion, np.full(len(albedo), AMBIENT, np.float32)])
    occlusion[: len(t.vertices)] += _uncovered() * np.maximum(AMBIENT - figure.occlusion[: len(t.vertices)], 0)
    cloth = np.full(len(albedo), CLOTH_GLOSS, np.float32)
    return replace(
        figure,
        vertices=np.concatenate([figure.vertices, body[len(edge) :]]),
        triangles=np.concatenate([figure.triangles[~of_garment], part.vertex[shown]]),
        albedo=np.concatenate([figure.albedo, albedo]).astype(np.float32),
        gloss=np.concatenate([figure.gloss, cloth]),
        occlusion=occlusion,
        body=part,
    )


@cache
def _uncovered() -> np.ndarray:
    """Return which of the template's vertices (N,) lie below the edge of the garment that a body replaces."""
    t = template()
    weight = np.zeros(len(t.vertices), np.float32)
    weight[t.part["body"]] = smoothstep(t.vertices[t.part["body"], 1], -1.1, -1.4)
    return weight
