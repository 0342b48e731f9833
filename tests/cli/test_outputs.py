"""No output is an input, whatever it is called, and no two outputs are one file; refused before anything is written."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.checkpoints import save_plainnet
from support.errors import refused, says
from support.videos import write_video

from semiuhpe.cli import (
    compare,
    evaluate,
    evaluate_dad3dheads,
    export,
    features,
    image,
    inspect,
    prepare,
    scenes,
    synth,
    video,
)
from semiuhpe.cli.entry import run
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.errors import ConfigError


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A video, frames, boxes of both, a mesh, settings and a checkpoint."""
    monkeypatch.chdir(tmp_path)
    write_video(Path("clip.mp4"), 3)
    Path("frames").mkdir()
    for number in range(2):
        Image.new("RGB", (64, 64)).save(f"frames/{number}.png")
    Path("boxes.csv").write_text("image,x,y,w,h\nclip.mp4,,,,\n0.png,1,1,40,40\n1.png,1,1,40,40\n")
    Path("head.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 1\nf 1 2 3\n")
    Path("own.yml").write_text("image_size: 32\n")
    save_plainnet(Path("model.pth"))
    os.symlink("clip.mp4", "symbolic.mp4")
    os.link("clip.mp4", "hard.mp4")
    os.symlink("frames", "others")
    return tmp_path


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


VIDEO = ["model.pth", "--detector", "boxes:boxes.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "clip.mp4", "--jsonl", "clip.mp4"], "--jsonl clip.mp4 input"),
        (["--input", "clip.mp4", "--jsonl", "./clip.mp4", "--draw", "none"], "--jsonl clip.mp4 input"),
        (["--input", "clip.mp4", "--jsonl", "frames/../clip.mp4"], "--jsonl frames/../clip.mp4 input clip.mp4"),
        (["--input", "clip.mp4", "--jsonl", "symbolic.mp4"], "--jsonl symbolic.mp4 input clip.mp4"),
        (["--input", "clip.mp4", "--output", "hard.mp4"], "--output hard.mp4 input clip.mp4"),
        (["--input", "symbolic.mp4", "--output", "clip.mp4"], "--output clip.mp4 input symbolic.mp4"),
        (["--input", "clip.mp4", "--jsonl", "boxes.csv"], "--jsonl boxes.csv input"),
        (["--input", "clip.mp4", "--jsonl", "model.pth"], "--jsonl model.pth input"),
        (["--input", "clip.mp4", "--mesh", "head.obj", "--jsonl", "head.obj"], "--jsonl head.obj input"),
        (["--input", "clip.mp4", "--config", "own.yml", "--jsonl", "own.yml"], "--jsonl own.yml input"),
        (["--input", "frames", "--jsonl", "others/1.png"], "--jsonl others/1.png input frames/1.png"),
        (
            ["--input", "clip.mp4", "--output", "a.mp4", "--jsonl", "frames/../a.mp4"],
            "--jsonl frames/../a.mp4 --output",
        ),
        (["--input", "clip.mp4", "--jsonl", "clip_heads.mp4"], "--jsonl clip_heads.mp4 --output"),
        (["--input", "clip.mp4", "--output", "a.mp4", "--jsonl", "a.mp4.partial"], "--jsonl a.mp4.partial --output"),
    ],
)
def test_video_writes_over_nothing_that_it_reads(place, capsys, arguments, words):
    before = contents()
    assert says(refused(capsys, video.main, [*VIDEO, *arguments]), words)
    assert contents() == before


def test_video_does_not_write_over_what_has_the_temporary_name_of_its_output(place, capsys):
    os.rename("clip.mp4", "heads.mp4.partial")
    before = contents()
    error = refused(capsys, video.main, [*VIDEO, "--input", "heads.mp4.partial", "--output", "heads.mp4"])
    assert says(error, "--output heads.mp4 input heads.mp4.partial")
    assert contents() == before


def test_image_writes_over_neither_its_boxes_nor_its_pictures(place, capsys):
    arguments = ["model.pth", "--num_workers", "1", "--output", "out", "--input", "frames"]
    assert run(image.main, [*arguments, "--detector", "boxes:boxes.csv", "--save", "csv"]) == 0
    table = Path("out/heads-00000-of-00001.csv")
    shutil.copy("boxes.csv", table)
    before = contents()
    error = refused(capsys, image.main, [*arguments, "--detector", f"boxes:{table}", "--save", "csv"])
    assert says(error, f"--output {table} input")
    assert contents() == before
    shutil.rmtree("out/pictures")
    os.symlink("..", "out/pictures")  # so that out/pictures/frames/0.png is frames/0.png
    before = contents()
    assert "frames" in refused(capsys, image.main, [*arguments, "--detector", "boxes:boxes.csv"])
    assert contents() == before


