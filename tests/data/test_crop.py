import json

import numpy as np
import pytest
import scipy.io
from PIL import Image

from semiuhpe.data.crop import (
    FACE_BOX,
    Rectangle,
    box_rectangle,
    crop_by_box,
    crop_by_landmarks,
    cut,
    landmark_box,
    landmark_rectangle,
)
from semiuhpe.errors import DataError


def test_agrees_with_golden_crops(reference):
    folder = reference / "aflw2000"
    for case in json.loads((folder / "crops.json").read_text()):
        image = np.asarray(Image.open(folder / case["image"]).convert("RGB"))
        expected = np.asarray(Image.open(folder / case["expected_crop"]).convert("RGB"))
        if "head_box_xywh" in case:
            crop = crop_by_box(image, case["head_box_xywh"])
        else:
            landmarks = scipy.io.loadmat(folder / case["image"].replace(".jpg", ".mat"))["pt2d"].T
            crop = crop_by_landmarks(image, landmarks)
        assert np.abs(crop.astype(int) - expected).mean() < 1.0, case["expected_crop"]


def test_box_rectangle_follows_the_protocol():
    # side (40 + 60) / 2 = 50 about (60, 80); reach 0.65 * 50 = 32.5, truncated
    assert box_rectangle([40, 50, 40, 60], 0.15, 200, 200) == Rectangle(27, 47, 92, 112)
    # a face box has twice the margin above: 0.8 * 50 = 40; the width grows to the height
    assert box_rectangle([40, 50, 40, 60], 0.15, 200, 200, FACE_BOX) == Rectangle(24, 40, 95, 112)


def test_rectangle_is_limited_to_the_image_before_it_is_squared():
    # left of the image nothing is left to cut: 0..42 wide, 47..112 high, widened by int(23 / 2) on both sides
    assert box_rectangle([-10, 50, 40, 60], 0.15, 200, 200) == Rectangle(-11, 47, 53, 112)


def test_landmarks_use_the_mask_that_keeps_fewer_points():
    points = np.array([[10.7, 20.2], [50.9, 60.8], [-1, -1], [30, -1]])
    np.testing.assert_array_equal(landmark_box(points), [10, 20, 40, 40])
    # margin 0.2 * 40 = 8, twice above
    left, top, right, bottom = landmark_rectangle(points, 0.2, 100, 100)
    assert (top, bottom) == (4, 68)
    assert (left, right) == (2 - 4, 58 + 4)


def test_outside_is_black_and_the_last_column_and_row_are_not_shown():
    image = np.full((20, 30, 3), 200, np.uint8)
    crop = cut(image, Rectangle(20, 10, 40, 30), None)
    assert crop.shape == (20, 20, 3)
    assert (crop[:9, :9] == 200).all()
    assert (crop[9:] == 0).all() and (crop[:, 9:] == 0).all()


def test_crop_keeps_the_aspect_ratio_of_a_circle():
    image = np.zeros((300, 300, 3), np.uint8)
    y, x = np.mgrid[:300, :300]
    image[(x - 150) ** 2 + (y - 150) ** 2 < 40**2] = 255
    crop = crop_by_box(image, [130, 90, 40, 120], size=224)[..., 0] > 127
    assert abs(int(crop.any(0).sum()) - int(crop.any(1).sum())) <= 1


@pytest.mark.parametrize(
    "box, words",
    [
        ([10, 10, 0, 20], "empty"),
        ([10, 10, 20, -5], "empty"),
        ([10, 10, float("nan"), 5], "finite"),
        ([500, 10, 20, 20], "outside"),
        ([-50, 10, 20, 20], "outside"),
    ],
)
def test_impossible_boxes_are_refused(box, words):
    with pytest.raises(DataError, match=words):
        crop_by_box(np.zeros((100, 100, 3), np.uint8), box)


@pytest.mark.parametrize(
    "landmarks, words",
    [(-np.ones((21, 2)), "no landmark"), (np.full((21, 2), 7.0), "one point"), (np.ones((2, 21)), "shape")],
)
def test_impossible_landmarks_are_refused(landmarks, words):
    with pytest.raises(DataError, match=words):
        crop_by_landmarks(np.zeros((100, 100, 3), np.uint8), landmarks)
