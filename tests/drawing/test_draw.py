"""Drawing: what is seen agrees with R, over all of SO(3), at any size and at the picture's border."""

import cv2
import numpy as np
import pytest

import sim3dr
from semiuhpe.drawing.axes import AXIS_COLORS, draw_axes, project_axes, project_cube
from semiuhpe.drawing.overlay import AXES, CUBE, DRAWINGS, MESH, NONE, UNKNOWN_COLOR, draw_heads, person_color
from semiuhpe.drawing.text import text_mask
from semiuhpe.errors import DataError
from semiuhpe.synthetic.rotations import random_rotations

FRONTAL = np.diag([1.0, -1.0, -1.0])
ROTATIONS = random_rotations(60, np.random.default_rng(0), "full")
WHITE = (255, 255, 255)


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def near(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """(N, 2) x and y of the pixels of a color."""
    return np.argwhere(np.abs(image.astype(int) - color).max(-1) < 25)[:, ::-1]


def angle_deg(first: np.ndarray, second: np.ndarray) -> float:
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


def test_projected_vectors_are_the_columns_of_the_rotation():
    for rotation in ROTATIONS:
        left, down, front = (project_axes(rotation, (7, 5), 2.0) - (7, 5)) / 2
        np.testing.assert_allclose(left, rotation[:2, 0], atol=1e-12)
        np.testing.assert_allclose(down, -rotation[:2, 1], atol=1e-12)
        np.testing.assert_allclose(front, rotation[:2, 2], atol=1e-12)
        corners = project_cube(rotation, (7, 5), 2.0)
        np.testing.assert_allclose(corners[:, :, 1].mean((0, 1)) - (7, 5), rotation[:2, 2], atol=1e-12)
        np.testing.assert_allclose(corners[:, 1].mean((0, 1)) - (7, 5), rotation[:2, 1], atol=1e-12)


def test_the_drawn_front_vector_points_where_the_rotation_says():
    tried = 0
    for rotation in ROTATIONS:
        others = np.abs(rotation[:2, :2] - rotation[:2, 2:]).min(), np.linalg.norm(rotation[:2, 2])
        if others[1] < 0.5:
            continue  # too short in the picture to have a direction
        blue = near(draw_axes(gray(400, 400), rotation, thickness=3), AXIS_COLORS[2]) - 200
        tip = blue[np.linalg.norm(blue, axis=1).argmax()]
        assert angle_deg(tip.astype(float), rotation[:2, 2]) < 5
        assert np.linalg.norm(tip) == pytest.approx(160 * others[1], abs=9)
        tried += 1
    assert tried > 40


@pytest.mark.parametrize("toward", [True, False])
def test_a_dot_or_a_ring_tells_whether_a_vector_points_to_the_camera(toward):
    turned = cv2.Rodrigues(np.array([0.0, np.deg2rad(50 if toward else 130), 0.0]))[0] @ FRONTAL
    assert (turned[2, 2] < 0) == toward
    drawn = draw_axes(gray(400, 400), turned, thickness=8)
    x, y = project_axes(turned, (200, 200), 160)[2].round().astype(int)
    np.testing.assert_allclose(drawn[y, x], AXIS_COLORS[2] if toward else WHITE, atol=30)


def test_the_cube_tints_the_side_where_the_face_is():
    for rotation in ROTATIONS[:30]:
        image = gray(300, 300)
        drawn = draw_heads(image, [[100, 100, 100, 100]], [rotation], CUBE, colors=[(255, 0, 0)])
        tint = drawn[..., 0].astype(int) - drawn[..., 1]
        # Of the points on the line through the cube from back to front, the face's side is the one that is tinted.
        front = 35 * rotation[:2, 2]
        if np.linalg.norm(front) < 25:
            continue
        sides = [cv2.getRectSubPix(tint.astype(np.float32), (9, 9), (150 + s * front[0], 150 + s * front[1])).mean()
                 for s in (1, -1)]  # fmt: skip
        assert sides[0] > sides[1]


def test_the_mesh_looks_where_the_rotation_says(monkeypatch):
    monkeypatch.setattr(sim3dr, "default_head", lambda: cube_with_a_red_face())
    seen = 0
    for rotation in ROTATIONS:
        drawn = draw_heads(np.zeros((400, 400, 3), np.uint8), [[150, 150, 100, 100]], [rotation], MESH, [(0, 0, 0)])
        red = np.argwhere((drawn[..., 0] > 20) & (drawn[..., 2] < 10))[:, ::-1]
        if abs(rotation[2, 2]) > 0.3:
            assert (len(red) > 0) == (rotation[2, 2] < 0)  # seen when it looks at the camera
        if len(red) and rotation[2, 2] < -0.3 and np.linalg.norm(rotation[:2, 2]) > 0.4:
            assert angle_deg(red.mean(0) - 199.5, rotation[:2, 2]) < 6  # perspective, about the middle of the picture
            seen += 1
    assert seen > 10


def cube_with_a_red_face() -> sim3dr.Mesh:
    """A blue cube in head axes whose front, +z, is red."""
    face = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], float)
    turns = [np.eye(3)] + [cv2.Rodrigues(np.array(v) * np.pi / 2)[0] for v in ((1, 0, 0), (-1, 0, 0), (0, 1, 0))]
    turns += [cv2.Rodrigues(np.array(v) * np.pi / 2)[0] for v in ((0, -1.0, 0), (0, 2.0, 0))]
    triangles = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * side for side in range(6)])
    colors = np.repeat([[1.0, 0, 0]] + [[0, 0, 1.0]] * 5, 4, axis=0)
    return sim3dr.Mesh(np.concatenate([face @ turn.T for turn in turns]), triangles, colors)


