"""Datasets of labeled heads over all rotations, in their publishers' layouts, with angles by their publishers' code."""

import json

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from support.errors import refused, says
from support.raw_datasets import (
    assert_not_the_dataset,
    assert_rotations,
    broken,
    draw_head,
    green_box,
    heads_seen,
    prepared,
    write_text,
)

from semiuhpe.cli import prepare as prepare_cli
from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.preparing import prepare_scenes
from semiuhpe.data.stores import SceneStore
from semiuhpe.errors import DataError
from semiuhpe.rotation import euler_to_matrix, geodesic_deg

A, B = [40, 40, 30, 40], [90, 50, 36, 30]
FLIP = np.diag([1.0, -1, -1])


# ---- AGORA-HPE and CMU-HPE


def directmhp_angles(rotation):
    """Pitch, yaw, roll as DirectMHP's scripts write them of R head to camera, which they fit to 3D landmarks."""
    x, y, z = Rotation.from_matrix((rotation @ FLIP).T).as_euler("xyz", degrees=True)
    if abs(x) > 90 or abs(z) > 90:  # the other triple of the same rotation
        x, y, z = x - np.sign(x) * 180, 180 - y, z - np.sign(z) * 180
    assert abs(x) < 90 and abs(z) < 90  # others are not written
    return [x, -(y if y <= 180 else y - 360), -z]


def write_directmhp(root, pictures, part, labels, rotations):
    boxes = [A, B]
    images = [{"id": i, "file_name": f"{10**9 + i}.jpg", "height": 120, "width": 160} for i in range(pictures)]
    rows = [
        {"id": 100 * i + k, "image_id": i, "bbox": box, "euler_angles": directmhp_angles(rotations[2 * i + k])}
        | {"face2d_pts": [[0.0], [0.0]], "category_id": 1, "iscrowd": 0, "segmentation": [], "area": 1}
        for i in range(pictures)
        for k, box in enumerate(boxes)
    ]
    for image in images:
        draw_head(root / "images" / part / image["file_name"], A)
    write_text(root / "annotations" / labels, {"images": images, "annotations": rows, "categories": []})
    return root


@pytest.mark.parametrize(
    "name, part, labels, count",
    [
        ("AGORA_HPE", "validation", "coco_style_validation.json", 7505),
        ("CMU_HPE", "val", "coco_style_sampled_val_v2.json", 32738),
    ],
)
def test_directmhp(tmp_path, name, part, labels, count):
    rotations = heads_seen(20)
    source = write_directmhp(tmp_path / "raw" / "HPE", 10, part, labels, rotations)
    summary, store = prepared(name, source.parent, tmp_path)
    assert (summary.kept, summary.expected, summary.labeled, summary.broken) == (20, count, True, [])
    assert store.names[:2].tolist() == [f"{part}/1000000000_0", f"{part}/1000000000_1"]
    assert_rotations(store, rotations)
    assert np.abs(store.euler_deg[:, 1]).max() > 150 and store.meta["full_range"]
    np.testing.assert_allclose(store.box[0], green_box(store.image(0)), atol=4)
    prepare_scenes(name, source, tmp_path / "scenes.lmdb", split="val")
    heads = SceneStore(tmp_path / "scenes.lmdb").heads(3)
    np.testing.assert_allclose(heads.rotation, rotations[6:8], atol=2e-6)
    np.testing.assert_allclose(heads.box, [A, B])


def spoil(source, name):
    """Break the labels of the first picture of a label file, and lose the second picture; returns the file."""
    path = source / "annotations" / name
    labels = json.loads(path.read_text())
    labels["annotations"][0]["euler_angles"] = [1, 2]
    labels["annotations"][1]["bbox"] = None
    write_text(path, labels)
    (source / "images/train/1000000001.jpg").unlink()
    return path


