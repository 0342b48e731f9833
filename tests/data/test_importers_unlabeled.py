"""OpenImageV6, WildHead and WiderFace from small copies in their layouts, and sources that are no dataset."""

import numpy as np
import pytest
from support.drawn_heads import BEYOND, HEIGHT, WIDTH, A, B, C, assert_shows, broken, draw, imported, left_out, write
from support.errors import says

from semiuhpe.data.importers import IMPORTERS
from semiuhpe.errors import DataError, StoreError

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"

OPEN_IMAGES = IMPORTERS["OpenImageV6"]


def detection(image, box, flags="0,0,0,0,0", label="/m/04hgtk"):
    x, y, w, h = box
    return f"{image},xclick,{label},1,{x / WIDTH},{(x + w) / WIDTH},{y / HEIGHT},{(y + h) / HEIGHT},{flags}"


def write_openimages(root, train):
    write(root / "validation/labels/detections.csv", "\n".join([HEADER, detection("v1", A)]))
    write(root / "test/labels/detections.csv", "\n".join([HEADER, detection("t1", B, label="/m/0dzct")]))
    write(root / "train/labels/detections.csv", "\n".join([HEADER, *train]))
    draw(root / "validation/data/v1.jpg", A)
    draw(root / "test/data/t1.jpg", B)
    draw(root / "train/data/00b1.jpg", A, B, BEYOND)
    draw(root / "train/data/00a1.jpg", C)
    return root


def test_openimages(tmp_path, caplog):
    train = [
        detection("00b1", A),
        detection("00b1", A, label="/m/0dzct"),  # a face
        detection("00a1", C),
        detection("00b1", B, "0,0,1,0,0"),
        detection("00b1", B, "0,0,0,1,0"),
        detection("00b1", B, "0,0,0,0,1"),
        detection("00b1", (5, 5, 40, 29)),
        detection("00b1", B, "1,1,0,0,0"),
        detection("not downloaded", B),
        detection("00b1", A).replace("xclick,/m/04hgtk,1,", "xclick,/m/04hgtk,1,x"),
        "00b1,xclick,/m/04hgtk,1,0.5",
        detection("00b1", (220, 100, 40, 40)),  # 19 pixels up to the last column
        detection("00b1", BEYOND),
    ]
    summary, store = imported(IMPORTERS["OpenImageV6"], write_openimages(tmp_path / "oi", train), tmp_path)
    assert_shows(store, [A, A, B, C], ["validation/v1_0", "train/00b1_0", "train/00b1_5", "train/00a1_0"])
    assert left_out(summary) == {
        "train/00b1_1": "a group of heads",
        "train/00b1_2": "a depiction",
        "train/00b1_3": "seen from inside",
        **dict.fromkeys(("train/00b1_4", "train/00b1_8", "train/00b1_9"), "smaller than 30 px"),
    }
    assert broken(summary).keys() == {"train/00b1_6", "train/00b1_7"}
    assert "1 heads" in caplog.text and "00b1" not in caplog.text


def test_openimages_box_is_limited_to_the_picture(tmp_path):
    over = (150, 120, 200, 100)
    source = write_openimages(tmp_path / "oi", [detection("00b1", over), detection("00b1", (-30, -20, 90, 80))])
    found = IMPORTERS["OpenImageV6"].heads(
        next(p for p in OPEN_IMAGES.pictures(source, "train") if p.name == "train/00b1")
    )
    np.testing.assert_allclose(found[0].box, [150, 120, WIDTH - 1 - 150, HEIGHT - 1 - 120])
    np.testing.assert_allclose(found[1].box, [0, 0, 60, 60], atol=1e-9)


