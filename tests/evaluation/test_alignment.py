"""A constant rotation between predictions and labels is found in its frame, and only there."""

import pytest
import roma
import torch

from semiuhpe.evaluation.alignment import CAMERA_FRAME, HEAD_FRAME, alignment


def rotation(vector_deg):
    return roma.rotvec_to_rotmat(torch.deg2rad(torch.tensor(vector_deg, dtype=torch.float64)))


@pytest.mark.parametrize("frame, other", [(HEAD_FRAME, CAMERA_FRAME), (CAMERA_FRAME, HEAD_FRAME)])
def test_a_constant_rotation_is_found(frame, other):
    torch.manual_seed(0)
    truth, constant = roma.random_rotmat(400, dtype=torch.float64), rotation([0.0, 20.0, -15.0])
    noise = roma.rotvec_to_rotmat(torch.deg2rad(torch.randn(400, 3, dtype=torch.float64)))
    predicted = (truth @ constant.T if frame == HEAD_FRAME else constant.T @ truth) @ noise
    found = alignment(predicted, truth)
    assert found[frame]["offset_deg"] == pytest.approx(25.0, abs=0.2)
    assert found[frame]["rotation_vector_deg"] == pytest.approx([0.0, 20.0, -15.0], abs=0.2)
    assert found[frame]["geodesic_mean_deg"] < 2.0 < 20.0 < found[other]["geodesic_mean_deg"]


def test_errors_are_measured_on_other_heads_than_the_rotation():
    # Both halves are off by opposite rotations: what one half needs makes the other worse.
    truth = torch.eye(3, dtype=torch.float64).expand(40, 3, 3)
    turns = [rotation([0.0, 10.0, 0.0]), rotation([0.0, -10.0, 0.0])]
    predicted = torch.stack([turns[i % 2] for i in range(40)])
    found = alignment(predicted, truth)[HEAD_FRAME]
    assert found["offset_deg"] == pytest.approx(0.0, abs=1e-6)
    assert found["geodesic_mean_deg"] == pytest.approx(20.0, abs=1e-6)


def test_few_heads_tell_nothing():
    assert alignment(torch.eye(3).expand(19, 3, 3), torch.eye(3).expand(19, 3, 3)) is None
