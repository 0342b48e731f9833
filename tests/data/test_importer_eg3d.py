"""EG3D's layout: cameras on a sphere about the head, as EG3D's and PanoHead's code places them."""

import json

import cv2
import numpy as np
import pytest
import torch
from support.errors import error_line, says

from semiuhpe.cli import prepare as prepare_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.data.batches.generators import StoreHeads
from semiuhpe.data.identities import identity_names
from semiuhpe.data.importers.eg3d import identity
from semiuhpe.rotation import mirror
from semiuhpe.synthetic.render_head import render_head

INTRINSICS = [4.2647, 0, 0.5, 0, 4.2647, 0.5, 0, 0, 1]
FRONTAL = np.diag([1.0, -1.0, -1.0])


def camera(place, distance=2.7):
    """25 numbers of a camera that looks at the origin, with y up: the matrix's columns are the camera's axes."""
    place = np.asarray(place, float) / np.linalg.norm(place)
    right = np.cross(-place, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(-place, right), -place], axis=1)
    pose[:3, 3] = distance * place
    return [*pose.ravel().tolist(), *INTRINSICS]


PLACES = {
    "front": (0, 0, 1),
    "subjects_left": (1, 0, 0),
    "behind": (0, 0, -1),
    "above": (0, 1, 1),
    "oblique": (-0.5, 0.3, 0.8),
}


def write(folder, labels, size=64):
    folder.mkdir(exist_ok=True)
    for number, (name, numbers) in enumerate(labels):
        rotation = np.reshape(numbers[:16], (4, 4))[:3, :3].T
        picture = render_head(rotation, np.random.default_rng(number), "clean", size).image
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder


def prepare(folder, out, *more):
    return run(
        prepare_cli.main, ["EG3D", "--source", str(folder), "--out", str(out), "--workers", "0", "--size", "64", *more]
    )


@pytest.fixture
def folder(tmp_path):
    labels = [[f"seed{person}/{name}_{person}.png", camera(p)] for person in (1, 2) for name, p in PLACES.items()]
    return write(tmp_path / "gan", labels)


def test_rotations_of_known_cameras(folder, tmp_path):
    assert prepare(folder, tmp_path / "gan.lmdb") == 0
    store = HeadStore(tmp_path / "gan.lmdb")
    assert len(store) == 10 and store.meta["full_range"] and store.meta["loose"]
    rotation = dict(zip(store.names, store.rotation, strict=True))
    np.testing.assert_allclose(rotation["seed1/front_1.png"], FRONTAL, atol=1e-6)
    for name, place in PLACES.items():
        seen_from = -rotation[f"seed2/{name}_2.png"][2]  # direction to the camera in head axes: left, up, front
        np.testing.assert_allclose(seen_from, np.array(place) / np.linalg.norm(place), atol=1e-6)
        left_up_front = rotation[f"seed1/{name}_1.png"]
        assert left_up_front[1, 1] < 0.01, "heads are upright: their up is not down in the picture"
    # From the subject's left the camera sees the nose point to its left.
    np.testing.assert_allclose(rotation["seed1/subjects_left_1.png"][:, 2], [-1, 0, 0], atol=1e-6)


def test_mirrored_twins_have_mirrored_rotations(tmp_path):
    """As EG3D's mirror_dataset.py changes the camera: signs of what mixes x with y and z."""
    numbers = camera((0.4, 0.2, 0.9))
    pose = np.reshape(numbers[:16], (4, 4))
    for row, column in ((0, 1), (0, 2), (1, 0), (2, 0), (0, 3)):
        pose[row, column] *= -1
    twins = [["00000/img00000003.png", numbers], ["00000/img00000003_mirror.png", [*pose.ravel(), *INTRINSICS]]]
    assert prepare(write(tmp_path / "ffhq", twins), tmp_path / "ffhq.lmdb") == 0
    store = HeadStore(tmp_path / "ffhq.lmdb")
    first, second = torch.from_numpy(store.rotation)
    torch.testing.assert_close(second, mirror(first))
    assert len(set(identity_names(store))) == 1


@pytest.mark.parametrize(
    "name, who",
    [
        ("seed0007_03.png", "seed0007"),
        ("out/seed0007-04.png", "out/seed0007"),
        ("seed0007/03.png", "seed0007"),
        ("00000/img00000012.png", "00000/img00000012"),
        ("00000/img00000012_mirror.png", "00000/img00000012"),
        ("12.png", "12"),
    ],
)
def test_who_is_on_a_picture(name, who):
    assert identity(name) == who


def test_a_store_of_it_is_a_generator(tmp_path):
    labels = [[f"seed{person}_{k}.png", camera(p)] for person in (1, 2) for k, p in enumerate(PLACES.values())]
    assert prepare(write(tmp_path / "gan", labels), tmp_path / "gan.lmdb") == 0
    generator = StoreHeads(HeadStore(tmp_path / "gan.lmdb"), 5.0)
    assert generator.names.tolist() == ["seed1", "seed2"]
    (other,) = generator.identities(FRONTAL, "seed1")
    np.testing.assert_allclose(generator(other, FRONTAL).rotation, FRONTAL, atol=1e-6)
    from_the_right = np.reshape(camera((-1, 0, 0))[:16], (4, 4))[:3, :3].T
    assert len(generator.identities(from_the_right, "seed1")) == 0


@pytest.mark.parametrize(
    "labels, words",
    [
        (None, "dataset.json"),
        ("no json", "dataset.json: JSON"),
        ('{"labels": null}', "dataset.json: labels"),
        ('{"labels": [["a.png"]]}', "dataset.json: 0"),
        ('{"labels": [["a.png", [1]], ["a.png", [1]]]}', "dataset.json: twice"),
    ],
)
def test_a_folder_that_is_not_eg3d(tmp_path, capsys, labels, words):
    (tmp_path / "gan").mkdir()
    if labels:
        (tmp_path / "gan" / "dataset.json").write_text(labels)
    assert prepare(tmp_path / "gan", tmp_path / "gan.lmdb") == 2
    assert says(error_line(capsys.readouterr().err), words)
    assert not (tmp_path / "gan.lmdb").exists()


def test_broken_labels_are_dropped_by_name(folder, tmp_path, capsys):
    labels = json.loads((folder / "dataset.json").read_text())["labels"]
    labels[1][1] = labels[1][1][:24]
    labels[2][1][0] = float("nan")
    labels[3][1][15] = 2.0
    labels[4][1][0] += 0.3  # not a rotation any more
    labels.append(["missing.png", labels[0][1]])
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert prepare(folder, tmp_path / "gan.lmdb") == 1
    said = capsys.readouterr().out
    assert "6 heads kept" in said
    for words in ("25", "last row", "a rotation", "missing.png"):
        assert words in said
