"""semiuhpe labels: out to other programs and back, and decisions put into effect."""

import csv
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from support.errors import refused, says

from semiuhpe.cli import labels
from semiuhpe.data import HeadStore
from semiuhpe.data.crop import HEAD_BOX, StoredCrop, encode
from semiuhpe.data.labels.annotated import upright_box
from semiuhpe.data.labels.exchange import FORMATS, READABLE
from semiuhpe.data.preparing import prepare
from semiuhpe.data.stores import StoredHead, StoreWriter, head_meta, open_store
from semiuhpe.rotation import euler_to_matrix, geodesic_deg
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes

EULER = [(10.0, -35.5, 4.25), (-20.0, 150.0, -7.0), (3.0, 80.0, 170.0), (0.0, 0.0, 0.0)]
BOXES = [(4.0, 6.0, 30.0, 40.0), (50.25, 8.5, 22.0, 24.0), (10.0, 12.0, 60.0, 60.0), (5.0, 5.0, 50.0, 60.0)]


def write_heads(path, labeled=True):
    """Four heads; the first two are on one picture, which is not square."""
    meta = head_meta(dataset="mine", split="train", size=0, crop_rule=HEAD_BOX, loose=False, full_range=True,
                     source="tests", settings={}, whole=True)  # fmt: skip
    rng = np.random.default_rng(0)
    pictures = [encode(rng.integers(0, 255, (70, 90, 3), dtype=np.uint8)) for _ in range(3)]
    whole = np.array([0.0, 0.0, 90.0, 70.0])
    with StoreWriter(path, meta) as writer:
        for i, (euler, box) in enumerate(zip(EULER, BOXES, strict=True)):
            crop = StoredCrop(pictures[max(i - 1, 0)], np.array(box), whole)
            rotation = euler_to_matrix(torch.tensor(euler, dtype=torch.float64)).numpy()
            known = (rotation, np.array(euler)) if labeled else (None, None)
            writer.add(StoredHead(f"pic tures/{i}, a.png_{i + 2}", crop, *known, {"mood": f"m{i}"}))
    return path


@pytest.fixture
def store(tmp_path):
    return write_heads(tmp_path / "heads.lmdb")


def decisions(path, rows, columns="head,decision,pitch,yaw,roll"):
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def exported(store, form, out, *more):
    assert labels.main(["export", str(store), "--format", form, "--out", str(out), *map(str, more)]) == 0
    return out / FORMATS[form].file


