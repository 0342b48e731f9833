import json

import numpy as np
import pytest
from PIL import Image
from support.errors import says

from semiuhpe.data import HeadStore
from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.importers.folder import ROTATION
from semiuhpe.data.preparing import prepare
from semiuhpe.errors import DataError

BOX = (30, 40, 50, 60)
FRONTAL = np.diag([1.0, -1.0, -1.0])
ROLLED = [[0, 1, 0], [1, 0, 0], [0, 0, -1]]  # frontal, roll 90 degrees


def draw(path, box=BOX, size=(160, 200), **options):
    """A gray picture with a white head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    x, y, w, h = box
    pixels[y : y + h, x : x + w] = 255
    Image.fromarray(pixels).save(path, **options)


def head_in(image):
    y, x = np.nonzero(image.min(axis=-1) > 172)
    return [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]


def imported(source, tmp_path, split="test", workers=0):
    out = tmp_path / f"{split}.lmdb"
    summary = prepare(IMPORTERS["folder"], source, out, split=split, workers=workers)
    return summary, HeadStore(out)


def csv_file(tmp_path, text):
    path = tmp_path / "heads.csv"
    path.write_text(text, encoding="utf-8")
    return path


def json_file(tmp_path, rows, name="heads.jsonl"):
    path = tmp_path / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def faults(summary):
    return {head.name: head.reason for head in summary.dropped if head.broken}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_folder_of_pictures(tmp_path, split):
    raw = tmp_path / "raw"
    for name in ("b.PNG", "ä/zwei.jpeg", "ä/b/drei.webp", "a.bmp", "c.tif", "a.png"):
        draw(raw / name)
    (raw / "notes.txt").write_text("no picture")
    (raw / "z.jpg").write_bytes(b"broken")
    summary, store = imported(raw, tmp_path, split, workers=2)
    assert store.names.tolist() == ["a.bmp", "a.png", "b.PNG", "c.tif", "ä/b/drei.webp", "ä/zwei.jpeg"]
    assert list(faults(summary)) == ["z.jpg"]
    side = 200 if split == "train" else 224  # loose crops are not enlarged
    scale = side / 200
    for i in range(len(store)):
        assert store.image(i).shape == (side, side, 3)
        expected = np.array([30 + 20, 40, 50, 60]) * scale  # 20 columns of black on either side
        np.testing.assert_allclose(head_in(store.image(i)), expected, atol=1.5)
        np.testing.assert_allclose(store.box[i], np.array([20, 0, 160, 200]) * scale, atol=1e-3)
    assert store.rotation is None and store.meta["full_range"] and store.meta["loose"] == (split == "train")


def test_a_table_in_the_folder_is_not_read_and_that_is_said(tmp_path, caplog):
    raw = tmp_path / "raw"
    draw(raw / "a.png")
    (raw / "heads.csv").write_text("image,pitch,yaw,roll\na.png,0,0,0\n")
    summary, store = imported(raw, tmp_path)
    assert store.rotation is None and summary.lines() == ["1 heads kept, without labels"]
    assert f"--source {raw / 'heads.csv'}" in caplog.text
    caplog.clear()
    (raw / "z").mkdir()
    (raw / "z" / "more.jsonl").write_text("{}\n")
    imported(raw, tmp_path, "val")
    assert f"{raw / 'heads.csv'} and 1 more" in caplog.text
    (raw / "a.png").unlink()
    with pytest.raises(DataError, match=r"no pictures.*--source .*heads\.csv"):
        imported(raw, tmp_path, "train")


def test_csv_with_boxes_and_angles(tmp_path, caplog):
    draw(tmp_path / "bilder/ä.png")
    draw(tmp_path / "b.png", box=(60, 70, 40, 40))
    text = f"""image, x,y,w,h,pitch,yaw,roll,photographer
bilder/ä.png,30,40,50,60,0,0,0,Ann
b.png,60.0,70,40,40,0,0,90,Bob

