import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import scipy.io
from PIL import Image
from support.errors import error_line, refused, says
from support.paths import SHARED
from support.raw_datasets import write_300wlp, write_aflw

from semiuhpe.cli import prepare as prepare_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.data.crop import crop_by_box, crop_by_landmarks
from semiuhpe.data.importers import IMPORTERS, Dropped, Importer, Picture, RawHead
from semiuhpe.data.preparing import prepare, prepare_scenes
from semiuhpe.data.preparing.common import DROPPED_FILE
from semiuhpe.errors import ConfigError, StoreError

FIXTURES = SHARED / "fixtures"


def test_prepare_aflw2000(tmp_path, capsys):
    source = write_aflw(tmp_path / "raw", [(10, 20, -30), (0, 95, 0), (-5, -60, 15)])
    (source / "image00003.jpg").write_bytes((source / "image00000.jpg").read_bytes())  # its .mat is missing
    shutil.copy(source / "image00000.mat", source / "image00004.mat")
    (source / "image00004.jpg").write_bytes((source / "image00000.jpg").read_bytes()[:500])  # truncated
    out = tmp_path / "köpfe" / "AFLW2000.lmdb"
    assert run(prepare_cli.main, ["AFLW2000", "--source", str(source), "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert (
        "2 heads kept, with labels; a complete copy gives 1964" in printed
        and "1 left out: an angle beyond 90 degrees" in printed
    )
    assert "image00003.mat: is missing" in printed and "image00004.jpg: can't be decoded" in printed
    store = HeadStore(out)
    assert store.names.tolist() == ["image00000", "image00002"]
    np.testing.assert_allclose(store.euler_deg, [[10, 20, -30], [-5, -60, 15]], atol=1e-4)
    picture = np.asarray(Image.open(source / "image00002.jpg").convert("RGB"))
    points = scipy.io.loadmat(source / "image00002.mat")["pt2d"].T
    np.testing.assert_array_equal(store.image(1), crop_by_landmarks(picture, points))
    assert store.meta["protocol"] == "landmarks" and not store.meta["loose"]


@pytest.mark.parametrize("with_landmarks", [True, False])
def test_prepare_300wlp(tmp_path, with_landmarks, caplog):
    source = write_300wlp(tmp_path / "300W_LP", with_landmarks)
    out = tmp_path / "300WLP.lmdb"
    assert run(prepare_cli.main, ["300WLP", "--source", str(source), "--out", str(out)]) == 0
    store = HeadStore(out)
    assert store.names.tolist() == [f"{folder}/{i}" for folder in ("AFW", "AFW_Flip") for i in range(3)]
    assert store.euler_deg[2].tolist() == pytest.approx([10.0, 89.99, 0.0])  # 120 degrees, limited
    assert ("no landmarks folder" in caplog.text) is not with_landmarks
    assert store.meta["loose"]
    if with_landmarks:  # the twin's box is the mirrored one; both were enlarged alike
        assert store.box[0, 2:].tolist() == pytest.approx(store.box[3, 2:].tolist(), abs=2.0)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["AFLW2000"], "--source"),
        (["AFLW2000", "--source", "nowhere"], "--source nowhere"),
        (["AFLW2000", "--source", "."], "image*.jpg"),
        (["aflw200", "--source", "."], "aflw200 AFLW2000?"),
        (["300wlp", "--source", "."], "300wlp 300WLP?"),
        (["AFLW2000", "--source", "nowhere", "--out", "."], "--source nowhere"),
        (["300WLP", "--scenes", "--source", "nowhere", "--out", "."], "--source nowhere"),
        (["scenes", "--source", "."], "--source .: `semiuhpe scenes"),
        (["AFLW2000", "--source", ".", "--split", "train"], "--split train"),
        (["AFLW2000", "--source", ".", "--quality", "0"], "--quality 0"),
        (["300WLP", "--source", ".", "--scenes", "--masked", "2"], "--masked 2"),
        (["300WLP", "--source", ".", "--scenes", "--turned", "-1"], "--turned -1"),
        (["AFLW2000", "--source", ".", "--turned", "1"], "--scenes"),
    ],
)
def test_prepare_bad_input(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert says(refused(capsys, prepare_cli.main, arguments), words)
    assert not list(tmp_path.rglob("*.lmdb*"))


def test_the_real_300wlp_sample_without_its_landmarks(tmp_path, caplog):
    sample = FIXTURES / "IBUG_image_008_1_0.jpg"
    if not sample.is_file():
        pytest.skip("needs the real sample in ../shared/fixtures")
    (tmp_path / "300W_LP" / "IBUG").mkdir(parents=True)
    for suffix in (".jpg", ".mat"):
        shutil.copy(sample.with_suffix(suffix), tmp_path / "300W_LP" / "IBUG")
    out = tmp_path / "300WLP.lmdb"
    assert run(prepare_cli.main, ["300WLP", "--source", str(tmp_path / "300W_LP"), "--out", str(out)]) == 0
    assert caplog.text.count("no landmarks folder") == 1
    store = HeadStore(out)
    pose = np.degrees(scipy.io.loadmat(sample.with_suffix(".mat"))["Pose_Para"][0, :3])
    np.testing.assert_allclose(store.euler_deg, pose[None], atol=1e-4)
    assert store.names.tolist() == ["IBUG/IBUG_image_008_1_0"]
    assert max(store.image(0).shape) <= 320


class Toy(Importer):
    """An importer of pictures given one by one: what is shared is tested with it."""

    name, splits, full_range, min_size, counts = "toy", ("test", "train"), True, 20.0, MappingProxyType({"test": 9})

    def __init__(self, found):
        self.found = found

    def pictures(self, source, split):
        rng = np.random.default_rng(0)
        return [Picture(name, rng.integers(0, 255, (90, 120, 3), dtype=np.uint8), name) for name in self.found]

    def heads(self, picture):
        return self.found[picture.labels]


HEADS = {
    "zwei": [RawHead("zwei/0", box=np.array([10, 10, 40, 50])), RawHead("zwei/1", box=np.array([60, 20, 30, 30]))],
    "klein": [RawHead("klein/0", box=np.array([10, 10, 19, 50]))],
    "leer": [Dropped("leer", "no head")],
    "außen": [RawHead("außen/0", box=np.array([200, 10, 40, 40]))],
    "flach": [RawHead("flach/0", box=np.array([10, 10, 40, np.nan]))],
    "schmal": [RawHead("schmal/0", box=np.array([10, 10, 0, 40]))],
}


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_kept_and_dropped_is_told(tmp_path, workers):
    out = tmp_path / "a.lmdb"
    summary = prepare(Toy(HEADS), tmp_path, out, split="test", workers=workers)
    assert summary.lines() == [
        "2 heads kept, without labels; a complete copy gives 9",
        "1 left out: smaller than 20 px",
        "1 left out: no head",
        "broken: außen/0: box [200.0, 10.0, 40.0, 40.0] lies outside the image of 120x90 pixels",
        "broken: flach/0: box [10.0, 10.0, 40.0, nan] is empty or not finite; "
        "a box is x, y, w, h in pixels, w and h positive",
        "broken: schmal/0: box [10.0, 10.0, 0.0, 40.0] is empty or not finite; "
        "a box is x, y, w, h in pixels, w and h positive",
    ]
    store = HeadStore(out)
    assert store.names.tolist() == ["zwei/0", "zwei/1"]
    picture = Toy(HEADS).pictures(tmp_path, "test")[0].image
    np.testing.assert_array_equal(store.image(1), crop_by_box(picture, [60, 20, 30, 30]))
    assert store.rotation is None and not store.meta["labelled"] and not store.meta["loose"]
    assert (out / DROPPED_FILE).read_text(encoding="utf-8").splitlines()[1] == "klein/0,smaller than 20 px,0"


def test_names_that_are_no_text_are_escaped(tmp_path):
    name = os.fsdecode(b"k\xf6pfe")
    found = {name: [RawHead(name), Dropped(name, "no head")]}
    prepare(Toy(found), tmp_path, tmp_path / "a.lmdb", split="test")
    assert HeadStore(tmp_path / "a.lmdb").names.tolist() == ["k\\udcf6pfe"]
    assert (tmp_path / "a.lmdb" / DROPPED_FILE).read_text().splitlines()[1] == "k\\udcf6pfe,no head,0"


def test_training_stores_keep_loose_crops_of_at_most_the_size(tmp_path):
    prepare(Toy(HEADS), tmp_path, tmp_path / "a.lmdb", split="train", size=50, quality=40)
    store = HeadStore(tmp_path / "a.lmdb")
    assert [store.image(i).shape[:2] for i in range(2)] == [(50, 50), (42, 42)]  # 1.4 times the box's side of 30
    assert store.meta["size"] == 50 and store.meta["loose"] and store.meta["settings"]["quality"] == 40
    np.testing.assert_allclose(store.box[1], [6, 6, 30, 30], atol=1e-4)
    np.testing.assert_allclose(store.bounds[1], [-54, -14, 119, 89], atol=1e-4)


def test_datasets_go_by_their_names_and_splits_by_their_order(tmp_path):
    source = write_aflw(tmp_path / "raw", [(0, 0, 0)])
    summary = prepare("AFLW2000", source, str(tmp_path / "a.lmdb"))
    assert summary.kept == 1 and HeadStore(tmp_path / "a.lmdb").meta["split"] == IMPORTERS["AFLW2000"].splits[0]


@pytest.mark.parametrize(
    "dataset, arguments, words",
    [
        ("AFLW3000", {}, "dataset AFLW3000"),
        ("AFLW2000", {"split": "train"}, "--split train"),
        ("AFLW2000", {"quality": 0}, "--quality 0"),
        ("AFLW2000", {"size": 0}, "--size 0"),
        ("AFLW2000", {"limit": -1}, "--limit -1"),
        ("AFLW2000", {"quality": 101}, "--quality 101"),
        (Toy(HEADS), {"split": "val"}, "--split val"),
    ],
)
def test_arguments_are_checked(dataset, arguments, words, tmp_path):
    for function in (prepare, prepare_scenes):
        with pytest.raises(ConfigError, match=words if function is prepare else f"{words}|--scenes"):
            function(dataset, tmp_path, tmp_path / "a.lmdb", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_share_of_turned_scenes_is_checked(tmp_path):
    with pytest.raises(ConfigError, match=r"--turned 1\.5"):
        prepare_scenes("300WLP", tmp_path, tmp_path / "a.lmdb", turned=1.5)


def test_limit_keeps_the_first_heads(tmp_path):
    summary = prepare(Toy(HEADS), tmp_path, tmp_path / "a.lmdb", split="test", limit=1, workers=2)
    assert HeadStore(tmp_path / "a.lmdb").names.tolist() == ["zwei/0"]
    assert summary.lines() == ["1 heads kept, without labels"]


def test_nothing_kept_writes_no_store_and_says_why(tmp_path):
    with pytest.raises(StoreError, match=r"a\.lmdb.*\n1 left out: no head"):
        prepare(Toy({"leer": HEADS["leer"]}), tmp_path, tmp_path / "a.lmdb", split="test")
    assert list(tmp_path.iterdir()) == []


def test_labels_that_are_no_rotation_are_dropped(tmp_path):
    box = np.array([10, 10, 40, 40])
    labels = {"gut": np.eye(3) + 1e-5, "gespiegelt": np.diag([1.0, 1.0, -1.0]), "kaputt": np.full((3, 3), np.nan)}
    found = {name: [RawHead(name, box=box, rotation=rotation)] for name, rotation in labels.items()}
    found["winkel"] = [RawHead("winkel", box=box, euler_deg=np.array([0, np.inf, 0]))]
    summary = prepare(Toy(found), tmp_path, tmp_path / "a.lmdb", split="test")
    assert [head.name for head in summary.broken] == ["gespiegelt", "kaputt", "winkel"]
    np.testing.assert_allclose(HeadStore(tmp_path / "a.lmdb").rotation[0], np.eye(3), atol=2e-5)


def test_pictures_are_turned_upright_only_where_the_importer_says_so(tmp_path):
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left side comes to the top
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    for upright, expected in ((True, (10, 20)), (False, (20, 10))):
        importer = Toy({"a": [RawHead("a")]})
        importer.pictures = lambda source, split, u=upright: [Picture("a", tmp_path / "a.png", "a", upright=u)]
        prepare(importer, tmp_path, tmp_path / "a.lmdb", split="test", size=40, overwrite=True)
        stored = HeadStore(tmp_path / "a.lmdb").image(0)
        width, height = (20, 40) if upright else (40, 20)
        assert HeadStore(tmp_path / "a.lmdb").box[0, 2:].tolist() == [width, height]
        assert stored[expected].tolist() == [255, 255, 255]


SLOW = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from semiuhpe.data.importers import Importer, Picture, RawHead
from semiuhpe.data.preparing import prepare

class Slow(Importer):
    name, splits, full_range = "slow", ("test",), True
    def pictures(self, source, split):
        return [Picture(str(i), np.zeros((64, 64, 3), np.uint8)) for i in range(500)]
    def heads(self, picture):
        if picture.name == "20":
            print(os.getpid(), flush=True)
        time.sleep(0.02)
        return [RawHead(picture.name)]

prepare(Slow(), Path("."), Path(sys.argv[1]), split="test", workers=2)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_preparation(tmp_path, sent):
    """No half store under the final name, the store before is kept, no process is left, a second attempt works."""
    out = tmp_path / "a.lmdb"
    prepare(Toy(HEADS), tmp_path, out, split="test")
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.replace('"test", workers', '"test", overwrite=True, workers'), str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs of a script ignore it
    )  # fmt: skip
    worker = int(process.stdout.readline())
    process.send_signal(sent)
    assert process.wait(timeout=30) != 0
    assert len(HeadStore(out)) == 2
    deadline = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()
    prepare(Toy(HEADS), tmp_path, out, split="test", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["a.lmdb"]


def test_two_processes_preparing_one_store(tmp_path):
    """The second is turned away, and the first is not disturbed."""
    out = tmp_path / "a.lmdb"
    script = SLOW.replace("range(500)", "range(60)")
    process = subprocess.Popen([sys.executable, "-c", script, str(out)], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    with pytest.raises(StoreError, match=r"a\.lmdb.*another process"):
        prepare(Toy(HEADS), tmp_path, out, split="test", overwrite=True)
    assert process.wait(timeout=60) == 0
    assert len(HeadStore(out)) == 60
    assert sorted(os.listdir(tmp_path)) == ["a.lmdb"]


def heads_with_odd_names(folder):
    for name in ("größe 1.png", "頭.png", "a,b;c'd.png"):
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(folder / name)
    return folder


def test_names_of_files_that_are_not_ascii(tmp_path):
    source, out = heads_with_odd_names(tmp_path / "Köpfe ä"), tmp_path / "früh" / "köpfe.lmdb"
    (source / "kaputt é.png").write_bytes(b"no picture")
    assert run(prepare_cli.main, ["folder", "--source", str(source), "--out", str(out), "--workers", "2"]) == 1
    assert sorted(HeadStore(out).names) == ["a,b;c'd.png", "größe 1.png", "頭.png"]
    assert (out / DROPPED_FILE).read_text(encoding="utf-8").splitlines()[1].startswith("kaputt é.png,")


@pytest.mark.parametrize("parent", ["/proc/heads", "/proc", "file"])
def test_a_target_that_can_not_be_written(tmp_path, parent, capsys):
    source = write_aflw(tmp_path / "raw", [(0, 0, 0)])
    (tmp_path / "file").write_text("")
    out = tmp_path / parent / "a.lmdb"
    error = refused(capsys, prepare_cli.main, ["AFLW2000", "--source", source, "--out", out])
    assert str(out) in error


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_target(tmp_path, capsys):
    source = write_aflw(tmp_path / "raw", [(0, 0, 0)])
    (tmp_path / "data").mkdir(mode=0o555)
    out = tmp_path / "data" / "a.lmdb"
    error = refused(capsys, prepare_cli.main, ["AFLW2000", "--source", source, "--out", out])
    assert str(out) in error


LIMITED_DISK = """
import resource, signal, sys
from semiuhpe.cli.entry import run
from semiuhpe.cli.prepare import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(run(main, sys.argv[2:]))
"""


@pytest.mark.parametrize("limit", [1_000, 60_000])
def test_a_full_target(tmp_path, limit):
    """Whether it is full at once or in the middle: one line, exit code 2, and the store before is as it was."""
    source, out = write_aflw(tmp_path / "raw", [(0, 0, 0)] * 2), tmp_path / "out" / "a.lmdb"
    prepare(Toy(HEADS), tmp_path, out, split="test")
    command = ["AFLW2000", "--source", str(source), "--out", str(out), "--overwrite", "--workers", "0"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED_DISK, str(limit), *command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and str(out) in error_line(done.stderr)
    assert os.listdir(tmp_path / "out") == ["a.lmdb"] and len(HeadStore(out)) == 2


def test_every_importer_says_what_it_is():
    for name, importer in IMPORTERS.items():
        assert name == importer.name and importer.splits and set(importer.counts) <= set(importer.splits)


@pytest.mark.parametrize("name", list(IMPORTERS))
def test_a_folder_that_is_not_the_dataset(name, tmp_path, capsys):
    source, out = tmp_path / "raw", tmp_path / "a.lmdb"
    source.mkdir()
    error = refused(capsys, prepare_cli.main, [name, "--source", source, "--out", out, "--workers", "0"])
    assert f"--source {source}" in error
    assert sorted(os.listdir(tmp_path)) == ["raw"]
