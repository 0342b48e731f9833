import io
import os
import shutil
import subprocess
import sys

import cv2
import lmdb
import numpy as np
import pytest
import torch
from PIL import Image
from support.errors import error_line, says
from support.paths import ROOT

from semiuhpe.cli import inspect as inspect_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore, StoreWriter
from semiuhpe.data.crop import HEAD_BOX, StoredCrop, encode
from semiuhpe.data.stores import SceneStore, StoredHead, head_meta
from semiuhpe.data.stores.base import stored_bytes
from semiuhpe.data.stores.inspect import poses, sizes, verify
from semiuhpe.drawing.head_sheet import label_sheet
from semiuhpe.evaluation.tables import BAR
from semiuhpe.rotation import euler_to_matrix
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes

PX = 32
BOX, BOUNDS = (8, 8, 16, 16), (0, 0, PX, PX)
FRONTAL = np.diag([1.0, -1.0, -1.0])


def rotation(*euler):
    return euler_to_matrix(torch.tensor(euler, dtype=torch.float64)).numpy()


def encoded(side=PX):
    return encode(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8))


def write(path, heads, loose=False, full_range=True):
    """A store of heads, each a dictionary of what is special about it."""
    meta = head_meta(
        dataset="toy", split="train" if loose else "test", size=PX, crop_rule=HEAD_BOX, loose=loose,
        full_range=full_range, source="here", settings={"limit": None},
    )  # fmt: skip
    with StoreWriter(path, meta) as writer:
        for number, head in enumerate(heads):
            boxes = (np.array(head.get(key, default)) for key, default in (("box", BOX), ("bounds", BOUNDS)))
            crop = StoredCrop(head.get("encoded", encoded()), *boxes, head.get("scale", 0.5))
            labels = {key: head[key] for key in ("rotation", "euler_deg", "attributes") if key in head}
            writer.add(StoredHead(head.get("name", f"kopf/ä{number}"), crop, **labels))
    return path


def put(path, key, value):
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        if value is None:
            transaction.delete(key)
        else:
            transaction.put(key, value)


def label_arrays(path):
    with np.load(io.BytesIO(stored_bytes(path, b"__labels__"))) as arrays:
        return {name: arrays[name] for name in arrays.files}


def printed_row(text, name):
    return next(line for line in text.splitlines() if line.lstrip().startswith(name))


def test_poses_are_those_of_the_rotation(tmp_path):
    path = write(
        tmp_path / "a.lmdb",
        [{"rotation": rotation(10, 120, -30)}, {"rotation": FRONTAL}, {"rotation": np.diag([1.0, 1.0, -1.0])}],
    )
    angles = poses(HeadStore(path))
    assert [angles[name][0] for name in ("pitch", "yaw", "roll")] == pytest.approx([10, 120, -30], abs=1e-3)
    assert angles["to frontal"][1] == pytest.approx(0, abs=1e-4)
    assert all(np.isnan(values[2]) for values in angles.values())  # a mirror image is no rotation


def test_sizes_are_those_in_the_source_too(tmp_path):
    store = HeadStore(write(tmp_path / "a.lmdb", [{"box": (0, 0, 9, 16)}, {"encoded": encoded(40)}]))
    found = sizes(store)
    assert found["head box, side in the source, px"].tolist() == [24, 32]
    assert found["picture, bytes"].tolist() == [len(encoded()), len(encoded(40))]
    put(write(tmp_path / "b.lmdb", [{}, {}]), b"000000001", None)
    assert HeadStore(tmp_path / "b.lmdb").encoded_bytes().tolist() == [len(encoded()), 0]