def imported(file, form, out, *more):
    assert labels.main(["import", str(file), "--format", form, "--out", str(out), *map(str, more)]) == 0
    with open(out, newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("form", READABLE)
def test_labels_come_back_from_each_program(store, tmp_path, form):
    file = exported(store, form, tmp_path / form)
    pictures = sorted(path.name for path in (tmp_path / form / FORMATS[form].pictures).iterdir())
    assert pictures == ["000000_pic_tures_0_a.png", "000002_pic_tures_2_a.png", "000003_pic_tures_3_a.png"]
    assert (tmp_path / form / FORMATS[form].pictures / pictures[0]).read_bytes() == HeadStore(store).encoded(0)
    (tmp_path / "tables").mkdir()
    rows = imported(file, form, tmp_path / "tables" / "heads.csv")
    assert [int(row["head"]) for row in rows] == [0, 1, 2, 3]
    found = np.array([[float(row[name]) for name in ("pitch", "yaw", "roll")] for row in rows])
    np.testing.assert_allclose(found, EULER, atol=1e-3)
    boxes = np.array([[float(row[name]) for name in "xywh"] for row in rows])
    np.testing.assert_allclose(boxes, BOXES, atol=1e-3)
    prepare("folder", tmp_path / "tables" / "heads.csv", tmp_path / "new.lmdb", whole=True)
    old, new = HeadStore(store), HeadStore(tmp_path / "new.lmdb")
    assert geodesic_deg(torch.from_numpy(old.truth), torch.from_numpy(new.truth)).max() < 0.01
    assert all((old.image(i) == new.image(i)).all() for i in range(4))


def test_the_table_of_prepare_folder(store, tmp_path):
    file = exported(store, "folder", tmp_path / "out")
    summary = prepare("folder", file, tmp_path / "new.lmdb", workers=0)
    assert summary.kept == 4 and not summary.broken
    np.testing.assert_allclose(HeadStore(tmp_path / "new.lmdb").truth, HeadStore(store).truth, atol=1e-5)


def test_the_files_are_those_of_the_programs(store, tmp_path):
    coco = json.loads(exported(store, "coco", tmp_path / "coco").read_text())
    assert [image["width"] for image in coco["images"]] == [90] * 3 and coco["categories"][0]["name"] == "head"
    second = coco["annotations"][1]
    assert (second["image_id"], second["category_id"], second["bbox"]) == (1, 1, [50.25, 8.5, 22.0, 24.0])
    assert second["attributes"] == {"pitch": -20.0, "yaw": 150.0, "roll": -7.0, "head": 1}
    cvat = ElementTree.parse(exported(store, "cvat", tmp_path / "cvat")).getroot()
    box = cvat.findall("image")[0].findall("box")[1]
    assert [box.get(key) for key in ("label", "xtl", "ytl", "xbr", "ybr")] == ["head", "50.25", "8.5", "72.25", "32.5"]
    assert {each.get("name"): each.text for each in box} == {
        "pitch": "-20.0",
        "yaw": "150.0",
        "roll": "-7.0",
        "head": "1",
    }
    (constructor,) = json.loads((tmp_path / "cvat" / "labels.json").read_text())
    assert [each["name"] for each in constructor["attributes"]] == ["pitch", "yaw", "roll", "head"]
    task = json.loads(exported(store, "labelstudio", tmp_path / "ls").read_text())[0]
    rectangle, *numbers = task["annotations"][0]["result"][5:]
    assert task["data"]["image"] == "/data/local-files/?d=pictures/000000_pic_tures_0_a.png"
    assert rectangle["value"]["x"] == pytest.approx(100 * 50.25 / 90) and rectangle["original_height"] == 70
    assert {each["from_name"]: each["value"]["number"] for each in numbers} == second["attributes"]
    assert {each["id"] for each in numbers} == {rectangle["id"]}
    names = [each.get("name") for each in ElementTree.parse(tmp_path / "ls" / "config.xml").iter("Number")]
    assert names == ["pitch", "yaw", "roll", "head"]
    fiftyone = json.loads(exported(store, "fiftyone", tmp_path / "fo").read_text())
    (first, other) = fiftyone["labels"]["000000_pic_tures_0_a"]
    assert fiftyone["classes"] == ["head"] and first["label"] == 0
    assert other["bounding_box"] == pytest.approx([50.25 / 90, 8.5 / 70, 22 / 90, 24 / 70])


def test_scenes_go_out_with_all_their_heads(tmp_path):
    write_scenes(SceneSet(2, 3, "clean", "full", 1, 96), tmp_path / "scenes.lmdb")
    scenes = open_store(tmp_path / "scenes.lmdb")
    file = exported(scenes.path, "coco", tmp_path / "out")
    rows = imported(file, "coco", tmp_path / "heads.csv")
    count = sum(len(scenes.heads(i)) for i in range(2))
    assert len(rows) == count and "head" not in rows[0]
    truth = torch.from_numpy(np.concatenate([scenes.heads(i).rotation for i in range(2)])).double()
    found = torch.tensor([[float(row[name]) for name in ("pitch", "yaw", "roll")] for row in rows]).double()
    assert geodesic_deg(euler_to_matrix(found), truth).max() < 0.01


def test_files_of_programs_as_people_have_them(store, tmp_path):
    """Other categories, turned boxes, heads without angles, cancelled and uploaded tasks, a whole FiftyOne dataset."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (100, 50)).save(folder / "a.jpg")
    image = {"id": 7, "file_name": "sub/a.jpg", "width": 100, "height": 50}
    angles = {"Yaw": 5, "pitch": "1", "roll": 0}
    heads = [
        {"id": i, "image_id": 7, "category_id": category, "bbox": [i, 2, 30, 40], "attributes": angles}
        for i, category in enumerate((1, 2, 1))
    ]
    del heads[2]["attributes"]
    content = {
        "categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "person"}],
        "images": [image],
        "annotations": heads,
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    more = ("--pictures", folder, "--label", "face")
    rows = imported(tmp_path / "coco.json", "coco", tmp_path / "a.csv", *more)
    assert rows == [{"image": "pictures/a.jpg", "x": "0.0000", "y": "2.0000", "w": "30.0000", "h": "40.0000",
                     "pitch": "1.0000", "yaw": "5.0000", "roll": "0.0000"}]  # fmt: skip

    (tmp_path / "cvat.xml").write_text(
        '<annotations><image id="0" name="a.jpg" width="100" height="50">'
        '<box label="head" xtl="10" ytl="10" xbr="30" ybr="20" rotation="90"/></image></annotations>'
    )
    (row,) = imported(tmp_path / "cvat.xml", "cvat", tmp_path / "b.csv", "--pictures", folder)
    assert [float(row[key]) for key in "xywh"] == pytest.approx([15, 5, 10, 20]) and "yaw" not in row

    box = {"type": "rectanglelabels", "id": "z", "original_width": 100, "original_height": 50}
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["head"]}
    right = [{**box, "value": value}]
    tasks = [{
        "data": {"image": "/data/upload/3/0123abcd-a.jpg"},
        "annotations": [{"result": right}, {"result": [], "was_cancelled": True}],
        "predictions": [{"result": []}],
    }]  # fmt: skip
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    (row,) = imported(tmp_path / "tasks.json", "labelstudio", tmp_path / "c.csv")
    assert row["image"] == "pictures/a.jpg" and [float(row[key]) for key in "xywh"] == [10, 10, 30, 20]

    detection = {"_cls": "Detection", "label": "head", "bounding_box": [0.1, 0.2, 0.3, 0.4], "yaw": 9.0, "roll": 1,
                 "attributes": {"pitch": {"_cls": "NumericAttribute", "value": 2}}}  # fmt: skip
    sample = {"filepath": "data/a.jpg", "ground_truth": {"_cls": "Detections", "detections": [detection]}, "tags": []}
    (tmp_path / "samples.json").write_text(json.dumps({"samples": [sample]}))
    (row,) = imported(tmp_path / "samples.json", "fiftyone", tmp_path / "d.csv", "--pictures", folder)
    assert [float(row[key]) for key in ("x", "h", "pitch", "yaw", "roll")] == [10, 20, 2, 9, 1]


def test_upright_boxes_hold_turned_ones():
    assert upright_box((10, 20, 30, 40), 0, "center") == (10, 20, 30, 40)
    assert upright_box((10, 10, 20, 10), 90, "center") == pytest.approx((15, 5, 10, 20))
    assert upright_box((10, 10, 20, 10), 90, "corner") == pytest.approx((0, 10, 10, 20))  # clockwise about (10, 10)
    side = 10 * 2**0.5
    assert upright_box((0, 0, 10, 10), 45, "center") == pytest.approx((5 - side / 2, 5 - side / 2, side, side))


BROKEN = {
    "coco": ["[]", "{", '{"images": []}', '{"categories": [], "images": [], "annotations": [{"image_id": 1}]}'],
    "cvat": ["<annotations>", "<other/>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', 
             "<annotations><track/></annotations>",
             '<annotations><image name="a" width="1" height="1"><box label="head" xtl="a"/></image></annotations>'],
    "labelstudio": ["{}", "[1]", '[{"annotations": []}]',
                    '[{"data": {"image": "a"}, "annotations": [{"result": [{"type": "rectanglelabels"}]}]}]'],
    "fiftyone": ["[]", '{"labels": {"a": [{"label": "head", "bounding_box": [0, 1]}]}}', '{"samples": [{}]}'],
}  # fmt: skip


@pytest.mark.parametrize("form", READABLE)
def test_broken_files_are_refused_in_one_line(tmp_path, capsys, form):
    file, out = tmp_path / "broken", tmp_path / "out.csv"
    for text in BROKEN[form]:
        file.write_text(text)
        error = refused(capsys, labels.main, ["import", file, "--format", form, "--out", out])
        assert says(error, f"{file} {FORMATS[form].title.split()[0]}"), error
    assert says(refused(capsys, labels.main, ["import", tmp_path / "no", "--format", form, "--out", out]), "no")
    assert not out.exists()


def test_what_is_wrong_with_labels_is_said(store, tmp_path, capsys):
    file = exported(store, "coco", tmp_path / "out")
    out = tmp_path / "a.csv"
    wrong = json.loads(file.read_text())
    wrong["annotations"][2]["attributes"] = {"yaw": 3}
    (tmp_path / "partial.json").write_text(json.dumps(wrong))
    error = refused(capsys, labels.main, ["import", tmp_path / "partial.json", "--format", "coco", "--out", out])
    assert says(error, "pitch, roll")
    wrong["annotations"][2]["attributes"] = {"pitch": 0, "yaw": "left", "roll": 0}
    (tmp_path / "text.json").write_text(json.dumps(wrong))
    assert says(
        refused(capsys, labels.main, ["import", tmp_path / "text.json", "--format", "coco", "--out", out]), "yaw 'left'"
    )
    wrong["annotations"][2] = {**wrong["annotations"][2], "attributes": {}, "category_id": 2}
    wrong["categories"].append({"id": 2, "name": "person"})
    (tmp_path / "two.json").write_text(json.dumps(wrong))
    assert says(
        refused(capsys, labels.main, ["import", tmp_path / "two.json", "--format", "coco", "--out", out]),
        "--label person",
    )
    shutil.rmtree(tmp_path / "out" / "images")
    error = refused(capsys, labels.main, ["import", file, "--format", "coco", "--out", out])
    assert says(error, "000000_pic_tures_0_a.png --pictures")
    assert says(
        refused(capsys, labels.main, ["export", store, "--format", "coco", "--out", tmp_path / "out"]), "--out exists"
    )
    assert says(refused(capsys, labels.main, ["export", store, "--format", "voc", "--out", tmp_path / "b"]), "voc cvat")
    assert says(refused(capsys, labels.main, ["exprt"]), "exprt export")
    assert says(
        refused(capsys, labels.main, ["export", store, "--format", "coco", "--out", tmp_path / "b", "--only"]), "--only"
    )
    assert not out.exists() and not (tmp_path / "b").exists()


def test_decisions_make_a_new_store(store, tmp_path, capsys):
    rows = ["0,accept,50,50,50", "1,turn,-20,100,-7", "3,drop,,,"]
    table, out = decisions(tmp_path / "d.csv", rows), tmp_path / "new.lmdb"
    assert labels.main(["apply", str(store), "--decisions", str(table), "--out", str(out)]) == 0
    assert "1 labels changed, 1 heads left out" in capsys.readouterr().out
    old, new = HeadStore(store), HeadStore(out)
    assert (
        new.names.tolist() == old.names[:3].tolist()
        and new.whole
        and new.attributes["mood"].tolist() == ["m0", "m1", "m2"]
    )
    assert new.meta["settings"]["decisions"] == str(table) and new.meta["protocol"] == old.meta["protocol"]
    apart = geodesic_deg(torch.from_numpy(old.truth[:3]), torch.from_numpy(new.truth)).numpy()
    assert apart[[0, 2]].max() < 1e-3 and apart[1] > 40
    np.testing.assert_allclose(new.euler_deg, [EULER[0], (-20, 100, -7), EULER[2]], atol=1e-3)
    assert all(old.encoded(i) == new.encoded(i) for i in range(3)) and (new.box == old.box[:3]).all()
    only = tmp_path / "only.lmdb"
    assert labels.main(["apply", str(store), "--decisions", str(table), "--out", str(only), "--only"]) == 0
    assert HeadStore(only).names.tolist() == old.names[:2].tolist()
    file = exported(store, "coco", tmp_path / "coco", "--decisions", table)
    attributes = [each["attributes"] for each in json.loads(file.read_text())["annotations"]]
    assert [each["head"] for each in attributes] == [0, 1, 2] and attributes[1]["yaw"] == pytest.approx(100)


def test_heads_without_labels_get_those_that_are_decided(tmp_path):
    store = write_heads(tmp_path / "heads.lmdb", labeled=False)
    matrix = euler_to_matrix(torch.tensor([5.0, 10.0, 15.0], dtype=torch.float64)).flatten().tolist()
    columns = "head,name,decision," + ",".join(f"r{i}{j}" for i in range(3) for j in range(3))
    rows = [f'2,"pic tures/2, a.png_4",accept,{",".join(f"{value:.6f}" for value in matrix)}', "0,,drop" + "," * 9]
    table = decisions(tmp_path / "d.csv", rows, columns)
    assert labels.main(["apply", str(store), "--decisions", str(table), "--out", str(tmp_path / "new.lmdb")]) == 0
    new = HeadStore(tmp_path / "new.lmdb")
    assert new.names.tolist() == ["pic tures/2, a.png_4"]
    np.testing.assert_allclose(new.truth.reshape(1, 9), [matrix], atol=1e-5)
    file = exported(store, "fiftyone", tmp_path / "out")
    rows = imported(file, "fiftyone", tmp_path / "boxes.csv")
    assert len(rows) == 4 and "yaw" not in rows[0]


def test_changes_made_in_another_program_go_into_the_store(store, tmp_path):
    file = exported(store, "cvat", tmp_path / "cvat")
    root = ElementTree.parse(file)
    next(each for each in root.iter("attribute") if each.get("name") == "yaw").text = "-45.5"
    image = root.getroot().findall("image")[2]
    image.remove(image[0])
    root.write(file)
    imported(file, "cvat", tmp_path / "changed.csv")
    new = tmp_path / "new.lmdb"
    arguments = ["apply", store, "--decisions", tmp_path / "changed.csv", "--out", new, "--only"]
    assert labels.main([str(argument) for argument in arguments]) == 0
    np.testing.assert_allclose(HeadStore(new).euler_deg, [(10, -45.5, 4.25), *EULER[1:3]], atol=1e-3)


def test_a_table_of_heads_is_changed_in_place_of_its_store(tmp_path):
    (tmp_path / "raw").mkdir()
    Image.new("RGB", (100, 100)).save(tmp_path / "raw" / "a.png")
    source = tmp_path / "raw" / "heads.csv"
    source.write_text("image;x;y;w;h;pitch;yaw;roll;note\na.png;1;2;30,5;40;5;6;7;hello\na.png;9;2;30;40;1;2;3;\n"
                      "a.png;3;3;33;33;0;0;0;\n")  # fmt: skip
    rows = ["a.png_2,turn,1,170,2", "a.png_3,drop,,,"]
    table = decisions(tmp_path / "d.csv", rows, "name,decision,pitch,yaw,roll")
    out = tmp_path / "mended.csv"
    assert labels.main(["apply", str(source), "--decisions", str(table), "--out", str(out)]) == 0
    with open(out, newline="") as lines:
        first, last = csv.DictReader(lines)
    assert (first["image"], first["w"], first["note"], last["roll"]) == ("raw/a.png", "30.5", "hello", "0")
    assert [float(first[key]) for key in ("pitch", "yaw", "roll")] == pytest.approx([1, 170, 2], abs=1e-5)
    assert prepare("folder", out, tmp_path / "new.lmdb").kept == 2


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        (["0,keep,1,2,3"], None, "line 2 keep accept"),
        (["9,turn,1,2,3"], None, "line 2 9"),
        (["0,turn,1,2,3", "0,drop,,,"], None, "line 3 line 2"),
        (["0,turn,1,nan,3"], None, "line 2 pitch roll"),
        (["x,turn,1,2,3"], None, "line 2 'x'"),
        (["0,other,turn,1,2,3"], "head,name,decision,pitch,yaw,roll", "line 2 other"),
        (["nobody,turn,1,2,3"], "name,decision,pitch,yaw,roll", "nobody"),
        (["turn,1,2,3"], "decision,pitch,yaw,roll", "head name"),
        (["0,turn,1,2"], "head,decision,pitch,yaw", "roll"),
        ([f"0,turn,{i},,," for i in "0123"], None, "line 2"),
        (["0,turn,1,2,3,4,5,6,7,8,9"], "head,decision,r00,r01,r02,r10,r11,r12,r20,r21,r22", "line 2 rotation"),
        ([f"{i},drop,,," for i in range(4)], None, "no head"),
        ([], None, "no decisions"),
    ],
)  # fmt: skip
def test_wrong_decisions_are_refused(store, tmp_path, capsys, rows, columns, words):
    table = decisions(tmp_path / "d.csv", rows, *([columns] if columns else []))
    out = tmp_path / "new.lmdb"
    error = refused(capsys, labels.main, ["apply", store, "--decisions", table, "--out", out])
    assert says(error, f"--decisions {words}"), error
    assert not out.exists()


def test_decisions_that_are_none(store, tmp_path, capsys):
    out = tmp_path / "new.lmdb"
    (tmp_path / "picture.csv").write_bytes(b"\xff\xd8\xff\xe0")
    for path in (tmp_path / "missing.csv", tmp_path / "picture.csv"):
        error = refused(capsys, labels.main, ["apply", store, "--decisions", path, "--out", out])
        assert says(error, f"--decisions {path}")
    table = decisions(tmp_path / "d.csv", ["0,turn,1,2,3"])
    assert says(refused(capsys, labels.main, ["apply", store, "--decisions", table, "--out", store]), "--out input")
    assert says(refused(capsys, labels.main, ["apply", table, "--decisions", table, "--out", table]), "--out input")
    assert says(refused(capsys, labels.main, ["apply", tmp_path / "none", "--decisions", table, "--out", out]), "none")
    assert not out.exists() and Path(table).is_file()
