import contextlib
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.errors import refused, says
from support.known_predictions import write_heads
from support.paths import ROOT
from support.raw_datasets import write_aflw

from semiuhpe.cli import evaluate as evaluate_cli
from semiuhpe.cli import main as main_cli
from semiuhpe.cli import prepare as prepare_cli
from semiuhpe.cli import quickstart as quickstart_cli
from semiuhpe.cli import synth as synth_cli
from semiuhpe.cli.entry import run
from semiuhpe.data import HeadStore
from semiuhpe.models.checkpoint import read_checkpoint, save_checkpoint
from semiuhpe.rotation import is_rotation


@pytest.fixture
def trained(own_run):
    return own_run / "last.pth"


def test_only_what_evaluation_uses_of_a_runs_settings_has_to_be_right(trained, stores, capsys):
    settings = trained.parent / "config.yml"
    text = settings.read_text()
    command = [str(trained), "--test_set", str(stores["test"]), "--output", ""]
    settings.write_text(text + "teacher_mode: odd\nbatch_size: null\n")
    assert run(evaluate_cli.main, command) == 0
    assert (trained.parent / "eval_test.json").is_file()
    settings.write_text(text + "num_workers: -1\n")
    assert all(word in refused(capsys, evaluate_cli.main, command) for word in (str(settings), "--num_workers", "-1"))


def test_prepare_the_real_samples_and_evaluate(reference, tmp_path, trained, capsys):
    out = tmp_path / "AFLW2000.lmdb"
    command = ["AFLW2000", "--source", str(reference / "aflw2000"), "--out", str(out)]
    assert run(prepare_cli.main, command) == 0
    store = HeadStore(out)
    cases = [c for c in json.loads((reference / "aflw2000" / "crops.json").read_text()) if "pitch_yaw_roll_deg" in c]
    assert len(store) == len(cases) == 6
    for i, case in enumerate(cases):
        np.testing.assert_allclose(store.euler_deg[i], case["pitch_yaw_roll_deg"], atol=1e-4)
        expected = np.asarray(Image.open(reference / "aflw2000" / case["expected_crop"]).convert("RGB"))
        assert np.abs(store.image(i).astype(int) - expected).mean() < 1.0
    assert run(evaluate_cli.main, [str(trained), "--test_set", "AFLW2000", "--data_dir_AFLW2000", str(out)]) == 0
    assert "Euler MAE" in capsys.readouterr().out
    results = json.loads((trained.parent / "eval_AFLW2000.json").read_text())["results"]
    assert set(results) == {"student", "teacher"}
    assert 0 < results["teacher"]["euler_mae_deg"] < 180


def test_synth_is_reproducible_for_any_number_of_workers(tmp_path):
    common = ["--count", "70", "--size", "48", "--seed", "3", "--domain", "wild"]
    for name, more in (("a", []), ("b", ["--workers", "2"]), ("c", ["--seed", "4"])):
        assert run(synth_cli.main, ["--out", str(tmp_path / f"{name}.lmdb"), *common, *more]) == 0
    a, b, c = (HeadStore(tmp_path / f"{name}.lmdb") for name in "abc")
    np.testing.assert_array_equal(a.rotation, b.rotation)
    for i in (0, 33, 69):
        np.testing.assert_array_equal(a.image(i), b.image(i))
    assert not np.array_equal(a.image(0), c.image(0))
    assert is_rotation(torch.from_numpy(a.rotation)).all()
    assert len(a) == 70 and a.image(0).shape == (48, 48, 3)


def test_synth_test_crops_hold_the_head_where_the_protocol_puts_it(tmp_path):
    sheet = tmp_path / "sheet.png"
    command = ["--out", str(tmp_path / "t.lmdb"), "--count", "5", "--size", "64", "--test", "--domain", "clean"]
    assert run(synth_cli.main, [*command, "--sheet", str(sheet), "--axes"]) == 0
    store = HeadStore(tmp_path / "t.lmdb")
    center = store.box[:, :2] + store.box[:, 2:] / 2
    side = (store.box[:, 2] + store.box[:, 3]) / 2
    np.testing.assert_allclose(center, 32, atol=1.5)
    np.testing.assert_allclose(side, 64 / 1.3, rtol=0.05)
    assert Image.open(sheet).size[0] > 500


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "--out"),
        (["--out", "a", "--domain", "moon"], "--domain moon"),
        (["--out", "a", "--count", "0"], "--count 0"),
    ],
)
def test_synth_bad_input(arguments, words, capsys):
    assert says(refused(capsys, synth_cli.main, arguments), words)