{tmp_path / "bilder" / "ä.png"},30,40,50,60,10,-20,30,Ann
bilder/ä.png,35,45,40,40,-5,170,0,Ann
"""
    summary, store = imported(csv_file(tmp_path, "\ufeff" + text), tmp_path)
    absolute = str(tmp_path / "bilder/ä.png")
    assert store.names.tolist() == ["bilder/ä.png_2", "bilder/ä.png_6", "b.png_3", f"{absolute}_5"]
    np.testing.assert_allclose(store.euler_deg, [[0, 0, 0], [-5, 170, 0], [0, 0, 90], [10, -20, 30]])
    np.testing.assert_allclose(store.rotation[0], FRONTAL, atol=1e-6)
    np.testing.assert_allclose(store.rotation[2], ROLLED, atol=1e-6)
    for i in (0, 2):
        np.testing.assert_allclose(store.box[i], head_in(store.image(i)), atol=1.5)
    assert not summary.dropped and summary.expected is None
    assert "'photographer'" in caplog.text


@pytest.mark.parametrize("name", ["heads.jsonl", "heads.NDJSON"])
def test_json_lines_with_rotations(tmp_path, name):
    draw(tmp_path / "a.png")
    columns = [f"r{i}{j}" for i in range(3) for j in range(3)]
    turned, mirrored = np.eye(3)[[1, 2, 0]], np.diag([1.0, 1.0, -1.0])
    rows = [{"image": "a.png"} | dict(zip(columns, m.ravel().tolist(), strict=True)) for m in (turned, mirrored)]
    summary, store = imported(json_file(tmp_path, rows, name), tmp_path)
    np.testing.assert_allclose(store.rotation, [[[0, 1, 0], [0, 0, 1], [1, 0, 0]]], atol=1e-6)
    assert store.euler_deg is None
    np.testing.assert_allclose(store.box[0], np.array([20, 0, 160, 200]) * 1.12, atol=1e-3)  # the whole picture
    assert "not a rotation" in faults(summary)["a.png_2"]


def test_pictures_are_turned_as_viewers_show_them(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    draw(tmp_path / "raw/a.png", size=(160, 200), box=(30, 40, 50, 60), exif=exif)
    table = csv_file(tmp_path, "image,x,y,w,h\nraw/a.png,100,30,60,50\n")  # x is 200 - 40 - 60
    _, store = imported(table, tmp_path)
    np.testing.assert_allclose(store.box[0], head_in(store.image(0)), atol=1.5)
    _, store = imported(tmp_path / "raw", tmp_path, "val")
    np.testing.assert_allclose(store.box[0], np.array([0, 20, 200, 160]) * 1.12, atol=1e-3)


def test_csv_rows_that_cannot_be_used_are_named(tmp_path):
    draw(tmp_path / "a.png")
    rows = ["a.png,30,40,50,60", "a.png,30,forty,50,60", "a.png,30,nan,50,60", "a.png,,,,", "a.png,30,40,50"]
    rows += [",30,40,50,60", "a.png,30,40,0,60", "a.png,30,40,-5,60", "gone.png,30,40,50,60", "a.png,500,40,50,60"]
    summary, store = imported(csv_file(tmp_path, "image,x,y,w,h\n" + "\n".join(rows)), tmp_path)
    assert store.names.tolist() == ["a.png_2"]
    found = faults(summary)
    assert found.keys() == {f"a.png_{i}" for i in (3, 4, 5, 8, 9, 11)} | {"heads.csv_6", "heads.csv_7", "gone.png_10"}
    for name, words in {
        "a.png_3": "line 3: y 'forty'", "a.png_4": "line 4: y 'nan'", "a.png_5": "line 5: x ''",
        "heads.csv_6": "line 6: 4 5", "heads.csv_7": "line 7: image", "a.png_8": "positive", "a.png_9": "positive",
        "gone.png_10": "gone.png", "a.png_11": "outside",
    }.items():  # fmt: skip
        assert says(found[name], words)


def test_json_rows_unlike_the_first_are_named(tmp_path, caplog):
    draw(tmp_path / "a.png")
    row = {"image": "a.png", "x": 30, "y": 40, "w": 50, "h": 60}
    rows = [
        *(row, row | {"yaw": 5}, {"image": "a.png"}, row | {"x": None}, row | {"image": 5}, row | {"x": True}),
        *("[1]", '{"image": ', row | {"comment": "fine"}, row | {"x": 10**400}),
    ]
    summary, store = imported(json_file(tmp_path, rows), tmp_path)
    assert store.names.tolist() == ["a.png_1", "a.png_9"]
    found = faults(summary)
    for name, words in {
        "a.png_2": "line 2: yaw", "a.png_3": "line 3: x, y, w, h", "a.png_4": "line 4: x None",
        "heads.jsonl_5": "line 5: image", "a.png_6": "line 6: x True", "heads.jsonl_7": "line 7: object",
        "heads.jsonl_8": "line 8: JSON",
    }.items():  # fmt: skip
        assert says(found[name], words)
    assert "a.png_10" in found
    assert "'comment'" in caplog.text


@pytest.mark.parametrize(
    "text, words",
    [
        ("image,x,y\na.png,1,2\n", "w, h"),
        ("image,picth,yaw,roll\na.png,1,2,3\n", "picth?"),
        ("image,r00,r11\na.png,1,2\n", "r01, r02, r10, r12, r20, r21, r22"),
        ("image|x|y|w|h\na.png|1|2|3|4\n", "image|x|y|w|h"),
        ("image,x,y,w,h,x\na.png,1,2,3,4,5\n", "x twice"),
        ("image,x,y,w,h\n", "no rows"),
        ("", "empty"),
        (
            "image,pitch,yaw,roll," + ",".join(ROTATION) + "\na.png" + ",0" * 12,
            "r00",
        ),
    ],
)
def test_csv_that_is_no_table_of_heads(tmp_path, text, words):
    source = csv_file(tmp_path, text)
    with pytest.raises(DataError) as error:
        imported(source, tmp_path)
    assert str(error.value).startswith(f"--source {source}: ") and words in str(error.value)
    assert not (tmp_path / "test.lmdb").exists()


@pytest.mark.parametrize(
    "rows, words",
    [
        (["{"], "line 1 .*JSON"),
        (["5"], "line 1 .*object"),
        ([], "empty"),
        ([{"x": 5}], "image"),
        ([{"image": "a.png", "roll": 5}], "pitch, yaw"),
    ],
)
def test_json_lines_that_are_no_table_of_heads(tmp_path, rows, words):
    with pytest.raises(DataError, match=rf"--source .*heads\.jsonl: .*{words}"):
        IMPORTERS["folder"].pictures(json_file(tmp_path, rows), "test")


def test_sources_that_are_something_else(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"--source .*empty: "):
        IMPORTERS["folder"].pictures(tmp_path / "empty", "train")
    (tmp_path / "heads.txt").write_text("a.png")
    with pytest.raises(DataError, match=r"heads\.txt: .*\.csv, \.jsonl"):
        IMPORTERS["folder"].pictures(tmp_path / "heads.txt", "train")
    (tmp_path / "heads.csv").write_bytes(b"image\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"heads\.csv: .*UTF-8"):
        IMPORTERS["folder"].pictures(tmp_path / "heads.csv", "train")