@pytest.mark.parametrize(
    ("option", "path"), [("--onnx", "model.pth"), ("--weights", "link.pth"), ("--torchscript", "./model.pth")]
)
def test_export_does_not_write_over_its_checkpoint(place, capsys, option, path):
    os.symlink("model.pth", "link.pth")
    before = contents()
    assert says(refused(capsys, export.main, ["model.pth", option, path]), f"{option} {Path(path)} input")
    assert contents() == before


def test_stores_are_not_replaced_by_what_is_made_of_them(place, capsys):
    assert run(scenes.main, ["--out", "s.lmdb", "--count", "2", "--size", "64"]) == 0
    assert run(synth.main, ["--out", "h.lmdb", "--count", "2", "--size", "32"]) == 0
    before = contents()
    for command, arguments, words in (
        (prepare.main, ["scenes", "--source", "s.lmdb", "--out", "./s.lmdb"], "--out s.lmdb input"),
        (prepare.main, ["scenes", "--source", "s.lmdb", "--out", "s.lmdb", "--scenes"], "--out s.lmdb input"),
        (prepare.main, ["folder", "--source", "h.lmdb/x", "--out", "h.lmdb"], "--out h.lmdb input h.lmdb/x"),
        (inspect.main, ["h.lmdb", "--sheet", "h.lmdb/data.mdb"], "--sheet h.lmdb/data.mdb input"),
    ):
        Path("h.lmdb/x").mkdir(exist_ok=True)
        overwrite = ["--overwrite", "--workers", "0"] if command is prepare.main else []
        assert says(refused(capsys, command, [*arguments, *overwrite]), words)
    assert run(synth.main, ["--out", "new", "--pictures", "./new"]) == 2
    assert run(scenes.main, ["--out", "new.png", "--sheet", "new.png"]) == 2
    assert {name: data for name, data in contents().items() if "lock" not in name} == {
        name: data for name, data in before.items() if "lock" not in name
    }


def test_evaluations_and_features_are_kept(place, capsys):
    Path("run").mkdir()
    for name in ("eval_a.json", "eval_b.json"):
        Path(name).write_text(json.dumps({}))
    np.savez("run/features.npz", feature=np.zeros((5, 2)))
    os.symlink("features.npz", "run/plot.png")
    os.symlink("eval_a.json", "link.json")
    before = contents()
    for command, arguments, words in (
        (compare.main, ["eval_a.json", "eval_b.json", "--output", "./eval_a.json"], "--output eval_a.json input"),
        (compare.main, ["eval_a.json", "eval_b.json", "--output", "link.json"], "--output link.json input eval_a.json"),
        (features.main, ["run", "--out", "run/features.npz"], "--out run/features.npz"),
        (features.main, ["run", "--out", "run/plot.png"], "--out run/plot.png input run/features.npz"),
    ):
        assert says(refused(capsys, command, arguments), words)
    assert contents() == before


def test_evaluations_write_over_neither_settings_nor_labels(place, capsys):
    assert run(synth.main, ["--out", "h.lmdb", "--count", "2", "--size", "32", "--test"]) == 0
    Path("own.json").write_text('{"eval_batch_size": 2}')
    Path("raw/val/annotations").mkdir(parents=True)
    Path("raw/val/annotations/1.json").write_text("{}")
    before = contents()
    for command, arguments, words in (
        (
            evaluate.main,
            ["--test_set", "h.lmdb", "--config", "own.json", "--output", "./own.json"],
            "--output own.json input",
        ),
        (
            evaluate_dad3dheads.main,
            ["--source", "raw", "--split", "val", "--output", "raw/val/annotations/1.json"],
            "--output raw/val/annotations/1.json input",
        ),
    ):
        assert says(refused(capsys, command, ["model.pth", *arguments]), words)
    assert contents() == before


def test_files_are_compared_and_not_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("a")
    os.symlink("loop", "loop")
    check_outputs([("--x", Path("b")), ("--y", None), ("--z", Path("loop"))], [None, "a", Path("missing"), "."])
    check_outputs([("--x", Path("b.json")), ("--x", Path("b.html"))])
    with pytest.raises(ConfigError, match=r"--x .*/a\b.*input"):
        check_outputs([("--x", tmp_path / "." / "a")], ["a"])
    with pytest.raises(ConfigError, match=r"--x \.: .*input a\b"):
        check_outputs([("--x", Path("."))], ["a"])
