"""Bootstrap intervals and calibration, against theory, scipy and numbers worked out by hand."""

import numpy as np
import pytest
import roma
import scipy.stats
import torch

from semiuhpe.distributions import MatrixFisher
from semiuhpe.evaluation import bootstrap as bootstrapping
from semiuhpe.evaluation.bootstrap import bootstrap, interval, intervals, resample_counts
from semiuhpe.evaluation.calibration import (
    calibration,
    coverage,
    credible_level,
    rank_correlation,
    reliability,
    sparsification,
)
from semiuhpe.models.output import entropy_and_confidence
from semiuhpe.rotation import geodesic_deg


def test_intervals_agree_with_theory_and_scipy():
    values = np.random.default_rng(1).normal(20, 5, 400)
    found = intervals({"mean": values}, values, {"median": 0.5})
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose(found["mean"], [values.mean() - half, values.mean() + half], atol=0.06)
    theirs = scipy.stats.bootstrap((values,), np.median, n_resamples=2000, method="percentile", rng=5)
    np.testing.assert_allclose(found["median"], theirs.confidence_interval, atol=0.12)
    assert found == intervals({"mean": values}, values, {"median": 0.5}), "not repeatable"


@pytest.mark.parametrize("heads", [1, 2, 7, 8])
def test_resampled_means_and_quantiles_are_those_of_the_drawn_heads(heads, monkeypatch):
    monkeypatch.setattr(bootstrapping, "_CHUNK_ELEMENTS", 5 * heads)  # several blocks
    values = np.random.default_rng(heads).normal(size=(heads, 2))
    levels = [0.5, 0.9, 1.0]
    means, quantiles = bootstrap(values, values[:, 1], levels)
    counts = np.concatenate(list(resample_counts(heads)))
    assert len(counts) == len(means) == len(quantiles) == 2000 and (counts.sum(axis=1) == heads).all()
    for i in (0, 4, 5, 1999):
        drawn = np.repeat(values, counts[i].astype(int), axis=0)
        np.testing.assert_allclose(means[i], drawn.mean(axis=0))
        np.testing.assert_allclose(quantiles[i], np.quantile(drawn[:, 1], levels))


def test_an_interval_of_equal_values_is_that_value():
    assert interval(bootstrap(np.full((10, 1), 3.0))[0][:, 0]) == (3.0, 3.0)


def random_fishers(count=400, sharpness=1.0):
    generator = torch.Generator().manual_seed(2)
    first, second = (roma.random_rotmat(count, dtype=torch.float64, generator=generator) for _ in range(2))
    strength = torch.rand(count, 3, dtype=torch.float64, generator=generator) * 50 * sharpness
    return first @ torch.diag_embed(strength) @ second.mT


def test_truths_drawn_from_the_predictions_are_calibrated():
    parameter = random_fishers()
    truth = MatrixFisher(parameter).sample((), torch.Generator().manual_seed(7))
    level = credible_level("matrixFisher", parameter, truth)
    assert scipy.stats.kstest(level.numpy(), "uniform").pvalue > 0.01
    inside = coverage(level.numpy())["inside"]
    assert inside["90%"] == pytest.approx(0.9, abs=0.04) and inside["50%"] == pytest.approx(0.5, abs=0.07)
    assert coverage(level.numpy())["mean_deviation"] < 0.04


def test_an_overconfident_model_holds_fewer_truths_than_it_claims():
    parameter = random_fishers()
    truth = MatrixFisher(parameter).sample((), torch.Generator().manual_seed(7))
    over, under = (coverage(credible_level("matrixFisher", parameter * by, truth).numpy()) for by in (6, 1 / 6))
    assert over["inside"]["90%"] < 0.7 < 0.97 < under["inside"]["90%"]


def test_the_mode_is_inside_every_region_and_its_opposite_in_none():
    parameter = random_fishers(20)
    mode = MatrixFisher(parameter).mode()
    assert credible_level("matrixFisher", parameter, mode).max() == 0.0
    far = mode @ torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))
    assert credible_level("matrixFisher", parameter * 10, far).min() > 0.9


def test_rotation_laplace_has_no_credible_levels():
    parameter = random_fishers(4)
    assert credible_level("RotationLaplace", parameter, MatrixFisher(parameter).mode()) is None
    assert calibration(np.arange(4.0), np.ones(4), np.arange(4.0), None)["coverage"] is None


def test_sparsification_by_hand():
    found = sparsification(np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 1.0, 4.0, 3.0]))
    assert found["dropped"] == [0.0, 0.25, 0.5, 0.75]
    np.testing.assert_allclose(found["by_entropy"], np.array([10 / 4, 7 / 3, 3 / 2, 2 / 1]) / 2.5)
    np.testing.assert_allclose(found["oracle"], np.array([10 / 4, 6 / 3, 3 / 2, 1 / 1]) / 2.5)
    assert found["ause"] == pytest.approx((0 + 1 / 3 + 0 + 1) / 2.5 / 4)


def test_a_perfect_ranking_has_no_area_and_a_correlation_of_one():
    error = np.random.default_rng(0).gamma(2, 5, 500)
    found = calibration(np.log(error), np.full(500, np.nan), error, None)
    assert found["sparsification"]["ause"] == 0.0 and found["spearman"] == pytest.approx(1.0)
    assert len(found["sparsification"]["dropped"]) == 101
    assert found["confidence"] is None  # of a model without uncertainty
    assert calibration(-error, np.ones(500), error, None)["spearman"] == pytest.approx(-1.0)


def test_calibration_error_by_hand():
    confidence = np.array([0.05, 0.07, 0.62, 0.68, 1.0, 1.0])
    found = reliability(confidence, np.array([40.0, 10.0, 15.0, 15.1, 3.0, 90.0]))
    assert found["heads"] == [2, 2, 2] and found["right"] == [0.5, 0.5, 0.5]
    assert found["confidence"] == pytest.approx([0.06, 0.65, 1.0])
    assert found["ece"] == pytest.approx((0.44 + 0.15 + 0.5) / 3)
    assert found["error_deg"] == pytest.approx([25.0, 15.05, 46.5])


def test_confidences_of_a_calibrated_model_are_right():
    """Truths are drawn from the predicted distributions themselves, and from ones that are broader than predicted."""
    parameter = random_fishers(3000)
    predicted = MatrixFisher(parameter)
    _, confidence = entropy_and_confidence(predicted)
    for broader, (low, high) in ((1.0, (0.0, 0.04)), (4.0, (0.15, 1.0))):
        truth = MatrixFisher(parameter / broader).sample((), torch.Generator().manual_seed(7))
        error = geodesic_deg(predicted.mode(), truth)
        assert low <= reliability(confidence.numpy(), error.numpy())["ece"] <= high


def test_nothing_to_rank():
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None
    assert rank_correlation(np.arange(5.0), np.zeros(5)) is None
    assert rank_correlation(np.array([1.0]), np.array([2.0])) is None
    assert sparsification(np.ones(3), np.zeros(3))["ause"] == 0.0
