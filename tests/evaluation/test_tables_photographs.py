"""``semiuhpe tables photographs``: halves that never meet, three models for each share, nothing done twice."""

import json
import logging

import numpy as np
import pytest
from safetensors.torch import save_file
from support.errors import refused, says
from support.raw_datasets import write_aflw

from semiuhpe.cli import main as main_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.models import create_model


@pytest.fixture
def command(tmp_path):
    rng = np.random.default_rng(4)
    source = write_aflw(tmp_path / "AFLW2000", [tuple(angles) for angles in rng.uniform(-60, 60, (24, 3))])
    return [
        "tables", "photographs", "--source", str(source), "--network", "plainnet", "--image_size", "32",
        "--heads", "12", "--batch_size", "4", "--ratios", "0.5", "--seeds", "0", "1", "--workers", "1",
        "--stage1_iteration", "2", "--max_iteration", "4", "--rendered_iteration", "3", "--val_frequency", "4",
        "--log_frequency", "2", "--exps_dir", str(tmp_path / "exps"), "--data", str(tmp_path / "data"),
        "--output", str(tmp_path / "tables"),
    ]  # fmt: skip


def test_tables_of_photographs(command, tmp_path, capsys, caplog):
    assert run(main_cli._dispatch, command) == 0
    printed = capsys.readouterr().out
    assert "50% labeled" in printed and "rendered" in printed and "±" in printed and "Euler MAE" in printed
    assert {path.name for path in (tmp_path / "tables").iterdir()} >= {
        "photographs_geodesic.md",
        "photographs_euler.csv",
    }
    results = json.loads((tmp_path / "exps" / "tables_photographs" / "results.json").read_text())
    for column in ("50% labeled", "rendered"):
        assert set(results[column]) == {"supervised", "baseline", "SemiUHPE"}
        assert set(results[column]["SemiUHPE"]) == {"0", "1"}
    train, test = (HeadStore(tmp_path / "data" / f"{split}_32.lmdb") for split in ("train", "test"))
    assert not set(train.names) & set(test.names) and len(train) + len(test) == 24
    assert train.meta["loose"] and not test.meta["loose"] and train.meta["protocol"] == "landmarks"
    rendered = HeadStore(tmp_path / "data" / "rendered1_40.lmdb")
    assert rendered.meta["protocol"] == "landmarks" and len(rendered) == 12

    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert run(main_cli._dispatch, command) == 0
    assert "==" not in caplog.text and "is trained already" in caplog.text
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    "more, words",
    [
        (("--ratios", "0"), "--ratios"),
        (("--test_set", "AFLW2000"), "--test_set prepared"),
        (("--is_full_range", "true"), "--is_full_range"),
        (("--source", "nowhere"), "--source nowhere"),
        (("--pretrained", "true"), "plainnet ImageNet"),
    ],
)
def test_bad_input(command, tmp_path, capsys, more, words):
    assert says(refused(capsys, main_cli._dispatch, [*command, *more]), words)
    assert not (tmp_path / "exps").exists()


def test_imagenet_weights_of_another_network(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    save_file(create_model("plainnet").state_dict(), "weights/tf_efficientnet_lite0.in1k.safetensors")
    error = refused(capsys, main_cli._dispatch, [*command, "--network", "timm:tf_efficientnet_lite0"])
    assert says(error, "timm:tf_efficientnet_lite0 tf_efficientnet_lite0.in1k.safetensors another network --pretrained")
