"""AFLW with its own poses, lists of 300W-LP and AFLW2000, and BIWI as Hugging Face's script unpacks it."""

import sqlite3

import numpy as np
import pytest
import torch
from support.errors import refused, says
from support.raw_datasets import (
    assert_not_the_dataset,
    assert_rotations,
    broken,
    draw_head,
    heads_seen,
    prepared,
    write_300wlp,
    write_aflw,
    write_text,
)

from semiuhpe.cli import prepare as prepare_cli
from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.preparing import prepare
from semiuhpe.errors import DataError
from semiuhpe.rotation import euler_to_matrix, geodesic_deg

A = [40, 40, 30, 40]

G = np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]])
FRONT_RIGHT_DOWN = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
"""Columns: front, right of the subject and down, in our axes of the head."""

AFLW_PAIRS = """
0.5388 0.0418 0.4848 6.3 31.8 -25.4
0.9118 -0.2367 -0.1639 -22.8 59.2 -10.1
1.0877 0.1690 -0.0151 39.4 69.2 23.7
0.8117 0.0453 0.3265 -4.0 53.8 -21.9
1.1433 0.0994 0.1117 40.0 65.6 20.0
0.7463 0.0357 -0.2115 17.9 41.4 14.3
0.7264 -0.1288 0.2702 -7.3 45.1 -17.6
0.9989 -0.1847 -0.1204 -20.1 56.8 -22.9
0.8934 -0.2511 -0.1009 -27.1 54.3 -35.2
0.7497 0.0522 0.5695 13.5 56.4 -22.0
-0.9636 0.1141 0.0868 28.4 -60.9 -23.1
-0.8740 -0.0437 0.2745 7.0 -54.7 -14.6
-0.9729 -0.5264 0.1383 -45.0 -53.5 43.3
-0.5441 0.0028 0.5936 8.4 -41.2 -32.6
-0.7011 0.3130 0.3076 35.3 -45.4 -38.0
-0.6361 0.0770 0.0910 33.7 -59.6 -21.4
-1.0221 -0.2203 -0.0257 -21.7 -67.2 25.3
-0.5624 -0.3448 -0.3753 -20.9 -34.9 34.0
-0.8722 -0.3202 0.0354 -25.1 -55.4 22.2
-0.6605 -0.5680 -0.1359 -24.7 -34.5 22.6
-0.9267 0.2376 0.2633 27.4 -52.4 -33.1
-0.8233 -0.1723 -0.2260 -11.9 -46.8 20.9
-0.9959 -0.0112 -0.6632 -3.1 -62.1 43.7
-1.3743 -0.3963 0.1415 -35.5 -67.1 40.8
"""
"""Yaw, pitch, roll of faces in AFLW, and pitch, yaw, roll of the same faces in AFLW2000, which others have labeled."""


def aflw_angles(rotation):
    """Roll, pitch, yaw as AFLW's program computes them of R head to camera."""
    split = G @ rotation @ FRONT_RIGHT_DOWN
    return np.arctan2(split[2, 1], split[2, 2]), np.arcsin(-split[2, 0]), np.arctan2(split[1, 0], split[0, 0])


def write_aflw_database(root, faces, left_out="image00002.jpg\n"):
    """Faces are (file, box or None, angles or None)."""
    root.mkdir(exist_ok=True)
    write_text(root / "AFLW2000.txt", left_out)
    connection = sqlite3.connect(root / "aflw.sqlite")
    connection.executescript("""
        CREATE TABLE Faces (face_id INTEGER PRIMARY KEY, file_id TEXT, db_id TEXT);
        CREATE TABLE FaceImages (image_id INTEGER, db_id TEXT, file_id TEXT, filepath TEXT, width INTEGER);
        CREATE TABLE FaceRect (face_id INTEGER PRIMARY KEY, x INTEGER, y INTEGER, w INTEGER, h INTEGER);
        CREATE TABLE FacePose (face_id INTEGER PRIMARY KEY, roll REAL, pitch REAL, yaw REAL);
    """)
    for i, file in enumerate(dict.fromkeys(file for file, *_ in faces)):
        connection.execute("INSERT INTO FaceImages VALUES (?, 'flickr', ?, ?, 160)", (i, file.split("/")[1], file))
        draw_head(root / "flickr" / file, A)
    for i, (file, box, angles) in enumerate(faces, start=39341):
        connection.execute("INSERT INTO Faces VALUES (?, ?, 'flickr')", (i, file.split("/")[1]))
        if box is not None:
            connection.execute("INSERT INTO FaceRect VALUES (?, ?, ?, ?, ?)", (i, *box))
        if angles is not None:
            connection.execute("INSERT INTO FacePose VALUES (?, ?, ?, ?)", (i, *angles))
    connection.commit()
    connection.close()
    return root


