"""Small raw datasets in the layouts of BIWI, DAD-3DHeads and AFLW: names, places of heads, rotations, faults."""

import json
import re

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from support.errors import says
from support.raw_datasets import (
    about,
    assert_not_the_dataset,
    broken,
    green_box,
    model_view,
    picture_with_head,
    rotation_of,
    write_dad,
)

from semiuhpe.data import HeadStore
from semiuhpe.data.crop import crop_by_box
from semiuhpe.data.importers import IMPORTERS, biwi_npz
from semiuhpe.data.importers.base import LIMITED
from semiuhpe.data.preparing import prepare
from semiuhpe.errors import DataError
from semiuhpe.rotation import euler_to_matrix, geodesic_deg, matrix_to_euler, mirror

# BIWI, FSA-Net's files

POSES = [[30.0, -10.0, 5.0], [-60.0, 20.0, -15.0], [95.0, 365.0, 0.0], [np.nan, 0.0, 0.0]]  # yaw, pitch, roll


def write_npz(path, poses=POSES, **changes):
    images = np.zeros((len(poses), 64, 64, 3), np.uint8)
    images[:, :, :32] = (250, 120, 10)  # blue on the left, as BGR
    np.savez(path, **({"image": images, "pose": np.array(poses), "img_size": 64} | changes))
    return path


@pytest.mark.parametrize("as_folder, name", [(True, "BIWI_test.npz"), (True, "BIWI_test_UDAHPE.npz"), (False, "a.npz")])
def test_biwi_npz(tmp_path, as_folder, name):
    path = write_npz(tmp_path / name)
    write_npz(tmp_path / "BIWI_train.npz", POSES[:1])
    out = tmp_path / "a.lmdb"
    summary = prepare(biwi_npz.BIWI_TEST, tmp_path if as_folder else path, out, split="test", workers=0)
    store = HeadStore(out)
    assert store.names.tolist() == ["00000", "00001", "00002"] and summary.notes == {LIMITED: 1}
    np.testing.assert_allclose(store.euler_deg, [[-10, 30, 5], [20, -60, -15], [5, 89.99, 0]], atol=1e-5)
    expected = [rotation_of(*euler) for euler in ((-10, 30, 5), (20, -60, -15), (5, 89.99, 0))]
    np.testing.assert_allclose(store.rotation, expected, atol=1e-6)
    assert list(broken(summary)) == ["00003"] and "not finite" in broken(summary)["00003"]
    assert store.image(0)[112, 20].tolist() == [10, 120, 250]
    assert store.box[0].tolist() == [0, 0, 224, 224]
    assert (store.meta["dataset"], store.meta["split"], store.meta["full_range"]) == ("BIWItest", "test", False)


def test_biwi_npz_train_keeps_the_packed_size_and_runs_in_workers(tmp_path):
    write_npz(tmp_path / "BIWI_train.npz", POSES[:3])
    out = tmp_path / "a.lmdb"
    prepare(biwi_npz.BIWI_TRAIN, tmp_path, out, split="train", workers=2)
    store = HeadStore(out)
    assert store.names.tolist() == ["00000", "00001", "00002"]
    assert store.image(0).shape == (64, 64, 3) and store.meta["loose"] and store.meta["dataset"] == "BIWItrain"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"image": np.zeros((4, 64, 64), np.uint8)}, "(4, 64, 64)"),
        ({"image": np.zeros((4, 64, 64, 3))}, "float64"),
        ({"pose": np.zeros((3, 3))}, "(3, 3)"),
        ({"pose": np.array([["a"] * 3] * 4)}, "not FSA-Net's"),
        ({"pose": np.array([[1, 2], [3]] * 2, dtype=object)}, "allow_pickle"),
    ],
)
def test_biwi_npz_of_other_contents(tmp_path, changes, words):
    path = write_npz(tmp_path / "BIWI_test.npz", **changes)
    with pytest.raises(DataError, match=re.escape(f"--source {path}:")) as caught:
        biwi_npz.BIWI_TEST.pictures(path, "test")
    assert words in str(caught.value)