def test_directmhp_bad_input(tmp_path, capsys):
    agora = IMPORTERS["AGORA_HPE"]
    assert_not_the_dataset(agora, tmp_path / "other", "train")
    source = write_directmhp(tmp_path / "HPE", 2, "train", "coco_style_train.json", heads_seen(4))
    path = spoil(source, "coco_style_train.json")
    line = refused(capsys, prepare_cli.main, ["AGORA_HPE", "--source", source, "--out", tmp_path / "a.lmdb"])
    assert says(line, "a.lmdb no head")
    with pytest.raises(DataError, match=r"coco_style_validation\.json or coco_style_validation_v2\.json"):
        (source / "images/validation").mkdir()
        agora.pictures(source, "val")
    write_text(path, '{"images": [')
    line = refused(capsys, prepare_cli.main, ["AGORA_HPE", "--source", source, "--out", tmp_path / "a.lmdb"])
    assert says(line, "coco_style_train.json JSON") and not (tmp_path / "a.lmdb").exists()


def test_directmhp_broken_heads_are_named(tmp_path):
    source = write_directmhp(tmp_path / "HPE", 3, "train", "coco_style_sampled_train.json", heads_seen(6))
    spoil(source, "coco_style_sampled_train.json")
    summary, store = prepared("CMU_HPE", source, tmp_path, "train")
    assert store.names.tolist() == ["train/1000000002_0", "train/1000000002_1"]
    faults = broken(summary)
    assert "euler_angles" in faults["train/1000000000_0"] and "bbox" in faults["train/1000000000_1"]
    assert "is missing" in faults["train/1000000001_0"]


# ---- Panoptic

CAMERAS = {  # yaw, pitch, roll of one head in frames 8302, 8346, 8368 and 8412 of 171204_pose2, from OPAL's test list
    "00": [(-5.416, -8.887, -5.377), (-4.949, -5.067, -5.383), (-4.775, -6.043, -4.773), (-4.674, -7.980, -6.142)],
    "02": [(88.951, -82.172, 26.687), (86.722, 32.311, -88.119), (87.709, 33.520, -88.635), (89.623, 16.860, -73.186)],
    "05": [(70.548, -14.606, 9.170), (71.609, -3.226, -1.950), (71.697, -6.353, 1.712), (71.480, -12.437, 6.274)],
    "10": [
        (-106.848, -16.561, 18.816), (-105.221, -29.165, 6.347), (-105.281, -25.414, 10.658),
        (-105.810, -18.473, 16.137),
    ],
    "27": [(-100.559, 12.986, 24.476), (-98.816, -7.490, 3.932), (-98.858, -1.060, 10.980), (-99.474, 10.464, 21.148)],
}  # fmt: skip


def write_panoptic(root, rows, name="panoptic_ann_test.txt"):
    lines = ["#;image;x_min;y_min;w;h;yaw;pitch;roll"]
    for image, box, angles in rows:
        draw_head(root / image, box)
        lines.append(";".join([image, *map(str, box), *map(str, angles)]))
    write_text(root / name, "\n".join(lines) + "\n")
    return root


def test_panoptic(tmp_path):
    rows = [
        (f"171204_pose2/hdImgs/00_{camera}/00_{camera}_{frame:08d}.jpg", A, angles)
        for camera, poses in CAMERAS.items()
        for frame, angles in enumerate(poses)
    ]
    source = write_panoptic(tmp_path / "raw", rows, "annotations/panoptic_ann_test.txt")
    summary, store = prepared("Panoptic", source, tmp_path, "test")
    assert (summary.kept, summary.labeled, summary.broken) == (20, True, [])
    assert store.names[0] == "171204_pose2/hdImgs/00_00/00_00_00000000_0"
    # The rotation between two cameras is the same in all frames, however the head moves, and so with no other order.
    seen = torch.from_numpy(store.rotation).double()
    yaw, pitch, roll = torch.tensor([angles for poses in CAMERAS.values() for angles in poses]).double().unbind(-1)
    assert disagreement(seen) < 0.01 and geodesic_deg(seen[8], seen[9]) > 3
    assert disagreement(euler_to_matrix(torch.stack([pitch, yaw, roll], -1))) > 5


def disagreement(rotations):
    """The largest difference of the rotations between two of five cameras in four frames, in degrees."""
    seen = rotations.reshape(5, 4, 3, 3)
    between = seen[:, None] @ seen[None].mT
    return geodesic_deg(between, between[:, :, :1]).max()


def test_panoptic_signs_are_those_of_its_list_of_aflw2000(tmp_path):
    """OPAL's list of AFLW2000 gives image00023 as -19.679, -9.059, -21.860; its label is pitch -9.059, yaw 19.679."""
    source = write_panoptic(tmp_path / "raw", [("a.jpg", A, (-19.679, -9.059, -21.860))], "panoptic_ann_valid.txt")
    _, store = prepared("Panoptic", source, tmp_path)
    assert_rotations(store, euler_to_matrix(torch.tensor([[-9.059, 19.679, -21.860]])))