def test_aflw(tmp_path):
    rotations = heads_seen(30, seed=1)
    faces = [(f"0/image{i:05d}.jpg", A, aflw_angles(rotation)) for i, rotation in enumerate(rotations)]
    faces += [
        ("3/image00040.jpg", A, None),
        ("3/image00040.jpg", None, (0, 0, 0)),
        ("3/image00040.jpg", A, ("a", 0, 0)),
    ]
    source = write_aflw_database(tmp_path / "data", faces)
    before = (source / "aflw.sqlite").read_bytes()
    summary, store = prepared("AFLW", source, tmp_path, "train")
    assert (source / "aflw.sqlite").read_bytes() == before
    assert store.names[:3].tolist() == ["0/image00000.jpg_39341", "0/image00001.jpg_39342", "0/image00003.jpg_39344"]
    assert_rotations(store, np.delete(rotations, 2, axis=0))
    left_out = {head.name: head.reason for head in summary.dropped if not head.broken}
    assert left_out == {
        "0/image00002.jpg_39343": "its picture is in AFLW2000",
        "3/image00040.jpg_39371": "no box or no pose",
        "3/image00040.jpg_39372": "no box or no pose",
    }
    assert "not all numbers" in broken(summary)["3/image00040.jpg_39373"]


def test_aflw_agrees_with_the_labels_of_the_same_faces_in_aflw2000(tmp_path):
    """They differ by how each fits a face, but less than by 300W-LP's order of angles with the sign of roll changed."""
    pairs = np.array([line.split() for line in AFLW_PAIRS.split("\n") if line], dtype=np.float64)
    faces = [(f"2/image{i:05d}.jpg", A, (roll, pitch, yaw)) for i, (yaw, pitch, roll) in enumerate(pairs[:, :3])]
    source = write_aflw_database(tmp_path / "data", [*faces, ("2/image99999.jpg", A, (0, 0, 0))], "image99999.jpg")
    _, store = prepared("AFLW", source, tmp_path, "train")
    expected = euler_to_matrix(torch.from_numpy(pairs[:, 3:]))
    yaw, pitch, roll = np.degrees(pairs[:, :3]).T
    other = euler_to_matrix(torch.from_numpy(np.stack([pitch, yaw, -roll], axis=1)))
    error = geodesic_deg(torch.from_numpy(store.rotation).double(), expected)
    assert error.mean() < 13 and error.mean() < geodesic_deg(other, expected).mean() - 4


def test_aflw_bad_input(tmp_path, capsys):
    assert_not_the_dataset(IMPORTERS["AFLW"], tmp_path / "other", "train")
    source = write_aflw_database(tmp_path / "data", [("0/image00001.jpg", A, (0, 0, 0))])
    with pytest.raises(DataError, match=r"AFLW2000\.txt: names no picture"):
        IMPORTERS["AFLW"].pictures(source, "train")
    (source / "aflw.sqlite").write_bytes(b"SQLite format 3\0 but not whole")
    line = refused(capsys, prepare_cli.main, ["AFLW", "--source", source, "--out", tmp_path / "a.lmdb"])
    assert says(line, "aflw.sqlite database")
    with sqlite3.connect(tmp_path / "empty.sqlite") as connection:
        connection.execute("CREATE TABLE Faces (face_id INTEGER)")
    (tmp_path / "empty.sqlite").replace(source / "aflw.sqlite")
    line = refused(capsys, prepare_cli.main, ["AFLW", "--source", source, "--out", tmp_path / "a.lmdb"])
    assert says(line, "aflw.sqlite FaceImages") and not (tmp_path / "a.lmdb").exists()