def test_evaluate_bad_input(trained, stores, tmp_path, capsys):
    store = ["--test_set", stores["test"]]
    alone = Path(shutil.copy(trained, tmp_path / "alone.pth"))
    broken = tmp_path / "broken.pth"
    broken.write_bytes(trained.read_bytes()[:10_000])
    for arguments, words in (
        (["nowhere.pth", *store], "nowhere.pth"),
        ([trained, *store, "--network", "resnet18"], "plainnet"),
        ([alone], "--test_set"),
        ([trained, *store, "--output", tmp_path / "no" / "x.json"], "--output"),
        ([broken, *store], "broken.pth"),
    ):
        assert words in refused(capsys, evaluate_cli.main, arguments)


def test_evaluate_takes_what_is_not_said_from_the_run(trained, stores, capsys):
    assert run(evaluate_cli.main, [str(trained), "--protocol", "paper"]) == 0
    printed = capsys.readouterr().out
    for words in ("student", "teacher", "95% interval", "the paper's arithmetic", "Euler MAE", "under 30"):
        assert words in printed
    found = json.loads((trained.parent / "eval_test.json").read_text())
    assert found["store"]["path"] == str(stores["test"]) and found["settings"]["protocol"] == "paper"
    assert found["settings"]["trained_iterations"] == found["run"]["max_iteration"] == 6
    digest = hashlib.sha256(trained.read_bytes()).hexdigest()
    assert (found["checkpoint"]["sha256"], found["checkpoint"]["selected_on_this_set"]) == (digest, False)
    assert {"eval_test.json", "eval_test.npz", "report.html"} <= {path.name for path in trained.parent.iterdir()}


def test_evaluate_takes_runs_of_methods_that_are_not_there_any_more(trained):
    run_settings = trained.with_name("config.yml")
    run_settings.write_text(run_settings.read_text().replace("method: semiuhpe", "method: mine"))
    assert "method: mine" in run_settings.read_text()
    assert run(evaluate_cli.main, [str(trained)]) == 0


def test_evaluate_says_when_best_was_chosen_on_the_test_set(trained, stores, capsys):
    assert run(evaluate_cli.main, [str(trained.with_name("best.pth"))]) == 0
    assert "selected on this very set" in capsys.readouterr().out
    assert run(evaluate_cli.main, [str(trained.with_name("best.pth")), "--test_set", str(stores["labeled"])]) == 0
    assert "selected on this very set" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "option, value, words",
    [
        ("network", "resnet18", "--network resnet18"),
        ("is_full_range", "true", "--is_full_range True"),
        ("image_size", "64", "--image_size 64"),
        ("distribution", "RotationLaplace", "--distribution RotationLaplace"),
    ],
)
def test_evaluate_refuses_options_that_contradict_the_checkpoint(trained, tmp_path, capsys, option, value, words):
    settings = tmp_path / "settings.yml"
    settings.write_text(f"{option}: {value}\n")
    for more in (["--config", str(settings)], [f"--{option}", value]):
        assert words in refused(capsys, evaluate_cli.main, [trained, *more])
    assert not list(trained.parent.glob("eval_*"))


def test_evaluate_refuses_stores_and_models_that_can_not_be_evaluated(trained, tmp_path, capsys):
    def error_of(checkpoint, *more):
        error = refused(capsys, evaluate_cli.main, [checkpoint, *more])
        assert not [path for pattern in ("eval_*", "report*") for path in checkpoint.parent.glob(pattern)]
        return error

    Image.new("RGB", (40, 40)).save(tmp_path / "head.png")
    unlabeled = tmp_path / "unlabeled.lmdb"
    command = ["folder", "--source", str(tmp_path), "--split", "test", "--out", str(unlabeled), "--workers", "0"]
    assert run(prepare_cli.main, command) == 0
    assert "unlabeled.lmdb" in error_of(trained, "--test_set", unlabeled)
    mirrored = write_heads(tmp_path / "mirrored.lmdb", -np.eye(3)[None])
    assert "head000" in error_of(trained, "--test_set", mirrored)
    checkpoint = read_checkpoint(trained)
    checkpoint["model_state_dict_ema"]["head.7.bias"][:] = torch.nan
    broken = tmp_path / "run" / "nan.pth"
    broken.parent.mkdir()
    save_checkpoint(broken, checkpoint)
    assert "finite" in error_of(broken, "--test_set", write_heads(tmp_path / "heads.lmdb", np.eye(3)[None]))
    (trained.parent / "config.yml").write_text("a: [")
    assert str(trained.with_name("config.yml")) in error_of(trained)