def test_biwi_npz_of_all_sequences(tmp_path):
    write_npz(tmp_path / "BIWI_test.npz", POSES[:1])
    write_npz(tmp_path / "BIWI_noTrack.npz", POSES[:3])
    assert prepare("BIWInoTrack", tmp_path, tmp_path / "a.lmdb", split="test", workers=0).kept == 3
    assert HeadStore(tmp_path / "a.lmdb").meta["dataset"] == "BIWInoTrack"


def test_biwi_npz_that_can_not_be_found_or_read(tmp_path):
    assert_not_the_dataset(biwi_npz.BIWI_TEST, tmp_path / "raw", "test")
    path = write_npz(tmp_path / "raw" / "BIWI_test.npz")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"BIWI_test\.npz.*FSA-Net"):
        biwi_npz.BIWI_TEST.pictures(path, "test")
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"a\.npy.*FSA-Net"):
        biwi_npz.BIWI_TEST.pictures(tmp_path / "a.npy", "test")
    write_npz(tmp_path / "raw" / "BIWI_test_2.npz")
    with pytest.raises(DataError, match=r"BIWI_test\.npz, BIWI_test_2\.npz"):
        biwi_npz.BIWI_TEST.pictures(tmp_path / "raw", "test")


# BIWI, the original

INTRINSICS = np.array([[517.679, 0, 320], [0, 517.679, 240.5], [0, 0, 1]])
CAMERA_ROTATION = np.array(
    [[0.999947, 0.00432361, 0.00929419], [-0.00446314, 0.999877, 0.0150443], [-0.009228, -0.015085, 0.999844]]
)
CAMERA_TRANSLATION = np.array([-24.0198, 5.8896, -13.2308])
FILE_ROTATION = np.array(  # sequence 12, first frame, as the dataset prints it
    [[0.980639, 0.109899, 0.162077], [-0.11023, 0.993882, -0.00697376], [-0.161851, -0.011027, 0.986754]]
)
CENTER = np.array([43.4019, -30.7038, 906.864])


def lines(rows):
    return "".join(" ".join(f"{value:.6g}" for value in row) + " \n" for row in np.atleast_2d(rows))


def write_biwi(root, sequence="12", frames=("frame_00003",), rotations=(FILE_ROTATION,), center=CENTER):
    folder = root / sequence
    folder.mkdir(parents=True)
    camera = (INTRINSICS, np.zeros(4), CAMERA_ROTATION, CAMERA_TRANSLATION, (640, 480))
    (folder / "rgb.cal").write_text("\n".join(lines(part) for part in camera))
    for frame, rotation in zip(frames, rotations, strict=True):
        Image.fromarray(picture_with_head(projected_head(center), 640, 480)).save(folder / f"{frame}_rgb.png")
        (folder / f"{frame}_pose.txt").write_text(lines(rotation) + "\n" + lines(center))
    return folder


def projected_head(center):
    """A cube's face of 240 mm about the head's center, seen by the color camera; projected by OpenCV."""
    rvec, _ = cv2.Rodrigues(CAMERA_ROTATION)
    in_camera = CAMERA_ROTATION @ center + CAMERA_TRANSLATION
    corners = in_camera + np.array([[-120.0, -120.0, 0.0], [120.0, 120.0, 0.0]])
    first, last = cv2.projectPoints(corners, np.zeros(3), np.zeros(3), INTRINSICS, None)[0][:, 0]
    middle = cv2.projectPoints(center[None], rvec, CAMERA_TRANSLATION, INTRINSICS, None)[0][0, 0]
    np.testing.assert_allclose((first + last) / 2, middle, atol=0.1)
    return np.concatenate([first, last - first])


def published_euler(rotation):
    """Pitch, yaw, roll in degrees as the code of Hopenet and FSA-Net reads the matrix of BIWI's files."""
    r = rotation.T
    roll = -np.arctan2(r[1, 0], r[0, 0])
    yaw = -np.arctan2(-r[2, 0], np.sqrt(r[2, 1] ** 2 + r[2, 2] ** 2))
    return np.degrees([np.arctan2(r[2, 1], r[2, 2]), yaw, roll])


