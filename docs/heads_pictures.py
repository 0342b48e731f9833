"""Draws the pictures of people in docs/heads.md and docs/onestage.md.

.venv/bin/python docs/heads_pictures.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

import sim3dr
from semiuhpe.synthetic.anatomy import HeadBasis
from semiuhpe.synthetic.expressions import random_expression
from semiuhpe.synthetic.render_scene import render_scene
from semiuhpe.synthetic.rotations import random_rotations

IMAGES = Path(__file__).parent / "images"
TILE, COLUMNS, ROWS = 200, 8, 3
SEED = 11
HEIGHT = 2.65  # of a tile, in units of 10 cm
YAWS = (0, 35, -70, 0, -20, 50, 10, -35)  # by column, in degrees
PITCHES = (0, 0, 0, -15, 10, 0, 15, -10)
BACKGROUND = 44
SKIN = (0.80, 0.65, 0.55)
COLORS = {
    "lips": (0.72, 0.48, 0.43),
    "brows": (0.50, 0.37, 0.29),
    "nostrils": (0.35, 0.20, 0.18),
    "mouth": (0.40, 0.18, 0.18),
    "tongue": (0.70, 0.38, 0.38),
    "teeth": (0.95, 0.93, 0.88),
    "left eye": (0.95, 0.95, 0.95),
    "right eye": (0.95, 0.95, 0.95),
}
IRIS = (0.16, 0.10, 0.07)
IRIS_DEPTH = 0.025  # how far behind the front of an eyeball
SCENES = ((101, 8), (83, 8), (0, 120), (118, 8), (105, 8), (86, 8), (42, 120), (117, 8))  # seed, and most heads
SCENE_PX = 300


def main() -> None:
    basis = HeadBasis.load()
    rng = np.random.default_rng(SEED)
    tiles = []
    for index in range(COLUMNS * ROWS):
        vertices = basis.shape(basis.random_shape(rng)) + basis.express(random_expression(rng, gaze=0))
        column = index % COLUMNS
        tiles.append(draw(basis, vertices, YAWS[column], PITCHES[column]))
    sheet = np.vstack([np.hstack(tiles[row * COLUMNS : (row + 1) * COLUMNS]) for row in range(ROWS)])
    Image.fromarray(sheet).save(IMAGES / "heads_people.jpg", quality=85)
    scenes = [
        render_scene(
            random_rotations(most, np.random.default_rng(seed)), np.random.default_rng(seed), size=SCENE_PX, bodies=1.0
        ).image
        for seed, most in SCENES
    ]
    sheet = np.vstack([np.hstack(scenes[:4]), np.hstack(scenes[4:])])
    Image.fromarray(sheet).save(IMAGES / "scenes_people.jpg", quality=80)


def draw(basis: HeadBasis, vertices: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Return a picture of a head that is turned to the viewer's right by the yaw and up by the pitch, in degrees."""
    a, b = np.radians([yaw, -pitch])
    turn = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turn = turn @ np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    middle = np.array([0, -0.05, 0.1])
    x, y, z = turn @ (vertices - middle).T * (TILE / HEIGHT)
    mesh = sim3dr.Mesh(
        np.stack([TILE / 2 + x, TILE / 2 - y, z], 1).astype(np.float32),
        np.ascontiguousarray(basis.triangles[:, ::-1]),
        colors=colors(basis),
    )
    light = sim3dr.RenderPipeline(intensity_ambient=0.35, intensity_directional=0.65, light_pos=(-3, -4, 6))
    return sim3dr.draw(np.full((TILE, TILE, 3), BACKGROUND, np.uint8), [mesh], light, shading="phong", antialias=True)


def colors(basis: HeadBasis) -> np.ndarray:
    result = np.full((len(basis.mean), 3), SKIN, np.float32)
    for name, color in COLORS.items():
        result[basis.regions[name]] = color
    for side in ("left", "right"):
        eye = basis.regions[f"{side} eye"]
        depth = basis.mean[eye, 2].max() - basis.mean[eye, 2]
        result[eye[depth < IRIS_DEPTH]] = IRIS
    return result


if __name__ == "__main__":
    main()