def test_inspect_prints_and_draws(tmp_path, capsys):
    yaws = [-170, -110, 5, 5, 5, 100]
    heads = [{"rotation": rotation(2, yaw, 2), "attributes": {"age": "young" if yaw < 0 else "älter"}} for yaw in yaws]
    path = write(tmp_path / "köpfe.lmdb", heads)
    assert run(inspect_cli.main, [str(path)]) == 0
    out = capsys.readouterr().out
    assert "6 heads, labeled" in out and "dataset    toy, split test, all of SO(3)" in out
    assert "made from  here, with" in out and "crops      as evaluation needs them; protocol head_box, 32 px" in out
    assert printed_row(out, "age:") == "age: älter 4, young 2"
    assert printed_row(out, "yaw, degrees").split()[2:] == ["-170", "-155", "5.00", "76", "100"]
    assert printed_row(out, "-180 to -165").split()[3] == "1"
    columns = printed_row(out, "0 to 15").split()
    # Yaw of three heads, pitch and roll of six, and no more than three that look into the camera.
    assert [word for word in columns[3:] if word.isdigit()] == ["3", "6", "6", "3"]
    assert columns[-1] == "#" * BAR
    with Image.open(tmp_path / "köpfe_sheet.png") as sheet:
        assert sheet.width > 6 * PX and sheet.height > PX
    assert f"drawn in {tmp_path / 'köpfe_sheet.png'}" in out


def test_a_sheet_that_can_not_be_written_beside_the_store(tmp_path, scenes, capsys):
    heads = write(tmp_path / "heads.lmdb", [{"rotation": rotation(2, 3, 4)}])
    for path in (heads, scenes):
        path.with_name(f"{path.stem}_sheet.png").mkdir(exist_ok=True)  # as root may write into any folder
        assert run(inspect_cli.main, [str(path)]) == 2
        assert says(error_line(capsys.readouterr().err), "_sheet.png --sheet")
        path.with_name(f"{path.stem}_sheet.png").rmdir()


def test_inspect_unlabeled_heads(tmp_path, capsys):
    path = write(tmp_path / "a.lmdb", [{}] * 3, loose=True)
    assert run(inspect_cli.main, [str(path), "--sheet", str(tmp_path / "sheets" / "b.png"), "--heads", "2"]) == 0
    out = capsys.readouterr().out
    assert "3 heads, without labels" in out and "yaw" not in out and "at most 32 px" in out
    assert "2 of the heads are drawn" in out and (tmp_path / "sheets" / "b.png").is_file()
    assert not (tmp_path / "a_sheet.png").exists()


def test_what_was_left_out_is_counted(tmp_path, capsys):
    path = write(tmp_path / "a.lmdb", [{}])
    (path / "dropped.csv").write_text('name,reason,broken\na,"two\nlines",1\nb,small,0\n')
    assert run(inspect_cli.main, [str(path)]) == 0
    assert "left out   2, listed in" in capsys.readouterr().out


def test_heads_of_a_sheet_are_spread_or_drawn():
    assert inspect_cli.sheet_items(101, 5, None).tolist() == [0, 25, 50, 75, 100]
    assert inspect_cli.sheet_items(3, 48, None).tolist() == inspect_cli.sheet_items(3, 48, 1).tolist() == [0, 1, 2]
    drawn = inspect_cli.sheet_items(1000, 20, 7)
    assert len(set(drawn)) == 20 and drawn.tolist() == inspect_cli.sheet_items(1000, 20, 7).tolist()
    assert drawn.tolist() != inspect_cli.sheet_items(1000, 20, 8).tolist()


