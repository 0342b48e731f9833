"""Networks of others on pictures: their own crops, their own numbers, no uncertainty."""

import json

import numpy as np
import pytest
from PIL import Image
from support.errors import refused, says
from support.foreign_files import write_onnx

from semiuhpe import HeadPoseEstimator
from semiuhpe.cli import image as image_cli
from semiuhpe.cli import video as video_cli
from semiuhpe.cli.entry import run
from semiuhpe.foreign.crops import CROPS
from semiuhpe.inference.detectors import load_detector


@pytest.fixture
def fsanet(tmp_path):
    return f"fsanet:{write_onnx(tmp_path / 'a.onnx', factor=30.0)}"


@pytest.fixture
def picture():
    image = np.full((120, 160, 3), 128, np.uint8)
    image[:, 80:] = (250, 10, 90)
    return image


def expected_angles(crop):
    """Yaw, pitch and roll of the file: thirty times the mean of blue, green and red."""
    return 30 * (crop.reshape(-1, 3).mean(0)[::-1] - 127.5) / 128


def test_heads_are_cropped_by_the_networks_rule(fsanet, picture):
    estimator = HeadPoseEstimator.from_checkpoint(fsanet, device="cpu")
    box = np.array([60.0, 40.0, 40.0, 30.0])
    poses = estimator.predict(picture, boxes=[box])
    yaw, pitch, roll = expected_angles(CROPS["mtcnn_0.6"].crop(picture, box, 64))
    np.testing.assert_allclose(poses.euler_front_deg[0], [pitch, yaw, roll], atol=0.01)
    assert np.isnan(poses.entropy).all() and np.isnan(poses.confidence).all()
    whole = estimator.predict_crops([picture[:100, 30:130]])
    yaw, pitch, roll = expected_angles(CROPS["mtcnn_0.6"].resize(picture[:100, 30:130], 64))
    np.testing.assert_allclose(whole.euler_front_deg[0], [pitch, yaw, roll], atol=0.01)


def test_image_and_video(fsanet, picture, tmp_path, caplog):
    Image.fromarray(picture).save(tmp_path / "a.png")
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.png": [[60, 40, 40, 30]]}))
    output = tmp_path / "out"
    command = [fsanet, "--input", str(tmp_path / "a.png"), "--detector", f"boxes:{boxes}", "--output", str(output)]
    assert run(image_cli.main, command) == 0
    [line] = [json.loads(line) for line in next(output.glob("heads-*.jsonl")).read_text().splitlines()]
    assert "NaN" not in next(output.glob("heads-*.jsonl")).read_text()
    assert len(line["heads"]) == 1 and list((output / "pictures").rglob("a.png"))
    assert load_detector(f"boxes:{boxes}").crop_rule.name == "head_box"
    assert "fsanet" in caplog.text and "faces" in caplog.text and "heads" in caplog.text


@pytest.mark.parametrize("option", ["--original", "--student"])
def test_options_of_the_papers_models(fsanet, tmp_path, capsys, option):
    boxes = tmp_path / "boxes.json"
    boxes.write_text("{}")
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    command = [
        fsanet,
        option,
        "--input",
        tmp_path / "a.png",
        "--detector",
        f"boxes:{boxes}",
        "--output",
        tmp_path / "o",
    ]
    assert says(refused(capsys, image_cli.main, command), f"{option} fsanet")


def test_missing_files_are_told_before_anything_is_done(tmp_path, capsys):
    name = f"hopenet:{tmp_path / 'none.pkl'}"
    for command in (image_cli.main, video_cli.main):
        assert says(refused(capsys, command, [name]), "none.pkl")


def test_angles_beyond_the_front_are_full(tmp_path):
    away = write_onnx(tmp_path / "r.onnx", 224, 9, batch="N")
    poses = HeadPoseEstimator.from_checkpoint(f"yakhyo:{away}", device="cpu").predict_crops(
        [np.zeros((9, 9, 3), np.uint8)]
    )
    assert np.isfinite(poses.rotations).all() and np.allclose(np.linalg.det(poses.rotations), 1, atol=1e-4)
