"""Evaluations of whole scenes whose detections are known: their files, comparisons, and where they don't belong."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.errors import refused
from support.known_predictions import description, known_results

from semiuhpe.cli import main as main_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import SceneStore
from semiuhpe.errors import DataError
from semiuhpe.evaluation.compare import compare
from semiuhpe.evaluation.detection import Detected, true_heads
from semiuhpe.evaluation.paper_tables import find_runs
from semiuhpe.evaluation.results import read_results, write_results
from semiuhpe.evaluation.scene_results import collect_scenes
from semiuhpe.rotation import in_plane_rotation
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes

SIZE = 128


def write_evaluation(folder, store, off_by_deg, missed=()):
    """Results of a model that finds all heads but those of some numbers, with poses off by a geodesic angle."""
    truth = true_heads(store, SIZE)
    wanted = np.flatnonzero(truth.wanted)
    found = np.delete(wanted, list(missed))
    turn = in_plane_rotation(torch.full((len(found),), float(off_by_deg), dtype=torch.float64))
    detected = Detected(
        scene=torch.from_numpy(truth.scene[found]),
        box=torch.from_numpy(truth.box[found]).float(),
        score=torch.full((len(found),), 0.9),
        landmarks=torch.zeros(len(found), 5, 2),
        rotation=(turn @ torch.from_numpy(truth.rotation[found]).double()).float(),
        entropy=torch.zeros(len(found)),
    )
    folder.mkdir(parents=True)
    (folder / "best.pth").write_bytes(b"weights")
    described = replace(description(), network="onestage:plainnet", image_size=SIZE)
    results = collect_scenes(detected, truth, store, described, folder / "best.pth", {"test_set": "scenes"})
    write_results(results, folder / "eval_scenes.json")
    return len(wanted)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder of runs a (misses two heads, off by 10 degrees), b (misses one, off by 4) and c (of other scenes)."""
    root = tmp_path_factory.mktemp("runs")
    for name, seed in (("scenes", 4), ("others", 5)):
        write_scenes(SceneSet(10, 3, "clean", "full", seed, SIZE, 0.5, 0.5), root / f"{name}.lmdb")
    store = SceneStore(root / "scenes.lmdb")
    heads = write_evaluation(root / "exp" / "a" / "date", store, 10, (0, 1))
    assert heads == write_evaluation(root / "exp" / "b" / "date", store, 4, (1,)) >= 12
    write_evaluation(root / "exp" / "c" / "date", SceneStore(root / "others.lmdb"), 4)
    return root


def command(*arguments):
    return run(main_cli._dispatch, ["compare", *map(str, arguments)])


def error_of(capsys, *arguments):
    return refused(capsys, main_cli._dispatch, ["compare", *arguments])


def test_the_file_has_the_parts_of_other_evaluations(runs):
    summary = json.loads((runs / "exp/a/date/eval_scenes.json").read_text())
    assert {"format_version", "kind", "checkpoint", "run", "store", "settings", "results"} == set(summary)
    assert summary["checkpoint"]["path"].endswith("best.pth") and len(summary["checkpoint"]["sha256"]) == 64
    assert summary["store"]["scenes"] == 10 and summary["store"]["dataset"] == "synthetic-clean"
    row = summary["results"]["all"]
    assert row["missed_heads"] == 2 and row["false_heads"] == 0
    assert row["geodesic_mean_deg"] == pytest.approx(10, abs=1e-3)
    results = read_results(runs / "exp/a/date/eval_scenes.json")
    errors = results.heads["student_geodesic_deg"]
    assert results.of_scenes and np.isnan(errors).sum() == len(errors) - row["heads"] + 2
    np.testing.assert_allclose(errors[np.isfinite(errors)], 10, atol=1e-3)


