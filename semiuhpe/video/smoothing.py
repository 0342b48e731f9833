"""The one-euro filter on SO(3): smooth rotations of heads at rest, with little lag for heads that move.

Casiez, Roussel and Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems", CHI
2012, with differences of rotations taken by the logarithm, and steps along geodesics. For each frame, dt seconds after
the previous one, with R the observed rotation and S the previous smoothed rotation:

    v  = log(S^T R) / dt                              angular velocity, degrees per second, in head axes
    w <- w + a(SPEED_CUTOFF) (v - w)
    S <- S exp(a(MIN_CUTOFF + GAIN |w|) log(S^T R)),  a(f) = 1 / (1 + 1 / (2 pi f dt))

S moves along the shortest path toward R and never beyond it, so it doesn't overshoot when a head stops. At any constant
speed of a head, its lag is less than :data:`MAX_LAG_DEG`.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

MIN_CUTOFF = 1.0
"""Cutoff frequency in Hz for a head at rest: lower is smoother."""
GAIN = 0.05
"""Increase of the cutoff in Hz per degree per second: higher has less lag."""
SPEED_CUTOFF = 1.0
"""Cutoff frequency in Hz for the angular velocity; the authors' value."""
MAX_LAG_DEG = 1 / (2 * math.pi * GAIN)
"""Upper limit of the lag in degrees. A low-pass of cutoff f lags by speed / (2 pi f), with f >= GAIN * speed."""
FORGET_AFTER_S = 1.0
"""Time in seconds after which the state of a head that isn't seen is dropped."""


@dataclass
class _State:
    time: float
    rotation: Rotation
    velocity_deg: np.ndarray


class RotationSmoother:
    """Smooths the rotations of any number of heads, each with its own filter."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}

    def __call__(self, rotations: np.ndarray, identities: list[int | None], time: float) -> np.ndarray:
        """Return the smoothed rotations of the heads of one frame.

        Args:
            rotations: (N, 3, 3) observed rotations.
            identities: number of each head, the same in all frames; None for a head that isn't smoothed.
            time: time of the frame in seconds, which has to increase from frame to frame.

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
    """Return the step size (alpha) of a low-pass for a cutoff in Hz and a time step in seconds."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * dt))
