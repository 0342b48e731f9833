"""Affine maps of pictures, and turning pictures with OpenCV."""

import numpy as np
import pytest
import torch

from semiuhpe.data.affine import compose, flip_matrix, inverse_turn_matrix, invert_similarity, turn_matrix, zoom_matrix
from semiuhpe.data.turning import turn_picture

ANGLES = torch.tensor([0.0, 30.0, 90.0, -137.0], dtype=torch.float64)
IDENTITY = torch.eye(3, dtype=torch.float64)[:2].expand(4, 2, 3)


def moved(matrix: torch.Tensor, x: float, y: float) -> np.ndarray:
    return (matrix @ torch.tensor([x, y, 1.0], dtype=matrix.dtype)).numpy()


def test_composed_maps_are_applied_one_after_the_other():
    size = torch.full((4,), 100.0, dtype=torch.float64)
    corner = torch.tensor([[10.0, 20.0]], dtype=torch.float64).expand(4, 2)
    first, second = turn_matrix(ANGLES, size, size), zoom_matrix(corner, size / 50)
    expected = [moved(second[i], *moved(first[i], 30, 70)) for i in range(4)]
    assert np.allclose(moved(compose(second, first), 30, 70), expected)
    assert np.allclose(moved(zoom_matrix(corner, size), 10, 20), 0)


def test_turns_are_clockwise_about_the_center():
    width, height = torch.full((4,), 100.0, dtype=torch.float64), torch.full((4,), 60.0, dtype=torch.float64)
    matrix = turn_matrix(ANGLES, width, height)
    assert np.allclose(moved(matrix, 50, 30), [50, 30])
    assert np.allclose(moved(matrix, 90, 30)[2], [50, 70]), "what was at the right is below"


def test_inverses():
    size = torch.full((4,), 80.0, dtype=torch.float64)
    turn = turn_matrix(ANGLES, size, size)
    torch.testing.assert_close(compose(inverse_turn_matrix(ANGLES, 80), turn), IDENTITY)
    mirrored = torch.tensor([True, False, True, False])
    flip = flip_matrix(mirrored, 80, mirrored.roll(1), 80).double()
    torch.testing.assert_close(compose(flip, flip), IDENTITY)
    zoom = zoom_matrix(torch.tensor([[3.0, 5.0]], dtype=torch.float64).expand(4, 2), size / 32)
    similarity = compose(zoom, compose(turn, flip))
    torch.testing.assert_close(compose(invert_similarity(similarity), similarity), IDENTITY)


def test_flips_take_edges_to_edges():
    one = torch.tensor([True])
    assert np.allclose(moved(flip_matrix(one, 100), 0, 7), [100, 7])
    assert np.allclose(moved(flip_matrix(one, torch.tensor([100.0]), one, 60), 10, 0), [90, 60])


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_pictures_are_turned_as_the_matrices_say(quarters):
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    assert np.array_equal(turn_picture(picture, 90 * quarters), np.rot90(picture, -quarters))
    dot = np.zeros((60, 100, 3), np.uint8)
    dot[30, 80] = 255
    x, y = moved(turn_matrix(torch.tensor([33.0]), torch.tensor([100.0]), torch.tensor([60.0])), 80.5, 30.5)[0]
    weight = turn_picture(dot, 33.0)[..., 0].astype(float)
    center = (
        np.array([(weight.sum(axis) * (np.arange(n) + 0.5)).sum() for axis, n in ((0, 100), (1, 60))]) / weight.sum()
    )
    assert np.allclose(center, [x, y], atol=0.1)
