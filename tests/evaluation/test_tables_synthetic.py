"""``semiuhpe tables synthetic``: trains, compares, and does nothing twice."""

import json
import logging

import pytest
from support.errors import refused

from semiuhpe.cli import main as main_cli
from semiuhpe.cli.entry import run
from semiuhpe.cli.options import parse_experiment
from semiuhpe.experiments import synthetic


@pytest.fixture
def command(tmp_path):
    return [
        "tables", "synthetic", "--heads", "24", "--test_heads", "8", "--image_size", "32", "--batch_size", "4",
        "--ratios", "0.25", "0.5", "--ablation_ratio", "0.5", "--seeds", "0", "1", "--workers", "1",
        "--stage1_iteration", "2", "--max_iteration", "4", "--val_frequency", "4", "--log_frequency", "2",
        "--exps_dir", str(tmp_path / "exps"), "--data", str(tmp_path / "data"), "--output", str(tmp_path / "tables"),
    ]  # fmt: skip


def test_tables_of_rendered_heads(command, tmp_path, capsys, caplog):
    assert run(main_cli._dispatch, command) == 0
    printed = capsys.readouterr().out
    assert "25% labeled" in printed and "without cutmix" in printed and "±" in printed
    written = {path.name for path in (tmp_path / "tables").iterdir()}
    assert {"synthetic_ratios.md", "synthetic_ablation.csv", "synthetic_ablation.tex"} <= written
    results = json.loads((tmp_path / "exps" / "tables_synthetic" / "results.json").read_text())
    assert set(results["by_ratio"]["0.25"]) == {"supervised", "baseline", "SemiUHPE"}
    assert set(results["ablation"]["SemiUHPE"]) == {"0", "1"}
    assert results["ablation"]["SemiUHPE"] == results["by_ratio"]["0.5"]["SemiUHPE"]

    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert run(main_cli._dispatch, command) == 0
    assert "==" not in caplog.text and "is trained already" in caplog.text
    assert capsys.readouterr().out == printed


def test_seeds_have_heads_of_their_own(command, tmp_path):
    experiment, options = parse_experiment("", "", synthetic.SyntheticOptions, synthetic.DEFAULT_SETTINGS, command[2:])
    first, second = (synthetic.render(experiment, options, seed).data for seed in (0, 1))
    assert first.train_labeled != second.train_labeled and first.train_labeled == first.train_unlabeled
    assert first.test_set != first.train_labeled


@pytest.mark.parametrize(
    "more, words",
    [(("--ratios", "1.5"), "--ratios"), (("--test_set", "AFLW2000"), "--test_set"), (("--seeds", "-1"), "--seeds")],
)
def test_bad_input(command, tmp_path, capsys, more, words):
    assert words in refused(capsys, main_cli._dispatch, [*command, *more])
    assert not (tmp_path / "exps").exists()
