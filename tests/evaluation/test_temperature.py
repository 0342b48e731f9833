"""Temperature scaling: known temperatures are found, and ``semiuhpe export --calibrate`` writes them into a model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.checkpoints import save_plainnet
from support.errors import refused

from semiuhpe.cli import export
from semiuhpe.cli.entry import run
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.distributions import MatrixFisher
from semiuhpe.errors import ConfigError
from semiuhpe.evaluation import temperature as module
from semiuhpe.evaluation.calibration import confidences
from semiuhpe.evaluation.predict import evaluate
from semiuhpe.evaluation.temperature import fit_temperature
from semiuhpe.models import find_checkpoint, load_checkpoint
from semiuhpe.models.output import PoseDecoder
from semiuhpe.rotation import geodesic_deg


@pytest.mark.parametrize("true_temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_that_of_the_truths(true_temperature):
    """Truths are drawn from distributions whose parameters are those predicted, divided by a temperature."""
    generator = torch.Generator().manual_seed(3)
    parameter = 8 * torch.randn(4000, 3, 3, generator=generator, dtype=torch.float64)
    truth = MatrixFisher(parameter / true_temperature).sample((), generator=generator)
    error = geodesic_deg(MatrixFisher(parameter).mode(), truth)
    assert fit_temperature("matrixFisher", parameter, error) == pytest.approx(true_temperature, rel=0.08)


def test_an_exported_model_is_calibrated(stores, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "MIN_HEADS", 10)
    path, out = find_checkpoint("heads-front"), tmp_path / "calibrated.pth"
    assert run(export.main, [str(path), "--weights", str(out), "--calibrate", str(stores["test"])]) == 0
    told = float(capsys.readouterr().out.split("divided by ")[1].split()[0])
    store, cpu = HeadStore(stores["test"]), torch.device("cpu")
    before, after = (
        evaluate(loaded.model, PoseDecoder(loaded.description), store, cpu, 8)
        for loaded in (load_checkpoint(path), load_checkpoint(out))
    )
    np.testing.assert_allclose(after.parameter * told, before.parameter, rtol=2e-3, atol=1e-5)
    right = (after.errors["geodesic_deg"] <= 15).double()
    claimed = [confidences("matrixFisher", found.parameter) for found in (before, after)]
    unsure, sure = ((confidence - right).square().mean() for confidence in claimed)
    assert 0 < right.mean() < 1 and sure < unsure


def test_a_model_that_is_never_right_tells_no_temperature(stores, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "MIN_HEADS", 10)
    argv = [str(save_plainnet(tmp_path / "model.pth")), "--weights", str(tmp_path / "out.pth")]
    assert "on none" in refused(capsys, export.main, [*argv, "--calibrate", str(stores["test"])])
    assert not (tmp_path / "out.pth").exists()


def test_what_can_not_be_calibrated(stores, tmp_path, capsys):
    path, out = save_plainnet(tmp_path / "model.pth"), tmp_path / "calibrated.pth"

    def error(store, checkpoint=path):
        return refused(capsys, export.main, [str(checkpoint), "--weights", str(out), "--calibrate", str(store)])

    assert "200 or more" in error(stores["test"])
    assert "nowhere.lmdb" in error(tmp_path / "nowhere.lmdb")
    assert not out.exists()
    loaded = load_checkpoint(path)
    certain = replace(loaded, description=replace(loaded.description, distribution="gramSchmidt"))
    with pytest.raises(ConfigError, match="gramSchmidt has no uncertainty"):
        module.calibrate(certain, HeadStore(stores["test"]), torch.device("cpu"))
