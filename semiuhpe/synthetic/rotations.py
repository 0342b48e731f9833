"""Random head rotations: on all of SO(3), or from front to profile as in 300W-LP."""

import numpy as np
import roma
import torch

from semiuhpe.rotation import euler_to_matrix

RANGES = ("full", "front")
FRONT_YAW, FRONT_PITCH, FRONT_ROLL = 90.0, 40.0, 30.0  # degrees; angles are uniform within +- these


def random_rotations(n: int, rng: np.random.Generator, range_: str = "full") -> np.ndarray:
    """Return random rotations (n, 3, 3) float32, head to camera.

    Args:
        n: number of rotations.
        rng: the only source of randomness.
        range_: ``"full"`` is uniform on SO(3) (Haar); ``"front"`` draws yaw, pitch and roll uniformly within
            +-90, +-40 and +-30 degrees.

    Raises:
        ValueError: ``range_`` is neither.
    """
    if range_ == "full":
        quaternions = rng.standard_normal((n, 4))  # normalized, Gaussian vectors are uniform on the sphere
        quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
        return roma.unitquat_to_rotmat(torch.from_numpy(quaternions)).numpy().astype(np.float32)
    if range_ == "front":
        limits = np.array([FRONT_PITCH, FRONT_YAW, FRONT_ROLL])
        euler_deg = rng.uniform(-limits, limits, (n, 3))
        return euler_to_matrix(torch.from_numpy(euler_deg)).numpy().astype(np.float32)
    raise ValueError(f"unknown range of rotations {range_!r}; it must be one of {', '.join(RANGES)}")