def test_panoptic_bad_input(tmp_path):
    panoptic = IMPORTERS["Panoptic"]
    assert_not_the_dataset(panoptic, tmp_path / "other", "test")
    source = write_panoptic(tmp_path / "raw", [("s/a.jpg", A, (1, 2, 3))])
    path = source / "panoptic_ann_test.txt"
    whole = path.read_text()
    write_text(path, whole + "s/a.jpg;1;2;3\ns/b.jpg;40;40;30;40;nan;0;0\ns/c.jpg;40;40;30;40;0;0;0\n@;Panoptic\n")
    summary, store = prepared("Panoptic", source, tmp_path, "test")
    assert store.names.tolist() == ["s/a_0"]
    assert broken(summary).keys() == {"s/a_1", "s/b_0", "s/c_0"} and "is missing" in broken(summary)["s/c_0"]
    for text, words in (("#;image\n", "has no heads"), (whole + ";1;2\n", "line 3 names no picture")):
        write_text(path, text)
        with pytest.raises(DataError, match=words):
            panoptic.pictures(source, "test")


# ---- VGGHeads


def write_vggheads(root, heads):
    """Heads are (folder, name, boxes, rotations)."""
    for folder, name, boxes, rotations in heads:
        parameters = np.random.default_rng(0).normal(size=(len(boxes), 1, 413)).astype(np.float32)
        for row, rotation in zip(parameters, rotations, strict=True):
            row[0, 403:406], row[0, 406:409] = 1.7 * rotation[:, 0], 0.4 * rotation[:, 1] + 0.3 * rotation[:, 0]
        draw_head(root / folder / "images" / f"{name}.jpg", boxes[0])
        (root / folder / "annotations").mkdir(exist_ok=True)
        arrays = {"bbox": np.array(boxes), "extended_bbox": np.array(boxes), "3dmm_params": parameters}
        np.savez(root / folder / "annotations" / f"{name}.npz", **arrays)
    return root


def test_vggheads(tmp_path):
    rotations = Rotation.random(5, rng=np.random.default_rng(0)).as_matrix()
    heads = [
        ("split_00002", "b", [A], rotations[2:3]),
        ("split_00000", "a", [A, B], rotations[:2]),
        ("split_00099", "c", [B], rotations[3:4]),
    ]
    source = write_vggheads(tmp_path / "VGGHeads" / "large", heads)
    draw_head(source / "split_00000/images/nobody.jpg", A)  # no head was found on it
    summary, store = prepared("VGGHeads", source.parent, tmp_path)
    assert store.names.tolist() == ["split_00000/a_0", "split_00000/a_1"] and not summary.broken
    assert_rotations(store, rotations[:2])
    _, store = prepared("VGGHeads", source, tmp_path, "train")
    assert store.names.tolist() == ["split_00002/b_0", "split_00099/c_0"]
    assert_rotations(store, rotations[2:4])


def test_vggheads_bad_input(tmp_path):
    importer = IMPORTERS["VGGHeads"]
    assert_not_the_dataset(importer, tmp_path / "other", "val")
    rotations = np.eye(3)[None]
    names = ("a", "b", "c", "d", "e")
    source = write_vggheads(tmp_path / "large", [("split_00001", name, [A], rotations) for name in names])
    folder = source / "split_00001" / "annotations"
    (folder / "a.npz").write_bytes(b"no zip")
    np.savez(folder / "b.npz", bbox=np.array([A]), **{"3dmm_params": np.zeros((1, 1, 400))})
    np.savez(folder / "c.npz", bbox=np.array([A]))
    np.savez(
        folder / "d.npz", bbox=np.array([A]), **{"3dmm_params": np.array([object()])}
    )  # would have to be unpickled
    summary, store = prepared("VGGHeads", source, tmp_path)
    assert store.names.tolist() == ["split_00001/e_0"]
    assert broken(summary).keys() == {f"split_00001/{name}" for name in "abcd"}
    with pytest.raises(DataError, match="split_00002"):
        importer.pictures(source, "train")
