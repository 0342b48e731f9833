"""A head mesh of the user's own, drawn by image.py and video.py in place of the one that comes with the package."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from support.checkpoints import save_plainnet
from support.errors import error_line, says
from support.videos import write_video

import sim3dr
from semiuhpe.cli import image as image_cli
from semiuhpe.cli import video as video_cli
from semiuhpe.cli.entry import run
from semiuhpe.drawing.overlay import MESH, draw_heads, load_head_mesh
from semiuhpe.video.source import open_source

BOX = [[20.0, 10, 60, 60]]
FRONTAL = np.diag([1.0, -1.0, -1.0])[None]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A picture, a video, the boxes of their heads, and a mesh: a thin plate that sticks out of the face, upwards."""
    monkeypatch.chdir(tmp_path)
    save_plainnet(Path("model.pth"))
    Image.new("RGB", (100, 80), (90, 90, 90)).save("photo.png")
    write_video(Path("clip.mp4"), 2)
    rows = ["image,x,y,w,h,frame", "photo.png,20,10,60,60,", "clip.mp4,20,10,40,40,0", "clip.mp4,20,10,40,40,1"]
    Path("boxes.csv").write_text("\n".join(rows))
    plate = trimesh.creation.box((0.05, 1.0, 1.0))
    plate.apply_translation((300.0, -20.0, 7.0))
    plate.export("plate.obj")
    np.savez("flat.npz", vertices=np.zeros((3, 3), np.float32), triangles=np.array([[0, 1, 2]]))
    Path("broken.ply").write_text("ply\nnothing")
    return tmp_path


def draw(command, *options) -> int:
    return run(command, ["model.pth", "--detector", "boxes:boxes.csv", "--draw", "mesh", *options])


def test_the_mesh_is_placed_on_the_box_whatever_its_unit_and_origin(folder):
    gray = np.full((80, 100, 3), 90, np.uint8)
    mesh = load_head_mesh("plate.obj")
    drawn = draw_heads(gray, BOX, FRONTAL, MESH, mesh=mesh)
    columns = np.flatnonzero((drawn != gray).any((0, 2)))
    plain = np.flatnonzero((draw_heads(gray, BOX, FRONTAL, MESH) != gray).any((0, 2)))
    assert abs(columns.mean() - 49.5) < 2 and abs(plain.mean() - 49.5) < 4
    assert len(columns) < 0.5 * len(plain)  # a plate seen edge on
    turned = draw_heads(gray, BOX, np.array([[[0.0, 0, 1], [0, -1, 0], [1, 0, 0]]]), MESH, mesh=mesh)
    seen = (turned != gray).any(2)
    assert seen.sum() == pytest.approx(60 * 60, rel=0.25)  # from the side it fills the box


def test_a_texture_is_kept(folder):
    vertices = np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.2]])
    texture = np.full((4, 4, 3), (10, 250, 10), np.uint8)
    uv = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]])
    np.savez("card.npz", vertices=vertices, triangles=np.array([[0, 1, 2], [0, 2, 3]]), uv=uv, texture=texture)
    drawn = draw_heads(np.zeros((80, 100, 3), np.uint8), BOX, FRONTAL, MESH, mesh=load_head_mesh("card.npz"))
    red, green, blue = drawn[40, 50].astype(int)
    assert green > 60 and green > 5 * red and green > 5 * blue


def test_image_py_and_video_py_draw_it(folder):
    assert draw(image_cli.main, "--input", "photo.png", "--output", "own", "--mesh", "plate.obj") == 0
    assert draw(image_cli.main, "--input", "photo.png", "--output", "shipped") == 0
    own, shipped = (np.asarray(Image.open(f"{name}/pictures/photo.png")) for name in ("own", "shipped"))
    assert (own != shipped).any() and (own != 90).any()
    assert draw(image_cli.main, "--input", "photo.png", "--output", "own") == 2  # not mixed with the shipped mesh's
    assert draw(video_cli.main, "--input", "clip.mp4", "--output", "own.mkv", "--mesh", "plate.obj") == 0
    assert draw(video_cli.main, "--input", "clip.mp4", "--output", "shipped.mkv") == 0
    first = [next(iter(open_source(f"{name}.mkv").frames)).image.astype(int) for name in ("own", "shipped")]
    assert np.abs(first[0] - first[1]).max() > 40


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        ("nowhere.obj", "--mesh nowhere.obj"),
        ("boxes.csv", "--mesh boxes.csv .npz, .obj, .ply"),
        ("broken.ply", "--mesh broken.ply"),
        ("flat.npz", "--mesh flat.npz"),
    ],
)
def test_a_mesh_that_cannot_be_drawn_is_refused_before_anything_is_done(folder, mesh, words, capsys):
    assert draw(image_cli.main, "--input", "photo.png", "--output", "out", "--mesh", mesh) == 2
    assert says(error_line(capsys.readouterr().err), words) and not Path("out").exists()
    assert draw(video_cli.main, "--input", "clip.mp4", "--mesh", mesh) == 2
    assert not Path("clip_heads.mp4").exists()


def test_the_shipped_mesh_loaded_as_the_users_own_is_drawn_alike(folder):
    head = sim3dr.default_head()
    arrays = {"vertices": 50 * head.vertices + np.float32([7, 8, 9]), "triangles": head.triangles}
    np.savez("head.npz", **arrays, colors=head.colors, enclosed=head.enclosed)
    gray = np.full((80, 100, 3), 90, np.uint8)
    own = draw_heads(gray, BOX, FRONTAL, MESH, mesh=load_head_mesh("head.npz")).astype(int)
    assert np.abs(own - draw_heads(gray, BOX, FRONTAL, MESH)).max() <= 12
