"""Readers of stores, detectors, meshes, settings, checkpoints and results, given damaged and forged files."""

import io
import json
import math
import os
import pickle
import shutil
import tempfile
import zipfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.fuzzing import (
    array_changes,
    arrays,
    as_bytes,
    edited,
    edits,
    forged,
    forged_arrays,
    forgeries,
    fuzzed,
    npz,
    only_ours,
)

import sim3dr
from semiuhpe.cli.train import parse_options
from semiuhpe.data import HeadStore
from semiuhpe.data.batches.heads import Heads
from semiuhpe.data.stores import SceneStore
from semiuhpe.data.stores.inspect import verify
from semiuhpe.errors import SemiUHPEError
from semiuhpe.evaluation.compare import compare
from semiuhpe.evaluation.paper_tables import find_runs, paper_tables
from semiuhpe.evaluation.results import read_results
from semiuhpe.inference.detectors import Source, load_detector
from semiuhpe.inference.result_files import check_settings, done_pictures, write_csv
from semiuhpe.models import create_model, load_checkpoint
from semiuhpe.models.checkpoint import STUDENT, TEACHER, Description, describe, read_checkpoint
from semiuhpe.rotation import HEAD_TO_CAMERA
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes


def store_values(path):
    """What lies in a store; read from a copy, as this process may have the store open, which LMDB allows once."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(path, Path(folder) / "copy.lmdb")
        return _values(copy)


def _values(path):
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return {bytes(key): bytes(value) for key, value in transaction.cursor()}


def write_values(path, entries):
    with lmdb.open(str(path), sync=False) as environment, environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key, value)


def forged_store(entries, kind, changes, replaced, meta):
    entries = dict(entries)
    if kind == "meta":
        entries[b"__meta__"] = json.dumps(forged(json.loads(entries[b"__meta__"]), meta)).encode()
    elif kind == "labels":
        entries[b"__labels__"] = forged_arrays(entries[b"__labels__"], replaced)
    else:
        key = {"bytes of meta": b"__meta__", "bytes of labels": b"__labels__", "picture": b"000000001"}[kind]
        entries[key] = edited(entries[key], changes)
    return entries


kinds = st.sampled_from(("meta", "labels", "bytes of meta", "bytes of labels", "picture"))


def read_heads(path):
    store = HeadStore(path)
    verify(store)
    assert (len(store), store.size, len(store.names)) == (store.meta["count"], store.meta["size"], len(store))
    if 0 < len(store) < 100:
        Heads(store).batch(list(range(len(store))))
        store[len(store) - 1]
        store.view([0]).image(0)


def test_head_stores(stores, folder):
    entries = store_values(stores["labeled"])

    @fuzzed(40)
    @given(kinds, edits, array_changes, forgeries)
    def check(kind, changes, replaced, meta):
        path = folder()
        write_values(path, forged_store(entries, kind, changes, replaced, meta))
        with only_ours():
            read_heads(path)

    check()


def test_scene_stores(tmp_path, folder):
    write_scenes(SceneSet(3, 2, "clean", "full", 1, 64), tmp_path / "scenes.lmdb")
    entries = store_values(tmp_path / "scenes.lmdb")

    @fuzzed(40)
    @given(kinds, edits, array_changes, forgeries)
    def check(kind, changes, replaced, meta):
        path = folder()
        write_values(path, forged_store(entries, kind, changes, replaced, meta))
        with only_ours():
            store = SceneStore(path)
            for index in range(min(len(store), 5)):
                assert store.image(index).ndim == 3 and len(store.heads(index)) <= store.most_heads

    check()


# Detectors and meshes

BOXES_CSV = "image,x,y,w,h,score,frame\na.jpg,1,2,30,40,0.5,\nb.jpg,,,,,,\n"
BOXES_JSON = {"a.jpg": [[1, 2, 30, 40], [1, 2, 30, 40, 0.5]], "b.mp4": {"0": [[1, 2, 3, 4]]}, "c.jpg": []}


@pytest.mark.parametrize("original", [BOXES_CSV, BOXES_JSON], ids=["csv", "json"])
def test_boxes(original, folder):
    path = folder() / ("boxes.csv" if isinstance(original, str) else "boxes.json")

    @fuzzed(40)
    @given(edits, forgeries, st.booleans())
    def check(changes, parts, as_json):
        forge = as_json and not isinstance(original, str)
        content = forged(original, parts) if forge else edited(as_bytes(original), changes)
        path.write_bytes(as_bytes(content))
        with only_ours():
            found = load_detector(f"boxes:{path}")(np.zeros((50, 50, 3), np.uint8), source=Source("x/a.jpg"))
            assert np.isfinite(found.boxes).all()

    check()


@pytest.mark.parametrize("kind", ["yunet", "onnx"])
def test_onnx_detectors(kind, folder):
    pytest.importorskip("onnx", reason="detector files are written with onnx, of the extra `export`")
    from support.detector_files import save_yolo, save_yunet

    path = folder() / "a.onnx"
    save_yunet(path) if kind == "yunet" else save_yolo(path, "classes", ["person", "head"])
    original = path.read_bytes()

    @fuzzed(15)
    @given(edits)
    def check(changes):
        path.write_bytes(edited(original, changes))
        with only_ours():
            load_detector(f"{kind}:{path}")(np.zeros((64, 64, 3), np.uint8))

    check()


def test_body_head_detectors(folder, monkeypatch):
    from support.detector_files import random_network, save_released

    path = folder() / "a.pt"
    save_released(path, random_network(), monkeypatch)
    monkeypatch.undo()
    original = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in entries if name.endswith("data.pkl"))

    @fuzzed(20)
    @given(edits, st.booleans())
    def check(changes, inside):
        if inside:
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in entries.items():
                    archive.writestr(name, edited(content, changes) if name == pickled else content)
        else:
            path.write_bytes(edited(original, changes))
        with only_ours():
            load_detector(f"bpjdet:{path}")

    check()


CUBE = "\n".join(["v 0 0 0", "v 1 0 0", "v 0 1 0", "v 0 0 1", "vt 0 0", "f 1/1 2/1 3/1", "f 1 3 4", ""])
PLY = (
    "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
)


MESH = npz(
    vertices=np.eye(3, dtype=np.float32), triangles=np.array([[0, 1, 2]], np.int32), colors=np.ones((3, 3), np.uint8),
    uv=np.zeros((3, 2), np.float32), texture=np.zeros((2, 2, 3), np.uint8), enclosed=np.array([0, 1]),
)  # fmt: skip


@pytest.mark.parametrize(("suffix", "original"), [("obj", CUBE), ("ply", PLY), ("npz", MESH)])
def test_meshes(suffix, original, folder):
    path = folder() / f"a.{suffix}"
    path.write_bytes(as_bytes(original))
    sim3dr.load_mesh(path)

    @fuzzed(25)
    @given(edits, st.dictionaries(st.integers(0, 5), arrays | st.none(), min_size=1, max_size=2), st.booleans())
    def check(changes, replaced, inside):
        if suffix == "npz" and inside:
            path.write_bytes(forged_arrays(original, replaced))
        else:
            path.write_bytes(edited(as_bytes(original), changes))
        with only_ours(sim3dr.MeshError):
            mesh = sim3dr.load_mesh(path)
            assert np.isfinite(np.asarray(mesh.vertices)).all() and len(mesh.triangles)

    check()


# Settings, checkpoints, results

SETTINGS = {
    "network": "plainnet",
    "lr": 1e-3,
    "seed": 3,
    "dynamic_thres": True,
    "train_labeled": "a",
    "max_iteration": 9,
}


def test_settings(folder):
    path = folder() / "a.yml"

    @fuzzed(60)
    @given(edits, forgeries, st.booleans(), st.text("&*[]{}!:,-?|>%@ \n'\"ab01.lr#<", max_size=12))
    def check(changes, parts, as_yaml, text):
        if as_yaml:
            path.write_text(yaml.safe_dump(forged(SETTINGS, parts)), errors="backslashreplace")
        else:
            path.write_bytes(edited(yaml.safe_dump(SETTINGS).encode(), changes) + text.encode())
        with only_ours():
            parse_options(["--config", str(path)])

    check()


@pytest.fixture
def checkpoint(folder):
    """A small checkpoint as training writes them, and its file."""
    weights = create_model("plainnet").state_dict()
    described = Description("plainnet", "matrixFisher", HEAD_TO_CAMERA, True, 32, "a", "b")
    content = {STUDENT: weights, TEACHER: weights, "description": describe(described), "metrics": {"a": 1.0}}
    path = folder() / "a.pth"
    torch.save(content, path)
    return content, path


def test_checkpoints(checkpoint):
    content, path = checkpoint
    original = path.read_bytes()

    @fuzzed(25)
    @given(edits, forgeries, st.booleans())
    def check(changes, parts, inside):
        if inside:
            torch.save(forged(content, parts), path)
        else:
            path.write_bytes(edited(original, changes))
        with only_ours():
            loaded = load_checkpoint(path)
            assert all(torch.isfinite(value).all() for value in loaded.model.state_dict().values())

    check()


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("function", [os.mkdir, os.makedirs, eval, exec, __import__])
@pytest.mark.parametrize("where", ["beside", "weights", "plain pickle"])
def test_no_code_of_a_file_is_run(function, where, checkpoint, folder, monkeypatch):
    content, path = checkpoint
    mark = folder() / "mark"
    argument = f"__import__('os').mkdir({str(mark)!r})" if function in (eval, exec) else str(mark)
    harmful = Harmful(function, argument)
    if where == "plain pickle":
        path.write_bytes(pickle.dumps(harmful))
    else:
        torch.save({**content, "optimizer_state_dict" if where == "beside" else STUDENT: harmful}, path)
    for read in (read_checkpoint, load_checkpoint, lambda p: load_detector(f"bpjdet:{p}")):
        with pytest.raises(SemiUHPEError):
            read(path)
    assert not mark.exists()


SUMMARY = {
    "format_version": 1,
    "checkpoint": {"path": "best.pth", "sha256": "0"},
    "run": {"distribution": "matrixFisher", "image_size": 224, "train_labeled": "300WLP", "train_unlabeled": "300WLP",
            "ss_ratio": 0.2, "network": "resnet50", "stage1_iteration": 5, "max_iteration": 10},
    "store": {"dataset": "AFLW2000", "split": "test", "heads": 1964, "path": "a.lmdb"},
    "settings": {"trained_iterations": 10},
    "divisions": {"yaw": {"title": "yaw", "labels": ["left", "right"]}},
    "results": {"teacher": {"euler_mae_deg": 4.0}},
    "paper": {"teacher": {"euler_mae_deg": 4.0}},
}  # fmt: skip
HEADS = npz(
    names=np.array(["a", "b", "c"]), rotation=np.stack([np.eye(3)] * 3), group_yaw=np.array([0, 1, 1]),
    teacher_geodesic_deg=np.array([1.0, 2, 3]), teacher_frobenius=np.array([1.0, 2, 3]),
    teacher_axis_deg=np.ones((3, 3)),
)  # fmt: skip


SCENE_SUMMARY = {
    **{part: SUMMARY[part] for part in ("format_version", "checkpoint", "run", "settings")},
    "kind": "scenes",
    "store": {"dataset": "synthetic-wild", "split": "rendered", "scenes": 4, "heads": 12, "path": "a.lmdb"},
    "results": {"all": {"ap50": 0.5, "heads": 12, "geodesic_mean_deg": None}, "masked": {"ap50": 0.25, "heads": 4}},
}
SCENE_HEADS = npz(
    names=np.array(list("aabbccddeeff")), scene=np.arange(12) // 2, rotation=np.stack([np.eye(3)] * 12),
    wanted=np.ones(12, bool), student_geodesic_deg=np.arange(12.0), student_frobenius=np.arange(12.0),
    student_axis_deg=np.ones((12, 3)), student_euler_abs_deg=np.ones((12, 3)),
)  # fmt: skip


@pytest.mark.parametrize("whole_scenes", [False, True])
def test_results_of_evaluations(folder, whole_scenes):
    summary, heads = (SCENE_SUMMARY, SCENE_HEADS) if whole_scenes else (SUMMARY, HEADS)
    run = folder() / "exp" / "run" / "date"
    run.mkdir(parents=True)
    path = run / "eval_a.json"
    path.write_text(json.dumps(summary))
    path.with_suffix(".npz").write_bytes(heads)
    whole = read_results(path)
    assert compare(whole, whole)["heads"] == (12 if whole_scenes else 3)
    assert [len(found) for found in find_runs(run.parents[2])] == ([0, 1] if whole_scenes else [1, 0])

    @fuzzed(60)
    @given(edits, forgeries, array_changes, st.sampled_from(("json", "bytes", "arrays", "settings")))
    def check(changes, parts, replaced, kind):
        path.write_text(json.dumps(forged(summary, parts)) if kind == "json" else json.dumps(summary))
        if kind == "bytes":
            path.write_bytes(edited(path.read_bytes(), changes))
        path.with_suffix(".npz").write_bytes(forged_arrays(heads, replaced) if kind == "arrays" else heads)
        forged_settings = forged(summary["run"], parts) if kind == "settings" else summary["run"]
        (run / "config.yml").write_text(yaml.safe_dump(forged_settings), errors="backslashreplace")
        (run / "best.pth").write_bytes(b"")
        with only_ours():
            paper_tables(find_runs(run.parents[2])[0])
        with only_ours():
            compare(read_results(path), whole)
        with only_ours():
            compare(whole, read_results(path))

    check()


LINE = {
    "image": "a.jpg", "width": 5, "height": 6,
    "heads": [{"box": [1, 2, 3, 4], "score": 1.0, "rotation": np.eye(3).tolist(), "euler_front_deg": [1, 2, 3],
               "euler_full_deg": [1, 2, 3], "entropy": -1.0, "confidence": 0.5}],
}  # fmt: skip


def test_results_of_pictures(folder):
    @fuzzed(40)
    @given(edits, forgeries, st.booleans())
    def check(changes, parts, as_json):
        output = folder()
        text = json.dumps(LINE) + "\n"
        damaged = json.dumps(forged(LINE, parts)).encode() if as_json else edited(text.encode(), changes)
        (output / "heads-00000-of-00001.jsonl").write_bytes(text.encode() + damaged + b"\n" + text.encode())
        (output / "run.json").write_bytes(damaged)
        with only_ours():
            assert "a.jpg" in done_pictures(output)
        with only_ours():
            write_csv(output / "heads-00000-of-00001.jsonl")
        with only_ours():
            check_settings(output, {"checkpoint": "a"})

    check()


def test_the_changes_change_something():
    """The strategies are no no-ops: without this a test here could pass on whole files only."""
    assert edited(b"abcdef", [("flip", 0.5, 1, b"x")]) == b"abcfef"
    assert (
        edited(b"abcdef", [("cut", 0.5, 1, b"x")]) == b"abc"
        and edited(b"abcdef", [("delete", 0.5, 0, b"x")]) == b"abcef"
    )
    assert forged({"a": [1, 2]}, [([0, 1], False, "new")]) == {"a": [1, "new"]}
    assert forged({"a": [1, 2]}, [([0], True, None)]) == {} and forged([1], [([], False, 3)]) == 3
    assert math.isnan(float(dict(np.load(io.BytesIO(forged_arrays(HEADS, {3: math.nan}))))["teacher_geodesic_deg"][0]))
