"""Submissions to the DAD-3DHeads benchmark, read back by a check of the format that shares no code with the writer."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation
from support.errors import refused, says
from support.paths import ROOT
from support.raw_datasets import model_view, write_dad

from semiuhpe.cli import evaluate_dad3dheads
from semiuhpe.cli import prepare as prepare_cli
from semiuhpe.cli.entry import run
from semiuhpe.data.importers import RawHead
from semiuhpe.data.importers.dad3dheads import Dad3DHeads
from semiuhpe.data.preparing import prepare
from semiuhpe.errors import DataError
from semiuhpe.evaluation.dad3dheads import RawItems, check_submission, pose_error, write_submission
from semiuhpe.models import create_model, save_checkpoint
from semiuhpe.models.checkpoint import Description, describe

COUNT = 7
NAMES = [f"item_{i}" for i in range(COUNT)]
ROTATIONS = Rotation.random(COUNT, random_state=3).as_matrix()


@pytest.fixture
def raw(tmp_path):
    """The root of a small raw DAD-3DHeads with the splits val and test; pictures differ in color and contents."""
    items = [(name, [20.0 + 8 * i, 25.0 + 4 * i, 40.0, 48.0], {"quality": "hq"}) for i, name in enumerate(NAMES)]
    write_dad(tmp_path / "raw", "val", items, ROTATIONS)
    write_dad(tmp_path / "raw", "test", items)
    for i, path in enumerate(sorted((tmp_path / "raw").rglob("*.png"))):
        noise = np.random.default_rng(i % COUNT).integers(0, 40 + 30 * (i % COUNT), (120, 160, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return tmp_path / "raw"


@pytest.fixture
def checkpoint(tmp_path):
    """A run's folder with a checkpoint whose student and teacher differ; its settings are beside it."""
    torch.manual_seed(5)
    description = Description("plainnet", "matrixFisher", "head_to_camera", True, 64, "DAD3DHeads", "WildHead")
    student, teacher = create_model("plainnet"), create_model("plainnet")
    folder = tmp_path / "exps" / "DAD3DHeads_WildHead" / "detail" / "Nov21_070000"
    folder.mkdir(parents=True)
    save_checkpoint(
        folder / "best.pth",
        {
            "model_state_dict": student.state_dict(),
            "model_state_dict_ema": teacher.state_dict(),
            "description": describe(description),
        },
    )
    (folder / "config.yml").write_text("is_full_range: true\nnetwork: plainnet\nimage_size: 64\neval_batch_size: 3\n")
    return folder / "best.pth"


def read_submission(path, names):
    """(N, 3, 3) matrices of a submission, every rule of the format checked here by hand."""
    found = json.loads(path.read_text())
    assert isinstance(found, dict) and sorted(found) == sorted(names)
    matrices = []
    for name in names:
        assert sorted(found[name]) == ["68_landmarks_2d", "7_landmarks_3d", "N_landmarks_3d", "rotation_matrix"]
        assert all(found[name][key] == [] for key in found[name] if key != "rotation_matrix")
        rows = found[name]["rotation_matrix"]
        assert len(rows) == 3 and all(len(row) == 3 and all(type(x) is float for x in row) for row in rows)
        matrix = np.array(rows)
        assert np.abs(matrix @ matrix.T - np.eye(3)).max() < 1e-5 and abs(np.linalg.det(matrix) - 1) < 1e-5
        matrices.append(matrix)
    return np.array(matrices)


def test_submissions_from_the_raw_folder_and_from_the_store_are_the_same(raw, checkpoint, tmp_path, capsys):
    store = tmp_path / "DAD3DHeads_test.lmdb"
    command = ["DAD3DHeads", "--source", str(raw), "--split", "test", "--out", str(store), "--workers", "0"]
    assert run(prepare_cli.main, command) == 0
    matrices = []
    for source, name in ((raw, "raw"), (raw / "DAD-3DHeadsDataset", "inner"), (store, "store")):
        output = tmp_path / f"{name}.json"
        more = ["--source", str(source), "--output", str(output)]
        assert run(evaluate_dad3dheads.main, [str(checkpoint), *more]) == 0
        assert "7 items of test" in capsys.readouterr().out
        matrices.append(read_submission(output, NAMES))
    np.testing.assert_array_equal(matrices[0], matrices[1])
    np.testing.assert_array_equal(matrices[0], matrices[2])
    differences = np.abs(matrices[0][:, None] - matrices[0]).max(axis=(2, 3)) + np.eye(COUNT)
    assert differences.min() > 1e-5, "items can't be told apart, so their order isn't tested"


