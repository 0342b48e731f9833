"""Importers of raw datasets, given damaged label files and pictures."""

import io
import json
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.fuzzing import as_bytes, edited, edits, forged, forgeries, fuzzed, only_ours

from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.preparing.heads import CropSettings, crop_heads
from semiuhpe.data.stores import StoredHead

CAMERA = [*np.eye(4).ravel().tolist(), 4, 0, 0.5, 0, 4, 0.5, 0, 0, 1]
HIER = [20, 20, 50, 60, 1] + [0] * 25
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": "b", "file_name": "b.jpg"}],
    "annotations": [
        {
            "image_id": 1,
            "hier": HIER,
            "h_bbox": [20, 20, 40, 50],
            "ignore": 0,
            "bbox": [20, 20, 40, 50],
            "euler_angles": [10, -150, 5],
        },
        {"image_id": "b"},
    ],
}
PERSON = {"tag": "person", "hbox": [20, 20, 40, 50], "head_attr": {"ignore": 0}, "extra": {}}
FACES = "a.jpg\n2\n20 20 40 50 0 0 0 0 0 0\n1 1 5 5 0 0 0 0 0 0\nb.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"
HEADS_CSV = (
    "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf,IsDepiction,IsInside\na,/m/04hgtk,0.1,0.5,0.1,0.6,0,0,0\n"
    "a,/m/04hgtk,0.2,0.4,0.1,0.3,1,0,0\nb,/m/01g317,0,1,0,1,0,0,0\n"
)
BIWI_POSE = "1 0 0\n0 1 0\n0 0 1\n\n10 20 900\n"
BIWI_CALIBRATION = "100 0 45\n0 100 48\n0 0 1\n\n0 0 0 0\n\n1 0 0\n0 1 0\n0 0 1\n\n-24 0 0\n\n640 480\n"
JSON_LINES = '{"image": "a.jpg", "x": 1, "y": 2, "w": 30, "h": 40, "pitch": 1, "yaw": 2, "roll": 3}\n'
CSV = "image,x,y,w,h,pitch,yaw,roll\na.jpg,20,20,40,50,1,2,3\n\nb.jpg,-5,-5,40,50,0,0,400\n"


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 90, 3), np.uint8)).save(path)


def mat(**entries):
    file = io.BytesIO()
    scipy.io.savemat(file, entries)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def aflw_database():
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(f"{folder}/a")
        connection.executescript("""
            CREATE TABLE Faces (face_id INTEGER PRIMARY KEY, file_id TEXT);
            CREATE TABLE FaceImages (file_id TEXT, filepath TEXT);
            CREATE TABLE FaceRect (face_id INTEGER PRIMARY KEY, x INTEGER, y INTEGER, w INTEGER, h INTEGER);
            CREATE TABLE FacePose (face_id INTEGER PRIMARY KEY, roll REAL, pitch REAL, yaw REAL);
            INSERT INTO FaceImages VALUES ('a.jpg', '0/a.jpg'), ('b.jpg', '0/b.jpg');
            INSERT INTO Faces VALUES (1, 'a.jpg'), (2, 'b.jpg');
            INSERT INTO FaceRect VALUES (1, 20, 20, 40, 50), (2, 20, 20, 40, 50);
            INSERT INTO FacePose VALUES (1, 0.1, 0.2, 0.3), (2, 0.1, 0.2, 0.3);
        """)
        connection.close()
        return Path(folder, "a").read_bytes()


POINTS = np.random.default_rng(0).uniform(30, 60, (2, 68))
POSE_MAT = mat(Pose_Para=np.radians([[5.0, 6, 7, 0, 0, 0, 0]]), pt2d=POINTS)
AFLW_NAMES = np.array([["0/a.jpg"], ["1/b.jpg"]], dtype=object)
AFLW_MAT = mat(nameList=AFLW_NAMES, data=np.random.default_rng(0).uniform(20, 60, (2, 38)))