def test_openimages_parts_and_label_files(tmp_path, caplog):
    source = write_openimages(tmp_path / "oi", [detection("00b1", A)])
    (source / "train/data/00b1.jpg").write_bytes(b"no picture")
    summary, _ = imported(IMPORTERS["OpenImageV6"], source, tmp_path)
    assert "00b1.jpg" in broken(summary)["train/00b1_0"]
    (source / "test/data").rename(source / "test/pictures")
    assert [picture.name for picture in OPEN_IMAGES.pictures(source, "train")] == [
        "validation/v1",
        "train/00b1",
    ]
    assert "test/data" in caplog.text
    write(source / "train/labels/detections.csv", "ImageID,LabelName,XMin\n")
    with pytest.raises(DataError, match=r"detections\.csv: .*YMin, XMax, YMax, IsGroupOf"):
        OPEN_IMAGES.pictures(source, "train")
    (source / "train/labels/detections.csv").unlink()
    with pytest.raises(DataError, match=r"detections\.csv: .*missing"):
        OPEN_IMAGES.pictures(source, "train")


def test_wildhead_sorts_names_over_its_folders(tmp_path):
    source = tmp_path / "WildHead"
    draw(source / "head_images_wild_30_hp/COCOHead_000002_20,30,40,50.jpg", A)
    draw(source / "head_images_wild_30_ch/CrowdHuman_273271,c9_100,60,60,44.jpg", B)
    draw(source / "head_images_wild_30_oi/AOpenImagesV6_000001_190,100,30,30.jpg", C)
    draw(source / "head_images_wild_30_oi/OpenImagesV6_é_190,100,30.jpg", C)
    draw(source / "head_images_wild_30_oi/OpenImagesV6_000003_20,30,0,50.jpg", A)
    (source / "head_images_wild_30_oi/notes.txt").write_text("no picture")
    summary, store = imported(IMPORTERS["WildHead"], source, tmp_path)
    names = [
        "head_images_wild_30_oi/AOpenImagesV6_000001_190,100,30,30",
        "head_images_wild_30_hp/COCOHead_000002_20,30,40,50",
        "head_images_wild_30_ch/CrowdHuman_273271,c9_100,60,60,44",
    ]
    assert_shows(store, [C, A, B], names)
    faults = broken(summary)
    assert (
        "is not named <prefix>_<id>_<x>,<y>,<w>,<h>.jpg" in faults["head_images_wild_30_oi/OpenImagesV6_é_190,100,30"]
    )
    assert "is empty" in faults["head_images_wild_30_oi/OpenImagesV6_000003_20,30,0,50"]
    assert len(faults) == 2 and summary.expected == 403216


def test_wildhead_flat_and_in_part(tmp_path, caplog):
    flat = tmp_path / "flat"
    draw(flat / "CrowdHuman_1_20,30,40,50.jpg", A)
    draw(flat / "COCOHead_1_100,60,60,44.jpg", B)
    _, store = imported(IMPORTERS["WildHead"], flat, tmp_path)
    assert_shows(store, [B, A], ["COCOHead_1_100,60,60,44", "CrowdHuman_1_20,30,40,50"])
    assert not caplog.text
    draw(tmp_path / "part/head_images_wild_30_ch/CrowdHuman_1_20,30,40,50.jpg", A)
    assert len(IMPORTERS["WildHead"].pictures(tmp_path / "part", "train")) == 1
    assert says(caplog.text, "head_images_wild_30_hp head_images_wild_30_oi")


def face(box, *rest):
    return " ".join(map(str, [*box, *(rest or (0, 0, 0, 0, 0, 0))])) + " "  # the real rows end in a space


def write_widerface(root, train, images="WIDER_{part}/images"):
    write(root / "wider_face_split/wider_face_val_bbx_gt.txt", f"0--Parade/v_1.jpg\n1\n{face(A)}\n")
    write(root / "wider_face_split/wider_face_train_bbx_gt.txt", "\n".join(train) + "\n")
    draw(root / images.format(part="val") / "0--Parade/v_1.jpg", A)
    draw(root / images.format(part="train") / "1--Handshaking/b é.jpg", A, B)
    draw(root / images.format(part="train") / "1--Handshaking/a.jpg", C)
    return root


