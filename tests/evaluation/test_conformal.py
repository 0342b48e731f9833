"""Radii that hold the truth at 90 percent: they do on other heads, and everything that poses heads says them."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from support.checkpoints import save_plainnet
from support.errors import refused

from semiuhpe import HeadPoseEstimator
from semiuhpe.cli import calibrate, evaluate, image
from semiuhpe.cli.entry import run
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributions import MatrixFisher
from semiuhpe.evaluation import conformal, temperature
from semiuhpe.evaluation.conformal import conformal_quantile, conformal_radii, coverage_of_radii
from semiuhpe.foreign import load_model
from semiuhpe.models import find_checkpoint
from semiuhpe.models.reliability import Reliability, width, yaw_deg
from semiuhpe.rotation import geodesic_deg
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store


def drawn(count: int, seed: int):
    """Return predictions of any sharpness, entropies that are too low, and truths, the wilder the larger the yaw."""
    generator = torch.Generator().manual_seed(seed)
    rotation = MatrixFisher(torch.zeros(count, 3, 3).double()).sample((), generator=generator)
    sharpness = torch.exp(torch.empty(count, dtype=torch.float64).uniform_(2.5, 5, generator=generator))
    parameter = sharpness[:, None, None] * rotation
    wilder = 1 + yaw_deg(rotation) / 90
    truth = MatrixFisher(parameter / wilder[:, None, None]).sample((), generator=generator)
    return rotation, MatrixFisher(parameter).entropy(), truth


def test_radii_hold_the_truths_of_other_heads_in_all_ranges_of_yaw():
    rotation, entropy, truth = drawn(12000, seed=1)
    limits, radii = conformal_radii(yaw_deg(rotation), geodesic_deg(rotation, truth) / width(entropy))
    assert limits == (30, 60, 90, 120, 150, 180) and radii == tuple(sorted(radii))
    found = Reliability(1.0, limits, radii, 20.0)
    rotation, entropy, truth = drawn(12000, seed=2)
    within, error = found.within_90_deg(rotation, entropy), geodesic_deg(rotation, truth)
    held = coverage_of_radii(within.numpy(), error.numpy(), truth.numpy(), 20.0)
    assert held["inside"] == pytest.approx(0.9, abs=0.01)
    assert [row["inside"] for row in held["by_yaw"]] == pytest.approx([0.9] * 6, abs=0.02)
    assert held["reliable_error_deg"] < held["other_error_deg"] and 0.1 < held["reliable"] < 0.9
    # Not the same radius everywhere: it is as many times as large as the distribution is wide.
    assert np.quantile(within, 0.9) > 2 * np.quantile(within, 0.1)


def test_the_quantile_is_that_of_split_conformal_prediction():
    score = torch.arange(1.0, 100.0)
    assert conformal_quantile(score) == 90  # the 0.9 (99 + 1)-th of 99
    assert conformal_quantile(score[:19]) == 18
    assert conformal_quantile(score[:5]) == 5  # too few for any better


def test_ranges_with_few_heads_are_joined():
    yaw = torch.cat(
        [torch.full((150,), 10.0), torch.full((40,), 50.0), torch.full((130,), 80.0), torch.tensor([170.0])]
    )
    limits, radii = conformal_radii(yaw, torch.arange(len(yaw)).double())
    assert limits == (30.0, 180.0) and len(radii) == 2
    assert conformal_radii(yaw[:150], torch.ones(150))[0] == (180.0,)


def test_radii_end_at_half_a_turn_and_need_no_uncertainty():
    found = Reliability(1.0, (90.0, 180.0), (40.0, 500.0), 30.0)
    turned = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))  # away from the camera
    rotations = torch.stack([torch.diag(torch.tensor([1.0, -1.0, -1.0])), turned])
    assert found.within_90_deg(rotations, torch.full((2,), torch.nan)).tolist() == [40.0, 180.0]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """Return a checkpoint with a calibration beside it, the store that it was found on, and another."""
    folder = tmp_path_factory.mktemp("calibrated")
    stores = [folder / f"{name}.lmdb" for name in ("on", "other")]
    for seed, store in enumerate(stores):
        write_store(SyntheticSet(40, "wild", "mixed", 20 + seed, 48, test=True), store)
    path = folder / "model.safetensors"
    shutil.copy(find_checkpoint("heads-front"), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(temperature, "MIN_HEADS", 10)
        patch.setattr(conformal, "RANGE_HEADS", 10)
        assert run(calibrate.main, [str(path), "--on", str(stores[0]), "--check", str(stores[1])]) == 0
    return path, *stores


def test_the_file_beside_the_checkpoint_has_temperature_and_radii(calibrated):
    path, on, _ = calibrated
    written = json.loads((path.parent / "model.calibration.json").read_text())
    assert written["heads"]["path"] == str(on) and written["heads"]["heads"] == 40 and written["share"] == 0.9
    found = load_model(path).reliability
    assert written["models"]["teacher"]["temperature"] == found.temperature != 1.0
    assert found.yaw_up_to_deg[-1] == 180 and found.reliable_deg == 30
    plain, divided = (load_model(path, calibrated=use).model for use in (False, True))
    pictures = torch.rand(3, 3, 80, 80, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(plain(pictures), found.temperature * divided(pictures), rtol=1e-4, atol=1e-4)


def test_evaluations_say_whether_the_radii_hold(calibrated, tmp_path, capsys):
    path, _, other = calibrated
    out = tmp_path / "out.json"
    argv = [str(path), "--test_set", str(other), "--output", str(out), "--num_workers", "0"]
    assert run(evaluate.main, argv) == 0
    assert "radii of the calibration" in capsys.readouterr().out
    held, heads = json.loads(out.read_text())["reliability"]["teacher"], np.load(out.with_suffix(".npz"))
    within, error = heads["teacher_within_90_deg"], heads["teacher_geodesic_deg"]
    assert held["inside"] == pytest.approx((error <= within).mean()) and held["heads"] == 40
    assert sum(row["heads"] for row in held["by_yaw"]) == 40
    assert "How far off may a prediction be?" in out.with_suffix(".html").read_text()


def test_records_have_radii_only_if_the_model_is_calibrated(calibrated, tmp_path, monkeypatch):
    path, on, _ = calibrated
    monkeypatch.chdir(tmp_path)
    Image.fromarray(HeadStore(on).image(0)).save("head.png")
    expected = HeadPoseEstimator.from_checkpoint(path).predict_crops([HeadStore(on).image(0)])
    assert 0 < expected.within_90_deg[0] <= 180 and expected.reliable[0] == (expected.within_90_deg[0] <= 30)
    argv = ["--input", "head.png", "--detector", "whole", "--draw", "none", "--save", "csv"]
    for model, out in ((str(path), "with"), ("heads-front", "without")):
        assert run(image.main, [model, *argv, "--output", out]) == 0
    [head] = json.loads(next((tmp_path / "with").glob("*.jsonl")).read_text())["heads"]
    assert head["within_90_deg"] == pytest.approx(float(expected.within_90_deg[0]), abs=0.01)
    assert head["reliable"] == bool(expected.reliable[0])
    [head] = json.loads(next((tmp_path / "without").glob("*.jsonl")).read_text())["heads"]
    assert head["within_90_deg"] is None and head["reliable"] is None
    assert next((tmp_path / "with").glob("*.csv")).read_text().splitlines()[0].endswith(",within_90_deg,reliable")


def test_a_calibration_of_another_model_is_not_used(calibrated, tmp_path, caplog):
    path, _, _ = calibrated
    shutil.copy(find_checkpoint("heads-full"), tmp_path / "model.safetensors")
    shutil.copy(path.with_suffix(".calibration.json"), tmp_path)
    with caplog.at_level(logging.WARNING):
        assert load_model(tmp_path / "model.safetensors").reliability is None
    assert "another version" in caplog.text


@pytest.mark.parametrize("damage", ["{", "[]", '{"format_version": 1, "sha256": "", "models": {"teacher": {}}}'])
def test_a_damaged_calibration_is_refused(calibrated, tmp_path, capsys, damage):
    path, on, _ = calibrated
    model = shutil.copy(path, tmp_path / "model.safetensors")
    (tmp_path / "model.calibration.json").write_text(damage)
    assert "model.calibration.json" in refused(capsys, evaluate.main, [str(model), "--test_set", str(on)])


def test_what_can_not_be_calibrated(calibrated, stores, tmp_path, capsys):
    path, on, other = calibrated
    model = shutil.copy(path, tmp_path / "model.safetensors")

    def error(*argv):
        return refused(capsys, calibrate.main, [str(model), *map(str, argv)])

    assert "--on is not given" in error()
    assert "200 or more" in error("--on", stores["test"])
    assert "name another" in error("--on", on, "--check", on)
    assert "(0, 180]" in error("--on", on, "--reliable_deg", "0")
    assert "no labels" in error("--on", stores["unlabeled"]) or "200 or more" in error("--on", stores["unlabeled"])
    assert "nowhere" in error("--on", tmp_path / "nowhere.lmdb")
    assert not (tmp_path / "model.calibration.json").exists()
    hopeless = save_plainnet(tmp_path / "plain.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(temperature, "MIN_HEADS", 10)
        assert "on none" in refused(capsys, calibrate.main, [str(hopeless), "--on", str(other)])
    assert not (tmp_path / "plain.calibration.json").exists()