def test_two_evaluations_side_by_side(runs, tmp_path, capsys):
    output = tmp_path / "c.json"
    assert command("a/date", "b/date", "--exps_dir", runs, "--output", output) == 0
    printed = capsys.readouterr().out
    assert "AP50" in printed and "heads that both found" in printed and "geodesic mean" in printed
    found = json.loads(output.read_text())
    assert found["kind"] == "scenes" and {"all", "masked", "turned"} <= set(found["results"])
    assert found["results"]["all"]["missed_heads"] == {"a": 2, "b": 1, "difference": -1}
    assert found["found_by_both"] == found["heads"] - 2
    row = found["means"]["geodesic_mean_deg"]
    assert (row["better"], row["b_is_better"]) == ("B", 1.0)
    assert row["difference"] == pytest.approx(-6, abs=1e-3)
    page = output.with_suffix(".html").read_text()
    assert "Heads: masked" in page and "Cumulative error" in page and "nan" not in page
    assert {path.name for path in tmp_path.iterdir()} == {"c.json", "c.html"}


def test_without_errors_of_single_heads_means_remain(runs, tmp_path, capsys):
    path = tmp_path / "eval_scenes.json"
    path.write_text((runs / "exp/a/date/eval_scenes.json").read_text())
    assert command(path, runs / "exp/b/date", "--output", tmp_path / "c.json") == 0
    assert "AP50" in capsys.readouterr().out
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["means"] == {} and found["results"]["all"]["missed_heads"]["difference"] == -1


def test_few_heads_that_both_found_are_not_paired(runs):
    first, second = (read_results(runs / f"exp/{name}/date/eval_scenes.json") for name in "ab")
    first.heads["wanted"][np.flatnonzero(first.heads["wanted"])[9:]] = False
    found = compare(first, second)
    assert 0 < found["found_by_both"] < 10 and found["means"] == {}


@pytest.mark.parametrize("role", ["student", None])
def test_the_role_may_be_left_out(runs, role):
    results = read_results(runs / "exp/a/date/eval_scenes.json")
    found = compare(results, results, role)
    assert found["means"]["geodesic_mean_deg"]["difference"] == 0 and found["role"] == "student"


def test_what_can_not_be_compared(runs, tmp_path, capsys):
    rotation = torch.eye(3, dtype=torch.float64).expand(20, 3, 3)
    of_heads = tmp_path / "eval_heads.json"
    write_results(known_results(tmp_path, rotation, {"student": rotation, "teacher": rotation})[1], of_heads)
    output = ["--output", tmp_path / "c.json"]
    before = sorted(tmp_path.iterdir())
    scenes = runs / "exp/a/date/eval_scenes.json"
    for pair in ((scenes, of_heads), (of_heads, scenes)):
        error = error_of(capsys, *pair, *output)
        assert "scenes" in error and "crops" in error
    assert "different scenes" in error_of(capsys, "a/date", "c/date", "--exps_dir", runs, *output)
    assert "teacher" in error_of(capsys, "a/date", "b/date", "--exps_dir", runs, "--role", "teacher", *output)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda heads: heads.pop("wanted"),
        lambda heads: heads.update(rotation=heads["rotation"][:, 0]),
        lambda heads: heads.update(student_geodesic_deg=heads["student_geodesic_deg"][:-1]),
        lambda heads: heads.update(wanted=heads["wanted"].astype(float)),
    ],
)
def test_broken_arrays_are_errors(runs, tmp_path, change):
    results = read_results(runs / "exp/a/date/eval_scenes.json")
    change(results.heads)
    write_results(results, tmp_path / "eval_scenes.json")
    with pytest.raises(DataError, match=r"eval_scenes\.json"):
        read_results(tmp_path / "eval_scenes.json")


def test_files_of_before_say_so(runs, tmp_path, capsys):
    """They had no format version, and the model's description at the top."""
    old = {"kind": "scenes", "checkpoint": "best.pth", "model": {}, "store": {}, "settings": {}, "results": {"all": {}}}
    (tmp_path / "eval_scenes.json").write_text(json.dumps(old))
    error = error_of(capsys, tmp_path / "eval_scenes.json", runs / "exp/a/date")
    assert str(tmp_path / "eval_scenes.json") in error and "eval.py" in error


def test_the_papers_tables_leave_them_out_and_say_so(runs):
    filled, left_out = find_runs(runs)
    assert filled == [] and len(left_out) == 3 and all("scenes" in reason for reason in left_out)
