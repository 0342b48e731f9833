"""Labels of which some angles are unknown: which sets of rotations they are, and how these move with the picture."""

import math

import pytest
import roma
import torch
from support.rotations import random_rotations

from semiuhpe.distributions.marginals import nearest
from semiuhpe.partial_labels import is_allowed, is_whole, label_of_angles, mirror_axes, reframe_axes, turn_axes
from semiuhpe.rotation import euler_to_matrix, in_plane_rotation, matrix_to_euler, mirror

NAN = math.nan
ANGLES = torch.tensor([[NAN, 130.0, NAN], [20.0, -40.0, NAN], [20.0, -40.0, 70.0]], dtype=torch.float64)


def members(rotation, free, count=50):
    """Rotations of the sets of labels: (N, count, 3, 3)."""
    generator = torch.Generator().manual_seed(1)
    turns = (torch.rand(2, count, dtype=torch.float64, generator=generator) * 2 - 1) * torch.tensor(
        [[math.pi / 2], [math.pi]], dtype=torch.float64
    )
    camera, head = (roma.rotvec_to_rotmat(turns[i, :, None] * free[:, None, i]) for i in range(2))
    return camera @ rotation[:, None] @ head


def test_a_label_is_all_rotations_with_the_known_angles():
    rotation, free = label_of_angles(ANGLES)
    euler = matrix_to_euler(members(rotation, free), full_range=True)
    known = ANGLES.isfinite()
    assert is_whole(free).tolist() == [False, False, True]
    torch.testing.assert_close(euler.mT[known], ANGLES[known][:, None].expand(-1, 50))
    assert euler[0, :, 0].std() > 30 and euler[0, :, 2].std() > 60 and euler[1, :, 2].std() > 60
    assert (euler[0, :, 0].abs() <= 90).all()


@pytest.mark.parametrize(
    ("angles", "allowed"),
    [
        ((NAN, 1, NAN), True),
        ((1, 1, NAN), True),
        ((1, 1, 1), True),
        ((1, NAN, NAN), False),
        ((NAN, NAN, NAN), False),
        ((NAN, 1, 1), False),
        ((1, NAN, 1), False),
    ],
)
def test_which_angles_may_be_known(angles, allowed):
    assert bool(is_allowed(torch.tensor(angles, dtype=torch.float64))) is allowed


def distance(found, label):
    """How far rotations (N, count, 3, 3) are from the nearest ones of labels, at most, in entries of matrices."""
    rotation, free = (values[:, None].expand(-1, found.shape[1], *values.shape[1:]) for values in label)
    return (nearest(found, rotation, free) - found).abs().max()


def test_turned_and_mirrored_pictures_and_other_frames_move_the_whole_set():
    rotation, free = label_of_angles(ANGLES)
    turn = in_plane_rotation(torch.tensor([30.0, -110.0, 75.0], dtype=torch.float64))
    frame = random_rotations(3, seed=4)
    moved = {
        "turn": (lambda r: turn[:, None] @ r, (turn @ rotation, turn_axes(free, turn))),
        "mirror": (mirror, (mirror(rotation), mirror_axes(free))),
        "frame": (lambda r: r @ frame[:, None], (rotation @ frame, reframe_axes(free, frame))),
    }
    for name, (move, label) in moved.items():
        assert distance(move(members(rotation, free)), label) < 1e-7, name
        assert distance(move(members(rotation, free)), (rotation, free)) > 0.1, name


def test_mirrored_angles_change_the_sign_of_yaw():
    rotation, free = label_of_angles(ANGLES)
    mirrored = label_of_angles(ANGLES * torch.tensor([1.0, -1.0, -1.0]))
    assert distance(members(mirror(rotation), mirror_axes(free)), mirrored) < 1e-7
    assert torch.allclose(euler_to_matrix(torch.tensor([20.0, 40.0, -70.0]).double()), mirror(rotation)[2])
