"""SCRFD and Ultra-Light face detectors: networks whose faces are red cells, found from normalized RGB."""

import numpy as np
import pytest
from support.detector_files import save_scrfd, save_ultraface, save_yolo, save_yunet

from semiuhpe.data.crop import FACE_BOX
from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.inference.detectors import load_detector

FIXED, ANY, BATCHES = (1, 3, 64, 64), (1, 3, "height", "width"), ("batch", 3, "height", "width")


def with_face(height: int, width: int, x: int, y: int, side: int, red: int = 255) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + side, x : x + side, 0] = red
    return image


@pytest.mark.parametrize(
    ("shape", "image", "box"),
    [
        # 128x96 shrinks to 64x48 at the top: the cell of 8 px at (16, 8), its face 2 px higher
        (FIXED, with_face(96, 128, 32, 16, 16), [32, 12, 16, 16]),
        # 60x120 shrinks to 32x64 at the left, whose scales differ by the rounding: 60 / 32 and 120 / 64
        (FIXED, with_face(120, 60, 15, 15, 15), [15, 11.25, 15, 15]),
        # 1280x960 shrinks to 640x480: the face is limited to the picture above
        (ANY, with_face(960, 1280, 1264, 0, 16), [1264, 0, 16, 12]),
        (BATCHES, with_face(960, 1280, 64, 32, 16), [64, 28, 16, 16]),
    ],
)
def test_scrfd_maps_distances_in_strides_back(tmp_path, shape, image, box):
    save_scrfd(tmp_path / "net.onnx", shape, batched=shape is BATCHES)
    detector = load_detector(f"scrfd:{tmp_path / 'net.onnx'}")
    boxes, scores = detector(image)
    np.testing.assert_allclose(boxes, [box], atol=1e-3)
    np.testing.assert_allclose(scores, [1.0], atol=1e-3)
    assert detector.crop_rule is FACE_BOX and boxes.dtype == scores.dtype == np.float32
    assert [len(found) for found in detector.batch([image[..., ::-1].copy(), image])] == [0, 1]  # blue is no face


@pytest.mark.parametrize("side", [8, 16, 32])
def test_scrfd_finds_faces_of_each_stride(tmp_path, side):
    save_scrfd(tmp_path / "net.onnx")
    boxes = load_detector(f"scrfd:{tmp_path / 'net.onnx'}")(with_face(64, 64, 32, 32, side)).boxes
    largest = boxes[boxes[:, 2].argmax()]
    np.testing.assert_allclose(largest, [32, 32 - side / 4, side, side], atol=1e-3)


@pytest.mark.parametrize(("height", "width", "x", "y"), [(96, 64, 16, 32), (32, 128, 48, 16), (96, 128, 0, 80)])
def test_ultraface_maps_shares_of_the_input_back(tmp_path, height, width, x, y):
    # 64x48: pictures are halved, and padded by whole cells left and right, above and below, or not at all
    save_ultraface(tmp_path / "net.onnx")
    detector = load_detector(f"ultraface:{tmp_path / 'net.onnx'}", min_score=0.9)
    boxes, scores = detector(with_face(height, width, x, y, 16))
    np.testing.assert_allclose(boxes, [[x, y, 16, 16]], atol=1e-3)
    np.testing.assert_allclose(scores, [1.0], atol=1e-3)
    assert detector.crop_rule is FACE_BOX


@pytest.mark.parametrize(("kind", "save"), [("scrfd", save_scrfd), ("ultraface", save_ultraface)])
def test_scores_are_those_of_the_normalized_picture_and_faces_have_a_threshold(tmp_path, kind, save):
    save(tmp_path / "net.onnx")
    image = with_face(48, 64, 16, 16, 8, red=200)
    spec = f"{kind}:{tmp_path / 'net.onnx'}"
    np.testing.assert_allclose(load_detector(spec)(image).scores, [200 / 255], atol=1e-5)
    assert len(load_detector(spec, min_score=0.8)(image)) == 0
    assert len(load_detector(spec)(with_face(48, 64, 16, 16, 8, red=120))) == 0  # 0.47
    assert load_detector(spec)(np.zeros((5, 7, 3), np.uint8)).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("kind", "save", "words"),
    [
        ("scrfd", lambda path: save_yolo(path, "classes", ["face"]), "SCRFD"),
        ("scrfd", save_yunet, "SCRFD"),
        ("scrfd", save_ultraface, "SCRFD"),
        ("scrfd", lambda path: save_scrfd(path, shift=-2.0), "SCRFD"),
        ("ultraface", save_scrfd, "Ultra-Light"),
        ("ultraface", save_yunet, "any size"),
        ("ultraface", lambda path: save_yolo(path, "classes", ["face"]), "Ultra-Light"),
        ("ultraface", lambda path: save_ultraface(path, raw=True), "version-RFB-320"),
        ("onnx", save_scrfd, "YOLO"),
        ("onnx", save_ultraface, "YOLO"),
        ("yunet", save_scrfd, "YuNet"),
    ],
)
def test_networks_of_another_kind_are_refused(tmp_path, kind, save, words):
    path = tmp_path / "net.onnx"
    save(path)
    with pytest.raises(CheckpointError, match=rf"net\.onnx.*{words}") as error:
        load_detector(f"{kind}:{path}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["scrfd", "ultraface"])
def test_files_that_are_missing_or_broken(tmp_path, kind):
    with pytest.raises(ConfigError, match=rf"{kind}:FILE\.onnx"):
        load_detector(kind)
    with pytest.raises(CheckpointError, match=r"absent\.onnx"):
        load_detector(f"{kind}:{tmp_path / 'absent.onnx'}")
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(CheckpointError, match=r"net\.onnx.*ONNX"):
        load_detector(f"{kind}:{tmp_path / 'net.onnx'}")
