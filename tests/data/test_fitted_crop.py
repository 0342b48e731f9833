"""Crop rules of other networks: their bounds, what lies outside the picture, and how they become a square."""

import numpy as np
import pytest
from PIL import Image

from semiuhpe.data.fitted_crop import FittedCrop
from semiuhpe.errors import DataError
from semiuhpe.foreign.crops import CROPS

BOX = np.array([40.0, 30.0, 50.0, 80.0])


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(1, 255, (200, 160, 3), np.uint8)


def test_hopenets_rule_is_that_of_its_code():
    # In turn, each with the sides that those before have left.
    x_min, y_min, x_max, y_max = 40.0, 30.0, 90.0, 110.0
    x_min -= 2 * 0.2 * abs(x_max - x_min)
    y_min -= 2 * 0.2 * abs(y_max - y_min)
    x_max += 2 * 0.2 * abs(x_max - x_min)
    y_max += 0.6 * 0.2 * abs(y_max - y_min)
    np.testing.assert_allclose(CROPS["hopenet"].rectangle(BOX), (x_min, y_min, x_max, y_max))


def test_whenets_rule_is_that_of_its_code():
    y_min, x_min, y_max, x_max = 30.0, 40.0, 110.0, 90.0
    y_min -= abs(y_min - y_max) / 10
    y_max += abs(y_min - y_max) / 10
    x_min -= abs(x_min - x_max) / 5
    x_max += abs(x_min - x_max) / 5
    np.testing.assert_allclose(CROPS["whenet_box"].rectangle(BOX), (x_min, y_min, x_max, y_max))


def test_3ddfas_rules_are_those_of_its_code():
    side = (50 + 80) / 2
    x, y, size = 40 + 25, 30 + 40 + 0.14 * side, 1.58 * side
    expected = (x - size / 2, y - size / 2, x + size / 2, y + size / 2)
    np.testing.assert_allclose(CROPS["3ddfa_box"].rectangle(BOX), expected)
    length = 2 * 2**0.5 * 80 / 2
    expected = (65 - length / 2, 70 - length / 2, 65 + length / 2, 70 + length / 2)
    np.testing.assert_allclose(CROPS["3ddfa"].rectangle(BOX), expected)


def test_outside_is_clipped_or_black(picture):
    margins = (1.0, 1.0, 1.0, 1.0)
    clipped = FittedCrop("box", *margins).crop(picture, BOX, 64)
    assert clipped.min() > 0
    black = FittedCrop("box", *margins, outside="black").crop(picture, BOX, 130)
    assert (black[:, 0] == 0).all() and (black[:20] == 0).all() and black[65, 65].min() > 0


def test_fits(picture):
    squeezed = FittedCrop("box").crop(picture, BOX, 64)
    pixels = Image.fromarray(picture[30:110, 40:90])
    pillow = FittedCrop("box", resampling="antialiased bicubic").crop(picture, BOX, 64)
    np.testing.assert_array_equal(pillow, np.asarray(pixels.resize((64, 64), Image.Resampling.BICUBIC)))
    assert squeezed.shape == (64, 64, 3) and not np.array_equal(squeezed, pillow)
    center = FittedCrop("box", fit="center").crop(picture, BOX, 50)
    np.testing.assert_array_equal(center, picture[45:95, 40:90])
    zoomed = FittedCrop("box", fit="center", zoom=2.0).crop(picture, BOX, 25)
    np.testing.assert_array_equal(zoomed, picture[58:83, 52:77])
    tall = FittedCrop("box", zoom=2.0).crop(picture, BOX, 40)
    np.testing.assert_array_equal(tall, FittedCrop("box").crop(picture, BOX, 80)[20:60, 20:60])
    padded = FittedCrop("box", fit="pad").crop(picture, BOX, 80)
    np.testing.assert_array_equal(padded[:, 15:65], picture[30:110, 40:90])
    assert (padded[:, :15] == 0).all()


@pytest.mark.parametrize("rounding, left", [("truncate", 40), ("round", 41)])
def test_rounding(picture, rounding, left):
    box = np.array([40.6, 30.0, 50.0, 50.0])
    crop = FittedCrop("box", rounding=rounding).crop(picture, box, 50)
    np.testing.assert_array_equal(crop, picture[30:80, left : left + 50])


def test_boxes_that_can_not_be_cropped(picture):
    for box in ([200.0, 0, 10, 10], [0, 0, 0, 10], [np.nan, 0, 1, 1], [159.9, 0, 0.05, 10]):
        with pytest.raises(DataError, match=r"outside|empty|no pixel"):
            FittedCrop("box").crop(picture, np.array(box), 32)
