"""Training, evaluation and inference of the one-stage method, through the same trainer as all methods."""

import json
import math
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from support.errors import refused
from support.paths import ROOT
from support.training import experiment_of, exps_dir, killed_run, losses, resume, state
from support.training import train_run as train
from torchvision.ops import box_convert, box_iou

from semiuhpe.cli import evaluate as evaluate_cli
from semiuhpe.cli import train as train_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.stores import SceneStore
from semiuhpe.errors import CheckpointError, ConfigError, StoreError
from semiuhpe.evaluation.results import read_results
from semiuhpe.evaluation.run import evaluate_checkpoint
from semiuhpe.inference.detectors import load_detector
from semiuhpe.inference.detectors.onestage import LARGE
from semiuhpe.methods.onestage import OneStage, open_test_set
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes
from semiuhpe.training.run_folder import read_scalars


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    sets = {
        "train": SceneSet(10, 3, "clean", "front", 1, 80),
        "test": SceneSet(6, 3, "clean", "front", 2, 80, 0.5, 0.5),
    }
    paths = {name: folder / f"{name}.lmdb" for name in sets}
    for name, path in paths.items():
        write_scenes(sets[name], path)
    return paths


def onestage_settings(scenes, exps):
    return [
        *("--exps_dir", str(exps), "--exp_name", "tiny", "--method", "onestage", "--pretrained", "false"),
        *("--network", "onestage:timm:lcnet_035", "--image_size", "64", "--train_labeled", str(scenes["train"])),
        *("--test_set", str(scenes["test"]), "--num_workers", "0"),
    ]


@pytest.fixture
def settings(scenes, tmp_path):
    return [
        *onestage_settings(scenes, tmp_path / "exps"),
        *("--batch_size", "4", "--max_iteration", "4", "--val_frequency", "2", "--log_frequency", "1", "--lr", "1e-3"),
        *("--masked_share", "0.5", "--turned_share", "0.5"),
    ]


def test_killed_and_resumed_is_the_same_as_not_killed_with_any_workers(settings, monkeypatch):
    whole = train(settings, "--num_workers", "1")
    folder = killed_run(monkeypatch, settings, 2)
    assert resume(settings, folder).finished
    torch.testing.assert_close(state(folder), state(whole.folder), rtol=0, atol=0)
    assert losses(folder) == losses(whole.folder) and len(losses(folder)) == 4
    assert whole.folder.parent.name == "onestage-timm-lcnet_035_s64_b4_M0.5_T0.5"
    rates = {row["step"]: row["train/lr"] for row in read_scalars(folder) if "train/lr" in row}
    assert rates == pytest.approx({1: 1e-3, 2: 1e-3, 3: 1e-3, 4: 1e-4})