def test_the_papers_command_runs_as_printed(raw, checkpoint, monkeypatch, tmp_path, capsys):
    """But for the network, which would be slow here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings").symlink_to(ROOT / "settings")
    command = ["detail/Nov21_070000/best", "--is_full_range", "--config", "settings/DAD3DHeads_WildHead.yml"]
    command += ["--network", "plainnet", "--split", "val", "--data_dir_DAD3DHeads", str(raw)]
    assert run(evaluate_dad3dheads.main, command) == 0
    printed = capsys.readouterr().out
    predicted = read_submission(checkpoint.parent / "dad3dheads_val.json", NAMES)
    # The benchmark's errors, computed here from the annotations on disk.
    truths = []
    for name in NAMES:
        labels = json.loads((raw / "DAD-3DHeadsDataset/val/annotations" / f"{name}.json").read_text())
        truths.append((np.diag([1, -1, -1, 1]) @ np.array(labels["model_view_matrix"]))[:3, :3])
    np.testing.assert_allclose(truths, ROTATIONS, atol=1e-12)
    between = predicted @ np.swapaxes(truths, 1, 2)
    norm = np.linalg.norm(np.eye(3) - between, axis=(1, 2)).mean()
    angle = np.degrees(Rotation.from_matrix(between).magnitude()).mean()
    numbers = {
        line.rsplit(None, 2)[0]: line.split()[-2:] for line in printed.splitlines() if line.startswith(("geo", "Fro"))
    }
    assert [float(x) for x in numbers["Frobenius norm"]] == pytest.approx([norm, norm], abs=2e-4)
    assert float(numbers["geodesic mean (°)"][1]) == pytest.approx(angle, abs=2e-3)


def test_student_and_teacher_give_two_files(raw, checkpoint):
    for role in ("student", "teacher"):
        assert run(evaluate_dad3dheads.main, [str(checkpoint), "--source", str(raw), "--role", role]) == 0
    files = [checkpoint.parent / f"dad3dheads_test{suffix}.json" for suffix in ("", "_student")]
    teacher, student = (read_submission(path, NAMES) for path in files)
    assert np.abs(teacher - student).max() > 1e-3


def test_with_original_the_student_is_handed_in(raw, checkpoint):
    for more in (["--original"], ["--original", "--role", "teacher"]):
        assert run(evaluate_dad3dheads.main, [str(checkpoint), "--source", str(raw), *more]) == 0
    assert {path.name for path in checkpoint.parent.glob("dad3d*")} == {
        "dad3dheads_test_student.json",
        "dad3dheads_test.json",
    }


def test_what_is_missing_is_named_and_nothing_is_written(raw, checkpoint, tmp_path, capsys):
    def error_of(*more):
        error = refused(capsys, evaluate_dad3dheads.main, [checkpoint, *more])
        assert not list(checkpoint.parent.glob("dad3dheads*"))
        return error

    images = raw / "DAD-3DHeadsDataset" / "test" / "images"
    assert "data/DAD3DHeads_test.lmdb" in error_of("--data_dir_DAD3DHeads", tmp_path / "none")
    assert f"--source {tmp_path / 'none'}" in error_of("--source", tmp_path / "none")
    assert f"{tmp_path / 'exps'}: has no folder test" in error_of("--source", tmp_path / "exps")
    assert ".json" in error_of("--source", raw, "--output", tmp_path / "x.txt")
    assert "plainnet" in error_of("--source", raw, "--network", "resnet50")
    front = ["--is_full_range", "false"]
    assert "--is_full_range False" in error_of("--source", raw, *front)
    whole = (images / "item_3.png").read_bytes()
    (images / "item_3.png").write_bytes(whole[:100])
    assert "item_3.png" in error_of("--source", raw)
    (images / "item_3.png").unlink()
    assert says(error_of("--source", raw), "1 items item_3.png")


def test_stores_that_are_not_the_whole_split(raw, checkpoint, tmp_path, capsys):
    def error_of(store, split="test"):
        return refused(capsys, evaluate_dad3dheads.main, [checkpoint, "--source", store, "--split", split])

    prepare(Dad3DHeads(), raw, tmp_path / "limited.lmdb", split="test", limit=3)
    assert "--limit" in error_of(tmp_path / "limited.lmdb")
    prepare(Dad3DHeads(), raw, tmp_path / "val.lmdb", split="val")
    assert "DAD3DHeads (val)" in error_of(tmp_path / "val.lmdb")
    (raw / "DAD-3DHeadsDataset/val/images/item_2.png").unlink()
    prepare(Dad3DHeads(), raw, tmp_path / "dropped.lmdb", split="val")
    assert "item_2" in error_of(tmp_path / "dropped.lmdb", "val")


def test_broken_annotations_and_items_listed_twice(raw, checkpoint, capsys):
    folder = raw / "DAD-3DHeadsDataset" / "val"
    sheared = model_view(ROTATIONS[0] + 0.1)
    (folder / "annotations" / "item_4.json").write_text(json.dumps({"model_view_matrix": sheared}))
    assert "item_4" in refused(capsys, evaluate_dad3dheads.main, [checkpoint, "--source", raw, "--split", "val"])
    entries = json.loads((folder / "val.json").read_text())
    (folder / "val.json").write_text(json.dumps([*entries, entries[0]]))
    error = refused(capsys, evaluate_dad3dheads.main, [checkpoint, "--source", raw, "--split", "val"])
    assert "item_0" in error


def test_items_without_labels_have_no_truth():
    heads = [RawHead("a", rotation=ROTATIONS[0]), RawHead("b")]
    with pytest.raises(DataError, match="1 of 2 items"):
        RawItems([], heads).truth()


def test_the_written_file_is_checked(tmp_path):
    path = tmp_path / "s.json"
    write_submission(path, NAMES, torch.from_numpy(ROTATIONS))
    whole = json.loads(path.read_text())
    np.testing.assert_allclose(read_submission(path, NAMES), ROTATIONS, atol=1e-12)
    faults = {
        "item_6": {name: whole[name] for name in NAMES[:-1]},
        "1 unknown": {**whole, "other": whole["item_0"]},
        "a rotation": {
            **whole,
            "item_1": {**whole["item_1"], "rotation_matrix": [[1, 0, 0], [0, 1, 0], [0, 0, -1]]},
        },
        "numbers": {**whole, "item_1": {**whole["item_1"], "rotation_matrix": "R"}},
        "keys": {**whole, "item_1": {"rotation_matrix": whole["item_1"]["rotation_matrix"]}},
        "JSON object": list(whole),
    }
    for words, content in faults.items():
        path.write_text(json.dumps(content))
        with pytest.raises(DataError) as error:
            check_submission(path, NAMES)
        assert words in str(error.value)


def test_pose_error_of_known_angles():
    truth = torch.from_numpy(ROTATIONS)
    predicted = torch.from_numpy(Rotation.from_euler("z", 60, degrees=True).as_matrix()) @ truth
    found = pose_error(predicted, truth)
    for kind in ("exact", "paper"):
        assert found[kind]["geodesic_mean_deg"] == pytest.approx(60, abs=1e-3)
        assert found[kind]["frobenius_mean"] == pytest.approx(8**0.5 * math.sin(math.radians(30)), abs=1e-5)


def test_the_script_explains_itself_by_both_names():
    scripts = [ROOT / "eval_dad3dheads.py", ROOT / "eval_DAD3DHeads.py"]
    # File systems that don't know capital letters have one file for both.
    assert scripts[0].read_bytes() == scripts[1].read_bytes()
    result = subprocess.run([sys.executable, str(scripts[1]), "--help"], capture_output=True, text=True)
    assert result.returncode == 0 and "--split" in result.stdout and "--source" in result.stdout
