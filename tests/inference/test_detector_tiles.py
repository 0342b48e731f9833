"""Heads on large pictures: a detector that sees red in tiles, and in a whole picture only what is large enough."""

import json
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.detector_files import save_yunet
from support.errors import refused, says
from support.paths import SHARED

from semiuhpe.cli import image as image_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.crop import FACE_BOX, HEAD_BOX
from semiuhpe.errors import ConfigError
from semiuhpe.inference.detectors import Detections, Detector, TiledDetector, load_detector
from semiuhpe.inference.detectors.tiles import Tile, tiles

SIDE, OVERLAP = 100, 30


class RedDetector(Detector):
    """Boxes of red areas; a picture is seen at 100 px of its longer side, and areas under 4 px of that are not.

    Scores are higher the sharper the picture is seen, so that those of tiles are preferred. Bodies are the boxes.
    """

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def _detect(self, images, sources):
        return [self._areas(image) for image in images]

    def _areas(self, image):
        self.sizes.append(image.shape[:2])
        scale = min(100 / max(image.shape[:2]), 1)
        _, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 127).astype(np.uint8))
        boxes = stats[1:, :4].astype(np.float32)
        boxes = boxes[(boxes[:, 2:] * scale >= 4).all(axis=1)]
        scores = np.full(len(boxes), scale, np.float32)
        return Detections(boxes, scores, boxes.copy(), np.tile(np.eye(3, dtype=np.float32), (len(boxes), 1, 1)))


