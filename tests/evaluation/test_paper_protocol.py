"""The paper's arithmetic, where it differs from ours, against numbers worked out by hand."""

import json
import math

import numpy as np
import pytest
import torch

from semiuhpe.evaluation.metrics import pose_errors, summarize
from semiuhpe.evaluation.paper_protocol import euler_error, paper_summary, relative_angle_deg
from semiuhpe.rotation import euler_to_matrix, from_300wlp, in_plane_rotation


def angles(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_agrees_with_reference_numbers(reference):
    arrays = np.load(reference / "metrics.npz")
    expected = json.loads((reference / "metrics.json").read_text())
    predicted, truth = (from_300wlp(torch.from_numpy(arrays[f"{kind}_R_300wlp"])) for kind in ("pred", "gt"))
    euler = torch.from_numpy(arrays["gt_euler_deg"])
    front = paper_summary(predicted, truth, euler, full_range=False)
    mae = [front[f"{name}_mae_deg"] for name in ("pitch", "yaw", "roll")]
    np.testing.assert_allclose(mae, expected["euler_mae_pitch_yaw_roll"], atol=1e-5)
    assert front["euler_mae_deg"] == pytest.approx(expected["euler_mae"], abs=1e-5)
    full = paper_summary(predicted, truth, None, full_range=True)
    assert full["geodesic_mean_deg"] == pytest.approx(expected["geodesic_deg"], abs=1e-5)
    assert full["frobenius_mean"] == pytest.approx(expected["frobenius"], abs=1e-7)


def test_differences_of_angles_are_not_wrapped():
    truth = angles([0, 0, 80])
    predicted = euler_to_matrix(angles([0, 0, -179]))
    assert euler_error(predicted, truth)[0, 2] == pytest.approx(259, abs=1e-3)
    honest = pose_errors(predicted, euler_to_matrix(truth), truth)
    assert honest["euler_abs_deg"][0, 2] == pytest.approx(101)


def test_labels_are_limited():
    truth = angles([0, 0, 89.995], [-90, 0, 0])
    error = euler_error(euler_to_matrix(truth), truth)
    assert error[0, 2] == pytest.approx(0.005, abs=2e-4)
    assert error[1, 0] == pytest.approx(0.01, abs=2e-4)


def test_at_gimbal_lock_pitch_takes_all_and_roll_none():
    truth = angles([30, 90, 0])
    error = euler_error(euler_to_matrix(angles([20, 90, -10])), truth)
    np.testing.assert_allclose(error.numpy(), [[0.0, 0.01, 0.0]], atol=1e-2)


def test_the_angle_is_never_below_0_405_nor_above_179_595():
    # acos(1 - b) less its tangent's step b / sqrt(1 - (1 - b)^2), with b = 1e-4.
    bound = 1 - 1e-4
    least = math.degrees(math.acos(bound) - 1e-4 / math.sqrt(1 - bound**2))
    assert least == pytest.approx(0.40515, abs=1e-4)
    truth = euler_to_matrix(angles([10, 20, 30]))
    half_turn = in_plane_rotation(torch.tensor(180.0, dtype=torch.float64)) @ truth
    assert relative_angle_deg(truth, truth).item() == pytest.approx(least, abs=2e-3)
    assert relative_angle_deg(half_turn, truth).item() == pytest.approx(180 - least, abs=2e-3)
    for angle in (1.0, 45.0, 120.0, 179.0):
        turned = in_plane_rotation(torch.tensor(angle, dtype=torch.float64)) @ truth
        assert relative_angle_deg(turned, truth).item() == pytest.approx(angle, abs=2e-3)


def test_right_predictions_have_an_error_in_the_paper_and_none_here():
    truth = euler_to_matrix(angles([10, 20, 30], [0, 150, 0]))
    assert paper_summary(truth, truth, None, full_range=True)["geodesic_mean_deg"] > 0.4
    assert summarize(pose_errors(truth, truth))["geodesic_mean_deg"] == 0.0


def test_which_numbers_the_paper_prints():
    euler = angles([10, 20, 30])
    truth = euler_to_matrix(euler)
    names = {"pitch_mae_deg", "yaw_mae_deg", "roll_mae_deg", "euler_mae_deg"}
    assert paper_summary(truth, truth, euler, full_range=False).keys() == names
    for labels, full_range in ((None, False), (None, True), (euler, True)):
        keys = paper_summary(truth, truth, labels, full_range).keys()
        assert keys == {"geodesic_mean_deg", "frobenius_mean"}
