import json

import numpy as np
import pytest
import roma
import torch
from support.rotations import random_rotations

from semiuhpe.rotation import (
    euler_in_range,
    euler_to_matrix,
    from_300wlp,
    geodesic_deg,
    in_plane_rotation,
    is_rotation,
    matrix_to_euler,
    mirror,
    to_300wlp,
    wrap_deg,
)


def elementary(axis, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrices = {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]]}
    return np.array(matrices.get(axis, [[c, -s, 0], [s, c, 0], [0, 0, 1]]))


@pytest.mark.parametrize("euler", [(0, 0, 0), (10, 0, 0), (0, 10, 0), (0, 0, 10), (-20, 35, 15), (12, -88, 60)])
def test_euler_angles_mean_what_300wlp_means(euler):
    pitch, yaw, roll = euler
    r_300wlp = elementary("z", roll) @ elementary("y", yaw) @ elementary("x", pitch)
    expected = np.diag([1, -1, -1]) @ r_300wlp.T
    rotation = euler_to_matrix(torch.tensor(euler, dtype=torch.float64))
    np.testing.assert_allclose(rotation, expected, atol=1e-12)
    np.testing.assert_allclose(to_300wlp(rotation), r_300wlp, atol=1e-12)
    np.testing.assert_allclose(matrix_to_euler(rotation), euler, atol=1e-9)


def test_agrees_with_reference_numbers(reference):
    for case in json.loads((reference / "rotations.json").read_text())["cases"]:
        rotation = euler_to_matrix(torch.tensor(case["pitch_yaw_roll_deg"], dtype=torch.float64))
        np.testing.assert_allclose(rotation, case["R_head_to_camera"], atol=1e-6)
        np.testing.assert_allclose(from_300wlp(torch.tensor(case["R_300wlp"])), case["R_head_to_camera"], atol=1e-6)
        np.testing.assert_allclose(matrix_to_euler(rotation), case["euler_from_R_head_to_camera"], atol=1e-6)


def test_conversions_are_inverse():
    rotations = random_rotations(200)
    torch.testing.assert_close(to_300wlp(from_300wlp(rotations)), rotations)
    torch.testing.assert_close(from_300wlp(to_300wlp(rotations)), rotations)


@pytest.mark.parametrize("full_range", [False, True])
def test_euler_angles_come_back_in_their_range(full_range):
    rotations = random_rotations(200)
    euler = matrix_to_euler(rotations, full_range)
    limited = euler[:, 0] if full_range else euler[:, 1]
    assert limited.abs().max() <= 90.0
    assert euler.abs().max() <= 180.0
    assert geodesic_deg(euler_to_matrix(euler), rotations).max() < 1e-5


def test_back_of_the_head_has_yaw_180_in_the_full_range():
    back = torch.tensor([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]])
    torch.testing.assert_close(matrix_to_euler(back, full_range=True), torch.tensor([0.0, 180.0, 0.0]))


def test_gimbal_lock_gives_the_same_rotation():
    rotation = euler_to_matrix(torch.tensor([[30.0, 90.0, 20.0], [-10.0, -90.0, 5.0]], dtype=torch.float64))
    again = euler_to_matrix(matrix_to_euler(rotation))
    assert geodesic_deg(again, rotation).max() < 1e-5


def test_geodesic_is_exact_at_both_ends():
    rotations = random_rotations(200, dtype=torch.float32)
    assert geodesic_deg(rotations, rotations).max() == 0.0
    axes = torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(1)), dim=-1)
    half_turns = roma.rotvec_to_rotmat(axes * torch.pi)
    assert (geodesic_deg(half_turns @ rotations, rotations) - 180.0).abs().max() < 1e-2


@pytest.mark.parametrize("angle", [1e-6, 1e-3, 1.0, 90.0, 179.0, 179.999, 180.0])
def test_geodesic_is_the_angle_of_the_rotation_vector(angle):
    axis = torch.tensor([0.6, -0.48, 0.64], dtype=torch.float64)
    turn = roma.rotvec_to_rotmat(axis * np.radians(angle))
    rotations = random_rotations(20)
    torch.testing.assert_close(
        geodesic_deg(turn @ rotations, rotations), torch.full((20,), angle).double(), rtol=1e-7, atol=1e-7
    )


def test_geodesic_takes_any_batch_shape():
    rotations = random_rotations(6).reshape(2, 3, 3, 3)
    assert geodesic_deg(rotations, torch.eye(3, dtype=torch.float64)).shape == (2, 3)
    assert geodesic_deg(torch.eye(3), torch.eye(3)).shape == ()


def test_mirror_changes_the_signs_of_yaw_and_roll():
    euler = torch.tensor([[20.0, 30.0, -10.0], [-5.0, -70.0, 44.0]])
    expected = euler * torch.tensor([1.0, -1.0, -1.0])
    torch.testing.assert_close(matrix_to_euler(mirror(euler_to_matrix(euler))), expected, rtol=1e-4, atol=1e-4)


def test_in_plane_rotation_turns_what_is_seen_clockwise():
    # A vector to the right in the picture points down after a quarter turn clockwise.
    turned = in_plane_rotation(torch.tensor(90.0)) @ torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(turned, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)


def test_wrap():
    angles = torch.tensor([0.0, 179.0, 181.0, -181.0, 540.0, 359.0])
    torch.testing.assert_close(wrap_deg(angles), torch.tensor([0.0, 179.0, -179.0, 179.0, -180.0, -1.0]))


def test_is_rotation():
    assert is_rotation(random_rotations(200)).all()
    assert not is_rotation(torch.diag(torch.tensor([1.0, 1.0, -1.0])))
    assert not is_rotation(2 * torch.eye(3))


@pytest.mark.parametrize("full_range", [False, True])
def test_both_triples_are_brought_into_the_range(full_range):
    rotation = roma.random_rotmat(500, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    within = matrix_to_euler(rotation, full_range)
    for turns in (0.0, 360.0, -360.0):
        other = matrix_to_euler(rotation, not full_range) + turns
        found = euler_in_range(other, full_range)
        assert (found[:, 0 if full_range else 1].abs() <= 90.0).all() and (found.abs() <= 180.0).all()
        torch.testing.assert_close(found, within, rtol=0, atol=1e-9)
        torch.testing.assert_close(euler_to_matrix(found), rotation, rtol=0, atol=1e-9)


def test_angles_within_the_range_stay_bit_by_bit():
    labels = torch.tensor([[-180.0, 90.0, 180.0], [89.99, -90.0, -89.99], [170.1, 0.3, -0.0], [1e-7, -89.99, 33.3]])
    assert torch.equal(euler_in_range(labels), labels)
    assert torch.equal(euler_in_range(labels[1:2], full_range=True), labels[1:2])
