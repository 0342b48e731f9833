"""Heads placed over boxes, and meshes from files."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.sim3dr_reference import sphere

import sim3dr
from sim3dr import (
    Mesh,
    MeshError,
    RenderPipeline,
    default_head,
    draw,
    draw_heads,
    head_in_image,
    load_mesh,
    place_head,
    project,
)

FRONTAL = np.diag([1.0, -1.0, -1.0])
SIZE = (480, 640)


def rotations(count):
    return Rotation.random(count, rng=np.random.default_rng(0)).as_matrix()


def extent(mesh, points, **camera):
    """The box around the enclosed vertices in the picture."""
    seen = project(points, SIZE, **camera)[mesh.enclosed, :2] + 0.5
    return np.concatenate([seen.min(0), np.ptp(seen, 0)])


@pytest.mark.parametrize("camera", [{}, {"focal": 400.0, "center": (300, 260)}], ids=["default", "given"])
def test_heads_fill_their_boxes(camera):
    mesh = default_head()
    for rotation in rotations(12):
        wanted = extent(mesh, place_head(mesh, rotation, (400, 60, 120, 120), SIZE, **camera), **camera)
        box = extent(mesh, place_head(mesh, rotation, wanted, SIZE, **camera), **camera)
        np.testing.assert_allclose(box, wanted, atol=0.05)  # a box of the head's own shape is met on all sides


def test_boxes_of_another_shape_are_met_on_average():
    mesh = default_head()
    box = extent(mesh, place_head(mesh, FRONTAL, (200, 100, 100, 300), SIZE))
    np.testing.assert_allclose(box[:2] + box[2:] / 2, [250, 250], atol=8)
    assert 100 < box[2] < 300 and 100 < box[3] < 300


def test_place_head_turns_and_never_scales():
    mesh = default_head()
    for rotation in rotations(4):
        points = place_head(mesh, rotation, (300, 200, 90, 110), SIZE)
        turned = mesh.vertices @ rotation.T
        np.testing.assert_allclose(points - points.mean(0), turned - turned.mean(0), atol=1e-4)


def test_the_origin_of_the_mesh_does_not_matter():
    mesh = default_head()
    far = mesh.replace(vertices=mesh.vertices + np.float32([3, -50, 20]))
    for rotation in rotations(3):
        box = (100, 50, 200, 220)
        near = place_head(mesh, rotation, box, SIZE)
        np.testing.assert_allclose(place_head(far, rotation, box, SIZE), near, atol=1e-3)


def test_project_is_a_pinhole_camera():
    points = np.array([[0.5, -0.25, 2.0], [0, 0, 4.0], [1, 1, -1.0], [1, 1, 0]])
    seen = project(points, (100, 200), focal=80, center=(90, 40))
    np.testing.assert_allclose(seen[:2], [[90 + 20 - 0.5, 40 - 10 - 0.5, 0.5], [89.5, 39.5, 0.25]])
    assert np.isnan(seen[2:, 2]).all()
    np.testing.assert_allclose(project([[0, 0, 1.0], [1, 0, 1]], (100, 200))[:, 0], [99.5, 399.5])  # focal: w + h


def test_nearer_heads_are_in_front_whatever_their_order():
    boxes = np.array([[200, 150, 120, 150], [240, 120, 200, 250], [150, 200, 60, 75]], float)
    photograph = np.full((*SIZE, 3), 90, np.uint8)
    turns = rotations(3)
    image = draw_heads(photograph, turns, boxes)
    np.testing.assert_array_equal(draw_heads(photograph, turns[::-1], boxes[::-1]), image)
    alone = draw_heads(photograph, turns[1:2], boxes[1:2], antialias=False)
    many = draw_heads(photograph, turns, boxes, antialias=False)
    of_nearest = (alone != 90).any(-1)
    np.testing.assert_array_equal(many[of_nearest], alone[of_nearest])
    assert (many != alone).any()


def test_a_face_looks_where_its_rotation_says():
    """A cap on the face is seen from the front only, and to the side that the face is turned to."""
    vertices, triangles = sphere(1.0, (0, 0, 0))
    face = (vertices[:, 2:] > 0.5) * np.float32([1, 0, 0])
    mesh = Mesh(vertices, triangles, face, enclosed=np.arange(len(vertices)))
    turned = FRONTAL @ Rotation.from_euler("y", [[0], [60], [180]], degrees=True).as_matrix()
    seen = [draw_heads(np.zeros((100, 100, 3), np.uint8), [r], [(20, 20, 60, 60)], mesh)[..., 0] for r in turned]
    column = [np.average(np.arange(100), weights=(s > 0).sum(0)) if s.any() else None for s in seen]
    assert column[0] == pytest.approx(49.5, abs=0.5)
    assert column[1] > 60  # head y turns z to x, and head x is camera x in a frontal face
    assert column[2] is None


def test_no_heads_leave_the_photograph_as_it_is():
    photograph = np.full((20, 30, 3), 90, np.uint8)
    np.testing.assert_array_equal(draw_heads(photograph, [], []), photograph)


def test_a_head_in_the_image_is_an_ordinary_mesh():
    photograph, box = np.full((*SIZE, 3), 90, np.uint8), (200, 100, 90, 120)
    mesh = default_head().replace(opacity=0.5)
    placed = head_in_image(mesh, FRONTAL, box, SIZE)
    low, high = placed.vertices[placed.enclosed, :2].min(0), placed.vertices[placed.enclosed, :2].max(0)
    np.testing.assert_allclose((low + high) / 2 + 0.5, (245, 160), atol=8)
    drawn = draw(photograph, [placed], RenderPipeline(light_pos=(-4, -5, 6)), antialias=True)
    np.testing.assert_array_equal(drawn, draw_heads(photograph, [FRONTAL], [box], opacity=0.5))


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("rotation", {"rotation": np.eye(3) * 2}),
        ("reflection", {"rotation": np.diag([1, 1, -1.0])}),
        ("rotation", {"rotation": np.full((3, 3), np.nan)}),
        ("box", {"box": (0, 0, 0, 5)}),
        ("box", {"box": (0, 0, np.inf, 5)}),
        ("focal", {"focal": 0}),
        ("center", {"center": (1, 2, 3)}),
        ("extent", {"mesh": Mesh(np.zeros((3, 3)), [[0, 1, 2]])}),
    ],
)
def test_placements_that_cannot_be_are_errors(message, change):
    arguments = {"mesh": default_head(), "rotation": FRONTAL, "box": (10, 10, 50, 60), "size": SIZE}
    with pytest.raises(ValueError, match=message):
        place_head(**{**arguments, **change})


def test_there_must_be_a_box_for_each_rotation():
    with pytest.raises(ValueError, match="2 for 1"):
        draw_heads(np.zeros((9, 9, 3), np.uint8), [FRONTAL], [(0, 0, 5, 5), (0, 0, 6, 6)])
    with pytest.raises(ValueError, match="boxes"):
        draw_heads(np.zeros((9, 9, 3), np.uint8), [FRONTAL], [(0, 0, 5)])


def test_the_default_head_is_a_head():
    mesh = default_head()
    width, height, depth = np.ptp(mesh.vertices[mesh.enclosed], axis=0)
    assert 1.4 < width < 2.2 and 2.0 < height < 2.6 and 1.8 < depth < 2.4  # units of 10 cm
    assert np.abs(mesh.vertices[mesh.enclosed].mean(0)[0]) < 0.01  # symmetric
    p, q, r = np.moveaxis(mesh.vertices[mesh.triangles].astype(float), 1, 0)
    assert np.einsum("nk,nk->n", p, np.cross(q, r)).sum() > 0  # triangles turn counter-clockwise seen from outside
    nose = mesh.vertices[mesh.vertices[:, 2].argmax()]
    assert abs(nose[0]) < 0.1 and nose[2] > 1  # it looks along z
    assert not mesh.vertices.flags.writeable  # one copy serves all


# ---------------------------------------------------------------------------------------------------------------------
# Files

VERTICES = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
TRIANGLES = np.int32([[0, 1, 2], [0, 2, 3]])


def test_npz_files_hold_meshes(tmp_path):
    path = tmp_path / "mesh.npz"
    texture = np.zeros((2, 2, 3), np.uint8)
    colors = np.full((4, 3), 51, np.uint8)
    np.savez(path, vertices=VERTICES.astype(float), triangles=TRIANGLES.astype(np.uint16), colors=colors,
             uv=VERTICES[:, :2], texture=texture, enclosed=[0, 1], something_else=1)  # fmt: skip
    mesh = load_mesh(path)
    np.testing.assert_array_equal(mesh.vertices, VERTICES)
    np.testing.assert_array_equal(mesh.triangles, TRIANGLES)
    np.testing.assert_allclose(mesh.colors, 0.2)
    assert mesh.vertices.dtype == np.float32 and mesh.triangles.dtype == np.int32 and mesh.texture.shape == (2, 2, 3)
    assert mesh.enclosed.tolist() == [0, 1]


def test_obj_files_hold_meshes_with_colors(tmp_path):
    path = tmp_path / "mesh.OBJ"
    lines = [f"v {x} {y} {z} {x} 0 1" for x, y, z in VERTICES.tolist()] + ["f 1 2 3", "f 1 3 4"]
    path.write_text("\n".join(lines))
    mesh = load_mesh(path)
    np.testing.assert_array_equal(mesh.vertices[mesh.triangles], VERTICES[TRIANGLES])
    np.testing.assert_allclose(
        mesh.colors, np.stack([mesh.vertices[:, 0], 0 * mesh.vertices[:, 0], 1 + 0 * mesh.vertices[:, 0]], 1)
    )


def test_obj_files_hold_textures_and_seams(tmp_path):
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "skin.png")
    (tmp_path / "mesh.mtl").write_text("newmtl skin\nmap_Kd skin.png\n")
    places = [(0, 0), (1, 0), (1, 1), (0, 1), (0.5, 0.25)]
    lines = ["mtllib mesh.mtl", *(f"v {x} {y} {z}" for x, y, z in VERTICES.tolist())]
    lines += [f"vt {u} {v}" for u, v in places] + ["usemtl skin", "f 1/1 2/2 3/3", "f 1/5 3/3 4/4"]
    (tmp_path / "mesh.obj").write_text("\n".join(lines))
    mesh = load_mesh(tmp_path / "mesh.obj")
    np.testing.assert_array_equal(mesh.texture, picture)
    np.testing.assert_array_equal(mesh.vertices[mesh.triangles], VERTICES[TRIANGLES])
    np.testing.assert_allclose(mesh.uv[mesh.triangles], np.array(places)[[[0, 1, 2], [4, 2, 3]]])


def test_ply_files_hold_meshes(tmp_path):
    path = tmp_path / "mesh.ply"
    header = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    header += "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    rows = [" ".join(map(str, v)) for v in VERTICES.tolist()] + [
        f"3 {' '.join(map(str, t))}" for t in TRIANGLES.tolist()
    ]
    path.write_text(header + "\n".join(rows) + "\n")
    mesh = load_mesh(path)
    np.testing.assert_array_equal(mesh.vertices, VERTICES)
    np.testing.assert_array_equal(mesh.triangles, TRIANGLES)
    assert mesh.colors is None and mesh.uv is None


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("triangles", {"triangles": None}),
        ("vertices", {"vertices": np.full((4, 3), np.nan)}),
        ("vertices", {"vertices": VERTICES[:, :2]}),
        ("triangles", {"triangles": np.zeros((0, 3), int)}),
        ("from 0 to 4", {"triangles": [[0, 1, 4]]}),
        ("32 bits", {"triangles": [[0, 1, 2**32]]}),
        ("colors", {"colors": np.ones((3, 3))}),
        ("texture", {"texture": np.zeros((2, 2, 3), np.uint8)}),
        ("enclosed", {"enclosed": [7]}),
        ("enclosed", {"enclosed": np.zeros(0, int)}),
        ("read", {"colors": np.array([object()])}),  # needs pickle
    ],
)
def test_files_without_a_mesh_are_named(tmp_path, message, change):
    path = tmp_path / "mesh.npz"
    given = {"vertices": VERTICES, "triangles": TRIANGLES, **change}
    np.savez(path, **{name: array for name, array in given.items() if array is not None})
    with pytest.raises(MeshError, match=f"mesh.npz.*{message}"):
        load_mesh(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.obj"):
        load_mesh(tmp_path / "nowhere.obj")
    for name, content in [("a.stl", b""), ("a.npz", b"PK garbage"), ("a.ply", b"ply\nformat"), ("a.obj", b"v 0 0 0\n")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MeshError, match=name):
            load_mesh(tmp_path / name)


def test_the_package_is_typed():
    folder = Path(sim3dr.__file__).parent
    assert (folder / "py.typed").is_file() and (folder / "_core.pyi").is_file()