@pytest.mark.parametrize("images", ["WIDER_{part}/images", "images_original/{part}"])
def test_widerface(tmp_path, images):
    train = [
        *("1--Handshaking/b é.jpg", "5", face(A), face((5, 5, 24, 60)), face(B, 2, 1, 1, 1, 2, 1)),
        *("7 8 nine 40 0 0 0 0 0 0", "20 30 40 50"),
        *("0--Parade/empty.jpg", "0", face((0, 0, 0, 0))),
        *("0--Parade/bare.jpg", "0"),
        *("1--Handshaking/a.jpg", "2", face(C), face((9, 9, 0, 0))),
        *("1--Handshaking/gone.jpg", "1", face(C)),
    ]
    summary, store = imported(IMPORTERS["WiderFace"], write_widerface(tmp_path / "wider", train, images), tmp_path)
    names = ["val/0--Parade/v_1_0", "train/1--Handshaking/b é_0", "train/1--Handshaking/b é_2"]
    assert_shows(store, [A, A, B, C], [*names, "train/1--Handshaking/a_0"])
    small = ("train/1--Handshaking/b é_1", "train/1--Handshaking/a_1")
    assert left_out(summary) == dict.fromkeys(small, "smaller than 25 px")
    faults = broken(summary)
    assert faults.keys() == {f"train/1--Handshaking/{name}" for name in ("b é_3", "b é_4", "gone_0")}
    assert "gone.jpg: is missing" in faults["train/1--Handshaking/gone_0"]
    assert store.meta["protocol"] == "face_box" and not store.meta["full_range"] and summary.expected == 62100


@pytest.mark.parametrize(
    "train, words",
    [
        (["a.jpg", "2", face(A)], r"2 faces .*a\.jpg.* 1\b"),
        (["a.jpg", face(A)], r"line after 1.*a\.jpg"),
        (["a.jpg", "1", face(A), "b.jpg"], r"line after 4.*b\.jpg"),
    ],
)
def test_widerface_broken_label_file(tmp_path, train, words):
    with pytest.raises(DataError, match=words):
        IMPORTERS["WiderFace"].pictures(write_widerface(tmp_path, train), "train")


def test_widerface_without_a_folder_of_pictures(tmp_path):
    source = write_widerface(tmp_path, [])
    (source / "WIDER_val/images").rename(source / "elsewhere")
    with pytest.raises(DataError, match=r"images_original/val .*WIDER_val/images"):
        IMPORTERS["WiderFace"].pictures(source, "train")


def test_label_files_that_are_no_text(tmp_path):
    source = write_widerface(tmp_path, [])
    (source / "wider_face_split/wider_face_val_bbx_gt.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"wider_face_val_bbx_gt\.txt: .*UTF-8"):
        IMPORTERS["WiderFace"].pictures(source, "train")


@pytest.mark.parametrize(
    "importer, words",
    [
        (IMPORTERS["COCOHead"], "annotations_HumanParts"),
        (IMPORTERS["CrowdHuman"], "BFJDet.*annotation_val.odgt"),
        (IMPORTERS["OpenImageV6"], "validation/data, test/data, train/data"),
        (IMPORTERS["WildHead"], "<prefix>_<id>_<x>,<y>,<w>,<h>.jpg"),
        (IMPORTERS["WiderFace"], "wider_face_split"),
    ],
)
def test_sources_that_are_something_else(tmp_path, importer, words):
    draw(tmp_path / "raw/holiday.jpg", A)
    with pytest.raises(DataError, match=words) as error:
        imported(importer, tmp_path / "raw", tmp_path)
    assert str(error.value).startswith(f"--source {tmp_path / 'raw'}:")


def test_nothing_kept_is_an_error_that_says_why(tmp_path):
    source = tmp_path / "WildHead"
    draw(source / "COCOHead_1_20,30,40,50.jpg", A)
    (source / "COCOHead_1_20,30,40,50.jpg").write_bytes(b"")
    with pytest.raises(StoreError, match="decoded"):
        imported(IMPORTERS["WildHead"], source, tmp_path)
    assert not (tmp_path / "WildHead.lmdb").exists()
