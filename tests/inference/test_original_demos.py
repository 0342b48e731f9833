"""image.py and predict.py without pictures of one's own, and as the demos of the paper's code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.checkpoints import save_plainnet
from support.detector_files import random_network, save_released, save_yunet
from support.errors import refused
from support.paths import ROOT

from semiuhpe import HeadPoseEstimator
from semiuhpe.cli import image as image_cli
from semiuhpe.cli import predict as predict_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.crop import original_demo_crop, squeezed_picture
from semiuhpe.errors import DataError
from semiuhpe.inference.samples import sample_heads
from semiuhpe.models import load_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_plainnet(tmp_path_factory.mktemp("plainnet") / "model.pth")


@pytest.fixture
def photo(tmp_path, monkeypatch) -> np.ndarray:
    """A picture in the working folder, and boxes of two heads: one inside, one at its edge, and one of low score."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(image).save("a.png")
    Path("boxes.csv").write_text("image,x,y,w,h,score\na.png,20,10,20,30,0.9\na.png,60,30,20,40,0.5\na.png,1,1,9,9,0.4")
    return image


def rotations(folder) -> list:
    (path,) = Path(folder).glob("heads-*.jsonl")
    return [head["rotation"] for line in path.read_text().splitlines() for head in json.loads(line)["heads"]]


def restated_crop(image, box, size=224):
    """The crop of the paper's demos: corners x1, y1, x2, y2, and edges_scale = -0.05."""
    x1, y1, x2, y2 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    center_x, center_y, side = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1)
    left, right = max(0, int(center_x - 0.55 * side)), min(image.shape[1] - 1, int(center_x + 0.55 * side))
    top, bottom = max(0, int(center_y - 0.55 * side)), min(image.shape[0] - 1, int(center_y + 0.55 * side))
    return np.asarray(Image.fromarray(image[top:bottom, left:right]).resize([size, size]))


@pytest.mark.parametrize("box", [(20, 10, 20, 30), (60, 30, 20, 40), (-5, -9, 30, 22), (3.5, 40.2, 70.9, 19.4)])
def test_the_crop_of_the_papers_demos(photo, box):
    np.testing.assert_array_equal(original_demo_crop(photo, np.array(box), 224), restated_crop(photo, box))


def test_boxes_outside_are_refused_by_that_crop_too(photo):
    for box in ((90, 10, 20, 20), (10, 10, 0, 5), (float("nan"), 0, 5, 5)):
        with pytest.raises(DataError):
            original_demo_crop(photo, np.array(box))


def test_original_poses_the_student_on_that_crop(photo, checkpoint):
    argv = [str(checkpoint), "--input", "a.png", "--detector", "boxes:boxes.csv", "--draw", "none", "--original"]
    assert run(image_cli.main, [*argv, "--output", "out"]) == 0
    student = HeadPoseEstimator(load_checkpoint(checkpoint, teacher=False))
    expected = student.predict_batch(
        [photo], [np.array([[20, 10, 20, 30], [60, 30, 20, 40]])], crop_rule=original_demo_crop
    )[0]
    np.testing.assert_allclose(rotations("out"), expected.rotations, atol=1e-5)
    usual = student.predict(photo, boxes=[[20, 10, 20, 30], [60, 30, 20, 40]])
    assert np.abs(usual.rotations - expected.rotations).max() > 1e-3
    settings = json.loads(Path("out/run.json").read_text())
    assert settings["original"] is True and settings["min_score"] == 0.5
    assert run(image_cli.main, [*argv[:-1], "--output", "out"]) == 2, "results of other settings"


def test_original_takes_heads_with_a_body_only(photo, checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "body_head.pt"
    save_released(path, random_network(), monkeypatch)
    argv = [str(checkpoint), "--input", "a.png", "--draw", "none", "--original"]
    assert run(image_cli.main, [*argv, "--detector", f"bpjdet:{path}", "--output", "out"]) == 0
    assert json.loads(Path("out/run.json").read_text())["detector"] == f"bpjdet:{path}:paired"


def test_predict_takes_whole_pictures_and_squeezes_them_with_original(photo, checkpoint):
    argv = [str(checkpoint), "--input", "a.png", "--draw", "none"]
    assert run(predict_cli.main, [*argv, "--original", "--output", "squeezed"]) == 0
    assert run(predict_cli.main, argv) == 0
    student = HeadPoseEstimator(load_checkpoint(checkpoint, teacher=False))
    whole = [np.array([[0, 0, 80, 60]])]
    expected = student.predict_batch([photo], whole, crop_rule=squeezed_picture)[0].rotations
    np.testing.assert_allclose(rotations("squeezed"), expected, atol=1e-5)
    teacher = HeadPoseEstimator.from_checkpoint(checkpoint)
    padded = teacher.predict_batch([photo], whole, crop_rule=None)[0].rotations
    np.testing.assert_allclose(rotations("outputs/predict"), padded, atol=1e-5)


def test_without_input_the_packages_heads_are_posed(checkpoint, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    for command, name in ((image_cli.main, "image"), (predict_cli.main, "predict")):
        with caplog.at_level("INFO"):
            assert run(command, [str(checkpoint), "--draw", "none"]) == 0
        message = [record.message for record in caplog.records if "--input is not given" in record.message]
        assert len(message) == 1 and "rendered heads" in message[0]
        caplog.clear()
        assert len(rotations(f"outputs/{name}")) == 6
    boxes = (sample_heads() / "boxes.csv").read_text().splitlines()
    assert len(boxes) == 7


def test_the_papers_commands_run_as_printed(tmp_path):
    """Its two command lines for head crops and pictures, but for network and checkpoint."""
    more = [
        "--is_full_range",
        "--config",
        "settings/DAD3DHeads_COCOHead.yml",
        "--network",
        "timm:tf_efficientnet_lite0",
        "--gpu_ids",
        "0",
    ]
    for script in ("predict.py", "image.py"):
        command = [sys.executable, str(ROOT / script), "heads-full", *more, "--draw", "none"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "6 pictures done with 6 heads" in done.stdout and done.stderr.count("comes with the package,") == 1


@pytest.mark.parametrize("detector", ["yunet:yunet.onnx", "whole:x"])
def test_detectors_that_original_has_no_crop_for(photo, checkpoint, capsys, detector):
    save_yunet(Path("yunet.onnx"))
    argv = [str(checkpoint), "--input", "a.png", "--original", "--detector", detector]
    error = refused(capsys, image_cli.main, argv)
    assert detector in error or "--original" in error