@pytest.mark.parametrize("source", ["hpdb", "."])
def test_biwi(tmp_path, source):
    frames, rotations = ("frame_00003", "frame_00004"), (FILE_ROTATION, about("y", 60) @ about("x", -20))
    write_biwi(tmp_path / "hpdb", frames=frames, rotations=rotations)
    write_biwi(tmp_path / "hpdb", "02", ("frame_00500",), (np.eye(3),), np.array([-150.0, 80.0, 1100.0]))
    out = tmp_path / "a.lmdb"
    summary = prepare(IMPORTERS["BIWI"], tmp_path / source, out, split="test", workers=0)
    store = HeadStore(out)
    assert summary.lines() == ["3 heads kept, with labels; a complete copy gives 15678"]
    assert store.names.tolist() == ["02/frame_00500", "12/frame_00003", "12/frame_00004"]
    np.testing.assert_allclose(store.rotation[0], np.diag([1, -1, -1]), atol=1e-7)  # looks into the camera
    for i, rotation in enumerate((np.eye(3), *rotations)):
        np.testing.assert_allclose(store.rotation[i], rotation @ np.diag([1, -1, -1]), atol=1e-5)
        np.testing.assert_allclose(store.euler_deg[i], published_euler(rotation), atol=1e-3)
        np.testing.assert_allclose(green_box(store.image(i)), store.box[i], atol=2.5)
        assert store.box[i, 2] == pytest.approx(224 / 1.3, abs=1.0)  # a margin of 0.15 on each side of a square
    head = projected_head(CENTER)
    picture = np.asarray(Image.open(tmp_path / "hpdb/12/frame_00003_rgb.png"))
    np.testing.assert_array_equal(store.image(1), crop_by_box(picture, head))


def test_biwi_plus_has_the_rotation_that_the_color_camera_sees(tmp_path):
    write_biwi(tmp_path / "hpdb")
    for name in ("BIWI", "BIWIplus"):
        prepare(IMPORTERS[name], tmp_path, tmp_path / f"{name}.lmdb", split="test", workers=0)
    annotated, seen = (HeadStore(tmp_path / f"{name}.lmdb") for name in ("BIWI", "BIWIplus"))
    # A point of the head goes to the depth camera, and from there to the color camera.
    expected = CAMERA_ROTATION @ FILE_ROTATION @ np.diag([1, -1, -1])
    np.testing.assert_allclose(seen.rotation[0], expected, atol=1e-5)
    np.testing.assert_array_equal(seen.box, annotated.box)
    between = geodesic_deg(*(torch.from_numpy(store.rotation).double() for store in (annotated, seen)))
    assert between.item() == pytest.approx(1.05, abs=0.05)  # that of the calibration


def test_biwi_euler_angles_are_the_published_reading_of_any_pose():
    rng = np.random.default_rng(3)
    pitch, yaw, roll = rng.uniform([-170, -89, -170], [170, 89, 170], (200, 3)).T
    for angles in zip(pitch, yaw, roll, strict=True):
        from_file = about("x", -angles[0]) @ about("y", angles[1]) @ about("z", angles[2])
        np.testing.assert_allclose(published_euler(from_file), angles, atol=1e-8)
        rotation = torch.from_numpy(from_file @ np.diag([1.0, -1.0, -1.0]))
        np.testing.assert_allclose(matrix_to_euler(rotation), angles, atol=1e-8)


def test_biwi_faults(tmp_path):
    frames = [f"frame_0000{i}" for i in range(9)]
    folder = write_biwi(tmp_path, frames=frames, rotations=[np.eye(3)] * 9)
    (folder / "frame_00001_rgb.png").unlink()
    (folder / "frame_00002_pose.txt").unlink()
    png = folder / "frame_00003_rgb.png"
    png.write_bytes(png.read_bytes()[:3000])
    (folder / "frame_00004_pose.txt").write_text("1 0 0\n0 1 0\n0 0 1\n")
    (folder / "frame_00005_pose.txt").write_text(lines(np.eye(3)) + "\n0 null 900\n")
    (folder / "frame_00006_pose.txt").write_text(lines(np.eye(3)) + "\n0 0 -900\n")
    (folder / "frame_00007_pose.txt").write_text(lines(np.diag([1, 1, -1])) + "\n" + lines(CENTER))
    (folder / "frame_00008_pose.txt").write_text(lines(np.eye(3)) + "\n5000 0 900\n")
    out = tmp_path / "a.lmdb"
    reasons = broken(prepare(IMPORTERS["BIWI"], tmp_path, out, split="train", workers=0))
    assert HeadStore(out).names.tolist() == ["12/frame_00000"] and HeadStore(out).meta["loose"]
    words = {
        1: "frame_00001_rgb.png: ", 2: "frame_00002_pose.txt: ", 3: "decoded", 4: "3x3", 5: "numbers", 6: "front",
        7: "a rotation", 8: "outside",
    }  # fmt: skip
    assert reasons.keys() == {f"12/frame_0000{i}" for i in words}
    for i, word in words.items():
        assert word in reasons[f"12/frame_0000{i}"]


