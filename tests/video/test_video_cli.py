"""video.py: videos, folders of frames and boxes in, videos and JSON Lines out."""

import json
import logging
import os
import signal
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.checkpoints import save_plainnet
from support.errors import error_line, says
from support.videos import frame_times, number_of, packets, write_video

from semiuhpe import HeadPoseEstimator
from semiuhpe.cli import video as video_cli
from semiuhpe.cli.entry import run
from semiuhpe.models import weights
from semiuhpe.rotation import geodesic_deg
from semiuhpe.video.source import open_source


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_plainnet(tmp_path_factory.mktemp("plainnet") / "model.pth")


@pytest.fixture
def clip(tmp_path, monkeypatch) -> Path:
    """A clip of six frames with sound; heads on all but its fourth frame."""
    monkeypatch.chdir(tmp_path)
    heads = {str(frame): [[30 + frame, 10, 40, 44], [5, 20, 30, 30]] for frame in range(6) if frame != 3}
    Path("boxes.json").write_text(json.dumps({"clip.mp4": heads}))
    return write_video(Path("clip.mp4"), 6, sound="aac")


def video_py(checkpoint: Path, *arguments: str) -> int:
    return run(video_cli.main, [str(checkpoint), "--detector", "boxes:boxes.json", *arguments])


def records(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.parametrize("draw", ["mesh", "axes", "cube"])
def test_a_video_is_drawn_with_its_sound(checkpoint, clip, capsys, draw):
    assert video_py(checkpoint, "--input", "clip.mp4", "--draw", draw) == 0
    message = capsys.readouterr().out
    assert "6 frames, 10 heads" in message and "no head was found" not in message
    frames = [frame.image for frame in open_source("clip_heads.mp4").frames]
    plain = [frame.image for frame in open_source("clip.mp4").frames]
    changed = [np.abs(a.astype(int) - b).max() > 60 for a, b in zip(frames, plain, strict=True)]
    assert changed == [True, True, True, False, True, True]
    assert [data for _, data in packets(Path("clip_heads.mp4"), "audio")] == [d for _, d in packets(clip, "audio")]
    assert sorted(os.listdir()) == ["boxes.json", "clip.mp4", "clip_heads.mp4"]


def test_the_records_are_those_of_the_estimator(checkpoint, clip):
    assert video_py(checkpoint, "--input", "clip.mp4", "--draw", "none", "--jsonl", "heads.jsonl") == 0
    assert not Path("clip_heads.mp4").exists()
    lines = records("heads.jsonl")
    assert [(line["frame"], len(line["heads"])) for line in lines] == [(i, 0 if i == 3 else 2) for i in range(6)]
    frames = list(open_source("clip.mp4").frames)
    estimator = HeadPoseEstimator.from_checkpoint(str(checkpoint), "cpu")
    poses = estimator.predict(frames[4].image, [head["box"] for head in lines[4]["heads"]])
    rotations = torch.tensor([head["rotation"] for head in lines[4]["heads"]])
    assert geodesic_deg(rotations, torch.from_numpy(poses.rotations)).max() < 0.05
    np.testing.assert_allclose([head["entropy"] for head in lines[4]["heads"]], poses.entropy, atol=1e-3)
    np.testing.assert_allclose([head["confidence"] for head in lines[4]["heads"]], poses.confidence, atol=1e-3)


def test_persons_of_a_folder_are_tracked_into_a_gif(checkpoint, clip):
    pytest.importorskip("trackers", reason="needs the package trackers (pip install 'semiuhpe[track]')")
    Path("frames").mkdir()
    for frame in open_source("clip.mp4").frames:
        Image.fromarray(frame.image).save(f"frames/{frame.number}.png")
    rows = ["image,x,y,w,h", *(f"frames/{i}.png,{30 + i},10,40,44" for i in range(6))]
    Path("boxes.csv").write_text("\n".join(rows))
    options = ["--input", "frames", "--output", "heads.gif", "--jsonl", "heads.jsonl", "--track", "--smooth"]
    assert video_py(checkpoint, *options, "--detector", "boxes:boxes.csv", "--fps", "10") == 0
    lines = records("heads.jsonl")
    assert [line["time"] for line in lines] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert [line["heads"][0]["person"] for line in lines] == [None, 1, 1, 1, 1, 1]
    with Image.open("heads.gif") as gif:
        assert gif.n_frames == 6 and gif.info["duration"] == 100


def test_interrupting_finishes_the_file(checkpoint, clip, caplog):
    write_video(Path("clip.mp4"), 1500, sound="aac")
    Path("boxes.json").write_text(json.dumps({"clip.mp4": {str(i): [[30, 10, 40, 44]] for i in range(1500)}}))

    def press_ctrl_c() -> None:
        partial = Path("heads.jsonl.partial")
        while not (partial.exists() and partial.stat().st_size):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press_ctrl_c, daemon=True).start()
    with caplog.at_level(logging.INFO):
        assert video_py(checkpoint, "--input", "clip.mp4", "--jsonl", "heads.jsonl") == 130
    assert "finishing what has been begun" in caplog.text
    lines = records("heads.jsonl")
    assert 0 < len(lines) < 1500
    assert frame_times(Path("clip_heads.mp4")) == pytest.approx([line["time"] for line in lines])
    assert not list(Path().glob("*.partial"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "clip.mp4", "--fps", "0"], "--fps"),
        (["--input", "clip.mp4", "--fps", "fast"], "--fps"),
        (["--input", "clip.mp4", "--fps", "30/0"], "--fps"),
        (["--input", "none.mp4"], "--input none.mp4"),
        (["--input", "clip.mp4", "--output", "clip.mp4"], "--output clip.mp4 input"),
        (["--input", "clip.mp4", "--output", "out.avi"], "--output out.avi .mp4, .mov"),
        (["--input", "clip.mp4", "--output", "no/out.mp4"], "--output no/out.mp4"),
        (["--input", "clip.mp4", "--jsonl", "no/heads.jsonl"], "--jsonl no/heads.jsonl"),
        (["--input", "clip.mp4", "--draw", "none"], "--jsonl"),
        (["--input", "clip.mp4", "--draw", "none", "--jsonl", "x.jsonl", "--output", "x.mp4"], "--output"),
        (["--input", "clip.mp4", "--smooth"], "--smooth --track"),
        (["--input", "boxes.json"], "boxes.json: Invalid data"),
        (["--input", "frame.jpg"], "--input frame.jpg image.py"),
    ],
)
def test_bad_options_are_named(checkpoint, clip, capsys, arguments, words):
    Image.new("RGB", (40, 40)).save("frame.jpg")
    before = sorted(os.listdir())
    assert video_py(checkpoint, *arguments) == 2
    assert says(error_line(capsys.readouterr().err), words)
    assert sorted(os.listdir()) == before