def test_two_processes_do_what_one_does(settings):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    # Weights hardly move: what differs between the runs is rounding only. A network whose batch norm is torch's own:
    # that of many of timm's models is not shared between processes on the CPU, and the log says so.
    settings = [
        *settings,
        "--network",
        "onestage:timm:test_resnet",
        "--lr",
        "1e-8",
        "--max_iteration",
        "3",
        "--val_frequency",
        "3",
    ]
    for detail, launcher in (
        ("one", ()),
        ("two", ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")),
    ):
        command = [sys.executable, *launcher, str(ROOT / "train.py"), *settings, "--exp_detail", detail]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    one, two = (next((exps_dir(settings) / "tiny" / detail).iterdir()) for detail in ("one", "two"))
    assert losses(two) == pytest.approx(losses(one), rel=1e-3) and len(losses(one)) == 3
    validated = [
        next(row for row in read_scalars(folder) if "val/student/ap50" in row)["val/student/missed_ap50"]
        for folder in (one, two)
    ]
    assert validated[1] == pytest.approx(validated[0], abs=0.02)


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """A checkpoint of a network that has seen a few scenes for a little while."""
    options = onestage_settings(scenes, tmp_path_factory.mktemp("exps"))
    options += ["--batch_size", "8", "--lr", "1e-2", "--max_iteration", "40", "--val_frequency", "40"]
    return train(options, "--log_frequency", "5").folder / "last.pth"


def test_the_loss_falls(trained):
    values = list(losses(trained.parent).values())
    assert np.mean(values[-2:]) < 0.9 * np.mean(values[:2])


def test_evaluation_reports_detection_and_pose_by_kinds_of_heads(trained, tmp_path, capsys):
    output = tmp_path / "eval.json"
    assert run(evaluate_cli.main, [str(trained), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "AP50" in printed and "masked" in printed and "turned" in printed
    results = json.loads(output.read_text())["results"]
    assert {"all", "masked", "unmasked", "turned", "upright"} == set(results)
    assert results["all"]["heads"] == results["masked"]["heads"] + results["unmasked"]["heads"]
    assert results["all"]["missed_heads"] <= results["all"]["heads"]
    assert cv2.imread(str(tmp_path / "eval_scenes.png")) is not None
    written = read_results(output)
    assert written.of_scenes and written.heads["wanted"].sum() == results["all"]["heads"]
    by_function = evaluate_checkpoint(trained, written.summary["store"]["path"], batch_size=16)
    assert by_function.summary["results"] == results


def test_evaluations_need_stores_of_their_kind(trained, stores):
    with pytest.raises(StoreError, match=r"test\.lmdb.*crops"):
        evaluate_checkpoint(trained, stores["test"])
    with pytest.raises(ConfigError, match="in_plane"):
        evaluate_checkpoint(trained, stores["test"], in_plane=True)


def test_the_checkpoint_is_a_detector_with_poses(trained, scenes):
    store = SceneStore(scenes["test"])
    detector = load_detector(f"onestage:{trained}", min_score=0.01)
    images = [store.image(0), store.image(1), np.zeros((40, 90, 3), np.uint8), np.zeros((33, 7, 3), np.uint8)]
    found = detector.batch(images)
    assert [len(one) for one in found] == [len(detector(image)) for image in images]
    for image, one in zip(images, found, strict=True):
        boxes, scores = one
        assert one.rotations.shape == (len(one), 3, 3) and one.entropy.shape == (len(one),)
        assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= [*image.shape[1::-1]]).all()
        assert (np.diff(scores) <= 0).all()
        torch.testing.assert_close(
            torch.from_numpy(one.rotations).mT @ torch.from_numpy(one.rotations),
            torch.eye(3).expand(len(one), 3, 3), atol=1e-4, rtol=0,
        )  # fmt: skip
    assert len(found[0]) > 0
    assert len(load_detector(f"onestage:{trained}:96", min_score=0.01)(images[0])) > 0


def test_several_sizes_find_the_heads_of_each_once(trained, scenes):
    picture, sizes = SceneStore(scenes["test"]).image(0), ("64", "96", "64,96")
    small, large, both = (load_detector(f"onestage:{trained}:{size}", min_score=0.01)(picture) for size in sizes)
    large = large.select(large.boxes[:, 2:].max(axis=1) <= LARGE * max(picture.shape[:2]))
    corners, every_small, every_large = (
        box_convert(torch.from_numpy(found.boxes), "xywh", "xyxy") for found in (both, small, large)
    )
    assert len(large) and 0 < len(both) < len(small) + len(large)
    overlap = box_iou(corners, corners).fill_diagonal_(0)
    assert overlap.max() <= 0.5 and (np.diff(both.scores) <= 0).all()
    # Whatever either size finds is there, or a better one is in its place.
    for found, boxes in ((small, every_small), (large, every_large)):
        better = torch.from_numpy(both.scores) >= torch.from_numpy(found.scores)[:, None]
        assert ((box_iou(boxes, corners) > 0.5) & better).any(1).all()
    of_one = {tuple(box) for found in (small, large) for box in found.boxes}
    assert all(tuple(box) in of_one for box in both.boxes) and both.rotations.shape == (len(both), 3, 3)


def test_bad_detectors_are_refused(trained, stores):
    with pytest.raises(ConfigError, match="onestage:CKPT"):
        load_detector("onestage:")
    with pytest.raises(ConfigError, match="large"):
        load_detector(f"onestage:{trained}:large")
    with pytest.raises(CheckpointError):
        load_detector("onestage:nowhere.pth")


@pytest.mark.parametrize(
    "change, words",
    [
        (["--network", "resnet18"], "onestage:"),
        (["--image_size", "70"], "--image_size"),
        (["--masked_share", "1.5"], "--masked_share"),
        (["--frozen_levels", "4"], "--frozen_levels 4: must be 0 to 3"),
        (["--frozen_levels", "1"], "--frozen_levels: would keep random weights"),
        (["--ss_ratio", "0.05"], "--ss_ratio 0.05: --method onestage"),
        (["--cutout_aug"], "--cutout_aug True: --method onestage"),
        (["--val_split", "0.1"], "--val_split"),
        (["--best_metric", "ap50"], "missed_ap50"),
        (["--method", "semiuhpe"], "--method onestage"),
    ],
)
def test_impossible_options_are_one_line_and_leave_nothing(settings, capsys, change, words):
    assert words in refused(capsys, train_cli.main, [*settings, *change])
    assert not exps_dir(settings).exists()


@pytest.mark.parametrize("option", [["--transform", "rotate:45"], ["--in_plane"], ["--protocol", "paper"]])
def test_evaluation_refuses_what_only_head_crops_have(trained, tmp_path, capsys, option):
    output = tmp_path / "eval.json"
    error = refused(capsys, evaluate_cli.main, [trained, "--output", output, *option])
    assert " ".join(option) in error and not output.exists()


def test_scenes_of_biwi_serve_training_and_test(scenes):
    command = ["--method", "onestage", "--network", "onestage:resnet18", "--data_dir_BIWI", str(scenes["train"])]
    options = experiment_of(*command, "--train_labeled", "BIWI", "--test_set", "BIWI")
    data = OneStage(options).open_data()
    assert (len(data.labeled), len(data.selection)) == (7, 3)


def test_a_head_store_is_no_scene_store(settings, stores):
    with pytest.raises(StoreError, match=r"labeled\.lmdb.*scenes"):
        train(settings, "--train_labeled", str(stores["labeled"]))


def test_the_test_set_of_the_training_set_is_other_folders(settings, scenes):
    options = experiment_of(*settings, "--test_set", str(scenes["train"]))
    method = OneStage(options)
    data, test = method.open_data(), open_test_set(options.data, method.options)
    assert sorted([*data.labeled.names, *test.names]) == sorted(SceneStore(scenes["train"]).names)
    assert len(data.labeled) == math.floor(0.7 * 10)


def test_the_settings_are_read(capsys):
    for path in sorted((ROOT / "settings").glob("onestage_*.yml")):
        options = experiment_of("--config", str(path))
        assert (options.training.method, options.network.image_size, options.training.lr) == ("onestage", 256, 1e-3)
