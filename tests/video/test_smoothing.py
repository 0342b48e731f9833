"""The one-euro filter on SO(3): how much it steadies, how little it lags, and that it never overshoots."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from semiuhpe.video.smoothing import FORGET_AFTER_S, MAX_LAG_DEG, RotationSmoother


def smoothed(rotations: Rotation, rate: float = 25.0) -> Rotation:
    smoother = RotationSmoother()
    return Rotation.from_matrix([smoother(r[None], [1], i / rate)[0] for i, r in enumerate(rotations.as_matrix())])


def distance_deg(first: Rotation, second: Rotation) -> np.ndarray:
    return np.rad2deg((first.inv() * second).magnitude())


def turning(speed_deg: float, seconds: float, rate: float, axis: np.ndarray) -> Rotation:
    start = Rotation.random(random_state=3)
    angles = np.deg2rad(speed_deg * np.arange(round(seconds * rate)) / rate)
    return start * Rotation.from_rotvec(angles[:, None] * axis / np.linalg.norm(axis))


@pytest.mark.parametrize("rate", [10.0, 25.0, 60.0])
@pytest.mark.parametrize("speed_deg", [5.0, 60.0, 300.0, 900.0])
def test_the_lag_behind_a_turning_head_is_bounded_at_any_speed(speed_deg, rate):
    observed = turning(speed_deg, 4.0, rate, np.array([0.3, 1.0, -0.2]))  # 900 degrees per second turns around twice
    lag = distance_deg(smoothed(observed, rate), observed)
    assert pytest.approx(3.183, abs=1e-3) == MAX_LAG_DEG
    assert lag[round(2 * rate) :].max() < MAX_LAG_DEG
    assert lag.max() < 4 * MAX_LAG_DEG  # while it starts to turn, and the speed isn't known yet
    assert lag.max() > 0.05  # it does filter


def test_a_head_that_stops_is_reached_without_overshooting():
    axis, rate = np.array([1.0, -0.5, 0.2]), 25.0
    moving = turning(200.0, 0.5, rate, axis)
    path = Rotation.concatenate([moving, Rotation.concatenate([moving[-1]] * 40)])
    travelled = distance_deg(path[0], smoothed(path, rate))
    end = distance_deg(path[0], path[-1])
    assert np.all(np.diff(travelled) >= -1e-9)
    assert travelled.max() <= end + 1e-9
    assert travelled[len(moving) + 12] > end - 1.0  # within a degree after half a second


def test_a_jump_is_followed_along_the_shortest_path():
    first = Rotation.random(random_state=5)
    last = first * Rotation.from_rotvec(np.deg2rad(170) * np.array([0.0, 0.6, 0.8]))
    path = smoothed(Rotation.concatenate([first] * 5 + [last] * 10))
    to_first, to_last = distance_deg(first, path), distance_deg(last, path)
    np.testing.assert_allclose(to_first + to_last, 170, atol=1e-6)  # on the geodesic between the two
    assert np.all(np.diff(to_last) <= 1e-9) and to_last[-1] < 1


def test_noise_of_a_head_that_keeps_still_is_halved():
    rng = np.random.default_rng(0)
    still = Rotation.random(random_state=1)
    noisy = still * Rotation.from_rotvec(np.deg2rad(rng.normal(0, 1.5, (400, 3))))
    before, after = distance_deg(still, noisy), distance_deg(still, smoothed(noisy))
    assert np.sqrt((after[50:] ** 2).mean()) < 0.5 * np.sqrt((before[50:] ** 2).mean())


def test_persons_are_filtered_apart_and_unknown_ones_not_at_all():
    first, second = Rotation.random(2, random_state=2).as_matrix()
    smoother = RotationSmoother()
    smoother(np.stack([first, second]), [1, 2], 0.0)
    result = smoother(np.stack([second, second, first]), [2, None, 1], 0.04)  # in another order
    np.testing.assert_allclose(result, [second, second, first], atol=1e-12)
    assert smoother(np.zeros((0, 3, 3)), [], 0.08).shape == (0, 3, 3)


def test_a_person_who_was_away_starts_anew():
    first, second = Rotation.random(2, random_state=2).as_matrix()
    smoother = RotationSmoother()
    smoother(first[None], [1], 0.0)
    np.testing.assert_allclose(smoother(second[None], [1], FORGET_AFTER_S + 0.1)[0], second, atol=1e-12)
