"""Face masks: what they cover, and that rendered heads wear the masks that are drawn onto pictures."""

import numpy as np
import pytest
from support.wearing import covered, person

from semiuhpe.synthetic import surface
from semiuhpe.synthetic.accessories import put_on_mask
from semiuhpe.synthetic.anatomy import HeadBasis
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.mask_kinds import KINDS
from semiuhpe.synthetic.mask_shapes import (
    SHAPES,
    STRAPS,
    cloth_radius,
    cover,
    five_landmarks,
    hull_radius,
    mask_directions,
    straps,
    worn,
)
from semiuhpe.synthetic.masks import draw_mask

NOSE, EYES = 2, (0, 1)
MOUTH = (3, 4)
PEOPLE = range(30)


def test_the_five_landmarks_are_the_eyes_nose_and_mouth_of_the_mean_head():
    right_eye, left_eye, nose, right_mouth, left_mouth = five_landmarks(template().vertices)
    ibug = HeadBasis.load().landmarks68()
    assert np.linalg.norm(left_eye[:2] - ibug[42:48, :2].mean(0)) < 0.05
    assert np.linalg.norm(right_eye[:2] - ibug[36:42, :2].mean(0)) < 0.05
    assert np.array_equal(np.stack([nose, right_mouth, left_mouth]), ibug[[30, 48, 54]])


def test_the_hull_of_a_cube_is_the_cube():
    corners = np.stack(np.meshgrid((-1, 1), (-1, 1), (-1, 1)), -1).reshape(-1, 3)
    direction = np.array([(1, 0, 0), (0, 0.6, 0.8), (3**-0.5,) * 3])
    assert hull_radius(corners, direction) == pytest.approx([1, 1.25, 3**0.5])


@pytest.mark.parametrize("name", SHAPES)
def test_cloth_is_stretched_from_nose_to_chin_and_never_inside_the_head(name):
    direction = mask_directions(SHAPES[name])
    off = cloth_radius(SHAPES[name], direction) - surface.cast_rays(direction)
    assert off.min() >= 0
    middle = direction[:, direction.shape[1] // 2]
    below_lips = np.abs(np.degrees(np.arcsin(middle[:, 1])) + 40) < 5
    assert off[below_lips, direction.shape[1] // 2].max() > 0.01, "it doesn't follow the dent between lips and chin"


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", PEOPLE)
def test_masks_cover_nose_and_mouth_but_not_the_eyes(name, seed):
    _, vertices = person(seed)
    mesh = cover(name)
    places = five_landmarks(vertices)
    hidden = covered(places, worn(name, "cover", mesh, vertices), mesh.triangles)
    assert hidden[list(MOUTH)].all()
    assert not hidden[list(EYES)].any()
    assert hidden[NOSE] == (name != "low")


def test_a_mask_moves_with_the_head_it_is_on():
    shift = np.array([0.3, -0.2, 0.1], np.float32)
    for name in SHAPES:
        moved = worn(name, "cover", cover(name), template().vertices + shift)
        np.testing.assert_allclose(moved, cover(name).vertices + shift, atol=1e-4)


def test_pleats_stand_out_and_are_shaded():
    flat, pleated = cover("surgical"), cover("surgical", pleated=True)
    assert 0.01 < np.linalg.norm(pleated.vertices - flat.vertices, axis=1).max() < 0.05
    assert pleated.albedo.min() < 0.9 <= flat.albedo.min()


@pytest.mark.parametrize("name", STRAPS)
def test_straps_are_symmetric_and_reach_from_the_cloth_behind_the_ears(name):
    vertices = straps(name).vertices
    assert np.allclose(np.sort(vertices[:, 0]), np.sort(-vertices[:, 0]), atol=1e-6)
    ears = template().vertices[template().region("left ear")]
    assert vertices[:, 2].min() < ears[:, 2].mean()
    cloth = cover(name).vertices
    assert np.linalg.norm(vertices[:, None] - cloth[None], axis=2).min() < 0.05


def test_masks_that_are_put_on_depend_on_the_random_numbers_alone():
    _, vertices = person(1)
    first, again, other = (put_on_mask(vertices, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert [mesh.vertices.tobytes() for mesh in first] == [mesh.vertices.tobytes() for mesh in again]
    assert [mesh.albedo.tobytes() for mesh in first] == [mesh.albedo.tobytes() for mesh in again]
    assert first[0].albedo.tobytes() != other[0].albedo.tobytes()
    for seed in range(40):
        for mesh in put_on_mask(vertices, np.random.default_rng(seed)):
            assert np.isfinite(mesh.vertices).all() and 0 <= mesh.albedo.min() <= mesh.albedo.max() <= 1


def test_a_drawn_mask_hides_the_mouth_of_a_face_and_spares_the_eyes():
    upright = np.diag([1.0, -1.0, -1.0])  # camera axes: x right, y down, z away
    middle, scale = np.array([60.0, 60.0]), 40.0
    places = five_landmarks(template().vertices) @ upright.T
    points = middle + scale * places[:, :2]
    for seed in range(12):
        image = np.full((130, 120, 3), 120, np.uint8)
        assert draw_mask(image, upright, points, np.array([28.0, 15, 64, 92]), np.random.default_rng(seed))
        changed = (image != 120).any(-1)
        x, y = np.round(points).astype(int).T
        assert changed[y[list(MOUTH)], x[list(MOUTH)]].all()
        assert not changed[y[list(EYES)], x[list(EYES)]].any()
    for kind in KINDS:
        pictures = []
        for seed in (0, 0, 1):
            image = np.full((130, 120, 3), 120, np.uint8)
            assert draw_mask(image, upright, points, np.array([28.0, 15, 64, 92]), np.random.default_rng(seed), kind)
            changed = (image != 120).any(-1)
            assert changed[y[list(MOUTH)], x[list(MOUTH)]].all() and not changed[y[list(EYES)], x[list(EYES)]].any()
            pictures.append(image)
        assert (pictures[0] == pictures[1]).all()
    image = np.full((130, 120, 3), 120, np.uint8)
    behind = np.diag([-1.0, -1.0, 1.0])
    assert not draw_mask(image, behind, np.full((5, 2), np.nan), np.array([28.0, 15, 64, 92]), np.random.default_rng(1))
