"""semiuhpe demo: the page in a headless Chromium, and what it says of bad input."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.browser import opened
from support.checkpoints import SHIPPED
from support.errors import refused, says
from support.paths import ROOT

from semiuhpe import HeadPoseEstimator, pictures
from semiuhpe.cli import demo as demo_cli
from semiuhpe.inference.demo import Demo, heads_table, render_examples
from semiuhpe.inference.detectors import load_detector


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> list[Path]:
    return render_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a running demo, started in the repository's folder; ends it as Ctrl-C does, without an error."""
    command = [sys.executable, "-m", "semiuhpe.cli.main", "demo", "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["TMPDIR"] = str(tmp_path_factory.mktemp("server"))
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), "the demo doesn't start; its error is above"
            yield line.split()[0]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert not os.listdir(environment["TMPDIR"])  # nothing of what visitors gave it stays


@pytest.fixture
def page(server):
    """The page in Chromium; fails if it asks anybody but the server for anything."""
    with opened(server) as page:
        page.locator("#go").wait_for()
        yield page


def show(page, path: Path) -> None:
    """Uploads a picture, in place of the one that is there, and presses the button."""
    remove = page.get_by_label("Remove Image")
    if remove.count():
        remove.first.click()
    with page.expect_response(lambda response: "/upload" in response.url):
        page.locator("input[type=file]").first.set_input_files(path)
    page.wait_for_timeout(300)
    page.locator("#go").click()


def test_a_picture_is_shown_with_its_heads_and_their_record(page, examples, tmp_path):
    assert "learned from rendered heads alone" in page.locator("body").inner_text()
    show(page, examples[3])
    page.locator("#table tbody tr").wait_for()
    cells = page.locator("#table tbody td").all_inner_texts()
    with Image.open(examples[3]) as opened:
        image = np.asarray(opened.convert("RGB"))
    estimator = HeadPoseEstimator.from_checkpoint(SHIPPED, device="cpu")
    poses = estimator.predict(image)
    pitch, yaw, roll = poses.euler_full_deg[0].tolist()
    assert cells[1:3] == [", ".join(f"{value:.0f}" for value in poses.boxes[0]), f"{poses.scores[0]:.2f}"]
    front = [poses.euler_front_deg[0][i] for i in (1, 0, 2)]
    assert [float(cell.rstrip("°")) for cell in cells[3:9]] == pytest.approx([*front, yaw, pitch, roll], abs=0.11)
    assert [float(cell) for cell in cells[9:]] == pytest.approx([poses.entropy[0], poses.confidence[0]], abs=0.011)
    assert page.locator("#drawn img").evaluate("image => image.naturalWidth") == 256
    with page.expect_download() as downloading:
        page.locator("#download").click()
    downloading.value.save_as(tmp_path / "heads.json")
    record = json.loads((tmp_path / "heads.json").read_text())
    assert downloading.value.suggested_filename == f"{examples[3].stem}_heads.json"
    assert (record["image"], record["width"], record["height"]) == (examples[3].name, 256, 256)
    (head,) = record["heads"]
    sureness = {"entropy", "confidence", "within_90_deg", "reliable"}
    assert set(head) == {"box", "score", "rotation", "euler_front_deg", "euler_full_deg"} | sureness
    assert np.allclose(head["rotation"], poses.rotations[0], atol=1e-4)

    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    show(page, tmp_path / "broken.jpg")
    page.get_by_text("broken.jpg: can't be decoded").wait_for()
    assert page.locator("#table td").count() == 0 and not page.locator("#download").is_enabled()

    page.locator("#detector input").click()
    page.get_by_role("option", name="another, named below").click()
    page.locator("#typed textarea, #typed input").first.fill("onnx:nowhere.onnx")
    show(page, examples[0])
    page.get_by_text("nowhere.onnx").wait_for()


@pytest.fixture
def demo(tmp_path) -> Demo:
    estimator = HeadPoseEstimator.from_checkpoint(SHIPPED, device="cpu")
    return Demo(estimator, load_detector("whole"), "whole", None, None, tmp_path)


def test_huge_pictures_are_refused_or_shown_smaller(demo, tmp_path, monkeypatch):
    Image.new("RGB", (3000, 2000)).save(tmp_path / "large.png")
    shown = demo(str(tmp_path / "large.png"), "whole", "axes")
    assert shown.drawing.shape == (1067, 1600, 3) and shown.heads[0]["box"] == [0, 0, 3000, 2000]
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1_000_000)
    shown = demo(str(tmp_path / "large.png"), "whole", "axes")
    assert shown.message.startswith("large.png: has 3000x2000 pixels") and shown.drawing is None
    Image.new("RGB", (3000, 2000)).save(tmp_path / "large.jpg")
    shown = demo(str(tmp_path / "large.jpg"), "whole", "mesh")
    assert shown.drawing.shape == (500, 750, 3) and shown.heads[0]["box"] == [0, 0, 3000, 2000]


def test_what_is_wrong_is_told_on_the_page(demo, examples, tmp_path):
    assert "picture" in demo(None, "whole", "mesh").message
    assert "--detector whale" in demo(str(examples[0]), "whale:x", "mesh").message
    assert "onnx:" in demo(str(examples[0]), "onnx:", "mesh").message
    (tmp_path / "boxes.csv").write_text("image,x,y,w,h\nother.png,1,1,9,9\n")
    shown = demo(str(examples[0]), f"boxes:{tmp_path}/boxes.csv", "mesh")
    assert examples[0].name in shown.message and not shown.heads
    (tmp_path / "boxes.csv").write_text(f"image,x,y,w,h\n{examples[0].name},,,,\n")
    assert demo(str(examples[0]), f"boxes:{tmp_path}/./boxes.csv", "mesh").message.startswith("No head was found")


def test_a_table_without_uncertainty():
    head = {"box": [1.4, 2, 3, 4], "score": 0.5, "euler_front_deg": [-0.01, 20, 3], "euler_full_deg": [0, 20, 3]}
    table = heads_table([{**head, "entropy": None, "confidence": None}])
    assert table.count("not known") == 2 and "<td>20.0°</td><td>0.0°</td><td>3.0°</td>" in table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.pth"], "nowhere.pth"),
        (["--port", "70000"], "--port 70000"),
        (["--port", "http"], "--port http"),
        (["--host", "nowhere.invalid"], "--host nowhere.invalid"),
        (["--port", "0", "--detector", "onnx:nowhere.onnx"], "nowhere.onnx"),
        (["--port", "0", "--mesh", "nowhere.obj"], "--mesh nowhere.obj"),
    ],
)
def test_bad_options_end_with_one_line(arguments, words, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(demo_cli, "_import_page", lambda: None)
    assert says(refused(capsys, demo_cli.main, arguments), words)


def test_a_port_that_is_taken(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        error = refused(capsys, demo_cli.main, ["--port", port])
    assert f"--port {port}" in error and "Address already in use" in error


def test_without_gradio_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "semiuhpe.inference.demo_page", raising=False)
    assert "pip install 'semiuhpe[demo]'" in refused(capsys, demo_cli.main, ["--port", "0"])
