"""COCOHead and CrowdHuman from small copies in their layouts."""

import json

import pytest
from support.drawn_heads import BEYOND, HEIGHT, WIDTH, A, B, C, assert_shows, broken, draw, imported, left_out, write

from semiuhpe.data.importers import IMPORTERS
from semiuhpe.errors import DataError


def hier(box, visible=1):
    x, y, w, h = box
    return [x, y, x + w, y + h, visible] + [0] * 25


def coco(images, annotations):
    return {
        "images": [{"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT} for i, name in images.items()],
        "annotations": [{"id": i, "bbox": [0, 0, 9, 9]} | values for i, values in enumerate(annotations)],
    }


def write_cocohead(root, train, images=None):
    """val2017 with one head, train2017 with the given annotations on pictures 1 and 2."""
    labels = root / "annotations_HumanParts"
    write(labels / "person_humanparts_val2017.json", coco({9: "000000000009.jpg"}, [{"image_id": 9, "hier": hier(A)}]))
    write(labels / "person_humanparts_train2017.json", coco(images or {2: "zwei é.jpg", 1: "000000000001.jpg"}, train))
    draw(root / "images/val2017/000000000009.jpg", A)
    draw(root / "images/train2017/000000000001.jpg", A, B)
    draw(root / "images/train2017/zwei é.jpg", C)
    return root


def test_cocohead(tmp_path):
    train = [
        {"image_id": 1, "hier": hier(A)},
        {"image_id": 2, "hier": hier(C)},  # 30 pixels are enough
        {"image_id": 1, "hier": hier((10, 10, 40, 29))},
        {"image_id": 1, "hier": hier((0, 0, 0, 0), visible=0)},
        {"image_id": 1, "hier": hier(B)},
    ]
    summary, store = imported(IMPORTERS["COCOHead"], write_cocohead(tmp_path / "coco", train), tmp_path)
    names = ["val2017/000000000009_0", "train2017/zwei é_0", "train2017/000000000001_0", "train2017/000000000001_3"]
    assert_shows(store, [A, C, A, B], names)
    assert left_out(summary) == {
        "train2017/000000000001_1": "smaller than 30 px",
        "train2017/000000000001_2": "no visible head",
    }
    assert not summary.broken and summary.expected == 74128
    assert store.meta["protocol"] == "head_box" and store.meta["full_range"]


def test_cocohead_broken_heads_are_named(tmp_path):
    train = [
        {"image_id": 1, "hier": hier(A)},
        {"image_id": 1, "hier": hier(A)[:29]},
        {"image_id": 1, "hier": ["left", *hier(A)[1:]]},
        {"image_id": 1, "hier": None},
        {"image_id": 1},
        {"image_id": 1, "hier": hier(A, visible=7)},
        {"image_id": 1, "hier": hier((400, 20, 50, 50))},
        {"image_id": 3, "hier": hier(A)},
        {"image_id": 4, "hier": hier(A)},
        {"image_id": 77, "hier": hier(A)},
        {"hier": hier(A)},
    ]
    source = write_cocohead(tmp_path, train, {1: "000000000001.jpg", 3: "gone.jpg", 4: "half.jpg"})
    whole = (tmp_path / "images/train2017/000000000001.jpg").read_bytes()
    (tmp_path / "images/train2017/half.jpg").write_bytes(whole[: len(whole) // 2])
    summary, store = imported(IMPORTERS["COCOHead"], source, tmp_path)
    assert store.names.tolist() == ["val2017/000000000009_0", "train2017/000000000001_0"]
    faults = broken(summary)
    assert len(faults) == 10
    for i in (1, 2, 3, 4, 5):
        assert "hier is not 30 numbers" in faults[f"train2017/000000000001_{i}"]
    assert "outside the image" in faults["train2017/000000000001_6"]
    assert "gone.jpg: is missing" in faults["train2017/gone_0"]
    assert "half.jpg: can't be decoded" in faults["train2017/half_0"]
    assert "image_id 77 is not among the images" in faults["train2017/unknown_picture_0"]
    assert "image_id None" in faults["train2017/unknown_picture_1"]


@pytest.mark.parametrize(
    "damage, words",
    [
        ("[]", r"train2017\.json: .*COCO"),
        ('{"images": [{"id": 1}], "annotations": []}', r"train2017\.json: .*file_name"),
        ('{"images": [], "annotations": [', r"train2017\.json: .*JSON"),
        (None, r"train2017\.json: .*missing"),
    ],
)
def test_cocohead_broken_label_file(tmp_path, damage, words):
    source = write_cocohead(tmp_path / "coco", [])
    path = source / "annotations_HumanParts/person_humanparts_train2017.json"
    path.unlink() if damage is None else path.write_text(damage)
    with pytest.raises(DataError, match=words):
        imported(IMPORTERS["COCOHead"], source, tmp_path)
    assert not (tmp_path / "COCOHead.lmdb").exists()


OUTSIDE = [(-50, 10, 40, 40), (10, -60, 40, 40), (300, 10, 40, 40), (10, 200, 40, 40), (WIDTH, 10, 40, 40)]


def write_bfjdet(root, train):
    write(root / "BFJDet/instances_val_full_bhf_new.json", coco({5: "273271,c9.jpg"}, [{"image_id": 5, "h_bbox": A}]))
    write(root / "BFJDet/instances_train_full_bhf_new.json", coco({1: "b.jpg", 2: "a.jpg"}, train))
    draw(root / "yolov5_format/images/val/273271,c9.jpg", A)
    draw(root / "yolov5_format/images/train/a.jpg", B)
    draw(root / "yolov5_format/images/train/b.jpg", A, C, BEYOND)
    return root


def test_crowdhuman_bfjdet(tmp_path):
    train = [
        {"image_id": 2, "h_bbox": B, "ignore": 0},
        {"image_id": 1, "h_bbox": A, "ignore": 0},
        {"image_id": 1, "h_bbox": C, "ignore": 1},
        {"image_id": 1, "h_bbox": [7, 8, 1, 1], "ignore": 0},
        {"image_id": 1, "h_bbox": [7, 8, 29, 90], "ignore": 0},
        {"image_id": 1, "h_bbox": [900, 8, 20, 90], "ignore": 0},
        {"image_id": 1, "h_bbox": BEYOND, "ignore": 0},
        {"image_id": 1, "h_bbox": [7, 8, 40], "ignore": 0},
        {"image_id": 1, "h_bbox": A, "ignore": "yes"},
        *({"image_id": 1, "h_bbox": box, "ignore": 0} for box in OUTSIDE),
    ]
    source = write_bfjdet(tmp_path / "CrowdHuman", train)
    write(source / "annotation_train.odgt", "not read, as BFJDet is there")
    summary, store = imported(IMPORTERS["CrowdHuman"], source, tmp_path, workers=2)
    assert store.names.tolist() == ["val/273271,c9_0", "train/b_0", "train/b_5", "train/a_0"]
    assert_shows(store.view([0, 1, 3]), [A, A, B], ["val/273271,c9_0", "train/b_0", "train/a_0"])
    assert left_out(summary) == {
        "train/b_1": "marked to be ignored",
        "train/b_2": "no labeled head",
        "train/b_3": "smaller than 30 px",
        "train/b_4": "smaller than 30 px",
        **{f"train/b_{i}": "outside the picture" for i in range(8, 13)},
    }
    assert broken(summary) == {
        "train/b_6": "its h_bbox is not four numbers",
        "train/b_7": "its ignore is not 0 or 1",
    }
    assert summary.expected == 163291


def person(box, **more):
    return {"tag": "person", "hbox": box, "head_attr": {"ignore": 0, "occ": 0}, "extra": {"box_id": 0}} | more


def write_odgt(root, boxes):
    write(root / "annotation_val.odgt", json.dumps({"ID": "284193,é", "gtboxes": [person(A)]}) + "\n")
    entries = [{"ID": "b", "gtboxes": boxes}, {"ID": "a", "gtboxes": [person(B)]}]
    write(root / "annotation_train.odgt", "".join(json.dumps(entry) + "\n" for entry in entries))
    draw(root / "Images/284193,é.jpg", A)
    draw(root / "Images/a.jpg", B)
    draw(root / "Images/b.jpg", A, C)
    return root


def test_crowdhuman_odgt(tmp_path):
    boxes = [
        person(A),
        person(B, tag="mask"),
        person(B, head_attr={"ignore": 1}),
        person(B, extra={"ignore": 1}),
        person([7, 8, 1, 1]),
        person([300, 10, 40, 40]),
        person("head"),
        person(B, head_attr="?"),
        "person",
        person(C, head_attr={}, extra={}),
    ]
    summary, store = imported(IMPORTERS["CrowdHuman"], write_odgt(tmp_path, boxes), tmp_path)
    assert_shows(store, [A, A, C, B], ["val/284193,é_0", "train/b_0", "train/b_9", "train/a_0"])
    assert left_out(summary) == {
        "train/b_1": "not a person",
        "train/b_2": "marked to be ignored",
        "train/b_3": "marked to be ignored",
        "train/b_4": "no labeled head",
        "train/b_5": "outside the picture",
    }
    assert broken(summary).keys() == {"train/b_6", "train/b_7", "train/b_8"}


def test_crowdhuman_pictures_that_cannot_be_opened(tmp_path):
    source = write_odgt(tmp_path, [person(A), person(B, tag="mask"), person(C)])
    (source / "Images/a.jpg").unlink()
    (source / "Images/b.jpg").write_bytes(b"no picture")
    summary, store = imported(IMPORTERS["CrowdHuman"], source, tmp_path)
    assert len(store) == 1 and left_out(summary) == {"train/b_1": "not a person"}
    faults = broken(summary)
    assert "a.jpg: is missing" in faults["train/a_0"]
    assert "can't be decoded" in faults["train/b_0"] and "can't be decoded" in faults["train/b_2"]


@pytest.mark.parametrize("line", ['{"ID": "a", "gtb', '{"ID": "a"}', "[1]", '{"ID": 5, "gtboxes": []}'])
def test_crowdhuman_broken_odgt(tmp_path, line):
    source = write_odgt(tmp_path, [person(A)])
    with open(source / "annotation_train.odgt", "a") as file:
        file.write(line)
    with pytest.raises(DataError, match=r"annotation_train\.odgt: line 3 .*gtboxes"):
        IMPORTERS["CrowdHuman"].pictures(source, "train")
    (source / "annotation_train.odgt").unlink()
    with pytest.raises(DataError, match=r"annotation_train\.odgt: .*missing"):
        IMPORTERS["CrowdHuman"].pictures(source, "train")


@pytest.mark.parametrize(
    "importer, write_source, folder",
    [
        (IMPORTERS["COCOHead"], lambda root: write_cocohead(root, []), "images/train2017"),
        (IMPORTERS["CrowdHuman"], lambda root: write_bfjdet(root, []), "yolov5_format/images/val"),
        (IMPORTERS["CrowdHuman"], lambda root: write_odgt(root, []), "Images"),
    ],
)
def test_missing_folders_of_pictures_are_one_error(tmp_path, importer, write_source, folder):
    source = write_source(tmp_path / "raw")
    (source / folder).rename(source / "elsewhere")
    with pytest.raises(DataError, match=f"^--source .*{folder}"):
        importer.pictures(source, "train")