def test_the_sheet_shows_where_a_head_looks(tmp_path):
    """The blue front vector ends where the rotation says, whatever the size of the crop."""
    gray = encode(np.full((PX, PX, 3), 128, np.uint8))
    heads = [{"rotation": rotation(0, yaw, 0), "encoded": gray} for yaw in (60, -60)]
    sheet = label_sheet(HeadStore(write(tmp_path / "a.lmdb", heads)), [0, 1]).astype(int)
    cell = sheet.shape[1] // 2
    picture = sheet[sheet.shape[0] // 3 : sheet.shape[0] // 2 + 40]  # beside the legend and the captions
    for number, side in enumerate((-1, 1)):
        part = picture[:, number * cell : (number + 1) * cell]
        blue = np.nonzero((part[..., 2] > 200) & (part[..., 0] < 80))[1]
        assert blue.size and side * (blue.mean() - cell / 2) > 5  # a yaw of 60 looks to the picture's left
    assert heads[0]["rotation"][0, 2] < 0 < heads[1]["rotation"][0, 2]


FAULTY = {
    "its label is not a rotation": {"rotation": np.diag([1.0, -1.0, -1.01])},
    "its label is not a rotation: [[": {"rotation": np.full((3, 3), np.nan)},
    "its Euler angles are not finite": {"euler_deg": np.array([0, np.inf, 0])},
    "its rotation and its Euler angles differ, in degrees: 20": {"euler_deg": np.array([0, 20, 0])},
    "its head box is empty or not finite": {"box": (8, 8, 0, 16)},
    "its head box is empty or not finite: [nan": {"box": (np.nan, 8, 4, 16)},
    "its head box lies outside its picture": {"box": (33, 8, 10, 10)},
    "its head box lies outside its picture: [1": {"box": (1, 1, 5, 5), "bounds": (20, 0, 30, 30)},
    "the bounds of its picture are not sane": {"bounds": (0, 0, -3, 32)},
    "its scale is not a positive number": {"scale": 0.0},
    "head 1 can't be decoded; make the store again": {"encoded": encoded()[:200]},
    "its picture is 40x40 px, not 32x32": {"encoded": encoded(40)},
    "its picture is 16x16 px, not 32x32": {"encoded": encoded(16)},
}


@pytest.mark.parametrize("what", FAULTY)
def test_verify_finds_each_fault(tmp_path, what, capfd):
    sound = {"rotation": FRONTAL, "euler_deg": np.zeros(3)}
    path = write(tmp_path / "a.lmdb", [sound, sound | FAULTY[what] | {"name": "schlecht"}, sound])
    assert run(inspect_cli.main, [str(path), "--verify", "--workers", "0"]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith(f"#1 schlecht: {what}")
    assert lines[1].endswith("1 of 3 heads are faulty; make the store again")
    assert list(tmp_path.iterdir()) == [path]  # only the plain command draws
    assert run(inspect_cli.main, [str(path)]) == 0  # faulty heads can be looked at


def test_verify_finds_a_damaged_jpeg_that_decodes(tmp_path):
    whole = encode(np.random.default_rng(0).integers(0, 255, (PX, PX, 3), dtype=np.uint8), 92)
    path = write(tmp_path / "a.lmdb", [{"encoded": whole}] * 2)
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 255
    put(path, b"000000001", bytes(damaged))
    assert cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR).shape == (PX, PX, 3)
    (fault,) = verify(HeadStore(path))
    assert fault.number == 1
    assert fault.what == "picture 1 was damaged after it was written; copy or make the store again"


def test_verify_of_a_sound_store(stores, capsys):
    """Also a head that reaches beyond its crop, and a loose crop that is small, are sound."""
    for path in stores.values():
        assert run(inspect_cli.main, [str(path), "--verify"]) == 0
        assert "all heads are sound" in capsys.readouterr().out


def test_crops_and_boxes_may_be_small_or_reach_beyond(tmp_path):
    path = write(tmp_path / "a.lmdb", [{"encoded": encoded(10)}, {"box": (-20, -5, 25, 90)}], loose=True)
    assert verify(HeadStore(path)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_verify_lists_faults_in_order(tmp_path, workers):
    path = write(tmp_path / "a.lmdb", [{"rotation": FRONTAL} for _ in range(150)])
    put(path, b"000000140", None)
    put(path, b"000000070", b"")
    put(path, b"000000003", b"no picture")
    faults = verify(HeadStore(path), workers)
    assert [(fault.number, fault.name) for fault in faults] == [(3, "kopf/ä3"), (70, "kopf/ä70"), (140, "kopf/ä140")]
    assert verify(HeadStore(path, range(4, 70)), workers) == []


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["none.lmdb"], "semiuhpe prepare"),
        (["."], "semiuhpe prepare"),
        (["notes.txt"], "notes.txt"),
        ([], "STORE"),
        (["a.lmdb", "--heads", "0"], "--heads"),
        (["a.lmdb", "--heads", "5000"], "--heads 5000"),
        (["a.lmdb", "--sheet", "sheet.nonsense"], "--sheet sheet.nonsense"),
        (["a.lmdb", "--sheet", "/proc/sheet.png"], "--sheet /proc/sheet.png"),
        (["old.lmdb"], "old.lmdb version 1"),
        (["old.lmdb", "--verify"], "old.lmdb version 1"),
    ],
)
def test_bad_input(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.lmdb", [{"rotation": FRONTAL}])
    write(tmp_path / "old.lmdb", [{"rotation": FRONTAL}])
    (tmp_path / "notes.txt").write_text("mine")
    put(tmp_path / "old.lmdb", b"__meta__", b'{"format_version": 1, "count": 1}')
    assert run(inspect_cli.main, arguments) == 2
    captured = capsys.readouterr()
    assert says(error_line(captured.err), words)
    assert captured.out == "" and not list(tmp_path.glob("*sheet*"))


def test_a_store_from_within_and_into_a_pipe_that_closes(tmp_path):
    path = write(tmp_path / "a.lmdb", [{"rotation": FRONTAL}])
    command = (
        f"{sys.executable} -c 'from semiuhpe.cli.main import main; main()' inspect . | head -0; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command], cwd=path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0 and done.stderr == ""
    assert (tmp_path / "a_sheet.png").is_file()


@pytest.fixture
def scenes(tmp_path):
    path = tmp_path / "scenes.lmdb"
    write_scenes(SceneSet(5, 3, "clean", "front", 4, 64, 0.5, 0.5), path)
    return path


def test_inspect_scenes(scenes, capsys):
    assert inspect_cli.main([str(scenes)]) == 0
    printed, store = capsys.readouterr().out, SceneStore(scenes)
    assert f"5 scenes with {store.meta['heads']} heads" in printed and "front to profile" in printed
    assert f"{int((store.turn_deg != 0).sum())} turned" in printed
    counts = np.array([len(store.heads(scene)) for scene in range(5)])
    assert printed_row(printed, "heads of a scene").split()[-1] == f"{counts.max():.2f}"
    assert (scenes.parent / "scenes_sheet.png").is_file()


def test_heads_and_seed_choose_the_scenes_of_a_sheet(scenes, capsys):
    sheet = scenes.with_name("sheet.png")
    drawn = []
    for options in (["--heads", "2"], ["--heads", "2", "--seed", "1"], ["--heads", "2", "--seed", "2"]):
        assert run(inspect_cli.main, [str(scenes), "--sheet", str(sheet), *options]) == 0
        assert "2 of the scenes are drawn" in capsys.readouterr().out
        drawn.append(sheet.read_bytes())
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("workers", ["0", "2"])
def test_verify_scenes(scenes, workers, capfd):
    options = ["--verify", "--workers", workers]
    assert run(inspect_cli.main, [str(scenes), *options]) == 0
    assert "all scenes are sound" in capfd.readouterr().out
    broken = shutil.copytree(scenes, scenes.with_name("broken.lmdb"))
    labels = label_arrays(scenes)
    labels["rotation"][0] = 0
    packed = io.BytesIO()
    np.savez(packed, **labels)
    put(broken, b"__labels__", packed.getvalue())
    put(broken, b"%09d" % 3, b"broken")
    assert run(inspect_cli.main, [str(broken), *options]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("#1 000001: ") and "head 0" in lines[0] and lines[1].startswith("#3 000003: ")
    assert lines[2].endswith("2 of 5 scenes are faulty; make the store again")
    assert run(inspect_cli.main, [str(broken)]) == 0  # faulty scenes can be looked at