@pytest.mark.parametrize("text", [None, "1 2 3\n", "kaputt", "\x00\xff"])
def test_biwi_without_a_calibration(tmp_path, text):
    folder = write_biwi(tmp_path)
    (folder / "rgb.cal").unlink()
    if text is not None:
        (folder / "rgb.cal").write_text(text)
    with pytest.raises(DataError, match=re.escape(f"{folder / 'rgb.cal'}: ")):
        IMPORTERS["BIWI"].pictures(tmp_path, "test")


def test_a_folder_that_is_not_biwi(tmp_path):
    assert_not_the_dataset(IMPORTERS["BIWI"], tmp_path / "raw", "test")


# DAD-3DHeads

BOX = [50.0, 30.0, 40.0, 48.0]
ALL = {
    "quality": "hq", "gender": "female", "expression": False, "age": "young", "occlusions": True, "pose": "atypical",
    "standard light": None,
}  # fmt: skip


@pytest.mark.parametrize("source", ["DAD-3DHeadsDataset", "."])
def test_dad3dheads(tmp_path, source):
    # Frontal, from behind, and a pose whose matrix is the mirror image's of another.
    angles = [(0, 0, 0), (5, 170, -20), (10, -40, 25), (10, 40, -25)]
    rotations = [rotation_of(*euler) for euler in angles]
    items = [(name, BOX, ALL) for name in ("b1", "a0", "kopf_ä", "d")]
    write_dad(tmp_path, "val", items, rotations)
    out = tmp_path / "a.lmdb"
    summary = prepare(IMPORTERS["DAD3DHeads"], tmp_path / source, out, split="val", workers=0)
    store = HeadStore(out)
    assert summary.lines() == ["4 heads kept, with labels; a complete copy gives 4312"]
    assert store.names.tolist() == ["b1", "a0", "kopf_ä", "d"]
    assert store.euler_deg is None and store.meta["full_range"] and store.meta["labelled"]
    np.testing.assert_allclose(store.rotation, rotations, atol=1e-6)
    np.testing.assert_allclose(store.rotation[0], np.diag([1, -1, -1]), atol=1e-6)
    np.testing.assert_allclose(mirror(torch.from_numpy(store.rotation[2])), store.rotation[3], atol=1e-6)
    np.testing.assert_allclose(store.rotation, euler_to_matrix(torch.tensor(angles).double()), atol=1e-6)
    np.testing.assert_array_equal(store.image(0), crop_by_box(picture_with_head(BOX), np.array(BOX)))
    np.testing.assert_allclose(green_box(store.image(0)), store.box[0], atol=2.0)
    assert store[0][1]["attributes"] == {
        "quality": "hq", "gender": "female", "expression": "false", "age": "young", "occlusions": "true",
        "pose": "atypical", "standard_light": "null",
    }  # fmt: skip


def test_dad3dheads_test_split_has_no_labels(tmp_path):
    write_dad(tmp_path, "test", [("a", BOX, {"quality": "lq", "more": 1}), ("b", BOX, None), ("c", BOX, ["quality"])])
    out = tmp_path / "a.lmdb"
    assert not prepare(IMPORTERS["DAD3DHeads"], tmp_path, out, split="test", workers=0).dropped
    store = HeadStore(out)
    assert store.rotation is None and not store.meta["labelled"] and store.names.tolist() == ["a", "b", "c"]
    assert store.attributes.keys() == {name.replace(" ", "_") for name in ALL}
    assert store.attributes["quality"].tolist() == ["lq", "", ""] and set(store.attributes["pose"]) == {""}