# ---- lists of 300W-LP and AFLW2000, and BIWI as Hugging Face's script unpacks it


def test_lists_of_300wlp(tmp_path, capsys):
    source = write_300wlp(tmp_path / "300W_LP", with_landmarks=True)
    write_text(source / "files.txt", "AFW/2\n./AFW_Flip/0\nAFW/2\n")
    whole, listed = (
        prepared("300WLP", path, tmp_path / path.name, "train")[1] for path in (source, source / "files.txt")
    )
    assert listed.names.tolist() == ["AFW/2", "AFW_Flip/0"]
    rows = [whole.names.tolist().index(name) for name in listed.names]
    assert_rotations(listed, whole.rotation[rows])
    np.testing.assert_array_equal(listed.image(1), whole.image(rows[1]))
    assert prepare("300WLP", source / "files.txt", tmp_path / "b.lmdb").expected is None
    write_text(source / "more.txt", "AFW/2\nAFW/9\n")
    assert "9.mat: is missing" in broken(prepared("300WLP", source / "more.txt", tmp_path, "train")[0])["AFW/9"]
    for text, words in (("AFW/1\nLFW/1", "line 2 LFW/1"), ("\n", "names no picture"), ("AFW/1 0 0 0\n../x", "../x")):
        write_text(source / "bad.txt", text)
        line = refused(
            capsys, prepare_cli.main, ["300WLP", "--source", source / "bad.txt", "--out", tmp_path / "c.lmdb"]
        )
        assert says(line, f"bad.txt {words}") and not (tmp_path / "c.lmdb").exists()
    write_text(tmp_path / "elsewhere" / "files.txt", "AFW/1")
    assert says(
        refused(capsys, prepare_cli.main, ["300WLP", "--source", tmp_path / "elsewhere" / "files.txt"]),
        "files.txt 300W_LP",
    )


def test_lists_of_aflw2000(tmp_path):
    source = write_aflw(tmp_path / "AFLW2000", [(1.0, 2.0, 3.0), (10.0, 20.0, 30.0)])
    write_text(source / "files.txt", "./image00001")
    _, store = prepared("AFLW2000", source / "files.txt", tmp_path, "test")
    assert store.names.tolist() == ["image00001"]


def test_biwi_as_hugging_faces_script_unpacks_it(tmp_path, capsys):
    extracted = tmp_path / "downloads" / "extracted"
    sequence = extracted / "0a1b2c" / "hpdb" / "12"
    draw_head(sequence / "frame_00003_rgb.png", A)
    write_text(sequence / "frame_00003_pose.txt", "1 0 0\n0 1 0\n0 0 1\n\n0 0 900\n")
    write_text(
        sequence / "rgb.cal", "100 0 80\n0 100 60\n0 0 1\n\n0 0 0 0\n\n1 0 0\n0 1 0\n0 0 1\n\n-24 0 0\n\n640 480\n"
    )
    for source in (extracted, extracted / "0a1b2c", extracted / "0a1b2c" / "hpdb"):
        _, store = prepared("BIWI", source, tmp_path, "test", overwrite=True)
        assert store.names.tolist() == ["12/frame_00003"]
    (extracted / "9f" / "hpdb").mkdir(parents=True)
    assert says(refused(capsys, prepare_cli.main, ["BIWI", "--source", extracted]), "extracted hpdb")
    write_text(tmp_path / "copy" / "0000.parquet", "PAR1")
    for source in (tmp_path / "copy", tmp_path / "copy" / "0000.parquet"):
        assert says(
            refused(capsys, prepare_cli.main, ["BIWI", "--source", source]), f"{source} hpdb downloads/extracted"
        )
