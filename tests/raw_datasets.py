"""Small raw datasets in the layouts of the real ones."""

import numpy as np
import scipy.io
from PIL import Image


def write_aflw(folder, angles):
    """A small raw AFLW2000: pitch, yaw, roll in degrees for each picture."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, euler in enumerate(angles):
        Image.fromarray(rng.integers(0, 255, (120, 100, 3), dtype=np.uint8)).save(folder / f"image{i:05d}.jpg")
        points = np.stack([rng.uniform(30, 70, 21), rng.uniform(40, 80, 21)])
        points[:, 3] = -1
        pose = np.radians([*euler, 0, 0, 0, 0])[None]
        scipy.io.savemat(folder / f"image{i:05d}.mat", {"Pose_Para": pose, "pt2d": points})
    return folder


def write_300wlp(root, with_landmarks):
    rng = np.random.default_rng(1)
    for folder in ("AFW", "AFW_Flip"):
        (root / folder).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(0, 255, (120, 100, 3), dtype=np.uint8)).save(root / folder / f"{i}.jpg")
            points = np.stack([rng.uniform(30, 70, 68), rng.uniform(40, 80, 68)])
            pose = np.radians([[5.0 * i, 60.0 * i, 0]])
            scipy.io.savemat(root / folder / f"{i}.mat", {"Pose_Para": pose, "pt2d": points})
    if with_landmarks:
        (root / "landmarks" / "AFW").mkdir(parents=True)
        for i in range(3):
            points = np.stack([rng.uniform(20, 30, 68), rng.uniform(40, 80, 68)], axis=1)
            scipy.io.savemat(root / "landmarks" / "AFW" / f"{i}_pts.mat", {"pts_2d": points})
    return root
