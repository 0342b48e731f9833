"""A checkpoint is evaluated by one call as it is by ``eval.py``."""

import json

import pytest
from support.checkpoints import SHIPPED

from semiuhpe.cli import evaluate as evaluate_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.errors import CheckpointError, ConfigError, StoreError
from semiuhpe.evaluation.run import evaluate_checkpoint
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes


def test_the_numbers_are_those_of_the_command(stores, tmp_path):
    output = tmp_path / "eval.json"
    options = ["--test_set", str(stores["test"]), "--transform", "rotate:90", "--in_plane", "--output", str(output)]
    assert run(evaluate_cli.main, [SHIPPED.stem, *options]) == 0
    expected = json.loads(output.read_text())
    results = evaluate_checkpoint(SHIPPED.stem, stores["test"], transform="rotate:90", in_plane=True)
    for part in ("results", "paper", "store", "worst"):
        assert json.loads(json.dumps(results.summary[part])) == expected[part]
    assert results.summary["settings"]["transform"] == "rotate:90" and "in_plane_deg" in results.heads


def test_a_view_is_evaluated_as_it_is(stores):
    results = evaluate_checkpoint(SHIPPED.stem, HeadStore(stores["test"]).view([3, 1]))
    assert results.heads["names"].tolist() == ["000003", "000001"]


def test_what_can_not_be_evaluated(stores, tmp_path):
    write_scenes(SceneSet(2, 2, "clean", "front", 1, 64), tmp_path / "scenes.lmdb")
    with pytest.raises(StoreError, match=r"scenes\.lmdb.*crops"):
        evaluate_checkpoint(SHIPPED.stem, tmp_path / "scenes.lmdb")
    with pytest.raises(ConfigError, match="sideways"):
        evaluate_checkpoint(SHIPPED.stem, stores["test"], transform="sideways")
    with pytest.raises(CheckpointError):
        evaluate_checkpoint(tmp_path / "none.pth", stores["test"])
