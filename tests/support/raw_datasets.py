"""Small raw datasets in the layouts of the real ones."""

import json
import re

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from semiuhpe.data import HeadStore
from semiuhpe.data.preparing import prepare
from semiuhpe.errors import DataError
from semiuhpe.rotation import euler_to_matrix

GREEN = (0, 200, 0)


def write_aflw(folder, angles):
    """A small raw AFLW2000: pitch, yaw, roll in degrees for each picture."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, euler in enumerate(angles):
        Image.fromarray(rng.integers(0, 255, (120, 100, 3), dtype=np.uint8)).save(folder / f"image{i:05d}.jpg")
        points = np.stack([rng.uniform(30, 70, 21), rng.uniform(40, 80, 21)])
        points[:, 3] = -1
        face = np.random.default_rng(i).uniform((25, 35, -9), (75, 85, 9), (68, 3)).T
        pose = np.radians([*euler, 0, 0, 0, 0])[None]
        scipy.io.savemat(folder / f"image{i:05d}.mat", {"Pose_Para": pose, "pt2d": points, "pt3d_68": face})
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


def picture_with_head(box, width=160, height=120):
    """Noise without green, and a green rectangle where the head is."""
    image = np.random.default_rng(0).integers(0, 60, (height, width, 3), dtype=np.uint8)
    x, y, w, h = (round(value) for value in box)
    image[y : y + h, x : x + w] = GREEN
    return image


def model_view(rotation):
    """The 4x4 matrix of OpenGL, which looks along -z with y up, of a rotation head to camera; 1.5 away."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag([1, -1, -1]) @ rotation
    matrix[:3, 3] = [0.1, 0.2, -1.5]
    return matrix.tolist()


def write_dad(root, split, items, rotations=None):
    """Items are (name, box, attributes)."""
    folder = root / "DAD-3DHeadsDataset" / split
    (folder / "images").mkdir(parents=True)
    entries = [{"item_id": name, "bbox": box, "attributes": attributes} for name, box, attributes in items]
    (folder / f"{split}.json").write_text(json.dumps(entries))
    for name, box, _ in items:
        Image.fromarray(picture_with_head(box)).save(folder / "images" / f"{name}.png")
    if rotations is not None:
        (folder / "annotations").mkdir()
        for (name, *_), rotation in zip(items, rotations, strict=True):
            labels = {"vertices": [[0.0, 0.0, 0.0]], "model_view_matrix": model_view(rotation)}
            (folder / "annotations" / f"{name}.json").write_text(json.dumps(labels))
    return folder


def green_box(image):
    """(4,) x, y, w, h of what is green in a picture."""
    rows, columns = np.nonzero(image[..., 1].astype(int) - image[..., 0] > 100)
    return np.array([columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1])


def about(axis, degrees):
    """A rotation about x, y or z (right-handed), written out."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def rotation_of(pitch, yaw, roll):
    """Head to camera, from ``R_300wlp = Rz(roll) Ry(yaw) Rx(pitch)`` and ``R = diag(1, -1, -1) R_300wlp.T``."""
    return np.diag([1, -1, -1]) @ (about("z", roll) @ about("y", yaw) @ about("x", pitch)).T


def broken(summary):
    return {head.name: head.reason for head in summary.broken}


def assert_not_the_dataset(importer, folder, split):
    folder.mkdir()
    with pytest.raises(DataError, match=f"^--source {re.escape(str(folder))}: .*should be"):
        importer.pictures(folder, split)


def draw_head(path, box):
    """A picture with a head, saved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture_with_head(box)).save(path, quality=95)


def write_text(path, text):
    """A text, or JSON of what isn't one, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))


def prepared(name, source, tmp_path, split="val", **options):
    """Summary and store of one split of a raw dataset."""
    out = tmp_path / f"{name}_{split}.lmdb"
    return prepare(name, source, out, split=split, **options), HeadStore(out)


def assert_rotations(store, expected):
    np.testing.assert_allclose(store.rotation, np.asarray(expected), atol=2e-6)


def heads_seen(count, seed=0):
    """Rotations head to camera of upright people, seen from all around."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform([-80, -180, -70], [80, 180, 70], (count, 3))
    return euler_to_matrix(torch.from_numpy(angles)).numpy()
