"""The importer of AFLW's faces on small raw datasets."""

import re

import numpy as np
import pytest
import scipy.io
from PIL import Image
from support.raw_datasets import assert_not_the_dataset, broken, green_box, picture_with_head

from semiuhpe.data import HeadStore
from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.preparing import prepare
from semiuhpe.errors import DataError, StoreError

TEXT = "image00009.jpg\nimage00002.jpg\n\n"


def landmarks_in(box):
    """(19, 2) landmarks with the given extent; the last is missing."""
    x, y, w, h = box
    points = np.random.default_rng(1).uniform([x, y], [x + w, y + h], (19, 2))
    points[:2] = [[x, y], [x + w, y + h]]
    points[18] = -1
    return points


def write_aflw(root, faces, text=TEXT):
    """Faces are (name with folder, box of the landmarks)."""
    (root / "images").mkdir(parents=True)
    cells = np.empty((len(faces), 1), dtype=object)
    cells[:, 0] = [name for name, _ in faces]
    data = np.array([landmarks_in(box).T.ravel() for _, box in faces])
    rest = {"bbox": np.zeros((len(faces), 4)), "mask_new": np.ones((len(faces), 19), np.uint8)}
    scipy.io.savemat(root / "AFLWinfo_release.mat", {"nameList": cells, "data": data} | rest)
    (root / "AFLW2000.txt").write_text(text)
    for name, box in faces:
        Image.fromarray(picture_with_head(box)).save(root / "images" / name.split("/")[1], quality=95)
    return root


FACES = [
    ("0/image00007.jpg", [40, 40, 30, 40]),
    ("2/image00002.jpg", [60, 50, 30, 30]),
    ("3/image00001.png", [70, 45, 45, 35]),
    ("0/image00007.jpg", [45, 50, 20, 20]),
]


def test_aflwface(tmp_path):
    source = write_aflw(tmp_path / "aflw", FACES)
    out = tmp_path / "a.lmdb"
    summary = prepare(IMPORTERS["AFLWFace"], source, out, split="train", workers=0)
    store = HeadStore(out)
    assert summary.lines() == [
        "3 heads kept, without labels; a complete copy gives 22246",
        "1 left out: its picture is in AFLW2000",
    ]
    assert store.names.tolist() == ["image00007_0", "image00007_3", "image00001_2"]
    assert store.rotation is None and store.euler_deg is None
    assert store.meta["protocol"] == "landmarks" and store.meta["loose"]
    np.testing.assert_allclose(green_box(store.image(2)), store.box[2], atol=3.0)


def test_aflwface_lists_a_picture_once_with_all_its_faces(tmp_path):
    listed = IMPORTERS["AFLWFace"].pictures(write_aflw(tmp_path / "aflw", FACES), "train")
    assert [picture.name for picture in listed] == ["image00007.jpg", "image00002.jpg", "image00001.png"]
    first, second = IMPORTERS["AFLWFace"].heads(listed[0])
    np.testing.assert_allclose(first.landmarks, landmarks_in(FACES[0][1]))
    np.testing.assert_allclose(second.landmarks, landmarks_in(FACES[3][1]))


def test_aflwface_faults(tmp_path):
    names = ["gut", "fehlt", "gekürzt", "inf", "hidden", "point", "outside"]
    source = write_aflw(tmp_path / "aflw", [*((f"0/{name}.jpg", [40, 40, 30, 40]) for name in names), FACES[1]])
    mat = scipy.io.loadmat(source / "AFLWinfo_release.mat")
    mat["data"][3, 4] = np.inf
    mat["data"][4] = -1
    mat["data"][5] = 50
    mat["data"][6] += 1000
    scipy.io.savemat(source / "AFLWinfo_release.mat", {key: mat[key] for key in ("nameList", "data")})
    (source / "images" / "fehlt.jpg").unlink()
    jpeg = source / "images" / "gekürzt.jpg"
    jpeg.write_bytes(jpeg.read_bytes()[:2000])
    reasons = broken(prepare(IMPORTERS["AFLWFace"], source, tmp_path / "a.lmdb", split="train", workers=0))
    assert HeadStore(tmp_path / "a.lmdb").names.tolist() == ["gut_0"]
    words = {
        "fehlt_1": "fehlt.jpg: ", "gekürzt_2": "decoded", "inf_3": "infinite",
        "hidden_4": "no landmark", "point_5": "one point", "outside_6": "inside the image",
    }  # fmt: skip
    assert reasons.keys() == words.keys()
    for name, word in words.items():
        assert word in reasons[name]


def test_aflwface_must_know_what_to_leave_out(tmp_path):
    assert_not_the_dataset(IMPORTERS["AFLWFace"], tmp_path / "raw", "train")
    source = write_aflw(tmp_path / "aflw", FACES, text="other.jpg\n")
    with pytest.raises(DataError, match=r"AFLW2000\.txt: .*no picture"):
        IMPORTERS["AFLWFace"].pictures(source, "train")
    (source / "AFLW2000.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"AFLW2000\.txt: .*list"):
        IMPORTERS["AFLWFace"].pictures(source, "train")
    (source / "AFLW2000.txt").unlink()
    with pytest.raises(DataError, match=r"no AFLW2000\.txt"):
        IMPORTERS["AFLWFace"].pictures(source, "train")


@pytest.mark.parametrize(
    "contents, words",
    [
        ({"data": np.zeros((2, 38))}, "nameList"),
        ({"nameList": np.zeros((2, 1)), "data": np.zeros((2, 38))}, "nameList"),
        ({"nameList": np.array([["0/a.jpg"], ["0/image00002.jpg"]], dtype=object)}, "data"),
        ({"nameList": np.array([["0/image00002.jpg"]], dtype=object), "data": np.zeros((2, 38))}, "(2, 38)"),
        (None, ".mat"),
    ],
)
def test_aflwface_with_a_broken_label_file(tmp_path, contents, words):
    source = write_aflw(tmp_path / "aflw", FACES)
    path = source / "AFLWinfo_release.mat"
    if contents is None:
        path.write_bytes(path.read_bytes()[:200])
    else:
        scipy.io.savemat(path, contents)
    with pytest.raises(DataError, match=re.escape(str(path))) as caught:
        IMPORTERS["AFLWFace"].pictures(source, "train")
    assert words in str(caught.value)


def test_nothing_but_left_out_faces_is_no_store(tmp_path):
    source = write_aflw(tmp_path / "aflw", FACES[1:2])
    with pytest.raises(StoreError, match=r"1 left out: .*AFLW2000"):
        prepare(IMPORTERS["AFLWFace"], source, tmp_path / "a.lmdb", split="train", workers=0)
    assert not (tmp_path / "a.lmdb").exists()