def test_an_error_on_the_way_leaves_nothing(checkpoint, clip, capsys):
    Path("boxes.json").write_text(json.dumps({"other.mp4": {"0": [[1, 1, 9, 9]]}}))
    assert video_py(checkpoint, "--input", "clip.mp4", "--jsonl", "heads.jsonl") == 2
    assert says(error_line(capsys.readouterr().err), "clip.mp4 boxes.json")
    assert sorted(os.listdir()) == ["boxes.json", "clip.mp4"]


def test_what_is_wrong_is_said_before_a_checkpoint_is_fetched(clip, monkeypatch, capsys):
    monkeypatch.setattr(weights, "fetched", lambda file: pytest.fail(f"{file.name} was fetched"))
    for arguments, message in (
        (["--input", "none.mp4"], "--input none.mp4"),
        (["--input", "clip.mp4", "--output", "no/a.mp4"], "--output no/a.mp4"),
        (["--input", "clip.mp4", "--detector", "boxes:no.csv"], "no.csv"),
    ):
        assert video_py(Path("DAD-COCOHead-ResNet50-best"), *arguments) == 2
        assert message in error_line(capsys.readouterr().err)


def test_a_video_without_heads_is_copied_and_it_is_said(checkpoint, clip, capsys):
    Path("boxes.json").write_text(json.dumps({"clip.mp4": []}))
    assert video_py(checkpoint, "--input", "clip.mp4", "--output", "out.mkv") == 0
    assert [number_of(frame.image) for frame in open_source("out.mkv").frames] == list(range(6))
    assert "--min_score" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25", "25"),
        ("29.97", "30000/1001"),
        ("23.976", "24000/1001"),
        ("12.5", "25/2"),
        ("30000/1001", "30000/1001"),
        ("59.94", "60000/1001"),
        ("0.5", "1/2"),
        ("1/300", "1/300"),
        ("0.004", "1/250"),
    ],
)
def test_frame_rates_as_people_write_them(text, rate):
    assert video_cli.frame_rate(text) == Fraction(rate)


def test_without_input_the_packages_heads_are_a_video(checkpoint, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        assert run(video_cli.main, [str(checkpoint), "--draw", "none", "--jsonl", "heads.jsonl"]) == 0
    assert sum("--input is not given" in record.message for record in caplog.records) == 1
    lines = records("heads.jsonl")
    assert [len(line["heads"]) for line in lines] == [1] * 6
    assert [line["time"] for line in lines] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])


def test_boxes_that_the_video_has_no_place_for_are_counted(checkpoint, clip, caplog):
    Path("some.csv").write_text(
        "image,x,y,w,h,frame\nclip.mp4,5,5,30,30,0\nclip.mp4,5000,5,30,30,1\nclip.mp4,-40,5,30,30,1\n"
        "clip.mp4,5,5,30,30,99999\n"
    )
    arguments = ["--input", "clip.mp4", "--draw", "none", "--jsonl", "a.jsonl", "--detector", "boxes:some.csv"]
    assert run(video_cli.main, [str(checkpoint), *arguments]) == 0
    message = [record.message for record in caplog.records if "some.csv" in record.message]
    assert len(message) == 2 and message[0].startswith("2 boxes") and message[1].startswith("1 boxes")
    assert sum(len(line["heads"]) for line in records("a.jsonl")) == 1
