"""The one-euro filter on SO(3): steady rotations of heads that keep still, without lagging behind those that move.

Casiez, Roussel and Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems", CHI
2012, with differences of rotations taken by the logarithm and steps made along geodesics. Per frame, dt seconds after
the one before, with R observed and S the smoothed rotation before it:

    v  = log(S^T R) / dt                              angular velocity, degrees per second, in head axes
    w <- w + a(SPEED_CUTOFF) (v - w)
    S <- S exp(a(MIN_CUTOFF + GAIN |w|) log(S^T R)),  a(f) = 1 / (1 + 1 / (2 pi f dt))

S moves along the shortest path towards R and never beyond it, so it can't overshoot a head that stops. Behind a head
that turns at a constant speed it stays less than :data:`LARGEST_LAG_DEG`, however fast that is.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

MIN_CUTOFF = 1.0
"""Hz, for a head at rest: lower is steadier."""
GAIN = 0.05
"""Hz per degree per second: higher follows faster."""
SPEED_CUTOFF = 1.0
"""Hz, for the angular velocity; the authors' value."""
LARGEST_LAG_DEG = 1 / (2 * math.pi * GAIN)
"""Degrees. A low-pass of cutoff f lags by speed / (2 pi f), and f is at least GAIN times the speed."""
FORGET_AFTER_S = 1.0
"""A head that wasn't seen for longer starts anew."""


@dataclass
class _State:
    time: float
    rotation: Rotation
    velocity_deg: np.ndarray


class RotationSmoother:
    """Smooths the rotations of any number of heads, each by its own filter."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}

    def __call__(self, rotations: np.ndarray, identities: list[int | None], time: float) -> np.ndarray:
        """The smoothed rotations of one frame's heads.

        Args:
            rotations: (N, 3, 3) observed.
            identities: N numbers of the heads, which tell them from frame to frame; a head without is left as it is.
            time: of the frame in seconds; later than the frame before.

        Returns:
            (N, 3, 3) float64.
        """
        smoothed = np.array(rotations, dtype=np.float64).reshape(-1, 3, 3)
        for row, identity in enumerate(identities):
            if identity is not None:
                smoothed[row] = self._filtered(identity, Rotation.from_matrix(smoothed[row]), time).as_matrix()
        self._states = {i: state for i, state in self._states.items() if time - state.time <= FORGET_AFTER_S}
        return smoothed

    def _filtered(self, identity: int, observed: Rotation, time: float) -> Rotation:
        state = self._states.get(identity)
        if state is None or not 0 < time - state.time <= FORGET_AFTER_S:
            state = self._states[identity] = _State(time, observed, np.zeros(3))
            return observed
        dt = time - state.time
        step_deg = np.rad2deg((state.rotation.inv() * observed).as_rotvec())
        state.velocity_deg += _share(SPEED_CUTOFF, dt) * (step_deg / dt - state.velocity_deg)
        share = _share(MIN_CUTOFF + GAIN * float(np.linalg.norm(state.velocity_deg)), dt)
        state.rotation = state.rotation * Rotation.from_rotvec(np.deg2rad(share * step_deg))
        state.time = time
        return state.rotation


def _share(cutoff: float, dt: float) -> float:
    """Of the way to the observation that a low-pass of a cutoff in Hz goes in dt seconds."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * dt))
