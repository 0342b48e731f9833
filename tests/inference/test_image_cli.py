"""image.py: folders of pictures in, results and drawings out."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.checkpoints import SHIPPED, save_plainnet
from support.errors import error_line, refused, says
from support.paths import ROOT

from semiuhpe import HeadPoseEstimator, pictures
from semiuhpe.cli import image as image_cli
from semiuhpe.cli import main as main_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.inference.result_files import Share
from semiuhpe.models import weights
from semiuhpe.rotation import geodesic_deg


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_plainnet(tmp_path_factory.mktemp("plainnet") / "model.pth")


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """A folder of five pictures of several kinds, one of them broken; boxes of their heads beside it."""
    monkeypatch.chdir(tmp_path)
    folder = Path("photos")
    rng = np.random.default_rng(0)
    rows = ["image,x,y,w,h,score"]
    for name, heads in (("a.jpg", 2), ("b.png", 0), ("party/c.jpg", 1), ("party/d.webp", 3)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(folder / name)
        rows += [f"{name},{10 * i - 8},{20 + 15 * i},30,36,0.{9 - i}" for i in range(heads)] or [f"{name},,,,,"]
    good = (folder / "a.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(good[: len(good) // 2])
    Path("boxes.csv").write_text("\n".join([*rows, "broken.jpg,1,1,30,30,1"]))
    return folder


@pytest.fixture
def image_py(checkpoint, photos):
    """Runs the command on the photos."""

    def command(*arguments, source=("photos",), output="out", detector="boxes:boxes.csv"):
        argv = [str(checkpoint), "--input", *source, "--output", output, "--detector", detector, *arguments]
        return run(image_cli.main, argv)

    return command


def lines(output="out") -> dict[str, dict]:
    texts = [text for path in sorted(Path(output).glob("heads-*.jsonl")) for text in path.read_text().splitlines()]
    found = {line["image"]: line for line in map(json.loads, texts)}
    assert len(found) == len(texts)
    return found


def test_a_broken_picture_is_reported_and_the_rest_done(image_py, checkpoint, capsys, caplog):
    assert image_py() == 1
    found = lines()
    assert {name: len(line["heads"]) for name, line in found.items()} == {
        "photos/a.jpg": 2,
        "photos/b.png": 0,
        "photos/party/c.jpg": 1,
        "photos/party/d.webp": 3,
    }
    assert "photos/broken.jpg: " in Path("out/failed-00000-of-00001.txt").read_text()
    assert "broken.jpg" in caplog.text
    assert "4 pictures done with 6 heads" in capsys.readouterr().out
    for name in found:
        with Image.open(Path("out/pictures") / name) as drawn, Image.open(name) as original:
            assert drawn.size == original.size and drawn.format == original.format
    head = found["photos/party/d.webp"]["heads"][2]
    image = np.asarray(Image.open("photos/party/d.webp").convert("RGB"))
    poses = HeadPoseEstimator.from_checkpoint(checkpoint, device="cpu").predict(image, [head["box"]])
    assert head["box"] == [12, 50, 30, 36] and head["score"] == 0.7
    assert np.allclose(head["rotation"], poses.rotations[0], atol=1e-4)
    assert np.allclose(head["euler_full_deg"], poses.euler_full_deg[0], atol=0.05)
    assert head["entropy"] == pytest.approx(float(poses.entropy[0]), abs=1e-3)


def test_a_second_run_does_what_is_left(image_py, photos):
    assert image_py() == 1
    before = {path: path.stat().st_mtime_ns for path in Path("out/pictures").rglob("*") if path.is_file()}
    Image.new("RGB", (50, 50)).save(photos / "broken.jpg")
    assert image_py() == 0
    assert len(lines()) == 5 and not list(Path("out").glob("failed-*"))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert image_py() == 0 and len(lines()) == 5


def test_a_killed_run_is_gone_on_with(image_py):
    image_py()
    (path,) = Path("out").glob("heads-*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert image_py() == 1
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_results_of_other_settings_are_not_mixed(image_py, capsys):
    assert image_py("--draw", "none") == 1
    assert not Path("out/pictures").exists()
    assert image_py("--draw", "axes") == 2
    assert says(error_line(capsys.readouterr().err), "out draw none axes")


def test_the_table_says_what_the_lines_say(image_py):
    assert image_py("--save", "csv", "--draw", "none") == 1
    with open("out/heads-00000-of-00001.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found = lines()
    assert len(rows) == 7
    (empty,) = (row for row in rows if row["image"] == "photos/b.png")
    assert empty["heads"] == "0" and empty["x"] == empty["r00"] == ""
    first = next(row for row in rows if row["image"] == "photos/a.jpg")
    head = found["photos/a.jpg"]["heads"][0]
    assert [float(first[key]) for key in "xywh"] == head["box"]
    assert [[float(first[f"r{i}{j}"]) for j in range(3)] for i in range(3)] == head["rotation"]
    assert [float(first[f"{angle}_full"]) for angle in ("pitch", "yaw", "roll")] == head["euler_full_deg"]
    assert float(first["confidence"]) == head["confidence"]


def test_globs_files_and_an_output_among_the_inputs(image_py):
    source = ("photos/**/*.jpg", "./photos/a.jpg", "photos/b.png")
    assert image_py(source=source, output="photos/out") == 1
    assert set(lines("photos/out")) == {"photos/a.jpg", "photos/party/c.jpg", "photos/b.png"}
    assert image_py(output="photos/out") == 1
    assert len(lines("photos/out")) == 4


def test_pictures_that_are_head_crops(image_py):
    assert image_py(detector="whole") == 1
    assert all(line["heads"][0]["box"] == [0, 0, 80, 60] for line in lines().values())


def test_a_picture_without_boxes_is_reported_alone(image_py):
    rows = Path("boxes.csv").read_text().splitlines()
    Path("boxes.csv").write_text("\n".join(row for row in rows if not row.startswith("b.png")))
    assert image_py() == 1
    assert len(lines()) == 3
    assert "b.png: " in Path("out/failed-00000-of-00001.txt").read_text()


def test_huge_pictures(image_py, monkeypatch, photos):
    """A JPEG is decoded smaller, its boxes stay those of the file; others are refused."""
    rng = np.random.default_rng(1)
    smooth = Image.fromarray(rng.integers(0, 256, (8, 10, 3), np.uint8)).resize((400, 320))
    smooth.save(photos / "a.jpg", quality=95)
    smooth.save(photos / "b.png")
    smooth.save(photos / "party" / "c.jpg", progressive=True)
    Path("boxes.csv").write_text("image,x,y,w,h\na.jpg,100,80,120,140\nb.png,1,1,30,30\nc.jpg,1,1,30,30\n")
    source = ("photos/a.jpg", "photos/b.png", "photos/party/c.jpg")
    assert image_py(source=source) == 0
    monkeypatch.setattr(pictures, "MAX_PIXELS", 40_000)
    assert image_py(source=source, output="small") == 1
    assert pictures.read_picture("photos/a.jpg").image.shape == (160, 200, 3)
    (line,) = lines("small").values()
    whole = lines()["photos/a.jpg"]
    assert (line["width"], line["height"]) == (400, 320)
    assert line["heads"][0]["box"] == whole["heads"][0]["box"] == [100, 80, 120, 140]
    pair = [torch.tensor(found["heads"][0]["rotation"]) for found in (line, whole)]
    assert geodesic_deg(*pair) < 20
    failed = Path("small/failed-00000-of-00001.txt").read_text()
    assert re.search(r"b\.png: .*400x320", failed) and re.search(r"c\.jpg: .*400x320", failed)


def test_huge_jpegs_of_odd_sides_are_decoded_smaller_too(monkeypatch, tmp_path):
    Image.new("RGB", (401, 321)).save(tmp_path / "odd.jpg")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 40_000)
    assert pictures.read_picture(tmp_path / "odd.jpg").image.shape == (161, 201, 3)


def test_pictures_are_turned_upright(image_py, photos):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 60)).save(photos / "a.jpg", exif=exif)
    assert image_py(source=("photos/a.jpg",)) == 0
    (line,) = lines().values()
    assert (line["width"], line["height"]) == (60, 80)
    with Image.open("out/pictures/photos/a.jpg") as drawn:
        assert drawn.size == (60, 80)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": ("nowhere",)}, "--input nowhere"),
        ({"source": ("photos/*.tif",)}, "--input photos/*.tif"),
        ({"detector": "boxes:nowhere.csv"}, "nowhere.csv"),
        ({"detector": "bpjdet:weights/ch_head_l_1536_e150_best_mMR.pt"}, "ch_head_l_1536"),
        ({"output": "photos/a.jpg"}, "--output photos/a.jpg"),
        ({"output": "photos/a.jpg/out"}, "--output photos/a.jpg"),
        ({"output": "/proc/out"}, "--output /proc/out"),
    ],
)
def test_bad_input_ends_with_one_line(arguments, message, image_py, capsys):
    assert image_py(**arguments) == 2
    assert message in error_line(capsys.readouterr().err)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "nowhere"], "--input nowhere"),
        (["--input", "photos", "--detector", "bpjdett:a.pt"], "did you mean bpjdet"),
        (["--input", "photos", "--detector", "bpjdet:a.pt"], "a.pt"),
        (["--input", "photos", "--detector", "bpjdet:a.pt:pair"], "pair"),
        (["--input", "photos", "--detector", "onnx:a.onnx"], "a.onnx"),
        (["--input", "photos", "--detector", "yunet:a.onnx"], "a.onnx"),
        (["--input", "photos", "--detector", "boxes:a.csv"], "a.csv"),
        (["--input", "photos", "--detector", "whole:a"], "whole"),
        (["--input", "photos", "--detector", "onestage:a:b"], "size b"),
        (["--input", "photos", "--detector", "whole", "--min_score", "2"], "min_score"),
        (["--input", "photos", "--detector", "whole", "--output", "boxes.csv"], "--output boxes.csv"),
    ],
)
def test_what_is_wrong_is_said_before_a_checkpoint_is_fetched(arguments, message, photos, monkeypatch, capsys):
    monkeypatch.setattr(weights, "fetched", lambda file: pytest.fail(f"{file.name} was fetched"))
    assert message in refused(capsys, image_cli.main, ["DAD-COCOHead-ResNet50-best", *arguments])


def test_help_is_of_its_own_options_and_all_others_are_taken(checkpoint, photos, image_py, capsys):
    with pytest.raises(SystemExit):
        run(image_cli.main, ["--help"])
    message = capsys.readouterr().out
    assert message.index("--input PATH [PATH ...]\n") < message.index("--exps_dir DIR  ")
    assert "--max_iteration" not in message and len(message.splitlines()) < 85
    assert "train.py --help" in " ".join(message.splitlines()[-2:])
    assert image_py("--max_iteration", "5", source=("photos/a.jpg",)) == 0


def test_a_contradiction(checkpoint, capsys):
    error = refused(capsys, image_cli.main, [checkpoint, "--input", ".", "--network", "resnet50"])
    assert "plainnet" in error


def test_the_papers_command_reads_its_settings(checkpoint, photos, monkeypatch, capsys):
    command = f"{checkpoint} --is_full_range --config {ROOT}/settings/DAD3DHeads_COCOHead.yml --network plainnet"
    more = "--gpu_ids 1 --image_size 32 --input photos/a.jpg --output out --detector boxes:boxes.csv"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(image_cli.main, shlex.split(f"{command} {more}")) == 0, capsys.readouterr().err
    assert len(lines()) == 1


def test_shares_have_every_picture_once():
    names = [f"photos/{number}.jpg" for number in range(1000)]
    for processes in (1, 2, 7):
        shares = [{name for name in names if Share(rank, processes).has(name)} for rank in range(processes)]
        assert sum(map(len, shares)) == 1000 and set.union(*shares) == set(names)
        assert min(map(len, shares)) > 0.7 * 1000 / processes


def test_several_processes_share_the_work_and_one_goes_on(checkpoint, photos, image_py):
    for number in range(8):
        Image.new("RGB", (40, 40), (number * 20, 0, 0)).save(photos / f"more{number}.png")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    argv = [str(ROOT / "image.py"), str(checkpoint), "--input", "photos", "--output", "out", "--detector", "whole"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    shown = subprocess.run([*torchrun, *argv], env=environment, capture_output=True, text=True)
    assert shown.returncode == 1, shown.stderr
    assert "12 pictures done with 12 heads" in shown.stdout and "1 failed" in shown.stdout
    files = sorted(Path("out").glob("heads-*.jsonl"))
    assert [path.name for path in files] == ["heads-00000-of-00002.jsonl", "heads-00001-of-00002.jsonl"]
    assert all(path.stat().st_size for path in files) and len(lines()) == 12
    files[1].write_bytes(files[1].read_bytes()[:-5])
    (photos / "broken.jpg").unlink()
    assert image_py(detector="whole") == 0
    assert len(lines()) == 12 and len(list(Path("out").glob("heads-*.jsonl"))) == 3


def test_rendered_pictures_are_posed(tmp_path, monkeypatch, capsys):
    """In a folder that has nothing but the shipped weights."""
    heads, poses = "outputs/demo/heads", "outputs/demo/poses"
    commands = [
        f"semiuhpe synth --count 12 --domain clean --size 224 --out outputs/demo/heads.lmdb --pictures {heads}",
        f"python image.py {SHIPPED.stem} --input {heads} --detector boxes:{heads}/boxes.csv --output {poses}",
    ]
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / SHIPPED.name).write_bytes(SHIPPED.read_bytes())
    monkeypatch.chdir(tmp_path)
    for command in commands:
        words = shlex.split(command, comments=True)
        entry = {"semiuhpe": main_cli._dispatch, "image.py": image_cli.main}
        name = next(Path(word).name for word in words if Path(word).name in entry)
        arguments = words[[Path(word).name for word in words].index(name) + 1 :]
        assert run(entry[name], arguments) == 0, capsys.readouterr().err
    store = HeadStore(next(tmp_path.rglob("*.lmdb")))
    found = lines(poses)
    predicted = [found[f"outputs/demo/heads/{name}.png"]["heads"][0]["rotation"] for name in store.names]
    errors = geodesic_deg(torch.tensor(predicted), torch.from_numpy(store.rotation)).numpy()
    assert len(found) == len(store) and np.median(errors) < 30
    assert len(list(Path(poses, "pictures").rglob("*.png"))) == len(store)
