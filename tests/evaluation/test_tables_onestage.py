"""``semiuhpe tables onestage``, and the heads of scenes as a store of head crops."""

import json

import numpy as np
import pytest
import torch
from support.errors import refused

from semiuhpe.cli import prepare as prepare_cli
from semiuhpe.cli import tables as tables_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.stores import SceneStore
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.evaluation.detection import true_heads
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes


@pytest.fixture
def command(tmp_path):
    return [
        *("onestage", "--network", "onestage:timm:lcnet_035", "--pretrained", "false", "--image_size", "64"),
        *("--scenes", "8", "--test_scenes", "4", "--most_heads", "3", "--domain", "clean", "--crop_size", "32"),
        *("--batch_size", "4", "--max_iteration", "2", "--crop_batch_size", "4", "--crop_iteration", "2"),
        *("--seeds", "0", "--num_workers", "0", "--workers", "1", "--val_frequency", "2", "--log_frequency", "2"),
        *("--data", str(tmp_path / "data"), "--exps_dir", str(tmp_path / "exps"), "--output", str(tmp_path / "out")),
    ]


def test_the_table_is_made_once(command, tmp_path, capsys):
    assert tables_cli.main(command) == 0
    shown = capsys.readouterr().out
    for name in ("one stage", "one stage, trained without masks and turns", "head crops by true boxes, the same heads"):
        assert f"\n| {name} " in shown
    numbers = json.loads((tmp_path / "exps" / "tables_onestage" / "results.json").read_text())
    assert numbers["seeds"] == [0] and len(numbers["crop_error_all"]["masked"]) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"onestage.md", "onestage_two_stage.csv"}
    trained = sorted((tmp_path / "exps").glob("**/last.pth"))
    assert len(trained) == 3
    times = [path.stat().st_mtime_ns for path in trained]
    assert tables_cli.main(command) == 0
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "exps").glob("**/last.pth"))] == times


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--method", "semiuhpe"], "--method semiuhpe"),
        (["--train_labeled", "a.lmdb"], "--train_labeled"),
        (["--crop_lr", "0"], "--lr 0"),
        (["--masked_share", "2"], "--masked_share 2"),
    ],
)
def test_impossible_options_are_one_line_and_leave_nothing(command, tmp_path, capsys, more, words):
    assert words in refused(capsys, tables_cli.main, [*command, *more])
    assert not list(tmp_path.iterdir())


def test_heads_of_scenes_are_those_to_be_found(tmp_path):
    scenes, heads = tmp_path / "scenes.lmdb", tmp_path / "heads.lmdb"
    write_scenes(SceneSet(12, 4, "clean", "full", 3, 96, 0.5, 0.5), scenes)
    assert run(prepare_cli.main, [
        "scenes", "--source", str(scenes), "--split", "test", "--size", "48", "--out", str(heads), "--workers", "0",
    ]) == 0  # fmt: skip
    store, crops = SceneStore(scenes), HeadStore(heads)
    truth = true_heads(store, 96)
    assert len(crops) == truth.wanted.sum() < store.meta["heads"]
    torch.testing.assert_close(torch.from_numpy(crops.rotation), torch.from_numpy(truth.rotation[truth.wanted]))
    scene = np.array([name.split("_")[0] for name in crops.names])
    np.testing.assert_array_equal(scene, store.names[truth.scene[truth.wanted]])
    np.testing.assert_array_equal(crops.attributes["masked"] == "1", truth.masked[truth.wanted])
    np.testing.assert_array_equal(crops.attributes["turned"] == "1", truth.turned[truth.wanted])
    # The crop is the place that the label says: the middle of the crop looks as the middle of the box in the scene.
    row = int(np.argmax(crops.scale * crops.box[:, 2] * (truth.box[truth.wanted][:, 0] > 0)))
    x1, y1, x2, y2 = truth.box[truth.wanted][row]
    picture = store.image(int(truth.scene[truth.wanted][row])).astype(float)
    there = picture[int(y1) : int(y2), int(x1) : int(x2)].mean((0, 1))
    x, y, w, h = crops.box[row]
    crop = crops.image(row).astype(float)[max(int(y), 0) : int(y + h), max(int(x), 0) : int(x + w)].mean((0, 1))
    np.testing.assert_allclose(crop, there, atol=12)