def test_evaluate_finds_runs_by_the_papers_names(trained, stores, settings):
    name = f"{trained.parent.parent.name}/{trained.parent.name}/last"
    output = trained.parent / "mine.json"
    command = [name, "--exps_dir", settings[1], "--test_set", str(stores["test"]), "--output", str(output)]
    assert run(evaluate_cli.main, command) == 0
    assert json.loads(output.read_text())["results"]["student"]["geodesic_mean_deg"] > 0


def tiny_quickstart(folder):
    stores = {name: str(folder / "data" / f"{name}.lmdb") for name in ("labeled", "unlabeled", "val", "test")}
    return [
        *("--config", str(ROOT / "settings" / "quickstart.yml"), "--exps_dir", str(folder / "exps")),
        *("--train_labeled", stores["labeled"], "--train_unlabeled", stores["unlabeled"]),
        *("--val_set", stores["val"], "--test_set", stores["test"], "--image_size", "32", "--batch_size", "4"),
        *("--stage1_iteration", "2", "--max_iteration", "4", "--val_frequency", "1", "--log_frequency", "1"),
        *("--labelled_heads", "8", "--unlabelled_heads", "24", "--val_heads", "6", "--test_heads", "12"),
        *("--workers", "1"),
    ]


@pytest.fixture(scope="module")
def quickstarted(tmp_path_factory):
    """A folder in which the quickstart was run once, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("quickstart"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run(quickstart_cli.main, tiny_quickstart(folder)) == 0
    return folder, printed.getvalue()


def test_quickstart(quickstarted):
    folder, printed = quickstarted
    for word in ("supervised", "baseline", "SemiUHPE", "geodesic mean", "Frobenius", "kept error", "What next"):
        assert word in printed
    text = (folder / "exps" / "quickstart" / "report.html").read_text()
    assert text.count("<img") > 40
    assert not re.search(r'(src|href)="(?!data:|#)', text), "the page must not need anything beside it"


def test_quickstart_again_trains_only_what_is_new(quickstarted):
    folder, _ = quickstarted
    command = tiny_quickstart(folder)
    first = {path: path.stat().st_mtime_ns for path in folder.rglob("last.pth")}
    assert len(first) == 3
    assert run(quickstart_cli.main, command) == 0  # again: nothing is rendered or trained anew
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("last.pth")} == first
    assert run(quickstart_cli.main, [*command, "--lr", "5e-4"]) == 0  # other settings: other runs
    assert len(list(folder.rglob("last.pth"))) == 6


def test_quickstart_never_replaces_a_store_that_it_did_not_render(tmp_path, capsys):
    source = write_aflw(tmp_path / "raw", [(10, 20, -30)])
    mine = tmp_path / "mine.lmdb"
    assert run(prepare_cli.main, ["AFLW2000", "--source", str(source), "--out", str(mine)]) == 0
    command = tiny_quickstart(tmp_path)
    for test_set, words in (
        (mine, "mine.lmdb"),
        ("AFLW2000", "--test_set AFLW2000"),
        (tmp_path / "data" / "val.lmdb", "different"),
    ):
        assert words in refused(capsys, quickstart_cli.main, [*command, "--test_set", test_set])
    assert len(HeadStore(mine)) == 1
    assert not (tmp_path / "data").exists()


def test_report_opens_in_a_browser(quickstarted, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    page = quickstarted[0] / "exps" / "quickstart" / "report.html"
    script = (
        "<script>addEventListener('load', () => document.title = "
        "[...document.images].filter(i => !i.naturalWidth).length + ' broken of ' + document.images.length)</script>"
    )
    probe = tmp_path / "probe.html"
    probe.write_text(page.read_text().replace("</body>", script + "</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    dom = subprocess.run(
        [browser, *flags, profile, "--dump-dom", probe.as_uri()], capture_output=True, text=True, timeout=120
    ).stdout
    title = re.search(r"<title>(.*?)</title>", dom)[1]
    assert re.fullmatch(r"0 broken of \d\d+", title)


def test_semiuhpe_lists_its_commands_and_refuses_others(capsys):
    assert run(main_cli._dispatch, []) == 0
    assert "prepare" in capsys.readouterr().out
    error = refused(capsys, main_cli._dispatch, ["prepair"])
    assert "prepair" in error and "did you mean prepare?" in error


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_scripts_explain_themselves(script):
    result = subprocess.run([sys.executable, str(ROOT / script), "--help"], capture_output=True, text=True)
    assert result.returncode == 0 and "--config" in result.stdout
