"""HeadPipeline: detector and estimator together, whatever the pixels that the detector's boxes are in."""

import numpy as np
import pytest
from support.checkpoints import save_plainnet

from semiuhpe import HeadPoseEstimator
from semiuhpe.data.crop import BOX_MARGIN, FACE_BOX
from semiuhpe.inference.detectors import Detections, Detector, Source, load_detector
from semiuhpe.inference.pipeline import HeadPipeline
from semiuhpe.inference.records import picture_line
from semiuhpe.pictures import Picture

BOX = np.array([30, 20, 40, 45], np.float32)


class Faces(Detector):
    """Finds one face, and a speck, on every image."""

    crop_rule = FACE_BOX

    def __init__(self, in_file_pixels: bool) -> None:
        self.in_file_pixels = in_file_pixels

    def _detect(self, images, sources):
        boxes = np.array([BOX, [3, 3, 1, 1]], np.float32) * (4 if self.in_file_pixels else 1)
        boxes[1, 2:] = 1
        return [Detections(boxes, np.array([0.9, 0.8], np.float32)) for _ in images]


@pytest.fixture(scope="module")
def estimator(tmp_path_factory) -> HeadPoseEstimator:
    path = save_plainnet(tmp_path_factory.mktemp("plainnet") / "model.pth", scale=3.0)
    return HeadPoseEstimator.from_checkpoint(path, device="cpu")


@pytest.fixture
def picture() -> Picture:
    """A picture that was decoded at a quarter of its size."""
    return Picture(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8), 480, 360)


@pytest.mark.parametrize("in_file_pixels", [False, True])
def test_boxes_are_in_pixels_of_the_image_and_written_in_those_of_the_file(estimator, picture, in_file_pixels):
    pipeline = HeadPipeline(Faces(in_file_pixels), estimator)
    (poses,) = pipeline([picture.image], [Source("a.jpg")], [picture.scale])
    assert np.array_equal(poses.boxes, [BOX]), "the speck is left out"
    (expected,) = estimator.predict_batch([picture.image], [[BOX]], crop_rule=FACE_BOX)
    assert np.array_equal(poses.rotations, expected.rotations)
    line = picture_line("a.jpg", picture, poses)
    assert (line["width"], line["height"]) == (480, 360)
    assert line["heads"][0]["box"] == (4 * BOX).tolist()


def test_the_estimator_finds_heads_by_the_same_way(estimator, picture):
    (poses,) = HeadPipeline(Faces(False), estimator)([picture.image])
    assert np.array_equal(estimator.predict(picture.image, detector=Faces(False)).rotations, poses.rotations)


def test_boxes_of_head_crops_are_drawn_tighter(estimator, picture):
    assert np.array_equal(HeadPipeline(Faces(False), estimator).head_boxes(BOX[None]), [BOX])
    side = 120 / (1 + 2 * BOX_MARGIN)
    expected = [(120 - side) / 2, (90 - side) / 2, side, side]
    whole = HeadPipeline(load_detector("whole"), estimator)
    assert np.allclose(whole.head_boxes(np.array([[0, 0, 120, 90]], np.float32)), [expected])