def test_a_mesh_fills_its_box():
    drawn = draw_heads(np.zeros((400, 400, 3), np.uint8), [[150, 150, 100, 120]], [FRONTAL], MESH, [WHITE])
    rows, columns = np.nonzero(drawn.max(-1))
    np.testing.assert_allclose([columns.min(), columns.max(), rows.min()], [150, 250, 150], atol=6)


def test_nearer_heads_are_in_front_whatever_their_order():
    boxes, rotations = np.array([[60, 40, 80, 90], [90, 50, 120, 140]]), [FRONTAL, FRONTAL]
    red, green = (255, 0, 0), (0, 255, 0)
    for how in (MESH, AXES, CUBE):
        drawn = draw_heads(gray(240, 260), boxes, rotations, how, [red, green], ["far", "near"])
        swapped = draw_heads(gray(240, 260), boxes[::-1], rotations, how, [green, red], ["near", "far"])
        np.testing.assert_array_equal(drawn, swapped)
    mesh = draw_heads(gray(240, 260), boxes, rotations, MESH, [red, green])
    r, g, _ = mesh[110, 120].astype(int)  # where both are
    assert g > r + 20


def test_the_photograph_shines_through_meshes_and_is_not_modified():
    dark, bright = np.full((200, 200, 3), 20, np.uint8), np.full((200, 200, 3), 220, np.uint8)
    drawn = [draw_heads(image, [[50, 50, 100, 110]], [FRONTAL], MESH) for image in (dark, bright)]
    assert (dark == 20).all() and (bright == 220).all()
    assert (drawn[1][100, 100].astype(int) - drawn[0][100, 100] > 30).all()
    assert (drawn[0][5, 5] == 20).all()


@pytest.mark.parametrize("how", DRAWINGS)
@pytest.mark.parametrize("size", [(1, 1), (9, 14), (40, 700), (300, 200)])
def test_heads_at_and_beyond_the_border_are_cut_off(how, size):
    height, width = size
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    boxes = [[-0.4 * width, -0.3 * height, width, height], [0.7 * width, 0.6 * height, width, 2 * height]]
    drawn = draw_heads(image, boxes, ROTATIONS[:2], how, labels=["left °", "right, a long label"])
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    outside = [[-50, 5, 50, 20], [width, 0, 9, 9], [5, -90, 20, 80], [1e30, 0, 5, 5], [np.nan, 0, 5, 5], [3, 3, 0, 5]]
    unchanged = draw_heads(image, outside, ROTATIONS[: len(outside)], how, labels=["x"] * len(outside))
    np.testing.assert_array_equal(unchanged, image)