def picture(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, w, h in boxes:
        image[y : y + h, x : x + w, 0] = 255
    return image


def found(image: np.ndarray) -> dict[tuple[int, ...], float]:
    """Scores by box."""
    heads = TiledDetector(RedDetector(), SIDE, OVERLAP)(image)
    return {tuple(box): score for box, score in zip(heads.boxes.astype(int).tolist(), heads.scores, strict=True)}


@pytest.mark.parametrize(("height", "width"), [(100, 101), (240, 310), (1000, 33), (171, 170), (99, 5000)])
def test_tiles_cover_a_picture_with_their_overlap(height, width):
    parts = tiles(height, width, SIDE, OVERLAP)
    seen = np.zeros((height, width), int)
    for left, top, right, bottom in parts:
        assert right - left == min(SIDE, width) and bottom - top == min(SIDE, height)
        seen[top:bottom, left:right] += 1
    assert seen.min() == 1
    for length, starts in ((width, {tile.left for tile in parts}), (height, {tile.top for tile in parts})):
        steps = np.diff(sorted(starts))
        assert (steps <= SIDE - OVERLAP).all() and (len(steps) == 0 or steps.max() - steps.min() <= 1)
        assert len(starts) == (1 if length <= SIDE else int(np.ceil((length - OVERLAP) / (SIDE - OVERLAP))))
    assert tiles(90, 100, SIDE, OVERLAP) == [Tile(0, 0, 100, 90)]


def test_small_heads_are_found_once_wherever_they_lie():
    """A head of 10 px is too small in a picture of 400 px; at each place it is complete in a tile, or in several."""
    for x in range(0, 391, 13):
        for y in (0, 60, 95, 190):
            assert found(picture(200, 400, (x, y, 10, 10))) == {(x, y, 10, 10): 1.0}


def test_heads_that_are_cut_by_tiles_are_those_of_the_whole_picture():
    large = (150, 40, 120, 90)
    assert found(picture(200, 400, large, (5, 5, 10, 10))) == {large: 0.25, (5, 5, 10, 10): 1.0}


def test_heads_that_are_cut_by_the_picture_are_kept():
    corners = [(0, 0, 12, 20), (388, 0, 12, 20), (0, 180, 12, 20), (388, 180, 12, 20)]
    assert found(picture(200, 400, *corners)) == dict.fromkeys(corners, 1.0)


def test_small_pictures_take_one_pass_and_large_ones_all_their_tiles():
    red = RedDetector()
    heads = TiledDetector(red, SIDE, OVERLAP).batch(
        [picture(100, 80, (3, 4, 9, 9)), picture(100, 150, (100, 40, 9, 9))]
    )
    assert red.sizes == [(100, 80), (100, 150), (100, 100), (100, 100)]
    assert [found.boxes.tolist() for found in heads] == [[[3, 4, 9, 9]], [[100, 40, 9, 9]]]
    assert heads[1].bodies.tolist() == heads[1].boxes.tolist() and heads[1].rotations.shape == (1, 3, 3)
    nothing = TiledDetector(red, SIDE, OVERLAP)(picture(300, 300))
    assert nothing.boxes.shape == (0, 4) and nothing.rotations.shape == (0, 3, 3)


def test_crop_rule_is_the_detectors(tmp_path):
    save_yunet(tmp_path / "net.onnx")
    assert TiledDetector(load_detector(f"yunet:{tmp_path / 'net.onnx'}")).crop_rule is FACE_BOX
    assert TiledDetector(RedDetector()).crop_rule is HEAD_BOX


def test_what_does_not_look_at_pictures_is_refused(tmp_path):
    (tmp_path / "boxes.csv").write_text("image,x,y,w,h\na.jpg,1,2,3,4\n")
    for spec in ("whole", f"boxes:{tmp_path / 'boxes.csv'}"):
        with pytest.raises(ConfigError, match="tiles"):
            TiledDetector(load_detector(spec))
    with pytest.raises(ConfigError, match="100 px"):
        TiledDetector(RedDetector(), 100, 100)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """The current folder, with a picture of 2600 px whose only face has 8 px, and a YuNet that sees red."""
    monkeypatch.chdir(tmp_path)
    save_yunet(Path("net.onnx"))
    Image.fromarray(picture(400, 2600, (1600, 200, 8, 8))).save("large.png")
    return tmp_path


def test_the_command_finds_small_heads_and_says_so_in_its_settings(in_folder, capsys):
    command = "heads-front --input large.png --detector yunet:net.onnx --output"
    for arguments, boxes in (("plain", []), ("tiles --tiles", [[1600, 200, 8, 8]])):
        assert run(image_cli.main, shlex.split(f"{command} {arguments}")) == 0
        (line,) = Path(arguments.split()[0], "heads-00000-of-00001.jsonl").read_text().splitlines()
        assert [[round(number) for number in head["box"]] for head in json.loads(line)["heads"]] == boxes
    assert json.loads(Path("tiles/run.json").read_text())["tiles"] is True
    assert "tiles" not in json.loads(Path("plain/run.json").read_text())
    assert "tiles" in refused(capsys, image_cli.main, shlex.split(f"{command} plain --tiles"))


@pytest.mark.parametrize("detector", ["--detector whole", "--detector boxes:boxes.csv", ""])
def test_the_command_refuses_tiles_of_boxes_that_are_given(in_folder, capsys, detector):
    Path("boxes.csv").write_text("image,x,y,w,h\nlarge.png,1,2,3,4\n")
    given = "--input large.png" if detector else ""  # else the samples, with their boxes
    error = refused(capsys, image_cli.main, shlex.split(f"heads-front --tiles {given} {detector}"))
    assert says(error, f"--tiles --detector {'whole' if 'whole' in detector else 'boxes'}")


def test_real_faces_are_the_same_in_tiles():
    file = SHARED / "real" / "weights" / "face_detection_yunet_2026may.onnx"
    photograph = SHARED / "fixtures" / "000000018380.jpg"
    if not file.is_file() or not photograph.is_file():
        pytest.skip("needs the real files in ../shared")
    with Image.open(photograph) as picture_file:
        image = np.asarray(picture_file.convert("RGB"))
    large = np.zeros((4 * image.shape[0], 5 * image.shape[1], 3), np.uint8)  # which YuNet sees at 0.4 times its size
    y, x = 2 * image.shape[0] + 57, 3 * image.shape[1] - 31
    large[y : y + image.shape[0], x : x + image.shape[1]] = image
    detector = load_detector(f"yunet:{file}")
    alone, whole, tiled = detector(image), detector(large), TiledDetector(detector)(large)
    assert len(whole) < len(alone) <= len(tiled)
    for box in alone.boxes + np.array([x, y, 0, 0], np.float32):
        assert (np.abs(tiled.boxes - box).max(axis=1) < 0.25 * box[2:].max()).sum() == 1
