import json

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation
from support.rotations import random_rotations

from semiuhpe.evaluation.metrics import pose_errors, summarize
from semiuhpe.evaluation.paper_protocol import paper_summary
from semiuhpe.rotation import euler_to_matrix, from_300wlp, geodesic_deg, in_plane_rotation, matrix_to_euler, to_300wlp


def test_agrees_with_reference_numbers(reference):
    arrays = np.load(reference / "metrics.npz")
    expected = json.loads((reference / "metrics.json").read_text())
    predicted, truth = (from_300wlp(torch.from_numpy(arrays[f"{kind}_R_300wlp"])) for kind in ("pred", "gt"))
    summary = summarize(pose_errors(predicted, truth, torch.from_numpy(arrays["gt_euler_deg"])))
    assert summary["geodesic_mean_deg"] == pytest.approx(expected["geodesic_deg"], abs=1e-3)
    assert summary["frobenius_mean"] == pytest.approx(expected["frobenius"], abs=1e-3)
    assert summary["euler_mae_deg"] == pytest.approx(expected["euler_mae"], abs=1e-3)
    mae = [summary[f"{name}_mae_deg"] for name in ("pitch", "yaw", "roll")]
    np.testing.assert_allclose(mae, expected["euler_mae_pitch_yaw_roll"], atol=1e-3)


def test_angles_of_biwi_plus_are_those_of_scipy():
    """The authors of Biwi+ convert all angles: the matrix of BIWI's axes, by extrinsic xyz, is pitch, yaw and roll."""
    predicted, truth = random_rotations(60, seed=4), random_rotations(60, seed=5)
    first, second = (
        Rotation.from_matrix(to_300wlp(rotation).mT.numpy()).as_euler("xyz", degrees=True)
        for rotation in (predicted, truth)
    )
    errors = pose_errors(predicted, truth, matrix_to_euler(truth), False, "transposed")["euler_abs_deg"].numpy()
    np.testing.assert_allclose(errors, np.abs((first - second + 180) % 360 - 180), atol=1e-9)
    plain = pose_errors(predicted, truth, matrix_to_euler(truth))["euler_abs_deg"].numpy()
    assert np.abs(plain - errors).mean() > 1


def test_right_predictions_have_no_error():
    rotations = random_rotations(50, seed=3)
    errors = pose_errors(rotations, rotations)
    assert errors["geodesic_deg"].max() == 0.0
    assert errors["frobenius"].max() < 1e-12
    assert errors["axis_deg"].max() < 1e-5


def test_a_half_turn_is_180_degrees():
    rotations = random_rotations(50, seed=3)
    errors = pose_errors(in_plane_rotation(torch.tensor(180.0).double()) @ rotations, rotations)
    torch.testing.assert_close(errors["geodesic_deg"], torch.full((50,), 180.0).double())
    torch.testing.assert_close(errors["frobenius"], torch.full((50,), 8**0.5).double())


@pytest.mark.parametrize("angle", [1e-6, 1e-3, 179.999, 179.999999])
def test_angles_are_exact_at_both_ends(angle):
    rotations = random_rotations(50, seed=3)
    errors = pose_errors(in_plane_rotation(torch.tensor(angle).double()) @ rotations, rotations)
    torch.testing.assert_close(errors["geodesic_deg"], torch.full((50,), angle).double(), atol=2e-8, rtol=0)


def test_frobenius_follows_from_the_angle():
    predicted, truth = random_rotations(50, seed=3), random_rotations(50, seed=3).flip(0)
    angle = torch.deg2rad(geodesic_deg(predicted, truth))
    torch.testing.assert_close(pose_errors(predicted, truth)["frobenius"], 8**0.5 * torch.sin(angle / 2))


def test_axis_errors_are_angles_between_columns():
    truth = euler_to_matrix(torch.zeros(1, 3).double())
    yawed = euler_to_matrix(torch.tensor([[0.0, 40.0, 0.0]]).double())
    torch.testing.assert_close(pose_errors(yawed, truth)["axis_deg"], torch.tensor([[40.0, 0.0, 40.0]]).double())


def test_euler_differences_are_wrapped_to_180_and_not_to_90():
    truth = torch.tensor([[0.0, 0.0, 179.0], [0.0, 0.0, 0.0]]).double()
    predicted = euler_to_matrix(torch.tensor([[0.0, 0.0, -179.0], [0.0, 0.0, 180.0]]).double())
    errors = pose_errors(predicted, euler_to_matrix(truth), truth)["euler_abs_deg"]
    torch.testing.assert_close(errors, torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, 180.0]]).double(), atol=1e-6, rtol=0)


def test_full_range_truth_is_compared_with_full_range_predictions():
    truth = torch.tensor([[10.0, 150.0, -20.0]]).double()
    errors = pose_errors(euler_to_matrix(truth), euler_to_matrix(truth), truth, full_range=True)
    assert errors["euler_abs_deg"].max() < 1e-6


@pytest.mark.parametrize("full_range", [False, True])
def test_the_triple_that_labels_a_head_does_not_matter(full_range):
    generator = torch.Generator().manual_seed(0)
    truth, predicted = (roma.random_rotmat(300, dtype=torch.float64, generator=generator) for _ in range(2))
    triples = [matrix_to_euler(truth, other) for other in (False, True)]
    errors = [pose_errors(predicted, truth, euler, full_range)["euler_abs_deg"] for euler in triples]
    torch.testing.assert_close(errors[0], errors[1], rtol=0, atol=1e-9)
    exact = (matrix_to_euler(predicted, full_range) - triples[full_range] + 180) % 360 - 180
    torch.testing.assert_close(errors[0], exact.abs(), rtol=0, atol=1e-9)


def test_nor_does_it_in_the_papers_arithmetic():
    generator = torch.Generator().manual_seed(1)
    truth, predicted = (roma.random_rotmat(300, dtype=torch.float64, generator=generator) for _ in range(2))
    front, full = (paper_summary(predicted, truth, matrix_to_euler(truth, other), False) for other in (False, True))
    assert full == pytest.approx(front, abs=1e-3)
