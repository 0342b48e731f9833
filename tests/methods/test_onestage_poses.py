"""A one-stage checkpoint wherever a model of head crops may stand: heads and poses from one pass."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.checkpoints import save_plainnet
from support.videos import write_video

from semiuhpe import HeadPoseEstimator
from semiuhpe.cli import image as image_cli
from semiuhpe.cli import video as video_cli
from semiuhpe.cli.entry import run
from semiuhpe.distributions import MatrixFisher, base
from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.inference.demo import Demo, heads_table
from semiuhpe.inference.detectors import load_detector
from semiuhpe.inference.detectors.onestage import OneStageDetector
from semiuhpe.models import create_model, load_checkpoint
from semiuhpe.models.checkpoint import Description, describe, save_checkpoint
from semiuhpe.models.onestage import anchor_boxes
from semiuhpe.models.onestage_decoding import find_heads
from semiuhpe.rotation import HEAD_TO_CAMERA, R_300WLP, euler_to_matrix, geodesic_deg

TINY = "onestage:timm:lcnet_035"
MIN_SCORE = 0.025  # of an untrained network's best anchors


def save_onestage(path: Path, distribution: str = "matrixFisher") -> Path:
    """An untrained network whose poses and scores differ from place to place."""
    torch.manual_seed(4)
    network = create_model(TINY).train()
    with torch.no_grad():
        for _ in range(15):  # batch norm gets to know the scale of its input, which fades to nothing without
            network(torch.randn(4, 3, 64, 96))
        for branch, std in [(one, 1.0) for one in network.logit] + [(one, 3.0) for one in network.pose]:
            branch.weight.normal_(std=std)
    weights = network.state_dict()
    description = Description(TINY, distribution, HEAD_TO_CAMERA, True, 64, "", "")
    described = describe(description)
    save_checkpoint(path, {"model_state_dict": weights, "model_state_dict_ema": weights, "description": described})
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_onestage(tmp_path_factory.mktemp("onestage") / "model.pth")


@pytest.fixture(scope="module")
def point_checkpoint(tmp_path_factory) -> Path:
    return save_onestage(tmp_path_factory.mktemp("point") / "model.pth", "gramSchmidt")


@pytest.fixture
def photo(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(2).integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(pixels).resize((96, 64)).save("photo.png")
    return Path("photo.png")


def image_py(checkpoint, *options) -> int:
    return run(image_cli.main, [str(checkpoint), "--input", "photo.png", "--output", "out", *options])


def heads_of(folder="out") -> list[dict]:
    (path,) = Path(folder).glob("heads-*.jsonl")
    (line,) = path.read_text().splitlines()
    return json.loads(line)["heads"]


def test_the_poses_are_those_of_the_network(checkpoint, photo):
    estimator = HeadPoseEstimator.from_checkpoint(checkpoint, device="cpu")
    image = np.asarray(Image.open(photo))
    poses = estimator.predict(image, detector=estimator.own_detector(MIN_SCORE, 96))
    assert estimator.finds_heads and len(poses) > 3
    loaded = load_checkpoint(checkpoint)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    given = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255 - mean) / deviation
    with torch.no_grad():
        found = find_heads(loaded.model(given), anchor_boxes(64, 96, torch.device("cpu")), "matrixFisher", MIN_SCORE)
    corners = np.concatenate([poses.boxes[:, :2], poses.boxes[:, :2] + poses.boxes[:, 2:]], axis=1)
    inside = found.box.clamp(min=0).minimum(torch.tensor([96.0, 64.0, 96.0, 64.0]))
    mine = np.concatenate([corners, 1e4 * poses.scores[:, None]], axis=1)
    nearest = torch.cdist(torch.from_numpy(mine), torch.cat([inside, 1e4 * found.score[:, None]], 1)).argmin(1)
    assert geodesic_deg(torch.from_numpy(poses.rotations), found.rotation[nearest]).max() < 0.1
    predicted = MatrixFisher(found.parameter[nearest])
    np.testing.assert_allclose(poses.entropy, predicted.entropy(), atol=1e-3)
    np.testing.assert_allclose(poses.confidence, predicted.mass_within(15), atol=1e-3)
    for euler in (poses.euler_front_deg, poses.euler_full_deg):
        assert geodesic_deg(euler_to_matrix(torch.from_numpy(euler)), torch.from_numpy(poses.rotations)).max() < 0.1
    assert len(estimator.predict(image)) == len(estimator.own_detector()(image))


def test_image_py_needs_no_second_network(checkpoint, photo):
    assert image_py(checkpoint, "--min_score", str(MIN_SCORE)) == 0
    heads = heads_of()
    assert image_py(f"onestage:{checkpoint}", "--min_score", str(MIN_SCORE)) == 0  # the same run, gone on with
    image = np.asarray(Image.open(photo))
    found = load_detector(f"onestage:{checkpoint}", min_score=MIN_SCORE)(image)
    assert len(heads) == len(found) > 3
    assert np.allclose([head["rotation"] for head in heads], found.rotations, atol=1e-4)
    assert np.allclose([head["confidence"] for head in heads], found.confidence, atol=1e-3)
    assert (np.asarray(Image.open("out/pictures/photo.png")) != image).any()
    assert json.loads(Path("out/run.json").read_text())["detector"].endswith("model.pth:64")
    assert image_py(f"onestage:{checkpoint}:96", "--min_score", str(MIN_SCORE)) == 2  # other results: not mixed
    assert image_py(f"onestage:{checkpoint}:96", "--min_score", str(MIN_SCORE), "--output", "larger") == 0
    assert len(heads_of("larger")) != len(heads)


def test_video_py_needs_no_second_network(checkpoint, photo):
    write_video(Path("clip.mp4"), 3)
    options = ["--input", "clip.mp4", "--jsonl", "heads.jsonl", "--min_score", str(MIN_SCORE), "--draw", "axes"]
    assert run(video_cli.main, [str(checkpoint), *options]) == 0
    lines = [json.loads(line) for line in Path("heads.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and all(len(line["heads"]) > 3 for line in lines)
    assert all(0 < head["confidence"] < 1 for line in lines for head in line["heads"])
    assert Path("clip_heads.mp4").exists()


def test_a_model_without_uncertainty_claims_none(point_checkpoint, photo, tmp_path):
    assert image_py(point_checkpoint, "--min_score", str(MIN_SCORE), "--save", "csv") == 0
    heads = heads_of()
    assert len(heads) > 3 and all(head["entropy"] is None and head["confidence"] is None for head in heads)
    with open("out/heads-00000-of-00001.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(heads) and all(row["entropy"] == row["confidence"] == "" for row in rows)
    write_video(Path("clip.mp4"), 1)
    options = ["--input", "clip.mp4", "--jsonl", "heads.jsonl", "--min_score", str(MIN_SCORE), "--draw", "none"]
    assert run(video_cli.main, [str(point_checkpoint), *options]) == 0
    assert '"confidence": null' in Path("heads.jsonl").read_text() and "NaN" not in Path("heads.jsonl").read_text()
    estimator = HeadPoseEstimator.from_checkpoint(point_checkpoint, device="cpu")
    demo = Demo(estimator, estimator.own_detector(MIN_SCORE), "own", MIN_SCORE, None, tmp_path)
    assert demo.choices == ["own"]
    assert heads_table(demo(str(photo), "own", "cube").heads).count("not known") == 2 * len(heads)


@pytest.mark.parametrize("distribution", ["matrixFisher", "gramSchmidt"])
@pytest.mark.parametrize("branch", ["pose", "logit", "box"])
def test_what_is_not_finite_is_no_head_where_the_distributions_do_not_look(tmp_path, monkeypatch, distribution, branch):
    """As on a GPU."""
    monkeypatch.setattr(base, "check_parameters", lambda parameter, *_: parameter)
    network = load_checkpoint(save_onestage(tmp_path / "model.pth", distribution)).model
    detector = OneStageDetector(network, distribution, 64, MIN_SCORE)
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    assert len(detector(picture).boxes) > 3
    with torch.no_grad():
        for convolution in getattr(network, branch):
            convolution.weight[0] = math.nan
    with pytest.raises(CheckpointError, match=r"--detector onestage: .* not finite"):
        detector(picture)


def test_a_model_of_crops_without_uncertainty_claims_none(tmp_path):
    torch.manual_seed(3)
    weights = create_model("plainnet").state_dict()
    described = describe(Description("plainnet", "gramSchmidt", HEAD_TO_CAMERA, True, 32, "", ""))
    content = {"model_state_dict": weights, "model_state_dict_ema": weights, "description": described}
    save_checkpoint(tmp_path / "model.pth", content)
    estimator = HeadPoseEstimator.from_checkpoint(tmp_path / "model.pth", device="cpu")
    poses = estimator.predict(np.zeros((40, 40, 3), np.uint8), [[5, 5, 30, 30]])
    assert np.isfinite(poses.rotations).all()
    assert math.isnan(poses.entropy[0]) and math.isnan(poses.confidence[0])


def test_a_detectors_poses_are_not_those_of_a_named_model_of_crops(checkpoint, photo, tmp_path, caplog):
    """The checkpoint that is named first says whose poses are reported; a line says so."""
    crops = save_plainnet(tmp_path / "crops.pth")
    caplog.set_level("INFO")
    assert image_py(crops, "--detector", f"onestage:{checkpoint}", "--min_score", str(MIN_SCORE)) == 0
    assert f"poses of {crops}" in caplog.text
    image = np.asarray(Image.open(photo))
    found = load_detector(f"onestage:{checkpoint}", min_score=MIN_SCORE)(image)
    poses = HeadPoseEstimator.from_checkpoint(crops, device="cpu").predict(image, [head["box"] for head in heads_of()])
    assert np.allclose([head["rotation"] for head in heads_of()], poses.rotations, atol=2e-2)
    assert not np.allclose(found.rotations[: len(poses)], poses.rotations, atol=0.3)


def test_what_a_one_stage_model_does_not_take(checkpoint, photo, tmp_path, capsys):
    estimator = HeadPoseEstimator.from_checkpoint(checkpoint, device="cpu")
    image = np.zeros((40, 40, 3), np.uint8)
    for call in (
        lambda: estimator.predict(image, [[1, 1, 9, 9]]),
        lambda: estimator.predict(image, detector=load_detector("whole")),
        lambda: estimator.predict_crops([image]),
        lambda: estimator.own_detector(min_score=2.0),
    ):
        with pytest.raises(ConfigError):
            call()
    crops = save_plainnet(tmp_path / "crops.pth")
    with pytest.raises(ConfigError, match="needs a detector"):
        HeadPoseEstimator.from_checkpoint(crops, device="cpu").own_detector()
    for arguments, message in (
        ((checkpoint, "--detector", "whole"), "--detector whole: "),
        ((checkpoint, "--convention", R_300WLP), f"--convention {R_300WLP}: "),
        ((f"onestage:{checkpoint}:huge",), "the size huge is not a number"),
        ((f"onestage:{crops}",), "a model for head crops"),
        ((crops, "--mesh", "head.obj"), "--mesh head.obj: needs --draw mesh"),
    ):
        assert image_py(*arguments) == 2
        assert message in capsys.readouterr().err
    assert not Path("out").exists()