def test_dad3dheads_train_is_loose_and_is_the_same_with_workers(tmp_path):
    write_dad(tmp_path, "train", [(f"i{i}", BOX, ALL) for i in range(5)], [rotation_of(i, 0, 0) for i in range(5)])
    prepare(IMPORTERS["DAD3DHeads"], tmp_path, tmp_path / "a.lmdb", split="train", workers=0)
    prepare(IMPORTERS["DAD3DHeads"], tmp_path, tmp_path / "b.lmdb", split="train", workers=2)
    first, second = HeadStore(tmp_path / "a.lmdb"), HeadStore(tmp_path / "b.lmdb")
    assert first.meta["loose"] and first.names.tolist() == second.names.tolist() == [f"i{i}" for i in range(5)]
    np.testing.assert_array_equal(first.rotation, second.rotation)
    np.testing.assert_allclose(green_box(first.image(0)), first.box[0], atol=2.0)


def test_dad3dheads_faults(tmp_path):
    boxes = {"flat": [50, 30, 0, 48], "outside": [500, 30, 40, 48], "short": [50, 30, 40], "text": ["a", 1, 2, 3]}
    boxes |= {"none": None, "nan": [50, 30, float("nan"), 48], "huge": [50, 30, 10**400, 48]}
    others = ("good", "no_picture", "cut", "no_labels", "broken_labels", "no_matrix", "no_rotation", "scaled")
    items = [(name, BOX, ALL) for name in (*boxes, *others)]
    folder = write_dad(tmp_path, "val", items, [rotation_of(10, 20, 30)] * len(items))
    entries = json.loads((folder / "val.json").read_text())
    for entry in entries:
        entry["bbox"] = boxes.get(entry["item_id"], BOX)
    (folder / "val.json").write_text(json.dumps([*entries, {"bbox": BOX}, "kopf"]))
    (folder / "images" / "no_picture.png").unlink()
    png = folder / "images" / "cut.png"
    png.write_bytes(png.read_bytes()[:2000])
    (folder / "annotations" / "no_labels.json").unlink()
    (folder / "annotations" / "broken_labels.json").write_text('{"model_view_matrix": [[1')
    (folder / "annotations" / "no_matrix.json").write_text("[]")
    for name, matrix in (("no_rotation", np.zeros((4, 4)).tolist()), ("scaled", model_view(2 * np.eye(3)))):
        (folder / "annotations" / f"{name}.json").write_text(json.dumps({"model_view_matrix": matrix}))
    reasons = broken(prepare(IMPORTERS["DAD3DHeads"], tmp_path, tmp_path / "a.lmdb", split="val", workers=0))
    assert HeadStore(tmp_path / "a.lmdb").names.tolist() == ["good"]
    words = {
        "flat": "finite", "outside": "outside", "short": "bbox (3,)", "text": "bbox", "none": "bbox ()",
        "nan": "finite", "huge": "bbox", "no_picture": "no_picture.png: ", "cut": "decoded",
        "no_labels": "no_labels.json: ", "broken_labels": "broken_labels.json: ",
        "no_matrix": "no_matrix.json: model_view_matrix", "no_rotation": "a rotation", "scaled": "a rotation",
        "entry 15": "item_id", "entry 16": "item_id",
    }  # fmt: skip
    assert reasons.keys() == words.keys()
    for name, word in words.items():
        assert says(reasons[name], word)


@pytest.mark.parametrize("text", [None, '{"a": 1}', "[1,"])
def test_dad3dheads_without_its_list(tmp_path, text):
    assert_not_the_dataset(IMPORTERS["DAD3DHeads"], tmp_path / "raw", "val")
    folder = write_dad(tmp_path, "val", [("a", BOX, ALL)], [np.eye(3)])
    (folder / "val.json").unlink()
    if text is not None:
        (folder / "val.json").write_text(text)
    with pytest.raises(DataError, match=re.escape(f"{folder / 'val.json'}: ")):
        IMPORTERS["DAD3DHeads"].pictures(tmp_path, "val")
