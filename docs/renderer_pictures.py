"""Makes the pictures of docs/sim3dr.md.

.venv/bin/python docs/renderer_pictures.py
"""

from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

import sim3dr
from semiuhpe.synthetic.backgrounds import wild_background

IMAGES = Path(__file__).parent / "images"
SIZE = 200
FRONTAL = np.diag([1.0, -1.0, -1.0])
LIGHT = sim3dr.RenderPipeline(0.25, 1, 0.6, 1, 0.35, 12, light_pos=(-4, -5, 6))


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    save("shading.png", shadings())
    save("edges.png", edges())
    save("buffers.png", buffers())
    save("textures.png", textures())
    save("heads.png", heads())


def shadings() -> np.ndarray:
    """Flat, Gouraud and Phong: white, and in the head's own colors."""
    coarse = sim3dr.default_head()
    rows = [[one_head(mesh, shading=s) for s in ("flat", "gouraud", "phong")] for mesh in (white(coarse), coarse)]
    return np.vstack([np.hstack(row) for row in rows])


def edges() -> np.ndarray:
    """Without and with anti-aliasing, enlarged, and half transparent."""
    mesh, part = sim3dr.default_head(), np.s_[10:70, 105:165]
    plain, smooth = one_head(mesh, antialias=False)[part], one_head(mesh)[part]
    large = [cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST) for image in (plain, smooth)]
    return np.hstack([*large, one_head(mesh, opacity=0.5)])


def buffers() -> np.ndarray:
    """Depth (nearer is lighter), triangles (a color for each), and what culling leaves of a mesh seen from inside."""
    vertices, mesh = placed(sim3dr.default_head())
    depth, index = np.full((SIZE, SIZE), -np.inf, np.float32), np.full((SIZE, SIZE), -1, np.int32)
    background = np.full((SIZE, SIZE, 3), 40, np.uint8)
    sim3dr.draw(background, [mesh], depth=depth, index=index)
    seen = index >= 0
    far, near = depth[seen].min(), depth[seen].max()
    of_depth, of_index = background.copy(), background.copy()
    of_depth[seen] = (60 + 195 * (depth[seen] - far) / (near - far))[:, None]
    of_index[seen] = np.random.default_rng(0).integers(60, 256, (len(mesh.triangles), 3))[index[seen]]
    halved = mesh.replace(triangles=mesh.triangles[vertices[mesh.triangles, 2].mean(1) < np.median(vertices[:, 2])])
    culled = sim3dr.draw(background, [halved], LIGHT, cull=True, antialias=True)
    return np.hstack([of_depth, of_index, culled])


def textures() -> np.ndarray:
    """A picture by UV on a plane in perspective, lit, and the same with linear interpolation, and on a head."""
    texture = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((16, 16)))[..., None] * [200, 120, 40] + [30, 90, 160]
    texture = np.clip(texture, 0, 255).astype(np.uint8)
    floor = np.float32([[-1, 0.7, 1.2], [1, 0.7, 1.2], [1, 0.7, 4], [-1, 0.7, 4]])
    plane = sim3dr.Mesh(
        sim3dr.project(floor, (SIZE, SIZE), focal=SIZE * 0.7, center=(SIZE / 2, SIZE * 0.25)),
        [[0, 2, 1], [0, 3, 2]],
        uv=[[0, 0], [1, 0], [1, 1], [0, 1]],
        texture=texture,
        unprojected=floor * [1, 1, -1],
    )
    background = np.full((SIZE, SIZE, 3), 40, np.uint8)
    planes = [sim3dr.draw(background, [m], antialias=True) for m in (plane, plane.replace(unprojected=None))]
    head = sim3dr.default_head()
    x, y, z = head.vertices.T
    around = np.stack([np.arctan2(x, z) / np.pi + 0.5, y / 2], 1)
    return np.hstack([*planes, one_head(head.replace(uv=around, texture=texture))])


def heads() -> np.ndarray:
    """Heads of known pose over boxes: opaque, nearer ones in front, and blended."""
    photograph = wild_background(280, np.random.default_rng(2))[:196]
    turns = Rotation.from_euler("yxz", [[35, 10, 0], [-50, 0, 15], [5, -25, -20], [160, 0, 0]], degrees=True)
    rotations = FRONTAL @ turns.as_matrix()
    boxes = [(28, 42, 84, 105), (91, 63, 70, 88), (154, 14, 63, 78), (210, 91, 56, 70)]
    return np.hstack([sim3dr.draw_heads(photograph, rotations, boxes, opacity=o) for o in (1.0, 0.55)])


def one_head(mesh: sim3dr.Mesh, opacity: float = 1.0, **options: object) -> np.ndarray:
    background = np.full((SIZE, SIZE, 3), 40, np.uint8)
    background[::20], background[:, ::20] = 70, 70
    return sim3dr.draw(background, [placed(mesh)[1].replace(opacity=opacity)], LIGHT, **{"antialias": True, **options})


def placed(mesh: sim3dr.Mesh) -> tuple[np.ndarray, sim3dr.Mesh]:
    """A head turned to the side, orthographic: vertices in the frame of the image, and the mesh of them."""
    rotation = FRONTAL @ Rotation.from_euler("y", 30, degrees=True).as_matrix()
    points = mesh.vertices @ rotation.T * [1, 1, -1] * 72 + [SIZE / 2, SIZE / 2 - 4, 0]
    return points, mesh.replace(vertices=points, triangles=mesh.triangles[:, ::-1])


def white(mesh: sim3dr.Mesh) -> sim3dr.Mesh:
    return mesh.replace(colors=None)


def save(name: str, image: np.ndarray) -> None:
    name = f"sim3dr_{name}"
    path = str(IMAGES / name)
    cv2.imwrite(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{name}: {(IMAGES / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