RAW = {
    # name: importer, split, pictures, files; the first file is damaged, as JSON where it isn't bytes or text
    "AFLW2000": ("AFLW2000", "test", ("image1.jpg",), {"image1.mat": POSE_MAT}),
    "300WLP": ("300WLP", "train", ("AFW/a.jpg",), {"AFW/a.mat": POSE_MAT}),
    "300WLP landmarks": (
        "300WLP", "train", ("AFW_Flip/a.jpg",),
        {"landmarks/AFW/a_pts.mat": mat(pts_2d=POINTS.T), "AFW_Flip/a.mat": POSE_MAT},
    ),
    "AFLWFace": (
        "AFLWFace", "train", ("images/a.jpg", "images/b.jpg"),
        {"AFLWinfo_release.mat": AFLW_MAT, "AFLW2000.txt": "b.jpg"},
    ),
    "AFLWFace list": (
        "AFLWFace", "train", ("images/a.jpg",),
        {"AFLW2000.txt": "b.jpg\nc.jpg", "AFLWinfo_release.mat": AFLW_MAT},
    ),
    "BIWI": (
        "BIWI", "test", ("01/frame_00003_rgb.png",),
        {"01/frame_00003_pose.txt": BIWI_POSE, "01/rgb.cal": BIWI_CALIBRATION},
    ),
    "BIWI camera": (
        "BIWI", "test", ("01/frame_00003_rgb.png",),
        {"01/rgb.cal": BIWI_CALIBRATION, "01/frame_00003_pose.txt": BIWI_POSE},
    ),
    "DAD3DHeads": (
        "DAD3DHeads", "val", ("val/images/a.png",),
        {"val/val.json": [{"item_id": "a", "bbox": [20, 20, 40, 50], "attributes": {"age": "old"}}],
         "val/annotations/a.json": json.dumps({"model_view_matrix": np.eye(4).tolist()})},
    ),
    "DAD3DHeads pose": (
        "DAD3DHeads", "val", ("val/images/a.png",),
        {"val/annotations/a.json": {"model_view_matrix": np.eye(4).tolist()},
         "val/val.json": json.dumps([{"item_id": "a", "bbox": [20, 20, 40, 50]}])},
    ),
    "AGORA_HPE": (
        "AGORA_HPE", "train", ("images/train/a.jpg", "images/train/b.jpg"),
        {"annotations/coco_style_train.json": COCO, "annotations/coco_style_validation.json": "{}"},
    ),
    "Panoptic": (
        "Panoptic", "test", ("s/a.jpg",),
        {"panoptic_ann_test.txt": "#;image\ns/a.jpg;20;20;40;50;1.5;-2;170\ns/a.jpg;1;2;3\n"},
    ),
    "VGGHeads": (
        "VGGHeads", "val", ("large/split_00000/images/a.jpg",),
        {"large/split_00000/annotations/a.npz": npz(
            bbox=np.array([[20, 20, 40, 50]]), **{"3dmm_params": np.random.default_rng(0).normal(size=(1, 1, 413))}
        )},
    ),
    "AFLW": ("AFLW", "train", ("flickr/0/a.jpg",), {"aflw.sqlite": aflw_database(), "AFLW2000.txt": "b.jpg"}),
    "300WLP list": ("300WLP", "train", ("AFW/a.jpg",), {"files.txt": "./AFW/a\n", "AFW/a.mat": POSE_MAT}),
    "COCOHead": (
        "COCOHead", "train", ("images/val2017/a.jpg", "images/train2017/b.jpg"),
        {f"annotations_HumanParts/person_humanparts_{part}2017.json": COCO for part in ("val", "train")},
    ),
    "CrowdHuman BFJDet": (
        "CrowdHuman", "train", ("yolov5_format/images/val/a.jpg", "yolov5_format/images/train/a.jpg"),
        {f"BFJDet/instances_{part}_full_bhf_new.json": COCO for part in ("val", "train")},
    ),
    "CrowdHuman": (
        "CrowdHuman", "train", ("Images/a.jpg",),
        {"annotation_val.odgt": {"ID": "a", "gtboxes": [PERSON, PERSON]}, "annotation_train.odgt": ""},
    ),
    "WiderFace": (
        "WiderFace", "train", ("WIDER_val/images/a.jpg", "WIDER_train/images/a.jpg"),
        {"wider_face_split/wider_face_val_bbx_gt.txt": FACES, "wider_face_split/wider_face_train_bbx_gt.txt": FACES},
    ),
    "OpenImageV6": ("OpenImageV6", "train", ("test/data/a.jpg",), {"test/labels/detections.csv": HEADS_CSV}),
    "EG3D": (
        "EG3D", "train", ("a/00.png",),
        {"dataset.json": {"labels": [["a/00.png", CAMERA], ["a/01.png", CAMERA]]}},
    ),
    "folder csv": ("folder", "train", ("a.jpg", "b.jpg"), {"heads.csv": CSV}),
    "folder jsonl": ("folder", "val", ("a.jpg",), {"heads.jsonl": JSON_LINES * 2}),
    "folder json": ("folder", "val", ("a.jpg",), {"heads.jsonl": json.loads(JSON_LINES)}),
}  # fmt: skip


@pytest.mark.parametrize("case", RAW)
def test_raw_datasets(case, folder):
    name, split, images, files = RAW[case]
    first, original = next(iter(files.items()))
    source, importer = folder(), IMPORTERS[name]
    for image in images:
        picture(source / image)
    for file, content in files.items():
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).write_bytes(as_bytes(content))
    where = source / first if first in ("heads.csv", "heads.jsonl", "files.txt") else source
    crops = CropSettings(split == "train", 32, 90)
    kept = [head for raw in importer.pictures(where, split) for head in crop_heads(importer, raw, crops)]
    assert any(isinstance(head, StoredHead) for head in kept), kept  # undamaged, it is read

    @fuzzed(12)
    @given(edits, forgeries, st.booleans())
    def check(changes, parts, as_json):
        forge = as_json and not isinstance(original, str | bytes)
        content = forged(original, parts) if forge else edited(as_bytes(original), changes)
        (source / first).write_bytes(as_bytes(content))
        with only_ours():
            for raw in importer.pictures(where, split)[:50]:
                crop_heads(importer, raw, crops)

    check()


def test_pictures(folder):
    """Pictures of all kinds, by the reader of raw datasets."""
    originals = {}
    for suffix in ("jpg", "png", "bmp", "webp", "tif"):
        picture(path := folder() / f"a.{suffix}")
        originals[suffix] = path.read_bytes()

    @fuzzed(40)
    @given(st.sampled_from(list(originals)), edits)
    def check(suffix, changes):
        source = folder()
        (source / f"a.{suffix}").write_bytes(edited(originals[suffix], changes))
        with only_ours():
            for raw in IMPORTERS["folder"].pictures(source, "val"):
                crop_heads(IMPORTERS["folder"], raw, CropSettings(False, 32, 90))

    check()
