"""What cameras and the web do to pictures."""

import numpy as np
import pytest

from semiuhpe.synthetic import degrade

GRAY = np.full((120, 120, 3), 128, np.uint8)


def scene(size: int = 112) -> np.ndarray:
    """A picture with edges and colors."""
    y, x = np.mgrid[:size, :size]
    return np.stack([255 * (x > size // 2), 2 * y % 256, 255 * ((x // 8 + y // 8) % 2)], 2).astype(np.uint8)


@pytest.mark.parametrize("size", [8, 16, 24, 112, 225])
def test_a_pure_function_of_its_generator(size):
    picture = scene(size)
    before = picture.copy()
    for seed in range(40):
        first = degrade.wild(picture, np.random.default_rng(seed))
        assert first.shape == picture.shape and first.dtype == np.uint8
        np.testing.assert_array_equal(first, degrade.wild(picture, np.random.default_rng(seed)))
    np.testing.assert_array_equal(picture, before)


def test_most_pictures_stay_clean_and_a_tail_does_not():
    picture = scene().astype(float)
    gray = 0
    error = []
    for seed in range(400):
        found = degrade.wild(scene(), np.random.default_rng(seed)).astype(float)
        without_color = np.ptp(found, axis=2).max() < 8
        gray += without_color
        if not without_color:
            sharp = np.abs(np.diff(found[..., 2], axis=1)).mean() / np.abs(np.diff(picture[..., 2], axis=1)).mean()
            error.append(sharp)
    assert 0.1 < gray / 400 < 0.2
    assert np.median(error) > 0.8 and np.quantile(error, 0.05) < 0.6


def test_noise_is_as_strong_as_asked_for():
    """In display values at level 0.5, where the curve's factor is 1 / (0.5 + 0.5)."""
    noisy = degrade.add_noise(GRAY, 0.03, 0.02, 0.0, np.random.default_rng(0)).astype(float)
    assert noisy.mean() == pytest.approx(128, abs=0.5)
    assert noisy.std() == pytest.approx(255 * np.sqrt(0.03**2 + 0.02**2 * 128 / 255), rel=0.03)
    assert np.ptp(noisy, axis=2).max() == 0
    colored = degrade.add_noise(GRAY, 0.03, 0.02, 1.0, np.random.default_rng(0)).astype(float)
    assert (colored[..., 0] - colored[..., 2]).std() > 3


def test_a_point_out_of_focus_is_a_disc():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    disc = degrade.defocus(point, 4.0)[..., 0].astype(float)
    assert disc.sum() == pytest.approx(255, rel=0.1)
    y, x = np.nonzero(disc)
    assert np.hypot(x - 20, y - 20).max() < 4.6 and np.ptp(disc[18:23, 18:23]) == 0


def test_the_end_of_a_photograph_is_at_its_sides():
    for seed in range(30):
        picture = scene()
        degrade.end_photograph(picture, np.random.default_rng(seed))
        changed = (picture != scene()).any(2)
        assert changed.any() and not changed[30:82, 30:82].any()