@pytest.mark.parametrize("how", DRAWINGS)
def test_the_part_in_the_picture_is_that_of_a_larger_picture(how):
    """Cropping the picture crops the drawing; in perspective only about so, since the camera moves."""
    box, rotation = np.array([[60, 50, 120, 140]]), [cv2.Rodrigues(np.array([0.2, 0.5, 0.1]))[0] @ FRONTAL]
    large = draw_heads(gray(300, 300), box, rotation, how)[70:, 100:]
    small = draw_heads(gray(230, 200), box - [100, 70, 0, 0], rotation, how)
    difference = np.abs(large.astype(int) - small)
    assert (difference > 20).mean() < (0.06 if how == MESH else 0.001)


@pytest.mark.parametrize("size", [32, 120, 720, 2160])
def test_labels_are_large_enough_and_inside(size):
    side = size / 4
    for x, y in ((0, 0), (size - side, 0), (size - side, size - side), (-side / 2, size / 2)):
        drawn = draw_heads(gray(size, size), [[x, y, side, side]], [FRONTAL], NONE, [(255, 200, 0)], ["-31°"])
        changed = np.argwhere((drawn != 90).any(-1))
        low, high = changed.min(0), changed.max(0)
        rows, columns = high - low + 1
        assert rows >= 13 and rows <= max(16, size / 10)
        assert columns == min(size, text_mask("-31°", _font_size(rows)).shape[1])
        assert drawn[low[0] : high[0], low[1] : high[1]].std() > 20  # letters can be told from what is behind them


def _font_size(rows: int) -> int:
    return next(size for size in range(5, 300) if text_mask("x", size).shape[0] == rows)


def test_colors_tell_persons_apart():
    colors = np.array([person_color(number) for number in range(1, 9)])
    distances = np.linalg.norm(colors[:, None] - colors[None].astype(float), axis=-1)
    assert distances[~np.eye(8, dtype=bool)].min() > 40
    assert person_color(3) == person_color(3) and person_color(None) == UNKNOWN_COLOR


def test_no_heads_leave_the_picture_as_it_is():
    image = gray(20, 30)
    for how in DRAWINGS:
        np.testing.assert_array_equal(draw_heads(image, np.zeros((0, 4)), np.zeros((0, 3, 3)), how), image)


def test_bad_input_is_named():
    with pytest.raises(DataError, match=r"'wireframe'.*mesh, axes, cube, none"):
        draw_heads(gray(20, 20), [], [], "wireframe")
    with pytest.raises(DataError, match="2 boxes, 1 rotations"):
        draw_heads(gray(20, 20), np.ones((2, 4)), [FRONTAL], AXES)


def test_labels_of_neighbors_do_not_cover_each_other():
    boxes = [[20, 40, 60, 60], [24, 108, 50, 50]]  # the first has no room above it for 40 px, the second is below it
    rotations = [FRONTAL, FRONTAL]
    labels, colors = ["MMMMMMMM", "MMMMMMMM"], [(250, 0, 0), (0, 0, 250)]
    alone = [
        draw_heads(gray(180, 120), boxes[i : i + 1], rotations[:1], NONE, colors[i : i + 1], labels[:1])
        for i in range(2)
    ]
    boxes[0][1] = 4  # now its label would be where that of the second is
    boxes[0][3] = 88
    both = draw_heads(gray(180, 120), boxes, rotations, NONE, colors, labels)
    reds, blues = (both[..., 0] > both[..., 2] + 60).sum(), (both[..., 2] > both[..., 0] + 60).sum()
    assert reds > 0.8 * (alone[0][..., 0] > alone[0][..., 2] + 60).sum()
    assert blues > 0.8 * (alone[1][..., 2] > alone[1][..., 0] + 60).sum()
